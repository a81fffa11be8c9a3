/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Samples of counters, and rates. */

#include "rates.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "latency.h"
#include "request.h"

/*
 * samples
 */

static uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Appends what the method answers about each device that was named, or about all. */
static enum zsctl_exit ask(struct zs_client *client, const char *what, const char *method, char *const *names,
			   size_t nr_names, json_t *devices)
{
	enum zsctl_exit status = ZSCTL_OK;
	size_t i = 0;

	do {
		CLEANUP_JSON json_t *result = NULL;
		json_t *parameters = nr_names ? json_pack("{s:s}", "name", names[i]) : json_object();

		status = zsctl_call(client, what, method, parameters, false, &result);
		if (!status && json_array_extend(devices, json_object_get(result, "devices")))
			status = zsctl_no_memory();
	} while (!status && ++i < nr_names);
	return status;
}

enum zsctl_exit zsctl_take_sample(struct zs_client *client, const char *what, char *const *names, size_t nr_names,
				  bool with_latencies, struct zsctl_sample *ret_sample)
{
	CLEANUP_SAMPLE struct zsctl_sample sample = {.devices = json_array()};
	enum zsctl_exit status = ask(client, what, "Stats", names, nr_names, sample.devices);

	sample.taken_usec = now_usec();
	if (!status && with_latencies) {
		sample.latencies = json_array();
		status = ask(client, what, "Latencies", names, nr_names, sample.latencies);
	}
	if (status)
		return status;
	*ret_sample = sample;
	sample = (struct zsctl_sample){};
	return ZSCTL_OK;
}

void zsctl_sample_deinit(struct zsctl_sample *sample)
{
	json_decref(sample->devices);
	json_decref(sample->latencies);
	*sample = (struct zsctl_sample){};
}

const json_t *zsctl_find_named(const json_t *devices, size_t place, const json_t *like)
{
	const json_t *name = json_object_get(like, "name");
	size_t nr = json_array_size(devices);

	for (size_t i = 0; i < nr; i++) {
		const json_t *device = json_array_get(devices, (place + i) % nr);

		if (json_equal(json_object_get(device, "name"), name))
			return device;
	}
	return NULL;
}

static json_int_t number(const json_t *device, const char *field)
{
	return json_integer_value(json_object_get(device, field));
}

/*
 * rows
 */

const char *const zsctl_operations[ZSCTL_NR_OPERATIONS] = {"read", "write", "discard"};

static double seconds_between(const struct zsctl_sample *before, const struct zsctl_sample *now, const json_t *old,
			      const json_t *device)
{
	uint64_t begin = old ? before->taken_usec : (uint64_t)number(device, "created_usec");

	/* A device is made on a full second of its clock: up to one is missing. */
	return now->taken_usec > begin ? (double)(now->taken_usec - begin) / 1e6 : 1e-6;
}

static int add_rates(json_t *row, const json_t *old, const json_t *device, double seconds)
{
	static const char *const counters[] = {
		"reads",	   "writes",	    "discards",	      "read_bytes",	    "written_bytes",
		"discarded_bytes", "backing_reads", "backing_writes", "backing_read_bytes", "backing_written_bytes",
	};
	char field[48];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(counters); i++) {
		double rate = (double)(number(device, counters[i]) - number(old, counters[i])) / seconds;
		bool bytes = strstr(counters[i], "bytes");

		snprintf(field, sizeof(field), "%s_per_sec", counters[i]);
		if (json_object_set_new(row, field, bytes ? json_integer(llround(rate)) : json_real(rate)))
			return -ENOMEM;
	}
	return 0;
}

/* Both are devices of Latencies; old may be NULL. */
static int add_latencies(json_t *row, const json_t *old, const json_t *device)
{
	static const unsigned int percents[] = {50, 99};
	struct zsctl_histogram histogram;
	char field[32];

	for (size_t i = 0; i < ZSCTL_NR_OPERATIONS; i++) {
		zsctl_histogram_difference(json_object_get(old, zsctl_operations[i]),
					   json_object_get(device, zsctl_operations[i]), &histogram);
		for (size_t j = 0; j < ZS_ARRAY_SIZE(percents) && histogram.total; j++) {
			uint64_t took = zsctl_histogram_percentile(&histogram, percents[j]);

			snprintf(field, sizeof(field), "%s_p%u_ns", zsctl_operations[i], percents[j]);
			if (json_object_set_new(row, field, json_integer((json_int_t)took)))
				return -ENOMEM;
		}
	}
	return 0;
}

/* The device of the sample before, unless another one has its name now. */
const json_t *zsctl_find_before(const json_t *devices, size_t place, const json_t *device)
{
	const json_t *old = zsctl_find_named(devices, place, device);

	return old && number(old, "created_usec") == number(device, "created_usec") ? old : NULL;
}

static json_t *make_row(const struct zsctl_sample *before, const struct zsctl_sample *now, size_t place,
			const json_t *device)
{
	const json_t *old = zsctl_find_before(before->devices, place, device);
	CLEANUP_JSON json_t *row = json_pack("{s:O, s:O, s:O}", "name", json_object_get(device, "name"), "data_bytes",
					     json_object_get(device, "data_bytes"), "memory_bytes",
					     json_object_get(device, "memory_bytes"));

	if (!row || add_rates(row, old, device, seconds_between(before, now, old, device)))
		return NULL;
	if (now->latencies && add_latencies(row, old ? zsctl_find_named(before->latencies, place, device) : NULL,
					    zsctl_find_named(now->latencies, place, device)))
		return NULL;
	return zs_take(row);
}

json_t *zsctl_rates(const struct zsctl_sample *before, const struct zsctl_sample *now)
{
	CLEANUP_JSON json_t *rows = json_array();
	const json_t *device;
	size_t i;

	json_array_foreach(now->devices, i, device)
	{
		if (json_array_append_new(rows, make_row(before, now, i, device)))
			return NULL;
	}
	return zs_take(rows);
}
