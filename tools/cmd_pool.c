/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compact */

#include "cmd.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/size.h"
#include "ctl/client.h"
#include "options.h"
#include "output.h"
#include "request.h"

/* What one call is asked to free: the daemon answers others between two of them. */
#define SLICE_BYTES ((json_int_t)16 << 20)

static void client_destroyp(struct zs_client **client)
{
	zs_client_destroy(*client);
}

static json_int_t number(const json_t *result, const char *name)
{
	return json_integer_value(json_object_get(result, name));
}

static enum zsctl_exit print(const struct zsctl_options *options, json_int_t freed, json_int_t moved)
{
	char text[ZS_SIZE_TEXT_BYTES];

	if (options->json)
		return zsctl_print_json(json_pack("{s:I, s:I}", "freed_bytes", freed, "moved_objects", moved));
	printf("freed %s, moved %" JSON_INTEGER_FORMAT " objects\n", zs_size_format((uint64_t)freed, text), moved);
	return ZSCTL_OK;
}

enum zsctl_exit cmd_compact(const struct zsctl_options *options, char *const *names)
{
	ZS_CLEANUP(client_destroyp) struct zs_client *client = NULL;
	json_int_t freed = 0, moved = 0, slice = SLICE_BYTES;
	enum zsctl_exit status = zsctl_connect(options, &client);

	while (!status && slice >= SLICE_BYTES) {
		CLEANUP_JSON json_t *result = NULL;

		status = zsctl_call(client, "compact", "Compact", json_pack("{s:I}", "budget_bytes", SLICE_BYTES),
				    false, &result);
		slice = number(result, "freed_bytes");
		freed += slice;
		moved += number(result, "moved_objects");
	}
	return status ?: print(options, freed, moved);
}
