/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls to the daemon. */

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "api/libzs.h"
#include "base/cleanup.h"
#include "ctl/client.h"

#define SOCKET_PATH "/run/zsd/io.zsd.control"
#define TIMEOUT_MS  30000

static void decrefp(json_t **value)
{
	json_decref(*value);
}

static void client_destroyp(struct zs_client **client)
{
	zs_client_destroy(*client);
}

/* The text of what was answered; the reply is deinitialised. */
static int take_text(struct zs_wire_reply *reply, char **ret_text)
{
	ZS_CLEANUP(decrefp) json_t *error = NULL;
	ZS_CLEANUP(decrefp) json_t *empty = json_object();
	json_t *parameters = reply->parameters ? reply->parameters : empty;
	char *text;

	if (reply->error)
		error = json_pack("{s:s, s:O}", "error", reply->error, "parameters", parameters);
	text = json_dumps(error ? error : parameters, JSON_COMPACT);
	zs_wire_reply_deinit(reply);
	if (!text)
		return -ENOMEM;
	*ret_text = text;
	return error ? -EREMOTEIO : 0;
}

int zs_call(const char *socket, const char *method, const char *parameters, char **ret_reply)
{
	ZS_CLEANUP(client_destroyp) struct zs_client *client = NULL;
	ZS_CLEANUP(decrefp) json_t *object = parameters ? json_loads(parameters, JSON_REJECT_DUPLICATES, NULL) : NULL;
	struct zs_wire_reply reply;
	int r;

	if (parameters && !json_is_object(object))
		return -EINVAL;
	r = zs_client_connect(socket ? socket : SOCKET_PATH, TIMEOUT_MS, &client);
	if (!r)
		r = zs_client_call(client, method, object, &reply);
	return r ? r : take_text(&reply, ret_reply);
}
