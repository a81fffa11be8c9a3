/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* classes and caches */

#include "cmd.h"

#include "columns.h"
#include "options.h"
#include "output.h"
#include "request.h"

/* Calls the method and prints the rows of its answer, which has them under the command's name. Takes parameters. */
static enum zsctl_exit show(const struct zsctl_options *options, const struct zsctl_column *columns,
			    const char *command, const char *method, json_t *parameters)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *owned = parameters, *result = NULL;
	struct zsctl_selection selection;
	enum zsctl_exit status = zsctl_select(columns, options, &selection);
	json_t *rows;

	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, command, method, json_incref(owned), false, &result);
	if (status)
		return status;
	rows = json_object_get(result, command);
	if (options->json)
		return zsctl_print_json(options, json_pack("{s:o}", command, zsctl_select_fields(&selection, rows)));
	return zsctl_print_table(options, &selection, rows);
}

enum zsctl_exit cmd_caches(const struct zsctl_options *options, char *const *names)
{
	return show(options, zsctl_caches_columns, "caches", "Caches", json_object());
}

enum zsctl_exit cmd_classes(const struct zsctl_options *options, char *const *names)
{
	return show(options, zsctl_classes_columns, "classes", "Classes",
		    json_pack("{s:b}", "all", options->all_classes));
}
