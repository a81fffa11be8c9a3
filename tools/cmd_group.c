/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* group, groups, stats --owners */

#include "cmd.h"

#include <stdio.h>

#include "columns.h"
#include "options.h"
#include "output.h"
#include "request.h"

/* What is done to what, for messages; a longer name is cut. */
#define WHAT_BYTES 96

enum zsctl_exit cmd_group(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	char what[WHAT_BYTES];
	enum zsctl_exit status = zsctl_check_name(names[0]);

	if (status)
		return status;
	if (!options->memory_limit.given) {
		fprintf(stderr, "zsctl: group %s: nothing to change; add --mem-limit SIZE, or --mem-limit none\n",
			names[0]);
		return ZSCTL_USAGE;
	}
	snprintf(what, sizeof(what), "group %s", names[0]);
	status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, what, "SetGroupLimit",
				    json_pack("{s:s, s:I}", "name", names[0], "memory_limit_bytes",
					      (json_int_t)options->memory_limit.bytes),
				    false, &result);
	return status;
}

/* Prints the rows of an answer, with what else is in it only as JSON. */
static enum zsctl_exit print(const struct zsctl_options *options, const struct zsctl_selection *selection,
			     json_t *result, const char *key)
{
	json_t *rows = json_object_get(result, key);

	if (!options->json)
		return zsctl_print_table(options, selection, rows);
	if (json_object_set_new(result, key, zsctl_select_fields(selection, rows)))
		return zsctl_no_memory();
	return zsctl_print_json(options, json_incref(result));
}

static enum zsctl_exit show(const struct zsctl_options *options, const struct zsctl_column *columns, const char *what,
			    const char *method, const char *key, json_t *parameters)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *owned = parameters, *result = NULL;
	struct zsctl_selection selection;
	enum zsctl_exit status = zsctl_select(columns, options, &selection);

	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, what, method, json_incref(owned), false, &result);
	return status ?: print(options, &selection, result, key);
}

enum zsctl_exit cmd_groups(const struct zsctl_options *options, char *const *names)
{
	enum zsctl_exit status = names[0] ? zsctl_check_name(names[0]) : ZSCTL_OK;

	return status
		       ?: show(options, zsctl_groups_columns, "groups", "Groups", "groups",
			       json_pack("{s:s*}", "name", names[0]));
}

enum zsctl_exit cmd_owners(const struct zsctl_options *options, char *const *names)
{
	json_t *parameters = json_pack("{s:s*}", "name", names[0]);

	if (options->node >= 0 && json_object_set_new(parameters, "node", json_integer(options->node))) {
		json_decref(parameters);
		return zsctl_no_memory();
	}
	return show(options, zsctl_owners_columns, "stats", "Owners", "owners", parameters);
}
