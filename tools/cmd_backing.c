/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backing */

#include "cmd.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "columns.h"
#include "options.h"
#include "output.h"
#include "request.h"

static bool is_size(const char *name)
{
	size_t length = strlen(name);

	return length > 6 && strcmp(name + length - 6, "_bytes") == 0;
}

static void print_value(const struct zsctl_options *options, const char *name, const json_t *value)
{
	char text[ZS_SIZE_TEXT_BYTES];

	if (json_is_string(value))
		printf("%-22s %s\n", name, json_string_value(value));
	else if (json_is_boolean(value))
		printf("%-22s %s\n", name, json_is_true(value) ? "yes" : "no");
	else if (is_size(name) && !options->bytes)
		printf("%-22s %s\n", name, zs_size_format((uint64_t)json_integer_value(value), text));
	else
		printf("%-22s %" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
}

static enum zsctl_exit print(const struct zsctl_options *options, const struct zsctl_selection *selection,
			     json_t *result)
{
	json_t *backing = json_object_get(result, "backing"), *value;
	const char *name;

	if (options->json)
		return zsctl_print_json(options, json_incref(result));
	if (!backing)
		puts("no backing file");
	json_object_foreach(backing, name, value) print_value(options, name, value);
	putchar('\n');
	return zsctl_print_table(options, selection, json_object_get(result, "reasons"));
}

static enum zsctl_exit set_limit(struct zs_client *client, const char *method, json_t *parameters)
{
	CLEANUP_JSON json_t *result = NULL;

	return zsctl_call(client, "backing", method, parameters, false, &result);
}

/* Both by one call: neither is changed without the other. */
static enum zsctl_exit set_limits(const struct zsctl_options *options, struct zs_client *client)
{
	const struct zsctl_limit *daily = &options->daily_limit, *total = &options->total_limit;
	json_t *parameters;

	if (!daily->given && !total->given)
		return ZSCTL_OK;
	parameters = json_object();
	if (daily->given)
		json_object_set_new(parameters, "daily_limit_bytes", json_integer((json_int_t)daily->bytes));
	if (total->given && total->bytes)
		json_object_set_new(parameters, "total_limit_bytes", json_integer((json_int_t)total->bytes));
	return set_limit(client, total->given ? "SetTotalLimit" : "SetDailyLimit", parameters);
}

enum zsctl_exit cmd_backing(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	struct zsctl_selection selection;
	enum zsctl_exit status = zsctl_select(zsctl_backing_columns, options, &selection);

	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = set_limits(options, client);
	if (!status)
		status = zsctl_call(client, "backing", "Backing", json_object(), false, &result);
	return status ?: print(options, &selection, result);
}
