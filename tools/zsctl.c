/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zsctl: adds, lists and removes the devices of a running zsd, see zsctl(1). */

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "cmd.h"
#include "columns.h"
#include "mount_zsd.h"
#include "options.h"
#include "suggest.h"

struct command {
	const char *name;
	uint64_t bit; /* ZSCTL_FOR_... */
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
	{"reset", ZSCTL_FOR_RESET, 1, 1, cmd_reset, "NAME --yes", "drop the data of a device, and keep the device"},
	{"ages", ZSCTL_FOR_AGES, 1, 1, cmd_ages, "NAME", "show how long ago blocks were accessed"},
	{"attach", ZSCTL_FOR_ATTACH, 1, 1, cmd_attach, "NAME", "make a loop device and print its path"},
	{"detach", ZSCTL_FOR_DETACH, 1, 1, cmd_detach, "NAME", "end the loop devices of a device"},
	{"mount", ZSCTL_FOR_MOUNT, 2, 2, cmd_mount, "NAME DIRECTORY", "mount the file system on a device"},
	{"umount", ZSCTL_FOR_UMOUNT, 1, 1, cmd_umount, "NAME", "unmount it"},
	{"set", ZSCTL_FOR_SET, 1, UINT32_MAX, cmd_set, "[NAME] KEY=VALUE...",
	 "change a device, or the daemon, while it runs"},
	{"reload", ZSCTL_FOR_RELOAD, 0, 0, cmd_reload, "", "read the configuration again and say what changed"},
	{"config", ZSCTL_FOR_CONFIG, 1, 2, cmd_config, "check|show [FILE]", "look at the configuration"},
	{"log-level", ZSCTL_FOR_LOG_LEVEL, 1, 1, cmd_log_level, "LEVEL", "change what the daemon logs"},
	{"run", ZSCTL_FOR_RUN, 1, UINT32_MAX, cmd_run, "--size SIZE -- COMMAND", "run with a daemon of its own"},
	{"dictionaries", ZSCTL_FOR_DICTIONARIES, 1, 1, cmd_dictionaries, "NAME", "show the dictionaries of a device"},
	{"doctor", ZSCTL_FOR_DOCTOR, 0, 0, cmd_doctor, "", "look for what keeps the daemon from working well"},
	{"dump-config", ZSCTL_FOR_DUMP_CONFIG, 0, 0, cmd_dump_config, "", "print what was built, as KEY=VALUE"},
	{"backing", ZSCTL_FOR_BACKING, 0, 0, cmd_backing, "[--daily-limit SIZE]",
	 "show the backing file and what was written to it"},
	{"caches", ZSCTL_FOR_CACHES, 0, 0, cmd_caches, "", "show the caches of handles and zspage descriptors"},
	{"cancel", ZSCTL_FOR_CANCEL, 1, 1, cmd_cancel, "TASK", "end a task"},
	{"classes", ZSCTL_FOR_CLASSES, 0, 0, cmd_classes, "[--all]", "show the size classes of the allocator"},
	{"compact", ZSCTL_FOR_COMPACT, 0, 0, cmd_compact, "", "give memory back that fragmentation holds"},
	{"group", ZSCTL_FOR_GROUP, 1, 1, cmd_group, "NAME --mem-limit SIZE", "change the memory limit of a group"},
	{"groups", ZSCTL_FOR_GROUPS, 0, 1, cmd_groups, "[NAME]", "show the groups of devices"},
	{"idle", ZSCTL_FOR_IDLE, 1, 1, cmd_idle, "NAME [--older AGE]", "mark blocks as idle"},
	{"iostat", ZSCTL_FOR_IOSTAT, 0, UINT32_MAX, cmd_iostat, "[NAME...] [SECS [COUNT]]", "show I/O rates"},
	{"metrics", ZSCTL_FOR_METRICS, 0, 0, cmd_metrics, "[--format FORMAT]", "print all counters for Prometheus"},
	{"recompress", ZSCTL_FOR_RECOMPRESS, 1, 1, cmd_recompress, "NAME", "store blocks again with a denser codec"},
	{"monitor", ZSCTL_FOR_MONITOR, 0, 1, cmd_monitor, "[SECS]", "print what changes, as JSON lines"},
	{"stats", ZSCTL_FOR_STATS, 0, 1, cmd_stats, "[NAME]", "show counters of the pool and of the devices"},
	{"status", ZSCTL_FOR_STATUS, 0, 0, cmd_status, "", "show how the daemon and its pool are"},
	{"tasks", ZSCTL_FOR_TASKS, 0, 0, cmd_tasks, "", "show long work that runs, or has ended"},
	{"top", ZSCTL_FOR_TOP, 0, 0, cmd_top, "[--once]", "watch pool and devices"},
	{"train", ZSCTL_FOR_TRAIN, 1, 1, cmd_train, "NAME", "make a dictionary from blocks of a device, if it pays"},
	{"usage", ZSCTL_FOR_USAGE, 0, 1, cmd_usage, "[NAME]", "show what the data is stored as"},
	{"writeback", ZSCTL_FOR_WRITEBACK, 0, 1, cmd_writeback, "[NAME]", "move blocks to the backing file"},
};

/* The columns of commands that print tables. */
static const struct {
	const char *title;
	const struct zsctl_column *columns;
} tables[] = {
	{"list", zsctl_list_columns},
	{"usage", zsctl_usage_columns},
	{"stats, for devices", zsctl_stats_columns},
	{"stats --owners", zsctl_owners_columns},
	{"iostat", zsctl_iostat_columns},
	{"ages", zsctl_ages_columns},
	{"tasks", zsctl_tasks_columns},
	{"dictionaries", zsctl_dictionaries_columns},
	{"backing", zsctl_backing_columns},
	{"groups", zsctl_groups_columns},
	{"classes", zsctl_classes_columns},
	{"caches", zsctl_caches_columns},
};

static void print_options_heading(uint64_t bits)
{
	const char *separator = " of ";

	fputs("\nOptions", stdout);
	for (size_t i = 0; bits != ZSCTL_FOR_ALL && i < ZS_ARRAY_SIZE(commands); i++) {
		if (!(commands[i].bit & bits))
			continue;
		printf("%s%s", separator, commands[i].name);
		separator = ", ";
	}
	puts(":");
}

static void print_commands(void)
{
	char left[40];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(commands); i++) {
		snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].arguments);
		printf("  %-32s %s\n", left, commands[i].help);
	}
}

static void print_help(void)
{
	puts("Usage: zsctl [OPTION...] [COMMAND] [NAME...]\n"
	     "\n"
	     "Control of the compressed RAM block store daemon, zsd(8).\n"
	     "\n"
	     "Commands:");
	print_commands();
	zsctl_options_help(ZSCTL_FOR_ALL, print_options_heading);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(tables); i++) {
		printf("\nColumns of %s:\n", tables[i].title);
		zsctl_print_columns(tables[i].columns);
	}
	puts("\n"
	     "A SIZE needs a unit: K, M, G, T (powers of 1024), as in 512M or 1.5G.\n"
	     "Short options stand behind the command.\n"
	     "The socket is --socket, $ZSD_SOCKET, $XDG_RUNTIME_DIR/zsd/io.zsd.control of an\n"
	     "ordinary user if it exists, or /run/zsd/io.zsd.control.\n"
	     "Exit status: 0 ok, 1 refused or failed, 2 usage, 3 no daemon answers,\n"
	     "32 there is no such device, 64 there are some of the devices, but not all.");
}

static void print_command_help(const struct command *command)
{
	size_t length = strlen(command->name);

	printf("Usage: zsctl %s [OPTION...] %s\n\n%s\n", command->name, command->arguments, command->help);
	zsctl_options_help(command->bit, print_options_heading);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(tables); i++) {
		const char *title = tables[i].title;

		/* The terminating NUL is one of them. */
		if (strncmp(title, command->name, length) != 0 || !strchr(", ", title[length]))
			continue;
		printf("\nColumns of %s:\n", title);
		zsctl_print_columns(tables[i].columns);
	}
}

static uint64_t bit_of(const char *name)
{
	for (size_t i = 0; name && i < ZS_ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].bit;
	}
	return name ? 0 : commands[0].bit;
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

	if (options->help && !options->nr_words) {
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
	if (options->help) {
		print_command_help(command);
		return ZSCTL_OK;
	}
	status = check_usage(command, options, nr_names);
	return status ?: command->run(options, options->nr_words ? options->words + 1 : nothing);
}

int main(int argc, char **argv)
{
	struct zsctl_options options;
	enum zsctl_exit status;

	setlocale(LC_ALL, "");
	if (zsctl_is_mount_helper(argv[0]))
		return zsctl_mount_helper(argc, argv);
	status = zsctl_options_parse(argc, argv, bit_of, &options);
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
