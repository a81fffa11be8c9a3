/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ages, idle, recompress, train, dictionaries, writeback, tasks, cancel */

#include "cmd.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/size.h"
#include "columns.h"
#include "ctl/client.h"
#include "options.h"
#include "output.h"
#include "request.h"

/* How often a task that is waited for is looked at. */
#define LOOK_NSEC 100000000

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/*
 * ages, idle
 */

static const char *range_text(json_int_t below, char text[static 32])
{
	if (!below)
		return "older";
	if (below < 3600)
		sprintf(text, "< %dmin", (int)(below / 60));
	else
		sprintf(text, "< %dh", (int)(below / 3600));
	return text;
}

enum zsctl_exit cmd_ages(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	struct zsctl_selection selection;
	enum zsctl_exit status = zsctl_check_name(names[0]);
	char text[32];
	json_t *row;
	size_t i;

	if (!status)
		status = zsctl_select(zsctl_ages_columns, options, &selection);
	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, "ages", "Ages", json_pack("{s:s}", "name", names[0]), false, &result);
	if (status)
		return status;
	if (options->json)
		return zsctl_print_json(options, json_incref(result));
	json_array_foreach(json_object_get(result, "ages"), i, row)
		json_object_set_new(row, "age", json_string(range_text(number(row, "below_sec"), text)));
	return zsctl_print_table(options, &selection, json_object_get(result, "ages"));
}

/* What --older and --blocks say, if they were given. Takes parameters over. */
static json_t *with_choice(const struct zsctl_options *options, json_t *parameters)
{
	if (options->older_sec)
		json_object_set_new(parameters, "age_sec", json_integer((json_int_t)options->older_sec));
	if (options->blocks.given) {
		json_object_set_new(parameters, "first_block", json_integer((json_int_t)options->blocks.first));
		json_object_set_new(parameters, "last_block", json_integer((json_int_t)options->blocks.last));
	}
	return parameters;
}

enum zsctl_exit cmd_idle(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	enum zsctl_exit status = zsctl_check_name(names[0]) ?: zsctl_connect(options, &client);

	if (!status)
		status = zsctl_call(client, "idle", "MarkIdle",
				    with_choice(options, json_pack("{s:s}", "name", names[0])), false, &result);
	if (status)
		return status;
	if (options->json)
		return zsctl_print_json(options, json_incref(result));
	if (!options->quiet)
		printf("marked %" JSON_INTEGER_FORMAT " blocks\n", number(result, "blocks"));
	return ZSCTL_OK;
}

/*
 * tasks
 */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	interrupted = 1;
}

static bool has_ended(const json_t *task)
{
	const char *state = json_string_value(json_object_get(task, "state")) ?: "";

	return strcmp(state, "waiting") != 0 && strcmp(state, "running") != 0;
}

static void print_progress(const json_t *task)
{
	json_int_t all = number(task, "blocks"), done = number(task, "blocks_done");
	char saved[ZS_SIZE_TEXT_BYTES];

	if (!isatty(STDERR_FILENO))
		return;
	if (strcmp(json_string_value(json_object_get(task, "kind")), "writeback") == 0)
		fprintf(stderr, "\r%" JSON_INTEGER_FORMAT " blocks  freed %s ", number(task, "blocks_changed"),
			zs_size_format((uint64_t)number(task, "saved_bytes"), saved));
	else
		fprintf(stderr, "\r%3d%%  saved %s ", all ? (int)(done * 100 / all) : 100,
			zs_size_format((uint64_t)number(task, "saved_bytes"), saved));
}

static enum zsctl_exit look(struct zs_client *client, json_int_t task, json_t **ret_result)
{
	json_decref(*ret_result);
	*ret_result = NULL;
	return zsctl_call(client, "tasks", "Tasks", json_pack("{s:I}", "task", task), false, ret_result);
}

static enum zsctl_exit cancel(struct zs_client *client, json_int_t task)
{
	CLEANUP_JSON json_t *result = NULL;

	return zsctl_call(client, "cancel", "CancelTask", json_pack("{s:I}", "task", task), false, &result);
}

/*
 * What ends us ends the task, but for what we are to ignore: as nohup(1) has it, it goes on then. The second signal of
 * a kind ends us at once.
 */
static void catch_interrupts(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction catch = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART | SA_RESETHAND};
	struct sigaction now;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(signals); i++) {
		if (!sigaction(signals[i], NULL, &now) && now.sa_handler != SIG_IGN)
			sigaction(signals[i], &catch, NULL);
	}
}

/* Until the task has ended, or was cancelled by a signal. result is the last look at it. */
static enum zsctl_exit wait_for(const struct zsctl_options *options, struct zs_client *client, json_int_t task,
				json_t **ret_result)
{
	static const struct timespec interval = {.tv_nsec = LOOK_NSEC};
	enum zsctl_exit status = look(client, task, ret_result);

	while (!status && !has_ended(json_array_get(json_object_get(*ret_result, "tasks"), 0))) {
		if (!options->quiet)
			print_progress(json_array_get(json_object_get(*ret_result, "tasks"), 0));
		if (interrupted)
			cancel(client, task);
		nanosleep(&interval, NULL);
		status = look(client, task, ret_result);
	}
	if (!options->quiet && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	return status;
}

static void print_training(const json_t *task)
{
	const json_t *training = json_object_get(task, "training");
	json_int_t tried = number(training, "tried_blocks"), version = number(training, "version");
	char gain[ZS_SIZE_TEXT_BYTES], cost[ZS_SIZE_TEXT_BYTES];

	zs_size_format((uint64_t)number(training, "gain_bytes"), gain);
	zs_size_format((uint64_t)number(training, "cost_bytes"), cost);
	if (version)
		printf("kept as version %" JSON_INTEGER_FORMAT ": ", version);
	else
		printf("not kept: ");
	printf("would save %s and takes %s; reading a block takes %.1f us, %.1f us without\n", gain, cost,
	       tried ? (double)number(training, "read_after_ns") / (double)tried / 1e3 : 0,
	       tried ? (double)number(training, "read_before_ns") / (double)tried / 1e3 : 0);
	if (version)
		printf("'zsctl recompress %s --again' uses it for all blocks\n",
		       json_string_value(json_object_get(task, "name")));
}

static void print_work(const json_t *task, const char *state)
{
	bool done = strcmp(state, "done") == 0;
	char saved[ZS_SIZE_TEXT_BYTES];

	zs_size_format((uint64_t)number(task, "saved_bytes"), saved);
	/* What was done stays done. */
	if (!done)
		printf("%s: ", state);
	if (json_object_get(task, "training") && done)
		print_training(task);
	else if (json_object_get(task, "training"))
		puts("nothing is kept");
	else if (strcmp(json_string_value(json_object_get(task, "kind")), "writeback") == 0)
		printf("written back: %" JSON_INTEGER_FORMAT " blocks, freed %s\n", number(task, "blocks_changed"),
		       saved);
	else
		printf("recompressed %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " blocks, saved %s\n",
		       number(task, "blocks_changed"), number(task, "blocks_tried"), saved);
}

static enum zsctl_exit print_end(const struct zsctl_options *options, json_t *task)
{
	const char *state = json_string_value(json_object_get(task, "state"));

	if (options->json)
		zsctl_print_json(options, json_incref(task));
	else if (!options->quiet)
		print_work(task, state);
	if (json_object_get(task, "error"))
		fprintf(stderr, "zsctl: task %" JSON_INTEGER_FORMAT ": %s\n", number(task, "task"),
			json_string_value(json_object_get(task, "error")));
	return strcmp(state, "done") == 0 ? ZSCTL_OK : ZSCTL_ERROR;
}

static enum zsctl_exit print_started(const struct zsctl_options *options, json_int_t task)
{
	if (options->json)
		return zsctl_print_json(options, json_pack("{s:I}", "task", task));
	printf("task %" JSON_INTEGER_FORMAT "\n", task);
	return ZSCTL_OK;
}

/* Starts a task, and waits for its end unless nobody wants to. Takes parameters over. */
static enum zsctl_exit run_task(const struct zsctl_options *options, struct zs_client *client, const char *command,
				const char *method, json_t *parameters)
{
	CLEANUP_JSON json_t *started = NULL, *result = NULL;
	enum zsctl_exit status;

	/* Before there is a task that nobody would end. */
	if (!options->detach)
		catch_interrupts();
	status = zsctl_call(client, command, method, parameters, false, &started);
	if (status)
		return status;
	if (options->detach)
		return print_started(options, number(started, "task"));
	status = wait_for(options, client, number(started, "task"), &result);
	return status ?: print_end(options, json_array_get(json_object_get(result, "tasks"), 0));
}

static json_t *recompress_parameters(const struct zsctl_options *options, const char *name)
{
	json_t *parameters = json_pack("{s:s, s:s*, s:s*, s:b}", "name", name, "types", options->types, "recompress",
				       options->recompress, "again", options->again);

	if (options->threshold_bytes)
		json_object_set_new(parameters, "threshold_bytes", json_integer((json_int_t)options->threshold_bytes));
	if (options->max_blocks)
		json_object_set_new(parameters, "max_blocks", json_integer((json_int_t)options->max_blocks));
	if (options->share_percent)
		json_object_set_new(parameters, "share_percent", json_integer((json_int_t)options->share_percent));
	return with_choice(options, parameters);
}

enum zsctl_exit cmd_recompress(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	enum zsctl_exit status = zsctl_check_name(names[0]) ?: zsctl_connect(options, &client);

	return status
		       ?: run_task(options, client, "recompress", "Recompress",
				   recompress_parameters(options, names[0]));
}

/*
 * train, dictionaries
 */

static json_t *train_parameters(const struct zsctl_options *options, const char *name)
{
	json_t *parameters = json_pack("{s:s, s:s*}", "name", name, "recompress", options->recompress);

	if (options->size_bytes)
		json_object_set_new(parameters, "size_bytes", json_integer((json_int_t)options->size_bytes));
	return parameters;
}

enum zsctl_exit cmd_train(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	enum zsctl_exit status = zsctl_check_name(names[0]) ?: zsctl_connect(options, &client);

	return status ?: run_task(options, client, "train", "Train", train_parameters(options, names[0]));
}

static void say_yes(json_t *row, const char *name)
{
	json_object_set_new(row, name, json_string(json_is_true(json_object_get(row, name)) ? "yes" : "no"));
}

enum zsctl_exit cmd_dictionaries(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	struct zsctl_selection selection;
	enum zsctl_exit status = zsctl_check_name(names[0]);
	json_t *row;
	size_t i;

	if (!status)
		status = zsctl_select(zsctl_dictionaries_columns, options, &selection);
	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, "dictionaries", "Dictionaries", json_pack("{s:s}", "name", names[0]), false,
				    &result);
	if (status)
		return status;
	if (options->json)
		return zsctl_print_json(options, json_incref(result));
	json_array_foreach(json_object_get(result, "dictionaries"), i, row)
	{
		say_yes(row, "current");
		say_yes(row, "damaged");
	}
	return zsctl_print_table(options, &selection, json_object_get(result, "dictionaries"));
}

/*
 * writeback
 */

static json_t *writeback_parameters(const struct zsctl_options *options, const char *name)
{
	json_t *parameters = json_pack("{s:s*, s:s*, s:s*, s:s*}", "name", name, "type", options->type, "order",
				       options->order, "ranges", options->ranges);

	if (options->max_blocks)
		json_object_set_new(parameters, "max_blocks", json_integer((json_int_t)options->max_blocks));
	if (options->max_bytes)
		json_object_set_new(parameters, "max_bytes", json_integer((json_int_t)options->max_bytes));
	if (options->batch_bytes)
		json_object_set_new(parameters, "batch_bytes", json_integer((json_int_t)options->batch_bytes));
	return with_choice(options, parameters);
}

enum zsctl_exit cmd_writeback(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	enum zsctl_exit status = names[0] ? zsctl_check_name(names[0]) : ZSCTL_OK;

	if (!status)
		status = zsctl_connect(options, &client);
	return status ?: run_task(options, client, "writeback", "Writeback", writeback_parameters(options, names[0]));
}

enum zsctl_exit cmd_tasks(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	struct zsctl_selection selection;
	enum zsctl_exit status = zsctl_select(zsctl_tasks_columns, options, &selection);
	json_t *tasks;

	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, "tasks", "Tasks", json_object(), false, &result);
	if (status)
		return status;
	tasks = json_object_get(result, "tasks");
	if (options->json)
		return zsctl_print_json(options, json_pack("{s:o}", "tasks", zsctl_select_fields(&selection, tasks)));
	return zsctl_print_table(options, &selection, tasks);
}

enum zsctl_exit cmd_cancel(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	enum zsctl_exit status;
	char *end;
	long long task = strtoll(names[0], &end, 10);

	if (*end || task < 1) {
		fprintf(stderr, "zsctl: cancel %s: not the number of a task; 'zsctl tasks' lists them\n", names[0]);
		return ZSCTL_USAGE;
	}
	status = zsctl_connect(options, &client);
	return status ?: cancel(client, task);
}
