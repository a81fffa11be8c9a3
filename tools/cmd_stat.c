/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stats */

#include "cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/size.h"
#include "columns.h"
#include "options.h"
#include "output.h"
#include "request.h"

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* What to print for a field of the pool. Its name says its unit, so a counter that is new in the daemon prints well. */
static json_t *pool_value(const struct zsctl_options *options, const char *name, const json_t *value)
{
	char text[ZS_SIZE_TEXT_BYTES];

	if (json_is_integer(value) && ends_with(name, "_bytes") && !options->bytes)
		return json_string(zs_size_format((uint64_t)json_integer_value(value), text));
	if (json_is_string(value))
		return json_string(json_string_value(value));
	if (json_is_integer(value))
		return json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return json_sprintf("%.2fx", json_number_value(value));
}

static enum zsctl_exit print_pool(const struct zsctl_options *options, json_t *pool)
{
	static const struct zsctl_column name = {"POOL", "name", ZSCTL_TEXT, true, ""};
	/* Numbers are text by now, but stand to the right. */
	static const struct zsctl_column value = {"VALUE", "value", ZSCTL_COUNT, true, ""};
	static const struct zsctl_selection selection = {.columns = {&name, &value}, .nr = 2};
	CLEANUP_JSON json_t *rows = json_array();
	json_t *field;
	const char *key;

	json_object_foreach(pool, key, field)
	{
		json_t *row = json_pack("{s:s, s:o}", "name", key, "value", pool_value(options, key, field));

		if (json_array_append_new(rows, row))
			return zsctl_no_memory();
	}
	return zsctl_print_table(options, &selection, rows);
}

/* A row of the table below; the values are fields of the device, absent ones included. */
static json_t *latency_row(const json_t *device, const char *operation, const char *counter)
{
	static const char *const columns[] = {"p50_ns", "p99_ns", "max_ns"};
	json_t *row = json_pack("{s:s, s:O}", "operation", operation, "count", json_object_get(device, counter));
	char field[32];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(columns); i++) {
		json_t *value;

		snprintf(field, sizeof(field), "%s_%s", operation, columns[i]);
		value = json_object_get(device, field);
		if (row && value && json_object_set(row, columns[i], value)) {
			json_decref(row);
			return NULL;
		}
	}
	return row;
}

/* A device's latencies are nine columns, too many for one line: a line for each operation. */
static enum zsctl_exit print_latencies(const struct zsctl_options *options, const json_t *device)
{
	static const struct zsctl_column columns[] = {
		{"OPERATION", "operation", ZSCTL_TEXT, true, ""}, {"COUNT", "count", ZSCTL_COUNT, true, ""},
		{"P50", "p50_ns", ZSCTL_TOOK, true, ""},	  {"P99", "p99_ns", ZSCTL_TOOK, true, ""},
		{"MAX", "max_ns", ZSCTL_TOOK, true, ""},
	};
	static const struct zsctl_selection selection = {
		.columns = {&columns[0], &columns[1], &columns[2], &columns[3], &columns[4]},
		.nr = ZS_ARRAY_SIZE(columns),
	};
	CLEANUP_JSON json_t *rows = json_array();

	if (json_array_append_new(rows, latency_row(device, "read", "reads")) ||
	    json_array_append_new(rows, latency_row(device, "write", "writes")) ||
	    json_array_append_new(rows, latency_row(device, "discard", "discards")))
		return zsctl_no_memory();
	putchar('\n');
	return zsctl_print_table(options, &selection, rows);
}

/* of_one: a device was named; there is room for more about it. */
static enum zsctl_exit print_stats(const struct zsctl_options *options, const struct zsctl_selection *selection,
				   json_t *result, bool of_one)
{
	json_t *pool = json_object_get(result, "pool"), *devices = json_object_get(result, "devices");
	enum zsctl_exit status;

	if (options->json)
		return zsctl_print_json(options, json_pack("{s:O, s:o}", "pool", pool, "devices",
							   zsctl_select_fields(selection, devices)));
	/* Who names columns wants those of the devices, and nothing above them. */
	if (!selection->whole_rows)
		return zsctl_print_table(options, selection, devices);
	status = print_pool(options, pool);
	if (status || !json_array_size(devices))
		return status;
	putchar('\n');
	status = zsctl_print_table(options, selection, devices);
	return status || !of_one ? status : print_latencies(options, json_array_get(devices, 0));
}

enum zsctl_exit cmd_stats(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	struct zsctl_selection selection;
	enum zsctl_exit status = names[0] ? zsctl_check_name(names[0]) : ZSCTL_OK;

	if (!status && options->owners)
		return cmd_owners(options, names);
	if (!status && options->node >= 0) {
		fputs("zsctl: --node: only accounts are kept by node; add --owners\n", stderr);
		status = ZSCTL_USAGE;
	}
	if (!status)
		status = zsctl_select(zsctl_stats_columns, options, &selection);
	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, "stats", "Stats", json_pack("{s:s*}", "name", names[0]), false, &result);
	return status ?: print_stats(options, &selection, result, names[0]);
}
