/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status */

#include "cmd.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/size.h"
#include "options.h"
#include "output.h"
#include "request.h"

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name)) ?: "?";
}

static const char *size(const json_t *object, const char *name, char buffer[static ZS_SIZE_TEXT_BYTES])
{
	return zs_size_format((uint64_t)number(object, name), buffer);
}

static void print_daemon(const json_t *status)
{
	time_t started = (time_t)(number(status, "started_usec") / 1000000);
	char since[32] = "?";
	struct tm local;

	if (localtime_r(&started, &local))
		strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", &local);
	printf("Daemon:     zsd %s, process %" JSON_INTEGER_FORMAT ", since %s\n", text(status, "version"),
	       number(status, "pid"), since);
	printf("State:      %s\n", text(status, "state"));
	printf("Mount:      %s\n", text(status, "mount_point"));
	printf("Transport:  %s\n", text(status, "transport"));
}

static void print_devices(const json_t *status)
{
	json_int_t degraded = number(status, "degraded_devices"), refused = number(status, "refused_devices");
	json_int_t unreadable = number(status, "unreadable_devices");
	json_int_t left_out = number(status, "left_out_devices");

	printf("Devices:    %" JSON_INTEGER_FORMAT, number(json_object_get(status, "pool"), "devices"));
	if (degraded)
		printf(", %" JSON_INTEGER_FORMAT " with damaged blocks (zsctl list -o NAME,ERRORS)", degraded);
	if (unreadable)
		printf(", %" JSON_INTEGER_FORMAT
		       " with blocks that could not be read back (zsctl stats -o NAME,BACK-ERRORS)",
		       unreadable);
	if (refused)
		printf(", %" JSON_INTEGER_FORMAT " refused data for lack of room (zsctl stats -o NAME,NO-SPACE)",
		       refused);
	if (left_out)
		printf(", %" JSON_INTEGER_FORMAT " refused in the configuration (zsctl config check, and the log)",
		       left_out);
	putchar('\n');
}

static void print_limit(const json_t *status, const json_t *pool)
{
	json_int_t used = number(pool, "used_bytes"), limit = number(pool, "memory_limit_bytes");
	const char *refusal = json_string_value(json_object_get(status, "refusal"));
	char a[ZS_SIZE_TEXT_BYTES];

	if (!limit) {
		puts("Limit:      none");
		return;
	}
	printf("Limit:      %s, %" JSON_INTEGER_FORMAT "%% used; at the limit ", size(pool, "memory_limit_bytes", a),
	       used * 100 / limit);
	if (refusal)
		printf("data is refused: %s\n", refusal);
	else
		puts("blocks are written back");
}

static void print_pool(const json_t *status, const json_t *pool)
{
	json_int_t cold = number(pool, "written_back_bytes"), held = number(pool, "data_bytes") - cold;
	const json_t *ratio = json_object_get(pool, "ratio");
	char a[ZS_SIZE_TEXT_BYTES], b[ZS_SIZE_TEXT_BYTES];

	printf("Data:       %s in %s of memory", zs_size_format((uint64_t)held, a), size(pool, "used_bytes", b));
	if (ratio)
		printf(" (%.2fx)", json_number_value(ratio));
	if (cold)
		printf(", and %s in the backing file", size(pool, "written_back_bytes", a));
	printf("\nPeak:       %s\n", size(pool, "peak_bytes", a));
	print_limit(status, pool);
	printf("Compaction: %s, %s could be freed\n", text(pool, "compaction"), size(pool, "freeable_bytes", a));
}

enum zsctl_exit cmd_status(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	enum zsctl_exit status = zsctl_connect(options, &client);

	if (!status)
		status = zsctl_call(client, "status", "Status", json_object(), false, &result);
	if (status)
		return status;
	if (options->json)
		return zsctl_print_json(options, zs_take(result));
	print_daemon(result);
	print_devices(result);
	print_pool(result, json_object_get(result, "pool"));
	return ZSCTL_OK;
}
