#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows of named values, as a table for people, unaligned for scripts, or as JSON.
 *
 * A row is an object as the daemon sent it. A column names one field of it; JSON keeps the field's name and value, a
 * table formats it.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cmd.h"

struct zsctl_options;

#define ZSCTL_COLUMNS_MAX 64

enum zsctl_format {
	ZSCTL_TEXT,
	ZSCTL_COUNT,
	ZSCTL_SIZE,  /* bytes */
	ZSCTL_RATIO, /* 3.36x */
	ZSCTL_TIME,  /* microseconds of Unix time */
	ZSCTL_TOOK,  /* nanoseconds: 12.3us */
	ZSCTL_RATE,  /* a number a second: 41.2k */
	ZSCTL_SHARE, /* 0 to 1: 48 % */
};

struct zsctl_column {
	const char *name; /* heading; NULL ends a table */
	const char *field;
	enum zsctl_format format;
	bool is_default;
	const char *help;
};

struct zsctl_selection {
	const struct zsctl_column *columns[ZSCTL_COLUMNS_MAX];
	size_t nr;
	bool whole_rows; /* JSON prints all fields: no columns were asked for */
};

/* Chooses columns by -o, --output-all and the defaults. ZSCTL_OK, or ZSCTL_USAGE after a message. */
enum zsctl_exit zsctl_select(const struct zsctl_column *table, const struct zsctl_options *options,
			     struct zsctl_selection *ret_selection);

/* Prints rows, an array of objects, as a table. ZSCTL_OK or ZSCTL_ERROR. */
enum zsctl_exit zsctl_print_table(const struct zsctl_options *options, const struct zsctl_selection *selection,
				  const json_t *rows);

/* The rows with the selected fields only: a new array, or NULL. */
json_t *zsctl_select_fields(const struct zsctl_selection *selection, json_t *rows);

/* Prints object as JSON; takes it over, also when it is NULL for lack of memory. ZSCTL_OK or ZSCTL_ERROR. */
enum zsctl_exit zsctl_print_json(const struct zsctl_options *options, json_t *object);

/* The same on one line, and at once: for what goes on. */
enum zsctl_exit zsctl_print_json_line(json_t *object);

/* One line a column, for --help. */
void zsctl_print_columns(const struct zsctl_column *table);
