/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* monitor */

#include "cmd.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"
#include "output.h"
#include "request.h"

static enum zsctl_exit print(const json_t *reply, void *data)
{
	enum zsctl_exit status = zsctl_print_json_line(json_incref((json_t *)reply));

	return status ?: ferror(stdout) ? ZSCTL_ERROR : ZSCTL_OK;
}

enum zsctl_exit cmd_monitor(const struct zsctl_options *options, char *const *words)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	double interval = 1;
	enum zsctl_exit status;
	char *end;

	if (words[0]) {
		interval = strtod(words[0], &end);
		if (end == words[0] || *end || !(interval >= 0.1 && interval <= 3600)) {
			fprintf(stderr, "zsctl: monitor: %s: not an interval in seconds; use 0.1 to 3600\n", words[0]);
			return ZSCTL_USAGE;
		}
	}
	/* Nothing may happen for days. */
	status = zsctl_connect_for(options, INT_MAX, &client);
	return status
		       ?: zsctl_stream(client, "monitor", "io.zsd.control.Monitor",
				       json_pack("{s:I}", "interval_usec", (json_int_t)llround(interval * 1e6)), print,
				       NULL);
}
