/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices and the pool as the types of io.zsd.control. */

#include "command_report.h"

#include <errno.h>
#include <stdio.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "changes.h"
#include "codec/times.h"
#include "command_answer.h"
#include "command_options.h"
#include "config.h"
#include "figures.h"
#include "policy.h"
#include "service.h"

/* That are reported on in one step of a call: half a millisecond. */
#define STEP_DEVICES  50
#define USEC_PER_SEC  1000000
#define NSEC_PER_USEC 1000

static void decrefp(json_t **value)
{
	json_decref(*value);
}

/* Adds value to object and takes it over, also when it is NULL for lack of memory. Answers false then. */
static bool set(json_t *object, const char *name, json_t *value)
{
	return json_object_set_new(object, name, value) == 0;
}

/* What jansson calls an integer has a sign; no counter of ours gets that far. */
bool zsd_set_numbers(json_t *object, const struct zsd_field *fields, size_t nr)
{
	bool done = true;

	for (size_t i = 0; i < nr; i++)
		done = done && set(object, fields[i].name, json_integer((json_int_t)fields[i].value));
	return done;
}

/* How many bytes of data one byte of memory holds; left out as long as there is nothing to compare. */
static bool set_ratio(json_t *object, uint64_t data_bytes, uint64_t memory_bytes)
{
	return !data_bytes || !memory_bytes ||
	       set(object, "ratio", json_real((double)data_bytes / (double)memory_bytes));
}

static bool set_limit(json_t *object, uint64_t limit_bytes)
{
	return !limit_bytes || set(object, "memory_limit_bytes", json_integer((json_int_t)limit_bytes));
}

bool zsd_set_group(json_t *object, const char *group)
{
	return !*group || set(object, "group", json_string(group));
}

static bool set_recompress(json_t *object, const struct zs_device_info *info)
{
	char text[ZSD_CODECS_TEXT_BYTES];

	return !info->nr_recompress ||
	       set(object, "recompress",
		   json_string(zsd_options_recompress_text(info->recompress, info->nr_recompress, text)));
}

static bool set_file(json_t *object, struct zsd_service *service, const struct zs_device_info *info)
{
	char mode[8];

	snprintf(mode, sizeof(mode), "%04o", info->mode & 0777);
	return set(object, "file", json_pack("s++", zsd_service_mount_point(service), "/", info->name)) &&
	       set(object, "mode", json_string(mode));
}

json_t *zsd_report_device(struct zsd_service *service, struct zs_device *device)
{
	struct zsd_figures figures;
	const struct zs_device_info *info = &figures.info;
	const struct zs_device_stats *stats = &figures.stats;
	char algorithm[ZS_CODEC_TEXT_BYTES];

	zsd_figures_get(device, &figures);
	const struct zsd_field fields[] = {
		{"size_bytes", info->size_bytes},
		{"block_size_bytes", info->block_size},
		{"data_bytes", figures.data_bytes},
		{"same_bytes", figures.same_bytes},
		{"compressed_bytes", figures.compressed_bytes},
		{"incompressible_bytes", figures.incompressible_bytes},
		{"written_back_bytes", figures.written_back_bytes},
		{"stored_bytes", stats->compressed_bytes},
		{"memory_bytes", stats->memory_bytes},
		{"memory_peak_bytes", stats->peak_bytes},
		{"open_count", zsd_service_open_count(service, info->id)},
		{"errors", stats->corrupt},
		{"uid", info->uid},
		{"gid", info->gid},
		{"created_usec", (uint64_t)info->created_sec * USEC_PER_SEC},
	};
	ZS_CLEANUP(decrefp)
	json_t *report = json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", info->name, "state",
				   stats->corrupt ? "degraded" : "active", "algorithm",
				   zs_codec_format(&info->codec, algorithm), "cache",
				   zsd_options_cache_name(info->page_cache), "read_only", info->read_only);

	if (!report || !zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) || !set_file(report, service, info) ||
	    !set_limit(report, info->memory_limit_bytes) ||
	    !set_ratio(report, figures.data_bytes - figures.written_back_bytes, stats->memory_bytes) ||
	    !zsd_set_group(report, info->group) || !set_recompress(report, info))
		return NULL;
	return zs_take(report);
}

static bool set_modified(json_t *object, int64_t modified_nsec)
{
	return !modified_nsec || set(object, "modified_usec", json_integer(modified_nsec / NSEC_PER_USEC));
}

/* Those of one operation; none as long as no request has been timed. */
static bool set_latency(json_t *object, struct zs_device *device, enum zs_operation operation)
{
	static const char *const names[ZS_OPERATION_NR][3] = {
		[ZS_OPERATION_READ] = {"read_p50_ns", "read_p99_ns", "read_max_ns"},
		[ZS_OPERATION_WRITE] = {"write_p50_ns", "write_p99_ns", "write_max_ns"},
		[ZS_OPERATION_DISCARD] = {"discard_p50_ns", "discard_p99_ns", "discard_max_ns"},
	};
	struct zs_latency latency;

	zs_device_latency(device, operation, &latency);
	const struct zsd_field fields[] = {
		{names[operation][0], latency.p50_nsec},
		{names[operation][1], latency.p99_nsec},
		{names[operation][2], latency.max_nsec},
	};
	return !latency.count || zsd_set_numbers(object, fields, ZS_ARRAY_SIZE(fields));
}

static bool set_latencies(json_t *object, struct zs_device *device)
{
	return set_latency(object, device, ZS_OPERATION_READ) && set_latency(object, device, ZS_OPERATION_WRITE) &&
	       set_latency(object, device, ZS_OPERATION_DISCARD);
}

json_t *zsd_report_device_stats(struct zsd_service *service, struct zs_device *device)
{
	struct zs_device_info info;
	struct zs_device_stats stats;

	zs_device_info(device, &info);
	zs_device_stats(device, &stats);
	const struct zsd_field fields[] = {
		{"same_blocks", stats.same_blocks},
		{"object_blocks", stats.object_blocks},
		{"incompressible_blocks", stats.huge_blocks},
		{"data_bytes", stats.data_bytes},
		{"stored_bytes", stats.compressed_bytes},
		{"memory_bytes", stats.memory_bytes},
		{"memory_peak_bytes", stats.peak_bytes},
		{"reads", stats.reads},
		{"read_bytes", stats.read_bytes},
		{"writes", stats.writes},
		{"written_bytes", stats.written_bytes},
		{"discards", stats.discards},
		{"discarded_bytes", stats.discarded_bytes},
		{"backing_bytes", stats.backed_bytes},
		{"backing_reads", stats.read_back_blocks},
		{"backing_read_bytes", stats.read_back_bytes},
		{"backing_writes", stats.written_back_blocks},
		{"backing_written_bytes", stats.written_back_bytes},
		{"backing_errors", stats.unreadable},
		{"promoted_blocks", stats.promoted_blocks},
		{"no_space", stats.no_space},
		{"errors", stats.corrupt},
		{"created_usec", (uint64_t)info.created_sec * USEC_PER_SEC},
	};
	ZS_CLEANUP(decrefp) json_t *report = json_pack("{s:s}", "name", info.name);

	if (!report || !zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) || !set_latencies(report, device) ||
	    !set_modified(report, stats.modified_nsec) || !zsd_set_group(report, info.group))
		return NULL;
	return zs_take(report);
}

/*
 * many devices
 */

int zsd_report_one(struct zsd_service *service, uint64_t id, zsd_report_function *report, json_t **ret_report)
{
	struct zs_device *device = zs_device_get(zsd_service_store(service), id, NULL);

	*ret_report = NULL;
	if (!device)
		return 0;
	*ret_report = report(service, device);
	zs_device_put(device, NULL);
	return *ret_report ? 0 : -ENOMEM;
}

/* True if the client has seen the device as it is. */
static bool is_known(struct zsd_call *call, struct zs_device *device)
{
	json_int_t since = zsd_call_int(call, "changed_since", 0);

	return call->generation && !zsd_changes_look(zsd_service_changes(call->service), device,
						     zsd_service_open_count(call->service, zs_device_id(device)),
						     (uint64_t)zs_max(since, 0));
}

/* Returns 0, -ENODEV (gone meanwhile) or -ENOMEM. */
static int append_one(struct zsd_call *call, uint64_t id, zsd_report_function *report)
{
	struct zs_device *device = zs_device_get(zsd_service_store(call->service), id, NULL);
	int error = 0;

	if (!device)
		return -ENODEV;
	if (!is_known(call, device))
		error = json_array_append_new(call->carried, report(call->service, device)) ? -ENOMEM : 0;
	zs_device_put(device, NULL);
	return error;
}

static int append_named(struct zsd_call *call, const char *name, zsd_report_function *report,
			struct zsd_answer *ret_answer)
{
	uint64_t id;
	int error = zs_store_find(zsd_service_store(call->service), name, &id) ?: append_one(call, id, report);

	return error == -ENODEV ? zsd_reply_no_such_device(ret_answer, name) ?: 1 : error;
}

int zsd_report_all(struct zsd_call *call, zsd_report_function *report, struct zsd_answer *ret_answer)
{
	const char *name = zsd_call_string(call, "name");
	uint64_t id;

	if (!call->carried)
		call->carried = json_array();
	if (!call->carried)
		return -ENOMEM;
	if (name)
		return append_named(call, name, report, ret_answer);
	for (unsigned int i = 0; zs_store_next(zsd_service_store(call->service), &call->cursor, &id); i++) {
		if (append_one(call, id, report) == -ENOMEM)
			return -ENOMEM;
		if (i + 1 == STEP_DEVICES) {
			*ret_answer = (struct zsd_answer){.works = true, .continues = true};
			return 1;
		}
	}
	return 0;
}

int zsd_report_changed(struct zsd_call *call, zsd_report_function *report, struct zsd_answer *ret_answer)
{
	call->generation = zsd_changes_begin(zsd_service_changes(call->service), call->generation);
	return zsd_report_all(call, report, ret_answer);
}

static bool set_compaction(json_t *object, const struct zsd_policy_stats *stats)
{
	static const char *const states[] = {
		[ZSD_COMPACTION_OFF] = "off",
		[ZSD_COMPACTION_IDLE] = "idle",
		[ZSD_COMPACTION_RUNNING] = "running",
	};
	static const char *const ends[] = {
		[ZSD_COMPACTION_DONE] = "done",
		[ZSD_COMPACTION_EXHAUSTED] = "exhausted",
	};

	return set(object, "compaction", json_string(states[stats->state])) &&
	       (!stats->last_end || set(object, "compaction_end", json_string(ends[stats->last_end])));
}

static uint64_t codec_usec(enum zs_codec_id codec, enum zs_codec_work work)
{
	return zs_codec_nsec(codec, work) / NSEC_PER_USEC;
}

json_t *zsd_report_pool(struct zsd_service *service)
{
	struct zs_store *store = zsd_service_store(service);
	struct zs_store_stats stats;
	struct zsd_request_stats requests;
	struct zsd_policy_stats policy;
	struct zsd_sums sums;

	zs_store_stats(store, &stats);
	zsd_service_policy_stats(service, &policy);
	zsd_service_request_stats(service, &requests);
	zsd_figures_sum(store, &sums);
	const struct zsd_field fields[] = {
		{"devices", stats.nr_devices},
		{"data_bytes", sums.data_bytes},
		{"written_back_bytes", sums.written_back_bytes},
		{"stored_bytes", sums.stored_bytes},
		{"used_bytes", stats.heap.used_bytes},
		{"peak_bytes", stats.heap.peak_bytes},
		{"resident_bytes", stats.resident_bytes},
		{"zspage_bytes", stats.heap.zspage_pages * ZS_PAGE_SIZE},
		{"slot_table_bytes", stats.heap.slot_table_pages * ZS_PAGE_SIZE},
		{"dictionary_bytes", stats.heap.dictionary_pages * ZS_PAGE_SIZE},
		{"handle_bytes", stats.heap.handle_pages * ZS_PAGE_SIZE},
		{"reserve_bytes", stats.heap.reserve_pages * ZS_PAGE_SIZE},
		{"objects_active", stats.pool.objects},
		{"objects_total", stats.pool.objects_total},
		{"handles_active", stats.heap.handles.objects},
		{"handles_total", stats.heap.handles.objects_total},
		{"zspages_active", stats.heap.zspages.objects},
		{"zspages_total", stats.heap.zspages.objects_total},
		{"zspage_descriptor_bytes", stats.heap.zspages.object_bytes},
		{"punched_bytes", stats.heap.punched_pages * ZS_PAGE_SIZE},
		{"limit_hits", stats.heap.limit_hits},
		{"leaked_objects", stats.heap.leaked_objects},
		{"freeable_bytes", stats.pool.freeable_pages * ZS_PAGE_SIZE},
		{"compacted_bytes", stats.pool.compacted_pages * ZS_PAGE_SIZE},
		{"moved_objects", stats.pool.moved_objects},
		{"lent_objects", stats.pool.lent_objects},
		{"compaction_runs", policy.runs},
		{"compaction_freed_bytes", policy.freed_pages * ZS_PAGE_SIZE},
		{"lock_waits", stats.pool.lock_waits},
		{"lock_wait_ns", stats.pool.lock_wait_ns},
		{"lz4_compress_usec", codec_usec(ZS_CODEC_LZ4, ZS_CODEC_COMPRESS)},
		{"lz4_decompress_usec", codec_usec(ZS_CODEC_LZ4, ZS_CODEC_DECOMPRESS)},
		{"zstd_compress_usec", codec_usec(ZS_CODEC_ZSTD, ZS_CODEC_COMPRESS)},
		{"zstd_decompress_usec", codec_usec(ZS_CODEC_ZSTD, ZS_CODEC_DECOMPRESS)},
		{"requests_helped", requests.helped},
		{"request_parts_helped", requests.helped_parts},
		{"requests_refused_classic", requests.classic_refused},
		{"requests_refused_uring", requests.uring_refused},
		{"deferred_blocks", stats.deferred.pending},
		{"deferred_devices", stats.deferred.devices},
		{"deferred_capacity", stats.deferred.capacity},
		{"deferred_fallbacks", stats.deferred.fallbacks},
		{"deferred_drained", stats.deferred.drained},
	};
	ZS_CLEANUP(decrefp) json_t *report = json_object();

	if (!report || !zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) ||
	    !set(report, "pool_mode", json_string(zsd_pool_mode_name(stats.pool_per_device))) ||
	    !set_compaction(report, &policy) || !set_limit(report, stats.heap.limit_bytes) ||
	    !set_ratio(report, sums.data_bytes - sums.written_back_bytes, stats.heap.used_bytes))
		return NULL;
	return zs_take(report);
}
