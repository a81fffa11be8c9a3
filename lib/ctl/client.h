#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Varlink client: one connection, calls in order.
 *
 * Context: one thread at a time. Every call waits at most the connection's timeout for the peer to make progress.
 */

#include <jansson.h>
#include <stdbool.h>

#include "ctl/wire.h"

struct zs_client;

/*
 * Connects to the socket at path. Returns 0; -ENOENT, -ECONNREFUSED (nobody listens), -EACCES, -ETIMEDOUT,
 * -ENAMETOOLONG, -ENOMEM or another errno of connect(2).
 */
int zs_client_connect(const char *path, unsigned int timeout_ms, struct zs_client **ret_client);
/* NULL is allowed. */
void zs_client_destroy(struct zs_client *client);

/*
 * Sends a call; parameters are borrowed and may be NULL. more asks for several replies.
 * Returns 0, -ETIMEDOUT, -ECONNRESET (the peer closed) or -ENOMEM.
 */
int zs_client_send(struct zs_client *client, const char *method, json_t *parameters, bool more);

/*
 * The next reply, to be given to zs_wire_reply_deinit(); an error that the peer answered is a reply.
 * Returns 0, -ETIMEDOUT, -ECONNRESET, -EBADMSG (not Varlink), -EMSGSIZE or -ENOMEM.
 */
int zs_client_receive(struct zs_client *client, struct zs_wire_reply *ret_reply);

/* Both of the above, for one reply. */
int zs_client_call(struct zs_client *client, const char *method, json_t *parameters, struct zs_wire_reply *ret_reply);
