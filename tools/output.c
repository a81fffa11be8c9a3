/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows of named values, as a table or as JSON. */

#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/size.h"
#include "options.h"
#include "request.h"
#include "suggest.h"

#define CELL_BYTES 64

/*
 * columns
 */

/* "block_size" is as good as "BLOCK-SIZE". */
static bool name_matches(const char *name, const char *typed, size_t length)
{
	if (strlen(name) != length)
		return false;
	for (size_t i = 0; i < length; i++) {
		char letter = typed[i] == '_' ? '-' : typed[i];

		if (strncasecmp(&name[i], &letter, 1) != 0)
			return false;
	}
	return true;
}

static enum zsctl_exit refuse_column(const struct zsctl_column *table, const char *typed, size_t length)
{
	struct zsctl_suggestion suggestion;
	char word[CELL_BYTES];

	snprintf(word, sizeof(word), "%.*s", (int)length, typed);
	zsctl_suggest_init(&suggestion, word);
	for (const struct zsctl_column *column = table; column->name; column++)
		zsctl_suggest_offer(&suggestion, column->name);
	if (suggestion.best)
		fprintf(stderr, "zsctl: %s: no such column; did you mean %s?\n", word, suggestion.best);
	else
		fprintf(stderr, "zsctl: %s: no such column; 'zsctl --help' lists them\n", word);
	return ZSCTL_USAGE;
}

static enum zsctl_exit select_column(const struct zsctl_column *table, const char *typed, size_t length,
				     struct zsctl_selection *selection)
{
	for (const struct zsctl_column *column = table; column->name; column++) {
		if (!name_matches(column->name, typed, length))
			continue;
		if (selection->nr == ZSCTL_COLUMNS_MAX) {
			fprintf(stderr, "zsctl: --output: more than %d columns; name fewer\n", ZSCTL_COLUMNS_MAX);
			return ZSCTL_USAGE;
		}
		selection->columns[selection->nr++] = column;
		return ZSCTL_OK;
	}
	return refuse_column(table, typed, length);
}

static void select_many(const struct zsctl_column *table, bool all, struct zsctl_selection *selection)
{
	for (const struct zsctl_column *column = table; column->name; column++) {
		if (all || column->is_default)
			selection->columns[selection->nr++] = column;
	}
}

enum zsctl_exit zsctl_select(const struct zsctl_column *table, const struct zsctl_options *options,
			     struct zsctl_selection *ret_selection)
{
	struct zsctl_selection selection = {.whole_rows = !options->columns && !options->all_columns};
	const char *list = options->columns;
	enum zsctl_exit status = ZSCTL_OK;

	if (options->all_columns || !list || *list == '+')
		select_many(table, options->all_columns, &selection);
	if (list && *list == '+')
		list++;
	while (list && status == ZSCTL_OK && !options->all_columns) {
		size_t length = strcspn(list, ",");

		status = select_column(table, list, length, &selection);
		list = list[length] ? list + length + 1 : NULL;
	}
	*ret_selection = selection;
	return status;
}

void zsctl_print_columns(const struct zsctl_column *table)
{
	for (const struct zsctl_column *column = table; column->name; column++)
		printf("  %-18s  %s\n", column->name, column->help);
}

/*
 * tables
 */

static void format_time(json_int_t usec, char text[static CELL_BYTES])
{
	time_t seconds = (time_t)(usec / 1000000);
	struct tm local;

	if (!localtime_r(&seconds, &local) || !strftime(text, CELL_BYTES, "%Y-%m-%d %H:%M:%S", &local))
		snprintf(text, CELL_BYTES, "%" JSON_INTEGER_FORMAT, usec);
}

/* Three digits are more than a latency is known to. */
static void format_took(json_int_t nsec, char text[static CELL_BYTES])
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	double value = (double)nsec;
	size_t unit = 0;

	for (; value >= 999.5 && unit < ZS_ARRAY_SIZE(units) - 1; unit++)
		value /= 1000;
	snprintf(text, CELL_BYTES, "%.*f%s",
		 unit && value < 9.995	 ? 2
		 : unit && value < 99.95 ? 1
					 : 0,
		 value, units[unit]);
}

/* Powers of 1000, as people count requests. */
static void format_rate(double rate, char text[static CELL_BYTES])
{
	static const char units[] = " kMG";
	size_t unit = 0;

	for (; rate >= 999.5 && unit < sizeof(units) - 2; unit++)
		rate /= 1000;
	snprintf(text, CELL_BYTES, "%.*f%.*s", rate < 9.95 && (unit || rate != (int)rate) ? 1 : 0, rate, unit ? 1 : 0,
		 &units[unit]);
}

/* The text of a cell, in text where it has to be made. An absent value is a dash for people, nothing for scripts. */
static const char *format_cell(const struct zsctl_options *options, const struct zsctl_column *column,
			       const json_t *value, char text[static CELL_BYTES])
{
	enum zsctl_format format = column->format;

	if (!value || json_is_null(value))
		return options->raw || options->pairs ? "" : "-";
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_boolean(value))
		return json_is_true(value) ? "yes" : "no";
	if (format == ZSCTL_SIZE && !options->bytes)
		return zs_size_format((uint64_t)json_integer_value(value), text);
	if (format == ZSCTL_RATIO)
		snprintf(text, CELL_BYTES, "%.2fx", json_number_value(value));
	else if (format == ZSCTL_SHARE)
		snprintf(text, CELL_BYTES, "%.1f%%", json_number_value(value) * 100);
	else if (format == ZSCTL_RATE && !options->bytes)
		format_rate(json_number_value(value), text);
	else if (json_is_real(value))
		snprintf(text, CELL_BYTES, "%.3f", json_real_value(value));
	else if (format == ZSCTL_TIME)
		format_time(json_integer_value(value), text);
	else if (format == ZSCTL_TOOK && !options->bytes)
		format_took(json_integer_value(value), text);
	else
		snprintf(text, CELL_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return text;
}

static int add_row(struct libscols_table *table, const struct zsctl_options *options,
		   const struct zsctl_selection *selection, const json_t *row)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[CELL_BYTES];

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < selection->nr; i++) {
		const struct zsctl_column *column = selection->columns[i];
		const json_t *value = json_object_get(row, column->field);

		if (scols_line_set_data(line, i, format_cell(options, column, value, text)))
			return -ENOMEM;
	}
	return 0;
}

static int fill_table(struct libscols_table *table, const struct zsctl_options *options,
		      const struct zsctl_selection *selection, const json_t *rows)
{
	const json_t *row;
	size_t i;

	scols_table_enable_raw(table, options->raw);
	scols_table_enable_export(table, options->pairs);
	scols_table_enable_noheadings(table, options->no_headings);
	for (i = 0; i < selection->nr; i++) {
		const struct zsctl_column *column = selection->columns[i];

		if (!scols_table_new_column(table, column->name, 0, column->format == ZSCTL_TEXT ? 0 : SCOLS_FL_RIGHT))
			return -ENOMEM;
	}
	json_array_foreach((json_t *)rows, i, row)
	{
		if (add_row(table, options, selection, row))
			return -ENOMEM;
	}
	return 0;
}

static void unref_tablep(struct libscols_table **table)
{
	scols_unref_table(*table);
}

enum zsctl_exit zsctl_print_table(const struct zsctl_options *options, const struct zsctl_selection *selection,
				  const json_t *rows)
{
	ZS_CLEANUP(unref_tablep) struct libscols_table *table = scols_new_table();

	if (!table || fill_table(table, options, selection, rows) || scols_print_table(table))
		return zsctl_no_memory();
	return ZSCTL_OK;
}

/*
 * JSON
 */

static json_t *select_row(const struct zsctl_selection *selection, const json_t *row)
{
	CLEANUP_JSON json_t *selected = json_object();

	for (size_t i = 0; i < selection->nr && selected; i++) {
		const char *field = selection->columns[i]->field;
		json_t *value = json_object_get(row, field);

		if (value && json_object_set(selected, field, value))
			return NULL;
	}
	return zs_take(selected);
}

json_t *zsctl_select_fields(const struct zsctl_selection *selection, json_t *rows)
{
	CLEANUP_JSON json_t *result = json_array();
	json_t *row;
	size_t i;

	if (selection->whole_rows)
		return json_incref(rows);
	json_array_foreach(rows, i, row)
	{
		if (json_array_append_new(result, select_row(selection, row)))
			return NULL;
	}
	return zs_take(result);
}

enum zsctl_exit zsctl_print_json(const struct zsctl_options *options, json_t *object)
{
	CLEANUP_JSON json_t *owned = object;
	size_t style = options->json_short ? JSON_COMPACT : JSON_INDENT(2);

	if (!owned || json_dumpf(owned, stdout, style | JSON_REAL_PRECISION(6)))
		return zsctl_no_memory();
	putchar('\n');
	return ZSCTL_OK;
}

enum zsctl_exit zsctl_print_json_line(json_t *object)
{
	CLEANUP_JSON json_t *owned = object;

	if (!owned || json_dumpf(owned, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)))
		return zsctl_no_memory();
	putchar('\n');
	fflush(stdout);
	return ZSCTL_OK;
}
