/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zsctl: adds, lists and removes the devices of a running zsd, see zsctl(1). */

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "cmd.h"
#include "columns.h"
#include "options.h"
#include "suggest.h"

struct command {
	const char *name;
	unsigned int bit; /* ZSCTL_FOR_... */
	unsigned int names_min;
	unsigned int names_max;
	enum zsctl_exit (*run)(const struct zsctl_options *options, char *const *names);
	const char *arguments;
	const char *help;
};

static const struct command commands[] = {
	{"list", ZSCTL_FOR_LIST, 0, UINT32_MAX, cmd_list, "[NAME...]", "show the devices; the default command"},
	{"add", ZSCTL_FOR_ADD, 1, 1, cmd_add, "NAME --size SIZE", "add a device and print the path of its file"},
	{"remove", ZSCTL_FOR_REMOVE, 1, UINT32_MAX, cmd_remove, "NAME...", "remove devices and their data"},
	{"caches", ZSCTL_FOR_CACHES, 0, 0, cmd_caches, "", "show the caches of handles and zspage descriptors"},
	{"classes", ZSCTL_FOR_CLASSES, 0, 0, cmd_classes, "[--all]", "show the size classes of the allocator"},
	{"compact", ZSCTL_FOR_COMPACT, 0, 0, cmd_compact, "", "give memory back that fragmentation holds"},
	{"group", ZSCTL_FOR_GROUP, 1, 1, cmd_group, "NAME --mem-limit SIZE", "change the memory limit of a group"},
	{"groups", ZSCTL_FOR_GROUPS, 0, 1, cmd_groups, "[NAME]", "show the groups of devices"},
	{"stats", ZSCTL_FOR_STATS, 0, 1, cmd_stats, "[NAME]", "show counters of the pool and of the devices"},
};

static void print_help(void)
{
	char left[40];

	puts("Usage: zsctl [OPTION...] [COMMAND] [NAME...]\n"
	     "\n"
	     "Control of the compressed RAM block store daemon, zsd(8).\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; i < ZS_ARRAY_SIZE(commands); i++) {
		snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].arguments);
		printf("  %-27s %s\n", left, commands[i].help);
	}
	puts("\nOptions:");
	zsctl_options_help(ZSCTL_FOR_ALL);
	puts("\nOptions of list, stats, groups, classes and caches:");
	zsctl_options_help(ZSCTL_FOR_TABLES);
	puts("\nOptions of add:");
	zsctl_options_help(ZSCTL_FOR_ADD);
	puts("\nOptions of add and group:");
	zsctl_options_help(ZSCTL_FOR_ADD | ZSCTL_FOR_GROUP);
	puts("\nOptions of stats:");
	zsctl_options_help(ZSCTL_FOR_STATS);
	puts("\nOptions of remove:");
	zsctl_options_help(ZSCTL_FOR_REMOVE);
	puts("\nOptions of classes:");
	zsctl_options_help(ZSCTL_FOR_CLASSES);
	puts("\nColumns of list:");
	zsctl_print_columns(zsctl_list_columns);
	puts("\nColumns of stats, for devices:");
	zsctl_print_columns(zsctl_stats_columns);
	puts("\nColumns of stats --owners:");
	zsctl_print_columns(zsctl_owners_columns);
	puts("\nColumns of groups:");
	zsctl_print_columns(zsctl_groups_columns);
	puts("\nColumns of classes:");
	zsctl_print_columns(zsctl_classes_columns);
	puts("\nColumns of caches:");
	zsctl_print_columns(zsctl_caches_columns);
	puts("\n"
	     "A SIZE needs a unit: K, M, G, T (powers of 1024), as in 512M or 1.5G.\n"
	     "The socket is --socket, $ZSD_SOCKET, $XDG_RUNTIME_DIR/zsd/io.zsd.control of an\n"
	     "ordinary user if it exists, or /run/zsd/io.zsd.control.\n"
	     "Exit status: 0 ok, 1 refused or failed, 2 usage, 3 no daemon answers.");
}

static const struct command *find_command(const char *name)
{
	struct zsctl_suggestion suggestion;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	zsctl_suggest_init(&suggestion, name);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(commands); i++)
		zsctl_suggest_offer(&suggestion, commands[i].name);
	if (suggestion.best)
		fprintf(stderr, "zsctl: %s: no such command; did you mean %s?\n", name, suggestion.best);
	else
		fprintf(stderr, "zsctl: %s: no such command; 'zsctl --help' lists them\n", name);
	return NULL;
}

/* ZSCTL_OK, or ZSCTL_USAGE after a message. */
static enum zsctl_exit check_usage(const struct command *command, const struct zsctl_options *options,
				   unsigned int nr_names)
{
	const char *misfit = zsctl_options_misfit(options, command->bit);

	if (nr_names < command->names_min)
		fprintf(stderr, "zsctl: %s: the name is missing; usage: zsctl %s %s\n", command->name, command->name,
			command->arguments);
	else if (nr_names > command->names_max)
		fprintf(stderr, "zsctl: %s: too many names; usage: zsctl %s %s\n", command->name, command->name,
			command->arguments);
	else if (misfit)
		fprintf(stderr, "zsctl: --%s: not an option of %s; 'zsctl --help' lists them\n", misfit, command->name);
	else
		return ZSCTL_OK;
	return ZSCTL_USAGE;
}

static enum zsctl_exit run(const struct zsctl_options *options)
{
	static char *const nothing[] = {NULL};
	const struct command *command = &commands[0];
	unsigned int nr_names = options->nr_words ? options->nr_words - 1 : 0;
	enum zsctl_exit status;

	if (options->help) {
		print_help();
		return ZSCTL_OK;
	}
	if (options->version) {
		puts("zsctl " ZSD_VERSION);
		return ZSCTL_OK;
	}
	if (options->nr_words)
		command = find_command(options->words[0]);
	if (!command)
		return ZSCTL_USAGE;
	status = check_usage(command, options, nr_names);
	return status ?: command->run(options, options->nr_words ? options->words + 1 : nothing);
}

int main(int argc, char **argv)
{
	struct zsctl_options options;
	enum zsctl_exit status;

	setlocale(LC_ALL, "");
	status = zsctl_options_parse(argc, argv, &options);
	if (!status)
		status = run(&options);
	zsctl_options_deinit(&options);
	/* Output that did not get through is an error, or a script would work on half a table. */
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "zsctl: standard output: %s\n", strerror(errno));
		return status ?: ZSCTL_ERROR;
	}
	return (int)status;
}
