/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* usage */

#include "cmd.h"

#include <stdio.h>

#include "base/size.h"
#include "columns.h"
#include "options.h"
#include "output.h"
#include "request.h"

/* The rows with one more for their sum: a new array, or NULL. */
static json_t *with_total(json_t *result)
{
	json_int_t data = json_integer_value(json_object_get(result, "data_bytes"));
	json_int_t stored = json_integer_value(json_object_get(result, "stored_bytes"));
	CLEANUP_JSON json_t *rows = json_copy(json_object_get(result, "usage"));
	json_t *total = json_pack("{s:s, s:I, s:I, s:f}", "type", "total", "data_bytes", data, "stored_bytes", stored,
				  "share", data ? 1.0 : 0.0);

	if (total && stored)
		json_object_set_new(total, "ratio", json_real((double)data / (double)stored));
	if (json_array_append_new(rows, total))
		return NULL;
	return zs_take(rows);
}

/* What the payload doesn't say: overhead included. */
static void print_memory(const struct zsctl_options *options, json_t *result)
{
	json_int_t memory = json_integer_value(json_object_get(result, "memory_bytes"));
	json_int_t stored = json_integer_value(json_object_get(result, "stored_bytes"));
	json_int_t overhead = memory > stored ? memory - stored : 0;
	char memory_text[ZS_SIZE_TEXT_BYTES], overhead_text[ZS_SIZE_TEXT_BYTES];

	if (options->bytes)
		printf("\nmemory %" JSON_INTEGER_FORMAT ", of it overhead %" JSON_INTEGER_FORMAT "\n", memory,
		       overhead);
	else
		printf("\nmemory %s, of it overhead %s\n", zs_size_format((uint64_t)memory, memory_text),
		       zs_size_format((uint64_t)overhead, overhead_text));
}

enum zsctl_exit cmd_usage(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL, *rows = NULL;
	struct zsctl_selection selection;
	enum zsctl_exit status = names[0] ? zsctl_check_name(names[0]) : ZSCTL_OK;

	if (!status)
		status = zsctl_select(zsctl_usage_columns, options, &selection);
	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, "usage", "Usage", json_pack("{s:s*}", "name", names[0]), false, &result);
	if (status)
		return status;
	if (options->json) {
		rows = zsctl_select_fields(&selection, json_object_get(result, "usage"));
		return json_object_set(result, "usage", rows) ? zsctl_no_memory()
							      : zsctl_print_json(options, json_incref(result));
	}
	rows = with_total(result);
	status = rows ? zsctl_print_table(options, &selection, rows) : zsctl_no_memory();
	if (!status && selection.whole_rows && !options->raw && !options->pairs)
		print_memory(options, result);
	return status;
}
