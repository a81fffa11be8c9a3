#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of zsctl: options before or behind the command, in any order. */

#include <stdbool.h>
#include <stdint.h>

#include "cmd.h"

/* Which commands take an option. */
enum {
	ZSCTL_FOR_ADD = 1 << 0,
	ZSCTL_FOR_LIST = 1 << 1,
	ZSCTL_FOR_REMOVE = 1 << 2,
	ZSCTL_FOR_STATS = 1 << 3,
	ZSCTL_FOR_COMPACT = 1 << 4,
	ZSCTL_FOR_CLASSES = 1 << 5,
	ZSCTL_FOR_CACHES = 1 << 6,
	ZSCTL_FOR_GROUP = 1 << 7,
	ZSCTL_FOR_GROUPS = 1 << 8,
	ZSCTL_FOR_STATUS = 1 << 9,
	ZSCTL_FOR_USAGE = 1 << 10,
	ZSCTL_FOR_IOSTAT = 1 << 11,
	ZSCTL_FOR_METRICS = 1 << 12,
	ZSCTL_FOR_AGES = UINT64_C(1) << 40,
	ZSCTL_FOR_IDLE = UINT64_C(1) << 41,
	ZSCTL_FOR_RECOMPRESS = UINT64_C(1) << 42,
	ZSCTL_FOR_TASKS = UINT64_C(1) << 43,
	ZSCTL_FOR_CANCEL = UINT64_C(1) << 44,
	ZSCTL_FOR_WRITEBACK = UINT64_C(1) << 45,
	ZSCTL_FOR_BACKING = UINT64_C(1) << 46,
	ZSCTL_FOR_TRAIN = UINT64_C(1) << 50,
	ZSCTL_FOR_DICTIONARIES = UINT64_C(1) << 51,
	ZSCTL_FOR_ATTACH = 1 << 13,
	ZSCTL_FOR_DETACH = 1 << 14,
	ZSCTL_FOR_MOUNT = 1 << 15,
	ZSCTL_FOR_UMOUNT = 1 << 16,
	ZSCTL_FOR_RUN = 1 << 17,
	ZSCTL_FOR_DOCTOR = 1 << 18,
	ZSCTL_FOR_DUMP_CONFIG = 1 << 19,
	ZSCTL_FOR_MONITOR = 1 << 20,
	ZSCTL_FOR_SET = 1 << 21,
	ZSCTL_FOR_LOG_LEVEL = 1 << 22,
	ZSCTL_FOR_CONFIG = 1 << 23,
	ZSCTL_FOR_RELOAD = 1 << 24,
	ZSCTL_FOR_TOP = 1 << 25,
	ZSCTL_FOR_RESET = 1 << 26,
	ZSCTL_FOR_TABLES = ZSCTL_FOR_LIST | ZSCTL_FOR_STATS | ZSCTL_FOR_GROUPS | ZSCTL_FOR_CLASSES | ZSCTL_FOR_CACHES |
			   ZSCTL_FOR_USAGE | ZSCTL_FOR_IOSTAT | ZSCTL_FOR_AGES | ZSCTL_FOR_TASKS | ZSCTL_FOR_BACKING |
			   ZSCTL_FOR_DICTIONARIES,
	ZSCTL_FOR_ALL = INT64_MAX,
};

/* Blocks, both included. */
struct zsctl_range {
	uint64_t first, last;
	bool given;
};

struct zsctl_limit {
	uint64_t bytes; /* 0 = none */
	bool given;
};

struct zsctl_options {
	/* all commands */
	const char *socket; /* never NULL */
	char *default_socket;
	bool json;
	bool json_short; /* on one line */
	bool no_pager;	 /* nothing */
	bool help;
	bool version;

	/* tables */
	const char *columns; /* -o, or NULL */
	bool all_columns;
	bool bytes;
	bool no_headings;
	bool raw;
	bool pairs;

	bool quiet; /* of commands that change something */

	/* add; sizes are bytes, 0 = not given */
	uint64_t size_bytes;
	uint64_t block_size_bytes;
	struct zsctl_limit memory_limit; /* also of group */
	const char *algorithm;
	const char *mode;
	const char *group;
	const char *cache;

	/* stats */
	bool owners;
	int node; /* -1 = not given */

	/* mount */
	const char *mkfs;
	const char *mount_options;

	/* top */
	bool once;

	/* config */
	bool origin;

	/* add and remove */
	bool read_only;
	bool persist;

	/* metrics */
	const char *format;

	/* remove */
	bool force;

	/* reset */
	bool yes;

	/* classes */
	bool all_classes;

	/* iostat */
	bool latency;
	bool histogram;
	bool skip_first;
	bool active_only;

	/* idle, recompress; 0 = not given */
	uint64_t older_sec;
	struct zsctl_range blocks;
	const char *types;
	const char *recompress; /* also of add */
	uint64_t threshold_bytes;
	uint64_t max_blocks;
	uint64_t share_percent;
	bool again;
	bool detach;
	const char *type; /* writeback */
	const char *order;
	const char *ranges;
	uint64_t max_bytes;
	uint64_t batch_bytes;
	struct zsctl_limit daily_limit; /* backing, as the next one */
	struct zsctl_limit total_limit;

	char **words; /* the command and its names, ending with NULL; borrowed from argv */
	unsigned int nr_words;
	uint64_t given; /* bit set of the options, for zsctl_options_misfit() */
};

/*
 * Reads the command line. bit_of tells which command a word is: ZSCTL_FOR_..., 0 for none, and for NULL the default
 * one. A letter means what it means to the command. Returns ZSCTL_OK, or ZSCTL_USAGE after a message.
 */
enum zsctl_exit zsctl_options_parse(int argc, char **argv, uint64_t (*bit_of)(const char *command),
				    struct zsctl_options *ret_options);
void zsctl_options_deinit(struct zsctl_options *options);

/* An option that was given and that this command does not take, or NULL. */
const char *zsctl_options_misfit(const struct zsctl_options *options, uint64_t command);

/* Prints the options of these commands, those that the same take together, each such group below its heading. */
void zsctl_options_help(uint64_t commands, void (*print_heading)(uint64_t commands));
