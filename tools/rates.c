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

/* Where the device with this name is, looked for from place on; the number of devices if it is not there. */
static size_t find_place(const json_t *devices, size_t place, const json_t *like)
{
	const json_t *name = json_object_get(like, "name");
	size_t nr = json_array_size(devices);

	for (size_t i = 0; i < nr; i++) {
		size_t at = (place + i) % nr;

		if (json_equal(json_object_get(json_array_get(devices, at), "name"), name))
			return at;
	}
	return nr;
}

const json_t *zsctl_find_named(const json_t *devices, size_t place, const json_t *like)
{
	return json_array_get(devices, find_place(devices, place, like));
}

/* Appends what the method answers about each device that was named. */
static enum zsctl_exit ask_named(struct zs_client *client, const char *what, const char *method, char *const *names,
				 size_t nr_names, json_t *devices)
{
	enum zsctl_exit status = ZSCTL_OK;

	for (size_t i = 0; i < nr_names && !status; i++) {
		CLEANUP_JSON json_t *result = NULL;

		status = zsctl_call(client, what, method, json_pack("{s:s}", "name", names[i]), false, &result);
		if (!status && json_array_extend(devices, json_object_get(result, "devices")))
			status = zsctl_no_memory();
	}
	return status;
}

static enum zsctl_exit take_named(struct zs_client *client, const char *what, char *const *names, size_t nr_names,
				  bool with_latencies, struct zsctl_sample *sample)
{
	enum zsctl_exit status;

	sample->devices = json_array();
	status = ask_named(client, what, "Stats", names, nr_names, sample->devices);
	sample->taken_usec = now_usec();
	if (!with_latencies || status)
		return status;
	sample->latencies = json_array();
	return ask_named(client, what, "Latencies", names, nr_names, sample->latencies);
}

/* Puts what has changed into its place; new devices go to the end. */
static int update(json_t *devices, const json_t *changed)
{
	size_t place = 0, i;
	json_t *device;

	json_array_foreach((json_t *)changed, i, device)
	{
		place = find_place(devices, place, device);
		if (place < json_array_size(devices) ? json_array_set(devices, place, device)
						     : json_array_append(devices, device))
			return -ENOMEM;
	}
	return 0;
}

/* What the method answers about all devices. Begins with those of before, of that generation, if there are any. */
static enum zsctl_exit ask_all(struct zs_client *client, const char *what, const char *method, json_t *before,
			       json_int_t since, json_t **ret_result)
{
	CLEANUP_JSON json_t *result = NULL, *devices = since ? json_copy(before) : json_array();
	/* An older daemon knows no changed_since, and answers no generation: so it is never sent one. */
	json_t *parameters = since ? json_pack("{s:I}", "changed_since", since) : json_object();
	enum zsctl_exit status = zsctl_call(client, what, method, parameters, false, &result);

	if (status)
		return status;
	if (update(devices, json_object_get(result, "devices")) || json_object_set(result, "devices", devices))
		return zsctl_no_memory();
	*ret_result = zs_take(result);
	return ZSCTL_OK;
}

static json_t *take_devices(json_t *result, json_int_t *ret_generation)
{
	*ret_generation = json_integer_value(json_object_get(result, "generation"));
	return json_incref(json_object_get(result, "devices"));
}

static enum zsctl_exit take_all(struct zs_client *client, const char *what, bool with_latencies,
				const struct zsctl_sample *before, struct zsctl_sample *sample)
{
	CLEANUP_JSON json_t *stats = NULL, *latencies = NULL;
	enum zsctl_exit status = ask_all(client, what, "Stats", before->devices, before->generation, &stats);

	sample->taken_usec = now_usec();
	if (status)
		return status;
	sample->devices = take_devices(stats, &sample->generation);
	sample->nr_devices = json_integer_value(json_object_get(json_object_get(stats, "pool"), "devices"));
	if (!with_latencies)
		return status;
	status = ask_all(client, what, "Latencies", before->latencies, before->latencies_generation, &latencies);
	if (!status)
		sample->latencies = take_devices(latencies, &sample->latencies_generation);
	return status;
}

/* The daemon tells of devices that have changed, but not of those that are gone: there are too many then. */
static bool has_removed(const struct zsctl_sample *sample)
{
	return json_array_size(sample->devices) != (size_t)sample->nr_devices ||
	       (sample->latencies && json_array_size(sample->latencies) != (size_t)sample->nr_devices);
}

enum zsctl_exit zsctl_take_sample(struct zs_client *client, const char *what, char *const *names, size_t nr_names,
				  bool with_latencies, const struct zsctl_sample *before,
				  struct zsctl_sample *ret_sample)
{
	static const struct zsctl_sample none;
	CLEANUP_SAMPLE struct zsctl_sample sample = {};
	enum zsctl_exit status = nr_names ? take_named(client, what, names, nr_names, with_latencies, &sample)
					  : take_all(client, what, with_latencies, before, &sample);

	if (!status && !nr_names && before->generation && has_removed(&sample)) {
		zsctl_sample_deinit(&sample);
		status = take_all(client, what, with_latencies, &none, &sample);
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

static json_int_t number(const json_t *device, const char *field)
{
	return json_integer_value(json_object_get(device, field));
}

/*
 * rows
 */

/* A counter of a device, and what it is a second; rates of bytes are whole numbers. */
static const struct {
	const char *name;
	const char *rate;
	bool is_bytes;
} counters[] = {
	{"reads", "reads_per_sec", false},
	{"writes", "writes_per_sec", false},
	{"discards", "discards_per_sec", false},
	{"read_bytes", "read_bytes_per_sec", true},
	{"written_bytes", "written_bytes_per_sec", true},
	{"discarded_bytes", "discarded_bytes_per_sec", true},
	{"backing_reads", "backing_reads_per_sec", false},
	{"backing_writes", "backing_writes_per_sec", false},
	{"backing_read_bytes", "backing_read_bytes_per_sec", true},
	{"backing_written_bytes", "backing_written_bytes_per_sec", true},
};

const char *const zsctl_operations[ZSCTL_NR_OPERATIONS] = {"read", "write", "discard"};

static double seconds_between(const struct zsctl_sample *before, const struct zsctl_sample *now, const json_t *old,
			      const json_t *device)
{
	uint64_t begin = old ? before->taken_usec : (uint64_t)number(device, "created_usec");

	/* A device is made on a full second of its clock: up to one is missing. */
	return now->taken_usec > begin ? (double)(now->taken_usec - begin) / 1e6 : 1e-6;
}

static json_int_t difference(const json_t *old, const json_t *device, const char *counter)
{
	/* What is shared has not changed; most devices are idle where there are many. */
	return old == device ? 0 : number(device, counter) - number(old, counter);
}

static int add_rates(json_t *row, const json_t *old, const json_t *device, double seconds)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(counters); i++) {
		double rate = (double)difference(old, device, counters[i].name) / seconds;
		json_t *value = counters[i].is_bytes ? json_integer(llround(rate)) : json_real(rate);

		if (json_object_set_new(row, counters[i].rate, value))
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

/* Made in the same second; but then a counter that has gone back tells them apart. */
static bool is_same(const json_t *old, const json_t *device)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(counters); i++) {
		if (difference(old, device, counters[i].name) < 0)
			return false;
	}
	return number(old, "created_usec") == number(device, "created_usec");
}

/* The device of the sample before, unless another one has its name now. */
const json_t *zsctl_find_before(const json_t *devices, size_t place, const json_t *device)
{
	const json_t *old = zsctl_find_named(devices, place, device);

	return old && is_same(old, device) ? old : NULL;
}

static json_t *make_row(const struct zsctl_sample *before, const struct zsctl_sample *now, size_t place,
			const json_t *old, const json_t *device)
{
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

/* True if a request or the backing file has moved anything. */
static bool is_active(const json_t *old, const json_t *device)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(counters); i++) {
		if (difference(old, device, counters[i].name))
			return true;
	}
	return false;
}

json_t *zsctl_rates(const struct zsctl_sample *before, const struct zsctl_sample *now, bool active_only)
{
	CLEANUP_JSON json_t *rows = json_array();
	const json_t *device;
	size_t i;

	json_array_foreach(now->devices, i, device)
	{
		const json_t *old = zsctl_find_before(before->devices, i, device);

		if (active_only && !is_active(old, device))
			continue;
		if (json_array_append_new(rows, make_row(before, now, i, old, device)))
			return NULL;
	}
	return zs_take(rows);
}
