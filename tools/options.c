/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line of zsctl.
 *
 * One table is what getopt_long(3) reads, what --help prints, and what "did you mean" looks through.
 */

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/size.h"
#include "suggest.h"

#define SOCKET_NAME "io.zsd.control"
/* Options without a letter: beyond all of them. */
#define LETTER_OUTPUT_ALL 256
#define LETTER_ALL	  257
#define LETTER_OWNERS	  258
#define LETTER_NODE	  259

struct specification {
	const char *name;
	int letter;
	const char *argument; /* what --help calls it, or NULL */
	unsigned int commands;
	const char *help;
};

static const struct specification specifications[] = {
	{"socket", 'S', "PATH", ZSCTL_FOR_ALL, "control socket of the daemon"},
	{"json", 'J', NULL, ZSCTL_FOR_ALL, "print JSON; sizes are bytes"},
	{"help", 'h', NULL, ZSCTL_FOR_ALL, "print this text"},
	{"version", 'V', NULL, ZSCTL_FOR_ALL, "print the version"},
	{"size", 's', "SIZE", ZSCTL_FOR_ADD, "size of the device; required"},
	{"algorithm", 'a', "ALGORITHM", ZSCTL_FOR_ADD, "lz4 (default), lz4:ACCELERATION, zstd or zstd:LEVEL"},
	{"block-size", 'B', "SIZE", ZSCTL_FOR_ADD, "unit of compression: 4K (default), 8K, 16K, 32K or 64K"},
	{"mem-limit", 'l', "SIZE", ZSCTL_FOR_ADD | ZSCTL_FOR_GROUP, "memory it may use; none, the default: no limit"},
	{"group", 'g', "NAME", ZSCTL_FOR_ADD, "group whose memory limit the device shares; none by default"},
	{"cache", 'c', "CACHE", ZSCTL_FOR_ADD, "none (default), or kernel: files are cached and can be mapped"},
	{"mode", 'm', "MODE", ZSCTL_FOR_ADD, "permission bits of the file, octal; 0600 by default"},
	{"owners", LETTER_OWNERS, NULL, ZSCTL_FOR_STATS, "show whose memory lies on which node"},
	{"node", LETTER_NODE, "NUMBER", ZSCTL_FOR_STATS, "with --owners: on this node only"},
	{"force", 'f', NULL, ZSCTL_FOR_REMOVE, "remove a device that is open"},
	{"all", LETTER_ALL, NULL, ZSCTL_FOR_CLASSES, "show classes without zspages, too"},
	{"bytes", 'b', NULL, ZSCTL_FOR_TABLES, "print sizes in bytes, times in nanoseconds"},
	{"noheadings", 'n', NULL, ZSCTL_FOR_TABLES, "print no headings"},
	{"output", 'o', "[+]LIST", ZSCTL_FOR_TABLES, "columns to print; with + behind the default ones"},
	{"output-all", LETTER_OUTPUT_ALL, NULL, ZSCTL_FOR_TABLES, "print all columns"},
	{"raw", 'r', NULL, ZSCTL_FOR_TABLES, "print columns unaligned, for scripts"},
};

#define NR_SPECIFICATIONS ZS_ARRAY_SIZE(specifications)

/* Fills what getopt_long(3) reads; letters starts with ':', so that a missing argument is told apart. */
static void fill_getopt(struct option options[static NR_SPECIFICATIONS + 1],
			char letters[static 2 * NR_SPECIFICATIONS + 2])
{
	*letters++ = ':';
	for (size_t i = 0; i < NR_SPECIFICATIONS; i++) {
		const struct specification *specification = &specifications[i];

		options[i] = (struct option){specification->name,
					     specification->argument ? required_argument : no_argument, NULL,
					     specification->letter};
		if (specification->letter >= LETTER_OUTPUT_ALL)
			continue;
		*letters++ = (char)specification->letter;
		if (specification->argument)
			*letters++ = ':';
	}
	options[NR_SPECIFICATIONS] = (struct option){};
	*letters = 0;
}

static const struct specification *find_specification(int letter)
{
	for (size_t i = 0; i < NR_SPECIFICATIONS; i++) {
		if (specifications[i].letter == letter)
			return &specifications[i];
	}
	return NULL;
}

static enum zsctl_exit refuse_size(const char *option, const char *value, int error)
{
	if (error == -ENOMSG)
		fprintf(stderr, "zsctl: --%s %s: a size without a unit; did you mean %sG?\n", option, value, value);
	else if (error == -ERANGE)
		fprintf(stderr, "zsctl: --%s %s: too large; use less than 8192P\n", option, value);
	else
		fprintf(stderr, "zsctl: --%s %s: not a size; write it as in 512M or 8G\n", option, value);
	return ZSCTL_USAGE;
}

/* 0 is refused here: in struct zsctl_options it says that the option was not given. */
static enum zsctl_exit take_size(const char *option, const char *value, uint64_t *ret_bytes)
{
	int error = zs_size_parse(value, ret_bytes);

	if (error)
		return refuse_size(option, value, error);
	if (*ret_bytes)
		return ZSCTL_OK;
	fprintf(stderr, "zsctl: --%s %s: no room for a block; use 4K or more\n", option, value);
	return ZSCTL_USAGE;
}

/* Which nodes there are is the daemon's to say. */
static enum zsctl_exit take_node(const char *value, int *ret_node)
{
	size_t length = strlen(value);

	if (length && length < 6 && strspn(value, "0123456789") == length) {
		*ret_node = atoi(value);
		return ZSCTL_OK;
	}
	fprintf(stderr, "zsctl: --node %s: not a node; use a number, as in 0\n", value);
	return ZSCTL_USAGE;
}

static enum zsctl_exit take_option(struct zsctl_options *options, int letter, char *value)
{
	switch (letter) {
	case 'S':
		options->socket = value;
		break;
	case 'J':
		options->json = true;
		break;
	case 'h':
		options->help = true;
		break;
	case 'V':
		options->version = true;
		break;
	case 's':
		return take_size("size", value, &options->size_bytes);
	case 'B':
		return take_size("block-size", value, &options->block_size_bytes);
	case 'l':
		options->memory_limit_given = true;
		return strcmp(value, "none") ? take_size("mem-limit", value, &options->memory_limit_bytes) : ZSCTL_OK;
	case 'g':
		options->group = value;
		break;
	case 'a':
		options->algorithm = value;
		break;
	case 'm':
		options->mode = value;
		break;
	case 'c':
		options->cache = value;
		break;
	case 'f':
		options->force = true;
		break;
	case LETTER_OWNERS:
		options->owners = true;
		break;
	case LETTER_NODE:
		return take_node(value, &options->node);
	case 'b':
		options->bytes = true;
		break;
	case 'n':
		options->no_headings = true;
		break;
	case 'o':
		options->columns = value;
		break;
	case LETTER_OUTPUT_ALL:
		options->all_columns = true;
		break;
	case LETTER_ALL:
		options->all_classes = true;
		break;
	case 'r':
		options->raw = true;
		break;
	}
	return ZSCTL_OK;
}

static enum zsctl_exit refuse_unknown(const char *typed, int letter)
{
	struct zsctl_suggestion suggestion;

	if (letter) {
		fprintf(stderr, "zsctl: -%c: no such option; 'zsctl --help' lists them\n", letter);
		return ZSCTL_USAGE;
	}
	zsctl_suggest_init(&suggestion, typed + strspn(typed, "-"));
	for (size_t i = 0; i < NR_SPECIFICATIONS; i++)
		zsctl_suggest_offer(&suggestion, specifications[i].name);
	if (suggestion.best)
		fprintf(stderr, "zsctl: %s: no such option; did you mean --%s?\n", typed, suggestion.best);
	else
		fprintf(stderr, "zsctl: %s: no such option; 'zsctl --help' lists them\n", typed);
	return ZSCTL_USAGE;
}

static enum zsctl_exit take_result(struct zsctl_options *options, int letter, char **argv)
{
	const struct specification *specification;

	if (letter == ':') {
		fprintf(stderr, "zsctl: %s: the argument is missing; 'zsctl --help' tells it\n", argv[optind - 1]);
		return ZSCTL_USAGE;
	}
	specification = find_specification(letter);
	/* A known letter in optopt is a long option with an argument that it doesn't take. */
	if (!specification && optopt && find_specification(optopt)) {
		fprintf(stderr, "zsctl: %s: this option takes no argument; leave it out\n", argv[optind - 1]);
		return ZSCTL_USAGE;
	}
	if (!specification)
		return refuse_unknown(argv[optind - 1], optopt);
	options->given |= 1u << (specification - specifications);
	return take_option(options, letter, optarg);
}

/* $ZSD_SOCKET, the user's own daemon if it runs, the system's. */
static int choose_socket(struct zsctl_options *options)
{
	const char *given = getenv("ZSD_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");

	options->socket = given && *given ? given : "/run/zsd/" SOCKET_NAME;
	if ((given && *given) || geteuid() == 0 || !runtime || *runtime != '/')
		return 0;
	if (asprintf(&options->default_socket, "%s/zsd/%s", runtime, SOCKET_NAME) < 0) {
		options->default_socket = NULL;
		return -ENOMEM;
	}
	if (access(options->default_socket, F_OK) == 0)
		options->socket = options->default_socket;
	return 0;
}

enum zsctl_exit zsctl_options_parse(int argc, char **argv, struct zsctl_options *ret_options)
{
	struct option long_options[NR_SPECIFICATIONS + 1];
	char letters[2 * NR_SPECIFICATIONS + 2];
	enum zsctl_exit status = ZSCTL_OK;
	int letter;

	*ret_options = (struct zsctl_options){.node = -1};
	if (choose_socket(ret_options)) {
		fputs("zsctl: out of memory\n", stderr);
		return ZSCTL_ERROR;
	}
	fill_getopt(long_options, letters);
	opterr = 0;
	while (status == ZSCTL_OK && (letter = getopt_long(argc, argv, letters, long_options, NULL)) >= 0)
		status = take_result(ret_options, letter, argv);
	ret_options->words = argv + optind;
	ret_options->nr_words = (unsigned int)(argc - optind);
	return status;
}

void zsctl_options_deinit(struct zsctl_options *options)
{
	free(options->default_socket);
}

const char *zsctl_options_misfit(const struct zsctl_options *options, unsigned int command)
{
	for (size_t i = 0; i < NR_SPECIFICATIONS; i++) {
		if (options->given & 1u << i && !(specifications[i].commands & command))
			return specifications[i].name;
	}
	return NULL;
}

void zsctl_options_help(unsigned int commands)
{
	char left[40];

	for (size_t i = 0; i < NR_SPECIFICATIONS; i++) {
		const struct specification *specification = &specifications[i];
		const char *argument = specification->argument ? specification->argument : "";
		const char *blank = specification->argument ? " " : "";

		if (specification->commands != commands)
			continue;
		if (specification->letter >= LETTER_OUTPUT_ALL)
			snprintf(left, sizeof(left), "    --%s%s%s", specification->name, blank, argument);
		else
			snprintf(left, sizeof(left), "-%c, --%s%s%s", specification->letter, specification->name, blank,
				 argument);
		printf("  %-27s %s\n", left, specification->help);
	}
}
