/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* set, log-level, reload, config */

#include "cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "program.h"
#include "request.h"
#include "suggest.h"

/*
 * set and log-level
 */

static enum zsctl_exit call_set(const struct zsctl_options *options, const char *what, json_t *parameters)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *owned = parameters, *result = NULL;
	enum zsctl_exit status = zsctl_connect(options, &client);

	return status ?: zsctl_call(client, what, "Set", json_incref(owned), false, &result);
}

/* KEY=VALUE into values. */
static enum zsctl_exit take_value(json_t *values, const char *word)
{
	const char *equals = strchr(word, '=');
	ZS_CLEANUP_FREE char *key = NULL;
	enum zsctl_exit status = zsctl_check_name(word);

	if (status)
		return status;
	if (!equals || equals == word || !equals[1]) {
		fprintf(stderr, "zsctl: set: %s: not KEY=VALUE; write it as in MemoryLimit=2G\n", word);
		return ZSCTL_USAGE;
	}
	key = strndup(word, (size_t)(equals - word));
	if (key && json_object_get(values, key)) {
		fprintf(stderr, "zsctl: set: %s: given twice; leave one out\n", key);
		return ZSCTL_USAGE;
	}
	return key && json_object_set_new(values, key, json_string(equals + 1)) == 0 ? ZSCTL_OK : zsctl_no_memory();
}

/* The first word is a device unless it is a value already. */
enum zsctl_exit cmd_set(const struct zsctl_options *options, char *const *words)
{
	CLEANUP_JSON json_t *values = json_object();
	const char *name = strchr(words[0], '=') ? NULL : words[0];
	enum zsctl_exit status = name ? zsctl_check_name(name) : ZSCTL_OK;

	words += name != NULL;
	if (!status && !*words) {
		fprintf(stderr, "zsctl: set %s: nothing to change; add KEY=VALUE, as in MemoryLimit=2G\n", name);
		return ZSCTL_USAGE;
	}
	for (; *words && !status; words++)
		status = take_value(values, *words);
	return status ?: call_set(options, "set", json_pack("{s:s*, s:O}", "name", name, "values", values));
}

enum zsctl_exit cmd_log_level(const struct zsctl_options *options, char *const *words)
{
	enum zsctl_exit status = zsctl_check_name(words[0]);

	return status ?: call_set(options, "log-level", json_pack("{s:{s:s}}", "values", "Daemon.LogLevel", words[0]));
}

/*
 * reload
 */

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void print_change(const json_t *change)
{
	const char *value = text(change, "value"), *message = text(change, "message");
	const char *result = text(change, "result") ?: "?";

	printf("%s%s%s: %s", text(change, "name") ?: "?", value ? "=" : "", value ?: "", result);
	if (message)
		printf(": %s", message);
	putchar('\n');
}

enum zsctl_exit cmd_reload(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	json_t *change, *warning;
	enum zsctl_exit status = zsctl_connect(options, &client);
	bool failed = false;
	size_t i;

	if (!status)
		status = zsctl_call(client, "reload", "Reload", json_object(), false, &result);
	if (status)
		return status;
	json_array_foreach(json_object_get(result, "warnings"), i, warning)
	{
		if (!options->json)
			fprintf(stderr, "zsctl: %s\n", json_string_value(warning));
	}
	json_array_foreach(json_object_get(result, "changes"), i, change)
	{
		failed = failed || strcmp(text(change, "result") ?: "", "failed") == 0;
		if (!options->json)
			print_change(change);
	}
	if (options->json)
		status = zsctl_print_json(options, json_incref(result));
	return status ?: failed ? ZSCTL_ERROR : ZSCTL_OK;
}

/*
 * config: the daemon's program reads the files as it would when it starts, whether one runs or not
 */

enum zsctl_exit cmd_config(const struct zsctl_options *options, char *const *words)
{
	const char *argv[8] = {getenv("ZSD") ?: ZSD_PATH};
	struct zsctl_suggestion suggestion;
	size_t nr = 1;
	int status;

	if (strcmp(words[0], "check") && strcmp(words[0], "show")) {
		zsctl_suggest_init(&suggestion, words[0]);
		zsctl_suggest_offer(&suggestion, "check");
		zsctl_suggest_offer(&suggestion, "show");
		if (suggestion.best)
			fprintf(stderr, "zsctl: config %s: no such action; did you mean %s?\n", words[0],
				suggestion.best);
		else
			fprintf(stderr, "zsctl: config %s: no such action; use check or show\n", words[0]);
		return ZSCTL_USAGE;
	}
	if (*words[0] == 'c') {
		argv[nr++] = "--check-config";
	} else {
		argv[nr++] = "--show-config";
		argv[nr++] = options->origin ? "origins" : "values";
	}
	if (words[1]) {
		argv[nr++] = "--config";
		argv[nr++] = words[1];
	}
	status = zsctl_run_program(argv);
	return status ? ZSCTL_ERROR : ZSCTL_OK;
}
