/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Metrics: all devices are read once, then written family by family, as the formats want it. A line is put together
 * from parts that are ready: there are tens of thousands of them where there are a thousand devices, and fprintf(3)
 * would take most of the time.
 *
 *   Prometheus    # TYPE and # HELP name the samples, with _total
 *   OpenMetrics   they name the family, without _total; # EOF ends the text
 */

#include "metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/histogram.h"
#include "codec/times.h"
#include "figures.h"
#include "metrics_text.h"
#include "store/device.h"
#include "tasks.h"

/* Upper ends of the buckets of times: 4^n * 4096 ns, from 4 us to 4 s, where buckets of our histograms end, too. */
#define NR_BUCKETS	 11
#define FIRST_BUCKET_BIT 12
#define END_BYTES	 32

struct times {
	uint64_t buckets[NR_BUCKETS]; /* up to the bucket's end, not only in it */
	uint64_t count;
	double sum_sec; /* at most 1/16 too large: what the buckets of our histograms know */
};

/* A name, each byte escaped, and what is around it. */
#define LABEL_BYTES (2 * sizeof(((struct zs_device_info *)NULL)->name) + 16)

struct device_row {
	char label[LABEL_BYTES]; /* {device="NAME" */
	size_t label_length;
	struct zsd_figures figures;
	struct times times[ZS_OPERATION_NR];
};

struct metrics {
	struct zs_store *store;
	struct zs_store_stats pool;
	const struct zsd_metrics_facts *facts;
	struct zsd_text *text;
	struct device_row *devices;
	size_t nr_devices;
};

/*
 * reading
 */

/* The first of our buckets whose end is above that time; NR_BUCKETS if none is. */
static unsigned int bucket_above(uint64_t nsec)
{
	unsigned int bucket = 0;

	while (bucket < NR_BUCKETS && nsec >= UINT64_C(1) << (FIRST_BUCKET_BIT + 2 * bucket))
		bucket++;
	return bucket;
}

static void read_times(struct zs_device *device, enum zs_operation operation, struct times *times)
{
	struct zs_histogram_sum sum = {.count = 0};

	zs_device_histogram(device, operation, &sum);
	times->count = sum.count;
	for (unsigned int i = 0; i < ZS_HISTOGRAM_BUCKETS && sum.count; i++) {
		unsigned int bucket;

		if (!sum.buckets[i])
			continue;
		times->sum_sec += (double)sum.buckets[i] * (double)zs_min(zs_histogram_bucket_end(i), sum.max_nsec) /
				  1e9;
		bucket = bucket_above(zs_histogram_bucket_end(i));
		if (bucket < NR_BUCKETS)
			times->buckets[bucket] += sum.buckets[i];
	}
	for (unsigned int bucket = 1; bucket < NR_BUCKETS; bucket++)
		times->buckets[bucket] += times->buckets[bucket - 1];
}

static void make_label(struct device_row *row)
{
	char *at = stpcpy(row->label, "{device=\"");

	for (const char *name = row->figures.info.name; *name; name++) {
		if (*name == '\\' || *name == '"' || *name == '\n')
			*at++ = '\\';
		*at++ = *name == '\n' ? 'n' : *name;
	}
	*at++ = '"';
	row->label_length = (size_t)(at - row->label);
}

/* Devices that come meanwhile are left out. */
static int read_devices(struct metrics *metrics, struct zs_store *store)
{
	size_t room = metrics->pool.nr_devices;
	unsigned int cursor = 0;
	uint64_t id;

	metrics->devices = zs_calloc(room + 1, sizeof(*metrics->devices));
	if (!metrics->devices)
		return -ENOMEM;
	while (metrics->nr_devices < room && zs_store_next(store, &cursor, &id)) {
		struct zs_device *device = zs_device_get(store, id, NULL);
		struct device_row *row = &metrics->devices[metrics->nr_devices];

		if (!device)
			continue;
		zsd_figures_get(device, &row->figures);
		make_label(row);
		for (unsigned int operation = 0; operation < ZS_OPERATION_NR; operation++)
			read_times(device, operation, &row->times[operation]);
		zs_device_put(device, NULL);
		metrics->nr_devices++;
	}
	return 0;
}

/*
 * writing
 */

static void write_bytes(const struct metrics *metrics, const char *bytes, size_t length)
{
	zsd_text_append(metrics->text, bytes, length);
}

static void write_text(const struct metrics *metrics, const char *text)
{
	write_bytes(metrics, text, strlen(text));
}

/* name{device="NAME"; more labels and the end of the braces are the caller's. */
static void write_name(const struct metrics *metrics, const char *name, const struct device_row *row)
{
	write_text(metrics, name);
	write_bytes(metrics, row->label, row->label_length);
}

static void write_label(const struct metrics *metrics, const char *label, const char *value)
{
	write_text(metrics, ",");
	write_text(metrics, label);
	write_text(metrics, "=\"");
	write_text(metrics, value);
	write_text(metrics, "\"");
}

static void write_value(const struct metrics *metrics, uint64_t value)
{
	char text[32], *at = text + sizeof(text) - 1;

	*at = 0;
	*--at = '\n';
	do
		*--at = (char)('0' + value % 10);
	while (value /= 10);
	write_bytes(metrics, "} ", 2);
	write_bytes(metrics, at, (size_t)(text + sizeof(text) - 1 - at));
}

/*
 * families
 */

static void write_codec_times(const struct metrics *metrics)
{
	static const struct {
		const char *name;
		const char *type;
		enum zs_codec_work work;
		const char *help;
	} times[] = {
		{"zsd_compress_seconds", "counter", ZS_CODEC_COMPRESS, "How long threads have compressed, sampled."},
		{"zsd_decompress_seconds", "counter", ZS_CODEC_DECOMPRESS,
		 "How long threads have decompressed, sampled."},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(times); i++) {
		zsd_text_head(metrics->text, times[i].name, times[i].type, times[i].help);
		for (unsigned int id = ZS_CODEC_LZ4; id < ZS_CODEC_NR; id++)
			zsd_text_format(metrics->text, "%s_total{algorithm=\"%s\"} %.9f\n", times[i].name,
					zs_codec_find(id)->name, (double)zs_codec_nsec(id, times[i].work) / 1e9);
	}
}

static void write_pool(const struct metrics *metrics)
{
	const struct zs_heap_stats *heap = &metrics->pool.heap;
	uint64_t zspages = heap->zspage_pages;

	zsd_text_head(metrics->text, "zsd_build_info", "gauge", "Version of the daemon; the value is 1.");
	write_text(metrics, "zsd_build_info{version=\"" ZSD_VERSION "\"} 1\n");
	zsd_text_gauge(metrics->text, "zsd_pool_memory_used_bytes",
		       "Memory in use: zspages, slot tables, handle words and dictionaries.", (double)heap->used_bytes);
	if (heap->limit_bytes)
		zsd_text_gauge(metrics->text, "zsd_pool_memory_limit_bytes", "The most memory that may be in use.",
			       (double)heap->limit_bytes);
	zsd_text_gauge(metrics->text, "zsd_pool_memory_peak_bytes", "The most memory that was in use so far.",
		       (double)heap->peak_bytes);
	zsd_text_gauge(metrics->text, "zsd_pool_fragmentation_ratio",
		       "Part of the zspages that compaction would free at best.",
		       zspages ? (double)metrics->pool.pool.freeable_pages / (double)zspages : 0);
	write_codec_times(metrics);
	if (!metrics->facts)
		return;
	zsd_text_gauge(metrics->text, "zsd_config_last_reload_success",
		       "1 if the configuration was taken the last time, else 0.",
		       !atomic_load(&metrics->facts->reload_failed));
	zsd_text_gauge(metrics->text, "zsd_config_last_reload_timestamp_seconds",
		       "When the configuration was read last.", (double)atomic_load(&metrics->facts->reloaded_sec));
}

#define SUM(member) offsetof(struct zsd_task_sums, member)

/* What was done with cold data, by reason. */
static const struct {
	const char *name;
	size_t offset; /* of a uint64_t in struct zsd_task_sums */
	const char *help;
} sums[] = {
	{"zsd_cold_tasks", SUM(tasks), "Tasks that have ended."},
	{"zsd_cold_compacted_bytes", SUM(compacted_bytes), "Memory that compaction has freed."},
	{"zsd_cold_written_back_blocks", SUM(written_blocks), "Blocks written back."},
	{"zsd_cold_written_back_bytes", SUM(written_bytes),
	 "Bytes written to the backing file for blocks written back."},
	{"zsd_cold_freed_bytes", SUM(freed_bytes), "Memory freed by writing blocks back."},
	{"zsd_cold_recompressed_blocks", SUM(recompressed_blocks), "Blocks that got a denser codec."},
	{"zsd_cold_recompression_saved_bytes", SUM(saved_bytes), "Memory saved by recompression."},
};

static void write_sums(const struct metrics *metrics)
{
	struct zsd_task_sums all[ZSD_REASON_NR];

	if (!metrics->facts || !metrics->facts->tasks)
		return;
	for (unsigned int reason = 0; reason < ZSD_REASON_NR; reason++)
		zsd_tasks_sums(metrics->facts->tasks, reason, &all[reason]);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(sums); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s_total", sums[i].name);
		zsd_text_head(metrics->text, sums[i].name, "counter", sums[i].help);
		for (unsigned int reason = 0; reason < ZSD_REASON_NR; reason++) {
			uint64_t value;

			memcpy(&value, (const char *)&all[reason] + sums[i].offset, sizeof(value));
			zsd_text_format(metrics->text, "%s{reason=\"%s\"} %" PRIu64 "\n", name,
					zsd_task_reason_name(reason), value);
		}
	}
}

#define FIGURE(member) offsetof(struct zsd_figures, member)

/* One number of each device. */
static const struct {
	const char *name;
	const char *type;
	size_t offset; /* of a uint64_t in struct zsd_figures */
	const char *help;
} families[] = {
	{"zsd_device_size_bytes", "gauge", FIGURE(info.size_bytes), "Size of the device."},
	{"zsd_device_memory_bytes", "gauge", FIGURE(stats.memory_bytes),
	 "Memory that the device costs, with all overhead."},
	{"zsd_device_memory_peak_bytes", "gauge", FIGURE(stats.peak_bytes),
	 "The most memory that the device has cost so far."},
	{"zsd_device_memory_limit_bytes", "gauge", FIGURE(info.memory_limit_bytes),
	 "The most memory that the device may cost; 0 is no limit."},
	{"zsd_device_read_bytes", "counter", FIGURE(stats.read_bytes), "Bytes read."},
	{"zsd_device_written_bytes", "counter", FIGURE(stats.written_bytes), "Bytes written."},
	{"zsd_device_discarded_bytes", "counter", FIGURE(stats.discarded_bytes), "Bytes discarded or zeroed."},
	{"zsd_device_reads", "counter", FIGURE(stats.reads), "Read requests."},
	{"zsd_device_writes", "counter", FIGURE(stats.writes), "Write requests."},
	{"zsd_device_discards", "counter", FIGURE(stats.discards), "Discard and write-zeroes requests."},
	{"zsd_device_backing_bytes", "gauge", FIGURE(stats.backed_bytes), "What the device takes in the backing file."},
	{"zsd_device_backing_read_bytes", "counter", FIGURE(stats.read_back_bytes), "Bytes of blocks read back."},
	{"zsd_device_backing_written_bytes", "counter", FIGURE(stats.written_back_bytes),
	 "Bytes of blocks written back."},
	{"zsd_device_backing_reads", "counter", FIGURE(stats.read_back_blocks), "Blocks read back."},
	{"zsd_device_backing_writes", "counter", FIGURE(stats.written_back_blocks), "Blocks written back."},
	{"zsd_device_promoted_blocks", "counter", FIGURE(stats.promoted_blocks),
	 "Blocks in memory again since they were read back."},
};

/* Numbers that are the parts of a sum, told apart by a label. */
static const struct {
	const char *name;
	const char *type;
	const char *label;
	const char *value;
	size_t offset;
	const char *help;
} divided[] = {
	{"zsd_device_data_bytes", "gauge", "class", "same", FIGURE(same_bytes),
	 "Data before compression, by what it is stored as."},
	{"zsd_device_data_bytes", "gauge", "class", "compressed", FIGURE(compressed_bytes), NULL},
	{"zsd_device_data_bytes", "gauge", "class", "incompressible", FIGURE(incompressible_bytes), NULL},
	{"zsd_device_data_bytes", "gauge", "class", "written_back", FIGURE(written_back_bytes), NULL},
	{"zsd_device_errors", "counter", "kind", "damaged", FIGURE(stats.corrupt),
	 "Reads of damaged blocks, writes refused for lack of room, and blocks that could not be read back."},
	{"zsd_device_errors", "counter", "kind", "no_space", FIGURE(stats.no_space), NULL},
	{"zsd_device_errors", "counter", "kind", "unreadable", FIGURE(stats.unreadable), NULL},
};

static uint64_t figure(const struct device_row *row, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)&row->figures + offset, sizeof(value));
	return value;
}

static void write_families(const struct metrics *metrics)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(families); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%s", families[i].name, *families[i].type == 'c' ? "_total" : "");
		zsd_text_head(metrics->text, families[i].name, families[i].type, families[i].help);
		for (size_t j = 0; j < metrics->nr_devices; j++) {
			write_name(metrics, name, &metrics->devices[j]);
			write_value(metrics, figure(&metrics->devices[j], families[i].offset));
		}
	}
}

static void write_divided(const struct metrics *metrics)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(divided); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%s", divided[i].name, *divided[i].type == 'c' ? "_total" : "");
		if (divided[i].help)
			zsd_text_head(metrics->text, divided[i].name, divided[i].type, divided[i].help);
		for (size_t j = 0; j < metrics->nr_devices; j++) {
			write_name(metrics, name, &metrics->devices[j]);
			write_label(metrics, divided[i].label, divided[i].value);
			write_value(metrics, figure(&metrics->devices[j], divided[i].offset));
		}
	}
}

static void write_stored_as(const struct metrics *metrics, const struct device_row *row, const char *codec,
			    uint64_t bytes)
{
	write_name(metrics, "zsd_device_stored_bytes", row);
	write_label(metrics, "algorithm", codec);
	write_value(metrics, bytes);
}

/* Payload in memory by codec; what is stored as it is has none. */
static void write_stored(const struct metrics *metrics)
{
	zsd_text_head(metrics->text, "zsd_device_stored_bytes", "gauge",
		      "Payload in memory after compression, by codec.");
	for (size_t i = 0; i < metrics->nr_devices; i++) {
		const struct device_row *row = &metrics->devices[i];
		const struct zsd_figures *figures = &row->figures;

		write_stored_as(metrics, row, "lz4", figures->packed_bytes - figures->zstd_packed_bytes);
		write_stored_as(metrics, row, "zstd", figures->zstd_packed_bytes);
		write_stored_as(metrics, row, "none", figures->incompressible_bytes);
	}
}

static void write_bucket(const struct metrics *metrics, const struct device_row *row, const char *operation,
			 const char *end, uint64_t count)
{
	write_name(metrics, "zsd_device_io_seconds_bucket", row);
	write_label(metrics, "op", operation);
	write_label(metrics, "le", end);
	write_value(metrics, count);
}

static void write_device_times(const struct metrics *metrics, const struct device_row *row, const char *operation,
			       const struct times *times, char ends[NR_BUCKETS][END_BYTES])
{
	for (unsigned int i = 0; i < NR_BUCKETS; i++)
		write_bucket(metrics, row, operation, ends[i], times->buckets[i]);
	write_bucket(metrics, row, operation, "+Inf", times->count);
	write_name(metrics, "zsd_device_io_seconds_sum", row);
	zsd_text_format(metrics->text, ",op=\"%s\"} %.9g\n", operation, times->sum_sec);
	write_name(metrics, "zsd_device_io_seconds_count", row);
	write_label(metrics, "op", operation);
	write_value(metrics, times->count);
}

/* Operations that were never asked for have no lines: there may be thousands of devices. */
static void write_times(const struct metrics *metrics)
{
	static const char *const operations[ZS_OPERATION_NR] = {"read", "write", "discard"};
	char ends[NR_BUCKETS][END_BYTES];

	for (unsigned int i = 0; i < NR_BUCKETS; i++)
		snprintf(ends[i], END_BYTES, "%.12g", (double)(UINT64_C(1) << (FIRST_BUCKET_BIT + 2 * i)) / 1e9);
	zsd_text_head(metrics->text, "zsd_device_io_seconds", "histogram", "How long requests took in the daemon.");
	for (size_t i = 0; i < metrics->nr_devices; i++) {
		const struct device_row *row = &metrics->devices[i];

		for (unsigned int operation = 0; operation < ZS_OPERATION_NR; operation++) {
			if (row->times[operation].count)
				write_device_times(metrics, row, operations[operation], &row->times[operation], ends);
		}
	}
}

static void write_all(const struct metrics *metrics)
{
	write_pool(metrics);
	write_sums(metrics);
	zsd_metrics_write_backing(metrics->text, metrics->store);
	write_families(metrics);
	write_divided(metrics);
	write_stored(metrics);
	write_times(metrics);
	if (metrics->text->open_metrics)
		write_text(metrics, "# EOF\n");
}

int zsd_metrics_render(struct zs_store *store, const struct zsd_metrics_facts *facts, enum zsd_metrics_format format,
		       char **ret_text, size_t *ret_length)
{
	struct metrics metrics = {.store = store, .facts = facts};
	ZS_CLEANUP_FREE struct device_row *devices = NULL;
	ZS_CLEANUP(zsd_text_deinit) struct zsd_text text = {.open_metrics = format == ZSD_METRICS_OPENMETRICS};
	int error;

	zs_store_stats(store, &metrics.pool);
	error = read_devices(&metrics, store);
	devices = metrics.devices;
	if (error)
		return error;
	metrics.text = &text;
	write_all(&metrics);
	write_bytes(&metrics, "", 1);
	if (text.failed)
		return -ENOMEM;
	*ret_text = zs_take(text.bytes);
	*ret_length = text.length - 1;
	return 0;
}

const char *zsd_metrics_content_type(enum zsd_metrics_format format)
{
	return format == ZSD_METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
						 : "text/plain; version=0.0.4";
}
