/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metrics */

#include "cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "request.h"

#define CONTROL "io.zsd.control"
#define METRICS "io.zsd.metrics"

/* The socket beside the control socket, which everybody may ask; both names have the same length. */
static char *metrics_socket(const char *control)
{
	size_t length = strlen(control), name_length = strlen(CONTROL);
	char *path = strdup(control);

	if (!path || length < name_length || strcmp(path + length - name_length, CONTROL))
		return path;
	memcpy(path + length - name_length, METRICS, name_length);
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return strdup(control);
}

static enum zsctl_exit print(const json_t *reply, void *data)
{
	fputs(json_string_value(json_object_get(reply, "text")) ?: "", stdout);
	return ZSCTL_OK;
}

enum zsctl_exit cmd_metrics(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	ZS_CLEANUP_FREE char *socket = metrics_socket(options->socket);
	struct zsctl_options wanted = *options;
	enum zsctl_exit status;

	if (!socket)
		return zsctl_no_memory();
	if (options->format && strcmp(options->format, "prometheus") && strcmp(options->format, "openmetrics")) {
		fprintf(stderr, "zsctl: --format %s: no such format; use prometheus or openmetrics\n", options->format);
		return ZSCTL_USAGE;
	}
	wanted.socket = socket;
	status = zsctl_connect(&wanted, &client);
	return status
		       ?: zsctl_stream(client, "metrics", METRICS ".Render",
				       json_pack("{s:s*}", "format", options->format), print, NULL);
}
