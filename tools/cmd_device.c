/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* add, list, remove, reset */

#include "cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "columns.h"
#include "options.h"
#include "output.h"
#include "persist.h"
#include "request.h"

/* What is done to what, for messages; a longer name is cut. */
#define WHAT_BYTES 96

/*
 * add
 */

static json_t *add_parameters(const struct zsctl_options *options, const char *name)
{
	CLEANUP_JSON json_t *parameters = json_pack("{s:s, s:I, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", name,
						    "size_bytes", (json_int_t)options->size_bytes, "algorithm",
						    options->algorithm, "mode", options->mode, "group", options->group,
						    "cache", options->cache, "recompress", options->recompress);

	if (options->block_size_bytes &&
	    json_object_set_new(parameters, "block_size_bytes", json_integer((json_int_t)options->block_size_bytes)))
		return NULL;
	if (options->memory_limit.bytes && json_object_set_new(parameters, "memory_limit_bytes",
							       json_integer((json_int_t)options->memory_limit.bytes)))
		return NULL;
	/* Not if it is false: a daemon that is older than this program does not know it. */
	if (options->read_only && json_object_set_new(parameters, "read_only", json_true()))
		return NULL;
	return zs_take(parameters);
}

/* To who goes on with mkfs(8) a device with data is not as good as a new one. */
static enum zsctl_exit refuse_existing(const char *name)
{
	fprintf(stderr,
		"zsctl: %s: there is a device with this name and these values already, perhaps with data; use it, or "
		"remove it\n",
		name);
	return ZSCTL_ERROR;
}

enum zsctl_exit cmd_add(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	char what[WHAT_BYTES], directory[ZSCTL_PERSIST_BYTES];
	enum zsctl_exit status = zsctl_check_name(names[0]);

	if (!status && options->group)
		status = zsctl_check_name(options->group);
	if (status)
		return status;
	if (!options->size_bytes) {
		fprintf(stderr, "zsctl: add %s: the size is missing; add one, as in --size 8G\n", names[0]);
		return ZSCTL_USAGE;
	}
	snprintf(what, sizeof(what), "add %s", names[0]);
	status = zsctl_connect(options, &client);
	if (!status && options->persist)
		status = zsctl_persist_begin(client, directory);
	if (!status)
		status = zsctl_call(client, what, "Add", add_parameters(options, names[0]), false, &result);
	if (status)
		return status;
	if (json_is_false(json_object_get(result, "created")))
		return refuse_existing(names[0]);
	if (options->persist)
		status = zsctl_persist(directory, options, names[0]);
	if (options->json)
		return zsctl_print_json(options, zs_take(result)) ?: status;
	if (!options->quiet)
		puts(json_string_value(json_object_get(result, "file")) ?: "");
	return status;
}

/*
 * list
 */

static enum zsctl_exit list_named(struct zs_client *client, const char *name, json_t *rows)
{
	CLEANUP_JSON json_t *result = NULL;
	char what[WHAT_BYTES];
	enum zsctl_exit status;

	snprintf(what, sizeof(what), "list %s", name);
	status = zsctl_check_name(name);
	if (!status)
		status = zsctl_call(client, what, "List", json_pack("{s:s}", "name", name), false, &result);
	if (status)
		return status;
	return json_array_extend(rows, json_object_get(result, "devices")) ? zsctl_no_memory() : ZSCTL_OK;
}

/* A name that there is no device of spoils the exit status, not the others. */
static enum zsctl_exit list_all_named(struct zs_client *client, char *const *names, json_t *rows)
{
	enum zsctl_exit result = list_named(client, *names++, rows);

	for (; *names && result != ZSCTL_UNREACHABLE; names++)
		result = zsctl_combine(result, list_named(client, *names, rows));
	return result;
}

static enum zsctl_exit list_everything(struct zs_client *client, json_t *rows)
{
	CLEANUP_JSON json_t *result = NULL;
	enum zsctl_exit status = zsctl_call(client, "list", "List", json_object(), true, &result);

	if (status)
		return status;
	return json_array_extend(rows, json_object_get(result, "devices")) ? zsctl_no_memory() : ZSCTL_OK;
}

enum zsctl_exit cmd_list(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *rows = json_array();
	struct zsctl_selection selection;
	enum zsctl_exit status = zsctl_select(zsctl_list_columns, options, &selection), printed;

	if (!status)
		status = zsctl_connect(options, &client);
	if (status)
		return status;
	status = *names ? list_all_named(client, names, rows) : list_everything(client, rows);
	if (status == ZSCTL_UNREACHABLE || (status && !json_array_size(rows)))
		return status;
	if (options->json)
		printed = zsctl_print_json(options,
					   json_pack("{s:o}", "devices", zsctl_select_fields(&selection, rows)));
	else
		printed = zsctl_print_table(options, &selection, rows);
	return status ?: printed;
}

/*
 * remove
 */

static enum zsctl_exit remove_one(struct zs_client *client, const struct zsctl_options *options, const char *directory,
				  const char *name)
{
	CLEANUP_JSON json_t *result = NULL;
	char what[WHAT_BYTES];
	enum zsctl_exit status = zsctl_check_name(name);

	if (status)
		return status;
	snprintf(what, sizeof(what), "remove %s", name);
	status = zsctl_call(client, what, "Remove", json_pack("{s:s, s:b}", "name", name, "force", options->force),
			    false, &result);
	return status || !options->persist ? status : zsctl_forget(directory, name);
}

enum zsctl_exit cmd_remove(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	/* I/O in flight is waited for, however slow the disk of the backing file is. */
	enum zsctl_exit result = zsctl_connect_for(options, INT_MAX, &client);
	char directory[ZSCTL_PERSIST_BYTES];

	if (!result && options->persist)
		result = zsctl_persist_begin(client, directory);
	if (result)
		return result;
	result = remove_one(client, options, directory, *names++);
	for (; *names && result != ZSCTL_UNREACHABLE; names++)
		result = zsctl_combine(result, remove_one(client, options, directory, *names));
	return result;
}

/*
 * reset
 */

enum zsctl_exit cmd_reset(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	char what[WHAT_BYTES];
	enum zsctl_exit status = zsctl_check_name(names[0]);

	if (status)
		return status;
	if (!options->yes) {
		fprintf(stderr, "zsctl: reset %s: this drops all data of the device; add --yes if you mean it\n",
			names[0]);
		return ZSCTL_USAGE;
	}
	snprintf(what, sizeof(what), "reset %s", names[0]);
	status = zsctl_connect(options, &client);
	return status ?: zsctl_call(client, what, "Reset", json_pack("{s:s}", "name", names[0]), false, &result);
}
