/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* iostat, with the grammar of zpool-iostat(8). */

#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "columns.h"
#include "latency.h"
#include "options.h"
#include "output.h"
#include "rates.h"
#include "request.h"

#define INTERVAL_MAX_SEC 86400

struct plan {
	char *const *names;
	size_t nr_names;
	double interval_sec; /* 0 = one report */
	unsigned long count; /* of reports; 0 = for ever */
};

/*
 * arguments
 */

static bool read_number(const char *word, double *ret_number)
{
	char *end;

	if (!*word || strspn(word, "0123456789.") != strlen(word))
		return false;
	*ret_number = strtod(word, &end);
	return !*end;
}

static enum zsctl_exit read_plan(char *const *words, struct plan *ret_plan)
{
	struct plan plan = {.names = words};
	size_t nr = 0;
	double count;

	while (words[nr])
		nr++;
	plan.nr_names = nr;
	if (nr > 1 && read_number(words[nr - 2], &plan.interval_sec) && read_number(words[nr - 1], &count)) {
		plan.nr_names = nr - 2;
		plan.count = (unsigned long)count;
		if (count < 1 || count != floor(count) || count > 1e9) {
			fprintf(stderr, "zsctl: iostat: %s: not a number of reports; use 1 or more\n", words[nr - 1]);
			return ZSCTL_USAGE;
		}
	} else if (nr && read_number(words[nr - 1], &plan.interval_sec)) {
		plan.nr_names = nr - 1;
	} else {
		plan.interval_sec = 0;
		plan.count = 1;
	}
	if (plan.nr_names < nr && !(plan.interval_sec >= 0.01 && plan.interval_sec <= INTERVAL_MAX_SEC)) {
		fprintf(stderr, "zsctl: iostat: %s: not an interval in seconds; use 0.01 to %d\n", words[plan.nr_names],
			INTERVAL_MAX_SEC);
		return ZSCTL_USAGE;
	}
	*ret_plan = plan;
	return ZSCTL_OK;
}

/*
 * histograms: a row for each power of two, of all devices that are shown together
 */

static int append_octave(json_t *rows, const struct zsctl_histogram *sums, uint64_t after_ns, uint64_t upto_ns)
{
	json_t *row = json_pack("{s:I}", "upto_ns", (json_int_t)upto_ns);

	for (size_t i = 0; row && i < ZSCTL_NR_OPERATIONS; i++)
		json_object_set_new(row, zsctl_operations[i],
				    json_integer((json_int_t)zsctl_histogram_between(&sums[i], after_ns, upto_ns)));
	return json_array_append_new(rows, row) ? -ENOMEM : 0;
}

/* The shortest and the longest time that was counted, as octaves. */
static bool find_range(const struct zsctl_histogram *sums, uint64_t *ret_first, uint64_t *ret_end)
{
	uint64_t first = UINT64_MAX, end = 0;

	for (size_t i = 0; i < ZSCTL_NR_OPERATIONS; i++) {
		if (!sums[i].nr)
			continue;
		first = zs_min(first, sums[i].upto_ns[0]);
		end = zs_max(end, sums[i].upto_ns[sums[i].nr - 1]);
	}
	*ret_first = first;
	*ret_end = end;
	return end;
}

static json_t *make_histogram(const json_t *old, const json_t *device)
{
	struct zsctl_histogram sums[ZSCTL_NR_OPERATIONS];
	CLEANUP_JSON json_t *rows = json_array();
	uint64_t first, end, upto = 1;

	for (size_t i = 0; i < ZSCTL_NR_OPERATIONS; i++)
		zsctl_histogram_difference(json_object_get(old, zsctl_operations[i]),
					   json_object_get(device, zsctl_operations[i]), &sums[i]);
	if (!find_range(sums, &first, &end))
		return zs_take(rows);
	/* Buckets end below powers of two. */
	while (upto < first)
		upto *= 2;
	for (uint64_t after = 0;; after = upto - 1, upto = upto > INT64_MAX / 2 ? INT64_MAX : upto * 2) {
		if (append_octave(rows, sums, after, upto == INT64_MAX ? upto : upto - 1))
			return NULL;
		if (upto > end || upto == INT64_MAX)
			break;
	}
	return zs_take(rows);
}

static enum zsctl_exit print_histogram(const struct zsctl_options *options, const char *name, const json_t *rows)
{
	static const struct zsctl_column columns[] = {
		{"UPTO", "upto_ns", ZSCTL_TOOK, true, ""},
		{"READ", "read", ZSCTL_COUNT, true, ""},
		{"WRITE", "write", ZSCTL_COUNT, true, ""},
		{"DISCARD", "discard", ZSCTL_COUNT, true, ""},
	};
	static const struct zsctl_selection selection = {
		.columns = {&columns[0], &columns[1], &columns[2], &columns[3]},
		.nr = ZS_ARRAY_SIZE(columns),
	};

	printf("%s\n", name);
	return zsctl_print_table(options, &selection, rows);
}

/* Of each device, into its row for JSON, or printed. */
static enum zsctl_exit show_histograms(const struct zsctl_options *options, const struct zsctl_sample *before,
				       const struct zsctl_sample *now, json_t *rows)
{
	enum zsctl_exit status = ZSCTL_OK;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const json_t *device = zsctl_find_named(now->devices, i, row);
		const json_t *old = zsctl_find_before(before->devices, i, device)
					    ? zsctl_find_named(before->latencies, i, device)
					    : NULL;
		json_t *histogram = make_histogram(old, zsctl_find_named(now->latencies, i, device));

		if (!histogram || json_object_set_new(row, "histogram", histogram))
			return zsctl_no_memory();
		if (!options->json)
			status = print_histogram(options, json_string_value(json_object_get(device, "name")),
						 histogram);
		if (status)
			return status;
	}
	return status;
}

/*
 * reports
 */

static enum zsctl_exit report(const struct zsctl_options *options, const struct zsctl_selection *selection,
			      const struct plan *plan, const struct zsctl_sample *before,
			      const struct zsctl_sample *now)
{
	CLEANUP_JSON json_t *rows = zsctl_rates(before, now, options->active_only);
	enum zsctl_exit status = rows ? ZSCTL_OK : zsctl_no_memory();
	json_t *object;

	if (!status && options->histogram)
		status = show_histograms(options, before, now, rows);
	if (status)
		return status;
	if (options->json) {
		object = json_pack("{s:I, s:O}", "time_usec", (json_int_t)now->taken_usec, "devices", rows);
		return plan->interval_sec ? zsctl_print_json_line(object) : zsctl_print_json(options, object);
	}
	return options->histogram ? ZSCTL_OK : zsctl_print_table(options, selection, rows);
}

static void wait_until(struct timespec *next, double interval_sec)
{
	double whole;
	long nsec = lround(modf(interval_sec, &whole) * 1e9);

	next->tv_sec += (time_t)whole + (next->tv_nsec + nsec) / 1000000000;
	next->tv_nsec = (next->tv_nsec + nsec) % 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) == EINTR)
		continue;
}

static enum zsctl_exit run(struct zs_client *client, const struct zsctl_options *options,
			   const struct zsctl_selection *selection, const struct plan *plan)
{
	CLEANUP_SAMPLE struct zsctl_sample before = {}, now = {};
	enum zsctl_exit status;
	struct timespec next;
	bool skip = options->skip_first && plan->interval_sec;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (unsigned long done = 0;;) {
		status = zsctl_take_sample(client, "iostat", plan->names, plan->nr_names,
					   options->latency || options->histogram, &before, &now);
		if (!status && !skip)
			status = report(options, selection, plan, &before, &now);
		done += !skip;
		skip = false;
		if (status || done == plan->count || fflush(stdout))
			return status;
		zsctl_sample_deinit(&before);
		before = now;
		now = (struct zsctl_sample){};
		wait_until(&next, plan->interval_sec);
		if (done && !options->json && !options->raw && !options->pairs && !options->no_headings)
			putchar('\n');
	}
}

/* -l is short for the columns that it fills. */
static enum zsctl_exit select_columns(const struct zsctl_options *options, struct zsctl_selection *ret_selection)
{
	struct zsctl_options wanted = *options;

	if (options->latency && !options->columns)
		wanted.columns = "NAME,READS,WRITES,READ,WRITTEN,READ-P50,READ-P99,WRITE-P50,WRITE-P99,TOTAL";
	return zsctl_select(zsctl_iostat_columns, &wanted, ret_selection);
}

enum zsctl_exit cmd_iostat(const struct zsctl_options *options, char *const *words)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	struct zsctl_selection selection;
	struct plan plan;
	enum zsctl_exit status = read_plan(words, &plan);

	for (size_t i = 0; !status && i < plan.nr_names; i++)
		status = zsctl_check_name(plan.names[i]);
	if (!status)
		status = select_columns(options, &selection);
	if (!status)
		status = zsctl_connect(options, &client);
	return status ?: run(client, options, &selection, &plan);
}
