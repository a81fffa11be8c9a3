/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compact */

#include "cmd.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/size.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "request.h"

/* What one call is asked to free: the daemon answers others between two of them. */
#define SLICE_BYTES ((json_int_t)16 << 20)

static json_int_t number(const json_t *result, const char *name)
{
	return json_integer_value(json_object_get(result, name));
}

static enum zsctl_exit print(const struct zsctl_options *options, json_int_t freed, json_int_t moved)
{
	char text[ZS_SIZE_TEXT_BYTES];

	if (options->json)
		return zsctl_print_json(options, json_pack("{s:I, s:I}", "freed_bytes", freed, "moved_objects", moved));
	if (!options->quiet)
		printf("freed %s, moved %" JSON_INTEGER_FORMAT " objects\n", zs_size_format((uint64_t)freed, text),
		       moved);
	return ZSCTL_OK;
}

/* What compaction could free at best; 0 if that can't be learnt, which is no reason not to compact. */
static uint64_t ask_freeable(struct zs_client *client)
{
	CLEANUP_JSON json_t *result = NULL;

	if (zsctl_call(client, "compact", "Status", json_object(), false, &result))
		return 0;
	return (uint64_t)number(json_object_get(result, "pool"), "freeable_bytes");
}

static enum zsctl_exit compact(struct zs_client *client, struct zsctl_progress *progress, json_int_t *freed,
			       json_int_t *moved)
{
	enum zsctl_exit status = ZSCTL_OK;
	json_int_t slice = SLICE_BYTES;

	while (!status && slice >= SLICE_BYTES) {
		CLEANUP_JSON json_t *result = NULL;

		status = zsctl_call(client, "compact", "Compact", json_pack("{s:I}", "budget_bytes", SLICE_BYTES),
				    false, &result);
		slice = number(result, "freed_bytes");
		*freed += slice;
		*moved += number(result, "moved_objects");
		zsctl_progress_update(progress, (uint64_t)*freed);
	}
	return status;
}

enum zsctl_exit cmd_compact(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	struct zsctl_progress progress;
	json_int_t freed = 0, moved = 0;
	enum zsctl_exit status = zsctl_connect(options, &client);

	if (status)
		return status;
	zsctl_progress_begin(&progress, options, "compact", ask_freeable(client));
	status = compact(client, &progress, &freed, &moved);
	zsctl_progress_end(&progress);
	return status ?: print(options, freed, moved);
}
