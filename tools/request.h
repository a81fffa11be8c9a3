#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call of the daemon, with messages for people when it goes wrong. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "cmd.h"
#include "ctl/client.h"

struct zsctl_options;

/* Connects. ZSCTL_OK, or ZSCTL_UNREACHABLE after a message. */
enum zsctl_exit zsctl_connect(const struct zsctl_options *options, struct zs_client **ret_client);

/* The same for calls that may take longer than others to be answered. */
enum zsctl_exit zsctl_connect_for(const struct zsctl_options *options, unsigned int timeout_ms,
				  struct zs_client **ret_client);

/*
 * Calls a method of io.zsd.control and waits for the reply, or with more for all replies, whose "devices" are put into
 * one array. parameters is taken over, and may be NULL for lack of memory. what is attempted, for messages: "add vm0".
 */
enum zsctl_exit zsctl_call(struct zs_client *client, const char *what, const char *method, json_t *parameters,
			   bool more, json_t **ret_result);

/*
 * Calls a method of any interface, spelled in full, and hands each reply to on_reply as it comes; it ends the call by
 * another status than ZSCTL_OK. parameters as above.
 */
typedef enum zsctl_exit zsctl_reply(const json_t *reply, void *data);
enum zsctl_exit zsctl_stream(struct zs_client *client, const char *what, const char *method, json_t *parameters,
			     zsctl_reply *on_reply, void *data);

/* A name that is not UTF-8 can't be sent: ZSCTL_USAGE after a message. */
enum zsctl_exit zsctl_check_name(const char *name);

/* The status of what was done with several names, from that of those before and the next one's. */
enum zsctl_exit zsctl_combine(enum zsctl_exit before, enum zsctl_exit status);

/* "zsctl: out of memory" */
enum zsctl_exit zsctl_no_memory(void);

static inline void zsctl_decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(zsctl_decrefp)

static inline void zsctl_client_destroyp(struct zs_client **client)
{
	zs_client_destroy(*client);
}

#define CLEANUP_CLIENT ZS_CLEANUP(zsctl_client_destroyp)
