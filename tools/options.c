/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line of zsctl.
 *
 * One table is what getopt_long(3) reads, what --help prints, and what "did you mean" looks through.
 */

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/size.h"
#include "suggest.h"

#define SOCKET_NAME "io.zsd.control"

/* What is done with an option's argument, and so the type of the member that takes it. */
enum kind {
	FLAG,  /* bool; there is no argument */
	TEXT,  /* const char * */
	SIZE,  /* uint64_t; a size that isn't 0 */
	LIMIT, /* struct zsctl_limit; the same, or "none" for 0 */
	NODE,  /* int */
	COUNT, /* uint64_t; not 0 */
	SPAN,  /* uint64_t; seconds, not 0 */
	RANGE, /* struct zsctl_range */
	STYLE, /* bool, and json_short by the value, which may be left out */
};

struct specification {
	const char *name;
	char letter;	      /* 0 = none. Two options may share one if no command takes both */
	const char *argument; /* what --help calls it, or NULL */
	uint64_t commands;
	enum kind kind;
	size_t offset; /* of the member of struct zsctl_options */
	const char *help;
};

#define MEMBER(name) offsetof(struct zsctl_options, name)

static const struct specification specifications[] = {
	{"socket", 'S', "PATH", ZSCTL_FOR_ALL, TEXT, MEMBER(socket), "control socket of the daemon"},
	{"json", 'J', "[=STYLE]", ZSCTL_FOR_ALL, STYLE, MEMBER(json), "print JSON, pretty or short; also -j"},
	{"no-pager", 0, NULL, ZSCTL_FOR_ALL, FLAG, MEMBER(no_pager), "nothing: there is no pager"},
	{"quiet", 'q', NULL, ZSCTL_FOR_ALL, FLAG, MEMBER(quiet), "say nothing about what was done"},
	{"help", 'h', NULL, ZSCTL_FOR_ALL, FLAG, MEMBER(help), "print this text"},
	{"version", 'V', NULL, ZSCTL_FOR_ALL, FLAG, MEMBER(version), "print the version"},
	{"size", 's', "SIZE", ZSCTL_FOR_ADD | ZSCTL_FOR_RUN | ZSCTL_FOR_TRAIN, SIZE, MEMBER(size_bytes),
	 "size of the device, required; of the dictionary, 64K by default"},
	{"algorithm", 'a', "ALGORITHM", ZSCTL_FOR_ADD | ZSCTL_FOR_RUN, TEXT, MEMBER(algorithm),
	 "lz4 (default), lz4:ACCELERATION, zstd or zstd:LEVEL"},
	{"block-size", 'B', "SIZE", ZSCTL_FOR_ADD | ZSCTL_FOR_RUN, SIZE, MEMBER(block_size_bytes),
	 "unit of compression: 4K (default), 8K, 16K, 32K or 64K"},
	{"mem-limit", 'l', "SIZE", ZSCTL_FOR_ADD | ZSCTL_FOR_GROUP, LIMIT, MEMBER(memory_limit),
	 "memory it may use; none, the default: no limit"},
	{"group", 'g', "NAME", ZSCTL_FOR_ADD, TEXT, MEMBER(group),
	 "group whose memory limit the device shares; none by default"},
	{"cache", 'c', "CACHE", ZSCTL_FOR_ADD | ZSCTL_FOR_RUN, TEXT, MEMBER(cache),
	 "none (default), or kernel: files are cached and can be mapped"},
	{"mode", 'm', "MODE", ZSCTL_FOR_ADD, TEXT, MEMBER(mode), "permission bits of the file, octal; 0600 by default"},
	{"read-only", 0, NULL, ZSCTL_FOR_ADD, FLAG, MEMBER(read_only), "refuse writes until 'set NAME ReadOnly=no'"},
	{"owners", 0, NULL, ZSCTL_FOR_STATS, FLAG, MEMBER(owners), "show whose memory lies on which node"},
	{"node", 0, "NUMBER", ZSCTL_FOR_STATS, NODE, MEMBER(node), "with --owners: on this node only"},
	{"force", 'f', NULL, ZSCTL_FOR_REMOVE, FLAG, MEMBER(force), "remove a device that is open"},
	{"yes", 0, NULL, ZSCTL_FOR_RESET, FLAG, MEMBER(yes), "required: the data is gone afterwards"},
	{"all", 0, NULL, ZSCTL_FOR_CLASSES, FLAG, MEMBER(all_classes), "show classes without zspages, too"},
	{"mkfs", 0, "TYPE", ZSCTL_FOR_MOUNT, TEXT, MEMBER(mkfs), "make a file system, as ext4, if the device is empty"},
	{"options", 0, "LIST", ZSCTL_FOR_MOUNT, TEXT, MEMBER(mount_options), "for mount(8); discard by default"},
	{"origin", 0, NULL, ZSCTL_FOR_CONFIG, FLAG, MEMBER(origin), "show the file and line of each value, too"},
	{"persist", 0, NULL, ZSCTL_FOR_ADD | ZSCTL_FOR_REMOVE, FLAG, MEMBER(persist),
	 "in the configuration, too, for the next start"},
	{"once", 0, NULL, ZSCTL_FOR_TOP, FLAG, MEMBER(once), "print one picture and end"},
	{"format", 0, "FORMAT", ZSCTL_FOR_METRICS, TEXT, MEMBER(format), "prometheus (default), or openmetrics"},
	{"latency", 'l', NULL, ZSCTL_FOR_IOSTAT, FLAG, MEMBER(latency), "show how long requests took"},
	{"histogram", 'w', NULL, ZSCTL_FOR_IOSTAT, FLAG, MEMBER(histogram), "show how many requests took how long"},
	{"skip-first", 'y', NULL, ZSCTL_FOR_IOSTAT, FLAG, MEMBER(skip_first),
	 "leave out the first report, which is about all the time before"},
	{"active-only", 'z', NULL, ZSCTL_FOR_IOSTAT, FLAG, MEMBER(active_only),
	 "leave out devices without any I/O in the interval"},
	{"recompress", 'r', "LIST", ZSCTL_FOR_ADD | ZSCTL_FOR_RECOMPRESS | ZSCTL_FOR_TRAIN, TEXT, MEMBER(recompress),
	 "denser codecs to try in turn, as in 'zstd:3 zstd:19'"},
	{"older", 0, "AGE", ZSCTL_FOR_IDLE | ZSCTL_FOR_RECOMPRESS | ZSCTL_FOR_WRITEBACK, SPAN, MEMBER(older_sec),
	 "blocks that were not accessed for so long, as in 10min"},
	{"blocks", 0, "FIRST-LAST", ZSCTL_FOR_IDLE | ZSCTL_FOR_RECOMPRESS, RANGE, MEMBER(blocks),
	 "these blocks of the device only"},
	{"types", 't', "LIST", ZSCTL_FOR_RECOMPRESS, TEXT, MEMBER(types), "which blocks: idle, huge, or all"},
	{"threshold", 0, "SIZE", ZSCTL_FOR_RECOMPRESS, SIZE, MEMBER(threshold_bytes),
	 "blocks that take this much memory at least"},
	{"max-blocks", 0, "NUMBER", ZSCTL_FOR_RECOMPRESS | ZSCTL_FOR_WRITEBACK, COUNT, MEMBER(max_blocks),
	 "stop after so many blocks; recompress takes the largest first"},
	{"again", 0, NULL, ZSCTL_FOR_RECOMPRESS, FLAG, MEMBER(again), "blocks for which it was in vain before, too"},
	{"share", 0, "PERCENT", ZSCTL_FOR_RECOMPRESS, COUNT, MEMBER(share_percent), "part of one CPU; 100 by default"},
	{"detach", 'd', NULL, ZSCTL_FOR_RECOMPRESS | ZSCTL_FOR_WRITEBACK | ZSCTL_FOR_TRAIN, FLAG, MEMBER(detach),
	 "don't wait for the end of the task"},
	{"type", 0, "TYPE", ZSCTL_FOR_WRITEBACK, TEXT, MEMBER(type),
	 "which blocks: all, idle, huge, huge_idle or incompressible"},
	{"order", 0, "ORDER", ZSCTL_FOR_WRITEBACK, TEXT, MEMBER(order), "index (default), largest or coldest first"},
	{"ranges", 0, "LIST", ZSCTL_FOR_WRITEBACK, TEXT, MEMBER(ranges), "these blocks only, as in '0-1023 4096-8191'"},
	{"max-bytes", 0, "SIZE", ZSCTL_FOR_WRITEBACK, SIZE, MEMBER(max_bytes), "stop when so much is written"},
	{"batch", 0, "SIZE", ZSCTL_FOR_WRITEBACK, SIZE, MEMBER(batch_bytes), "write so much at a time, 256K to 4M"},
	{"daily-limit", 0, "SIZE", ZSCTL_FOR_BACKING, LIMIT, MEMBER(daily_limit),
	 "let so much be written each day; none: any"},
	{"total-limit", 0, "SIZE", ZSCTL_FOR_BACKING, LIMIT, MEMBER(total_limit),
	 "let so much be written from now on; none: any"},
	{"bytes", 'b', NULL, ZSCTL_FOR_TABLES, FLAG, MEMBER(bytes), "print sizes in bytes, times in nanoseconds"},
	{"noheadings", 'n', NULL, ZSCTL_FOR_TABLES, FLAG, MEMBER(no_headings), "print no headings"},
	{"output", 'o', "[+]LIST", ZSCTL_FOR_TABLES, TEXT, MEMBER(columns),
	 "columns to print; with + behind the default ones"},
	{"output-all", 0, NULL, ZSCTL_FOR_TABLES, FLAG, MEMBER(all_columns), "print all columns"},
	{"pairs", 'P', NULL, ZSCTL_FOR_TABLES, FLAG, MEMBER(pairs), "print KEY=\"value\" pairs, for scripts"},
	{"raw", 'r', NULL, ZSCTL_FOR_TABLES, FLAG, MEMBER(raw), "print columns unaligned, for scripts"},
};

#define NR_SPECIFICATIONS ZS_ARRAY_SIZE(specifications)
/* What getopt_long(3) answers for a long option: its index, beyond all letters. */
#define FIRST_CODE 256
/* What other tools call -J. */
#define JSON_TOO 'j'
/* Of getopt_long(3): two for each option, two in front, one more letter, and the NUL. */
#define LETTERS_BYTES (2 * NR_SPECIFICATIONS + 4)

_Static_assert(NR_SPECIFICATIONS <= 64, "zsctl_options.given has a bit for each");

/* The option that a letter stands for with this command: one that the command takes, if there is one. */
static const struct specification *find_letter(int letter, uint64_t command)
{
	const struct specification *found = NULL;

	if (letter == JSON_TOO)
		letter = 'J';
	for (size_t i = 0; letter && i < NR_SPECIFICATIONS; i++) {
		if (specifications[i].letter != letter)
			continue;
		if (specifications[i].commands & command)
			return &specifications[i];
		found = found ?: &specifications[i];
	}
	return found;
}

static const struct specification *find_code(int code, uint64_t command)
{
	return code >= FIRST_CODE ? &specifications[code - FIRST_CODE] : find_letter(code, command);
}

/* Fills what getopt_long(3) reads; first says where to stop, and that a missing argument is told apart. */
static void fill_getopt(const char *first, uint64_t command, struct option options[static NR_SPECIFICATIONS + 1],
			char letters[static LETTERS_BYTES])
{
	letters = stpcpy(letters, first);
	for (size_t i = 0; i < NR_SPECIFICATIONS; i++) {
		const struct specification *specification = &specifications[i];
		bool has_argument = specification->kind != FLAG && specification->kind != STYLE;

		options[i] = (struct option){specification->name,
					     has_argument		    ? required_argument
					     : specification->kind == STYLE ? optional_argument
									    : no_argument,
					     NULL, FIRST_CODE + (int)i};
		if (find_letter(specification->letter, command) != specification)
			continue;
		*letters++ = specification->letter;
		if (has_argument)
			*letters++ = ':';
	}
	options[NR_SPECIFICATIONS] = (struct option){};
	*letters++ = JSON_TOO;
	*letters = 0;
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

static enum zsctl_exit take_limit(const char *option, const char *value, struct zsctl_limit *ret_limit)
{
	ret_limit->given = true;
	ret_limit->bytes = 0;
	return strcmp(value, "none") == 0 ? ZSCTL_OK : take_size(option, value, &ret_limit->bytes);
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

static enum zsctl_exit take_count(const char *option, const char *value, uint64_t *ret_count)
{
	size_t length = strlen(value);

	if (length && length < 19 && strspn(value, "0123456789") == length && strspn(value, "0") != length) {
		*ret_count = strtoull(value, NULL, 10);
		return ZSCTL_OK;
	}
	fprintf(stderr, "zsctl: --%s %s: not a number; use 1 or more\n", option, value);
	return ZSCTL_USAGE;
}

/* "90s", "10min", "12h" or "7d" */
static enum zsctl_exit take_span(const char *option, const char *value, uint64_t *ret_sec)
{
	static const struct {
		const char *name;
		uint64_t sec;
	} units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	size_t digits = strspn(value, "0123456789");

	for (size_t i = 0; digits && digits < 10 && i < ZS_ARRAY_SIZE(units); i++) {
		if (strcmp(value + digits, units[i].name) != 0)
			continue;
		*ret_sec = strtoull(value, NULL, 10) * units[i].sec;
		if (*ret_sec)
			return ZSCTL_OK;
	}
	fprintf(stderr, "zsctl: --%s %s: not a time; write it as in 90s, 10min, 12h or 7d\n", option, value);
	return ZSCTL_USAGE;
}

/* "FIRST-LAST"; where the device ends is the daemon's to say. */
static enum zsctl_exit take_range(const char *option, const char *value, struct zsctl_range *ret_range)
{
	int length = -1;

	if (strspn(value, "0123456789-") == strlen(value) &&
	    sscanf(value, "%18" SCNu64 "-%18" SCNu64 "%n", &ret_range->first, &ret_range->last, &length) == 2 &&
	    length >= 0 && !value[length]) {
		ret_range->given = true;
		return ZSCTL_OK;
	}
	fprintf(stderr, "zsctl: --%s %s: not a range of blocks; write it as in 0-1023\n", option, value);
	return ZSCTL_USAGE;
}

static enum zsctl_exit take_style(const char *option, const char *value, struct zsctl_options *options)
{
	options->json = true;
	options->json_short = value && strcmp(value, "short") == 0;
	if (!value || options->json_short || strcmp(value, "pretty") == 0)
		return ZSCTL_OK;
	fprintf(stderr, "zsctl: --%s=%s: no such style; use pretty or short\n", option, value);
	return ZSCTL_USAGE;
}

static enum zsctl_exit take_option(struct zsctl_options *options, const struct specification *specification,
				   char *value)
{
	void *member = (char *)options + specification->offset;

	switch (specification->kind) {
	case FLAG:
		*(bool *)member = true;
		return ZSCTL_OK;
	case TEXT:
		*(const char **)member = value;
		return ZSCTL_OK;
	case LIMIT:
		return take_limit(specification->name, value, member);
	case SIZE:
		return take_size(specification->name, value, member);
	case NODE:
		return take_node(value, member);
	case COUNT:
		return take_count(specification->name, value, member);
	case SPAN:
		return take_span(specification->name, value, member);
	case RANGE:
		return take_range(specification->name, value, member);
	case STYLE:
		return take_style(specification->name, value, options);
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

static enum zsctl_exit take_result(struct zsctl_options *options, int code, uint64_t command, char **argv)
{
	const struct specification *specification;

	if (code == ':') {
		fprintf(stderr, "zsctl: %s: the argument is missing; 'zsctl --help' tells it\n", argv[optind - 1]);
		return ZSCTL_USAGE;
	}
	/* A known option in optopt is a long one with an argument that it doesn't take. */
	if (code == '?' && optopt && find_code(optopt, command)) {
		fprintf(stderr, "zsctl: %s: this option takes no argument; leave it out\n", argv[optind - 1]);
		return ZSCTL_USAGE;
	}
	specification = code == '?' ? NULL : find_code(code, command);
	if (!specification)
		return refuse_unknown(argv[optind - 1], optopt);
	options->given |= UINT64_C(1) << (specification - specifications);
	return take_option(options, specification, optarg);
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

/* The first word that is no option, or NULL: what is wrong with options is told later, when the command is known. */
static const char *find_command(int argc, char **argv)
{
	struct option long_options[NR_SPECIFICATIONS + 1];
	char letters[LETTERS_BYTES];

	fill_getopt("+:", 0, long_options, letters);
	opterr = 0;
	optind = 0;
	while (getopt_long(argc, argv, letters, long_options, NULL) >= 0)
		continue;
	return optind < argc ? argv[optind] : NULL;
}

enum zsctl_exit zsctl_options_parse(int argc, char **argv, uint64_t (*bit_of)(const char *command),
				    struct zsctl_options *ret_options)
{
	struct option long_options[NR_SPECIFICATIONS + 1];
	char letters[LETTERS_BYTES];
	enum zsctl_exit status = ZSCTL_OK;
	uint64_t command = bit_of(find_command(argc, argv));
	int code;

	*ret_options = (struct zsctl_options){.node = -1};
	if (choose_socket(ret_options)) {
		fputs("zsctl: out of memory\n", stderr);
		return ZSCTL_ERROR;
	}
	fill_getopt(":", command, long_options, letters);
	optind = 0;
	while (status == ZSCTL_OK && (code = getopt_long(argc, argv, letters, long_options, NULL)) >= 0)
		status = take_result(ret_options, code, command, argv);
	ret_options->words = argv + optind;
	ret_options->nr_words = (unsigned int)(argc - optind);
	return status;
}

void zsctl_options_deinit(struct zsctl_options *options)
{
	free(options->default_socket);
}

const char *zsctl_options_misfit(const struct zsctl_options *options, uint64_t command)
{
	for (size_t i = 0; i < NR_SPECIFICATIONS; i++) {
		if (options->given & UINT64_C(1) << i && !(specifications[i].commands & command))
			return specifications[i].name;
	}
	return NULL;
}

static void print_option(const struct specification *specification)
{
	const char *argument = specification->argument ?: "";
	char letter[5] = "    ", left[40];

	if (specification->letter)
		snprintf(letter, sizeof(letter), "-%c, ", specification->letter);
	snprintf(left, sizeof(left), "%s--%s%s%s", letter, specification->name,
		 *argument && specification->kind != STYLE ? " " : "", argument);
	printf("  %-27s %s\n", left, specification->help);
}

static bool is_first_of_its_kind(size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (specifications[i].commands == specifications[index].commands)
			return false;
	}
	return true;
}

void zsctl_options_help(uint64_t commands, void (*print_heading)(uint64_t commands))
{
	for (size_t i = 0; i < NR_SPECIFICATIONS; i++) {
		if (!(specifications[i].commands & commands) || !is_first_of_its_kind(i))
			continue;
		print_heading(specifications[i].commands);
		for (size_t j = i; j < NR_SPECIFICATIONS; j++) {
			if (specifications[j].commands == specifications[i].commands)
				print_option(&specifications[j]);
		}
	}
}
