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
	ZSCTL_FOR_TABLES = ZSCTL_FOR_LIST | ZSCTL_FOR_STATS | ZSCTL_FOR_GROUPS | ZSCTL_FOR_CLASSES | ZSCTL_FOR_CACHES,
	ZSCTL_FOR_ALL = ZSCTL_FOR_TABLES | ZSCTL_FOR_ADD | ZSCTL_FOR_REMOVE | ZSCTL_FOR_COMPACT | ZSCTL_FOR_GROUP,
};

struct zsctl_options {
	/* all commands */
	const char *socket; /* never NULL */
	char *default_socket;
	bool json;
	bool help;
	bool version;

	/* tables */
	const char *columns; /* -o, or NULL */
	bool all_columns;
	bool bytes;
	bool no_headings;
	bool raw;

	/* add; sizes are bytes, 0 = not given */
	uint64_t size_bytes;
	uint64_t block_size_bytes;
	uint64_t memory_limit_bytes; /* also of group, where 0 is a limit that was taken away */
	bool memory_limit_given;
	const char *algorithm;
	const char *mode;
	const char *group;
	const char *cache;

	/* stats */
	bool owners;
	int node; /* -1 = not given */

	/* remove */
	bool force;

	/* classes */
	bool all_classes;

	char **words; /* the command and its names, ending with NULL; borrowed from argv */
	unsigned int nr_words;
	unsigned int given; /* bit set of the options, for zsctl_options_misfit() */
};

/* Reads the command line. Returns ZSCTL_OK, or ZSCTL_USAGE after a message. */
enum zsctl_exit zsctl_options_parse(int argc, char **argv, struct zsctl_options *ret_options);
void zsctl_options_deinit(struct zsctl_options *options);

/* An option that was given and that this command does not take, or NULL. */
const char *zsctl_options_misfit(const struct zsctl_options *options, unsigned int command);

/* Prints the options that exactly these commands take. */
void zsctl_options_help(unsigned int commands);
