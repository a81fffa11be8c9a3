/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods that look at all of the daemon. */

#include "command_observe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/histogram.h"
#include "command_answer.h"
#include "command_report.h"
#include "figures.h"
#include "metrics.h"
#include "service.h"

/* lz4 and zstd. */
#define NR_CODECS 2

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

/*
 * Walks over all devices, or the one with this name. Returns 0, -ENODEV or what the visitor returned: 0 to go on.
 */
static int visit_devices(struct zs_store *store, const char *name, int (*visit)(struct zs_device *device, void *data),
			 void *data)
{
	unsigned int cursor = 0;
	bool found = false;
	int error = 0;
	uint64_t id;

	while (!error && (name ? !found && zs_store_find(store, name, &id) == 0 : zs_store_next(store, &cursor, &id))) {
		struct zs_device *device = zs_device_get(store, id, NULL);

		found = true;
		if (!device)
			continue;
		error = visit(device, data);
		zs_device_put(device, NULL);
	}
	return error || found || !name ? error : -ENODEV;
}

/*
 * Usage
 */

struct usage {
	struct zsd_usage_row {
		const char *type;
		uint64_t data_bytes;
		uint64_t stored_bytes;
	} codecs[NR_CODECS];
	uint64_t same_bytes, incompressible_bytes, written_back_bytes;
	uint64_t memory_bytes;
};

static void add_codec(struct zsd_usage_row *row, uint64_t data_bytes, uint64_t stored_bytes)
{
	row->data_bytes += data_bytes;
	row->stored_bytes += stored_bytes;
}

static int add_usage(struct zs_device *device, void *data)
{
	struct usage *usage = data;
	struct zsd_figures figures;

	zsd_figures_get(device, &figures);
	usage->same_bytes += figures.same_bytes;
	usage->incompressible_bytes += figures.incompressible_bytes;
	usage->written_back_bytes += figures.written_back_bytes;
	usage->memory_bytes += figures.stats.memory_bytes;
	add_codec(&usage->codecs[0], figures.compressed_bytes - figures.zstd_bytes,
		  figures.packed_bytes - figures.zstd_packed_bytes);
	add_codec(&usage->codecs[1], figures.zstd_bytes, figures.zstd_packed_bytes);
	return 0;
}

/* ratio is left out where nothing is stored. */
static int append_usage(json_t *rows, const char *type, uint64_t data_bytes, uint64_t stored_bytes, double share)
{
	json_t *row = json_pack("{s:s, s:I, s:I, s:f}", "type", type, "data_bytes", (json_int_t)data_bytes,
				"stored_bytes", (json_int_t)stored_bytes, "share", share);

	if (row && stored_bytes &&
	    json_object_set_new(row, "ratio", json_real((double)data_bytes / (double)stored_bytes))) {
		json_decref(row);
		return -ENOMEM;
	}
	return json_array_append_new(rows, row) ? -ENOMEM : 0;
}

static uint64_t sum_codecs(const struct usage *usage, bool stored)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < NR_CODECS; i++)
		sum += stored ? usage->codecs[i].stored_bytes : usage->codecs[i].data_bytes;
	return sum;
}

static int append_all_usage(json_t *rows, const struct usage *usage, uint64_t data_bytes)
{
	double whole = data_bytes ? (double)data_bytes : 1;
	int error = append_usage(rows, "same-filled", usage->same_bytes, 0, (double)usage->same_bytes / whole);

	for (unsigned int i = 0; i < NR_CODECS && !error; i++) {
		const struct zsd_usage_row *row = &usage->codecs[i];

		error = append_usage(rows, row->type, row->data_bytes, row->stored_bytes,
				     (double)row->data_bytes / whole);
	}
	if (!error)
		error = append_usage(rows, "incompressible", usage->incompressible_bytes, usage->incompressible_bytes,
				     (double)usage->incompressible_bytes / whole);
	if (!error)
		error = append_usage(rows, "written-back", usage->written_back_bytes, 0,
				     (double)usage->written_back_bytes / whole);
	return error;
}

int zsd_command_usage(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	const char *name = zsd_call_string(call, "name");
	CLEANUP_JSON json_t *rows = json_array();
	struct usage usage = {.codecs = {{.type = "lz4"}, {.type = "zstd"}}};
	uint64_t data_bytes, stored_bytes;

	if (!rows)
		return -ENOMEM;
	if (visit_devices(zsd_service_store(call->service), name, add_usage, &usage))
		return zsd_reply_no_such_device(ret_answer, name);
	data_bytes = usage.same_bytes + usage.incompressible_bytes + usage.written_back_bytes +
		     sum_codecs(&usage, false);
	stored_bytes = usage.incompressible_bytes + sum_codecs(&usage, true);
	if (append_all_usage(rows, &usage, data_bytes))
		return -ENOMEM;
	return zsd_reply(ret_answer, NULL,
			 json_pack("{s:O, s:I, s:I, s:I}", "usage", rows, "data_bytes", (json_int_t)data_bytes,
				   "stored_bytes", (json_int_t)stored_bytes, "memory_bytes",
				   (json_int_t)usage.memory_bytes));
}

/*
 * Latencies
 */

/* The buckets that have counted something, as a new array; NULL when memory is short. */
static json_t *report_buckets(struct zs_device *device, enum zs_operation operation)
{
	CLEANUP_JSON json_t *buckets = json_array();
	struct zs_histogram_sum sum = {.count = 0};

	zs_device_histogram(device, operation, &sum);
	for (unsigned int i = 0; i < ZS_HISTOGRAM_BUCKETS; i++) {
		uint64_t end = zs_min(zs_histogram_bucket_end(i), (uint64_t)INT64_MAX);

		if (sum.buckets[i] && json_array_append_new(buckets, json_pack("{s:I, s:I}", "upto_ns", (json_int_t)end,
									       "count", (json_int_t)sum.buckets[i])))
			return NULL;
	}
	return zs_take(buckets);
}

static json_t *report_latencies(struct zsd_service *service, struct zs_device *device)
{
	struct zs_device_info info;

	zs_device_info(device, &info);
	return json_pack("{s:s, s:o, s:o, s:o}", "name", info.name, "read", report_buckets(device, ZS_OPERATION_READ),
			 "write", report_buckets(device, ZS_OPERATION_WRITE), "discard",
			 report_buckets(device, ZS_OPERATION_DISCARD));
}

int zsd_command_latencies(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	int error = zsd_report_changed(call, report_latencies, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	return zsd_reply(ret_answer, NULL,
			 json_pack("{s:O, s:I}", "devices", call->carried, "generation", (json_int_t)call->generation));
}

/*
 * Status
 */

struct health {
	unsigned int nr_degraded;
	unsigned int nr_unreadable; /* devices with blocks that could not be read back */
	unsigned int nr_full;	    /* devices that have refused data */
};

static int add_health(struct zs_device *device, void *data)
{
	struct health *health = data;
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	health->nr_degraded += stats.corrupt != 0;
	health->nr_unreadable += stats.unreadable != 0;
	health->nr_full += stats.no_space != 0;
	return 0;
}

int zsd_command_status(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	struct health health = {.nr_degraded = 0};
	char transport[ZSD_SERVICE_TEXT_BYTES];

	visit_devices(zsd_service_store(call->service), NULL, add_health, &health);
	return zsd_reply(
		ret_answer, NULL,
		json_pack("{s:s, s:i, s:I, s:s, s:s, s:s*, s:s, s:i, s:i, s:i, s:i, s:s*, s:o}", "version", ZSD_VERSION,
			  "pid", (int)getpid(), "started_usec", (json_int_t)zsd_service_started_usec(call->service),
			  "mount_point", zsd_service_mount_point(call->service), "transport",
			  zsd_service_describe_transport(call->service, transport), "config",
			  zsd_service_config_path(call->service), "state", health.nr_degraded ? "degraded" : "active",
			  "degraded_devices", (int)health.nr_degraded, "unreadable_devices", (int)health.nr_unreadable,
			  "refused_devices", (int)health.nr_full, "left_out_devices",
			  (int)atomic_load(&zsd_service_facts(call->service)->left_out), "refusal",
			  zsd_service_refusal(call->service), "pool", zsd_report_pool(call->service)));
}
