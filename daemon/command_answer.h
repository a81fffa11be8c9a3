#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers that several methods of io.zsd.control give. Every error has a message for people: what was refused, why, and
 * what to do about it.
 *
 * Every function returns 0, or -ENOMEM without an answer.
 */

#include <jansson.h>

#include "command_options.h"
#include "interface.h"
#include "varlink.h"

#define ZSD_ERROR(name) ZSD_INTERFACE_CONTROL "." name

/* A name from a call may be a megabyte; this much of it goes into a message. */
#define ZSD_SHOWN_MAX	  80
#define ZSD_MESSAGE_BYTES (ZSD_REASON_BYTES + 2 * ZSD_SHOWN_MAX + 64)

/* error NULL: what was asked for. Takes parameters over, also when they are NULL for lack of memory. */
int zsd_reply(struct zsd_answer *ret_answer, const char *error, json_t *parameters);

/* reason: "why; what to do" */
int zsd_reply_invalid_value(struct zsd_answer *ret_answer, const char *parameter, const char *value,
			    const char *reason);
int zsd_reply_invalid_number(struct zsd_answer *ret_answer, const char *parameter, json_int_t value,
			     const char *reason);
/* The same, and the message begins with the name that the call is about, if it has one. */
int zsd_reply_bad_value(const struct zsd_call *call, struct zsd_answer *ret_answer, const char *parameter,
			const char *value, const char *reason);
int zsd_reply_bad_number(const struct zsd_call *call, struct zsd_answer *ret_answer, const char *parameter,
			 json_int_t value, const char *reason);
int zsd_reply_no_such_device(struct zsd_answer *ret_answer, const char *name);
/* An errno that is nobody's mistake; step says what was being done. */
int zsd_reply_system(struct zsd_answer *ret_answer, int error, const char *step);
