/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods about the backing file. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "command_answer.h"
#include "command_cold.h"
#include "command_report.h"
#include "config_keys.h"
#include "service.h"
#include "store/cold.h"
#include "store/writeback.h"
#include "tasks.h"

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

static int reply_no_backing(struct zsd_answer *ret_answer)
{
	return zsd_reply(ret_answer, ZSD_ERROR("NoBacking"),
			 json_pack("{s:s}", "message",
				   "there is no backing file; name one with Backing= in [Writeback] of zsd.conf"));
}

/*
 * Writeback
 */

/* The index of a word in a list that ends with NULL, or -1. */
static int find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	return -1;
}

/* Returns 0, 1 if the call was refused in *ret_answer, or -ENOMEM. */
static int read_choice(const struct zsd_call *call, struct zsd_task_writeback *wanted, struct zsd_answer *ret_answer)
{
	static const char *const types[] = {
		[ZS_WRITEBACK_ALL] = "all",
		[ZS_WRITEBACK_IDLE] = "idle",
		[ZS_WRITEBACK_HUGE] = "huge",
		[ZS_WRITEBACK_HUGE_IDLE] = "huge_idle",
		[ZS_WRITEBACK_INCOMPRESSIBLE] = "incompressible",
		NULL,
	};
	static const char *const orders[] = {
		[ZS_WRITEBACK_BY_INDEX] = "index",
		[ZS_WRITEBACK_LARGEST] = "largest",
		[ZS_WRITEBACK_COLDEST] = "coldest",
		NULL,
	};
	const char *type = zsd_call_string(call, "type") ?: wanted->idle_sec ? "idle" : "all";
	const char *order = zsd_call_string(call, "order") ?: "index";
	int found_type = find_word(types, type), found_order = find_word(orders, order);

	if (found_type < 0)
		return zsd_reply_bad_value(call, ret_answer, "type", type,
					   "no such type; use all, idle, huge, huge_idle or incompressible")
			       ?: 1;
	if (found_order < 0)
		return zsd_reply_bad_value(call, ret_answer, "order", order,
					   "no such order; use index, largest or coldest")
			       ?: 1;
	wanted->type = (enum zs_writeback_type)found_type;
	wanted->order = (enum zs_writeback_order)found_order;
	return 0;
}

/* "FIRST-LAST FIRST-LAST ..." or single blocks. Returns 0, -EINVAL or -E2BIG. */
static int parse_ranges(const char *text, struct zsd_task_writeback *wanted)
{
	uint64_t first, last;
	int length;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		if (sscanf(text, "%18" SCNu64 "%n", &first, &length) != 1 || *text == '-')
			return -EINVAL;
		last = first;
		text += length;
		if (*text == '-') {
			if (sscanf(text, "-%18" SCNu64 "%n", &last, &length) != 1)
				return -EINVAL;
			text += length;
		}
		if (*text && *text != ' ')
			return -EINVAL;
		if (wanted->nr_ranges == ZSD_TASK_RANGES_MAX)
			return -E2BIG;
		wanted->ranges[wanted->nr_ranges++] = (struct zs_writeback_range){first, last};
	}
	return wanted->nr_ranges ? 0 : -EINVAL;
}

static int read_ranges(const struct zsd_call *call, struct zsd_task_writeback *wanted, struct zsd_answer *ret_answer)
{
	const char *text = zsd_call_string(call, "ranges");

	if (!text)
		return 0;
	if (!wanted->device_id)
		return zsd_reply_bad_value(call, ret_answer, "ranges", text, "blocks of which device? name it") ?: 1;
	switch (parse_ranges(text, wanted)) {
	case 0:
		return 0;
	case -E2BIG:
		return zsd_reply_bad_value(call, ret_answer, "ranges", text, "too many; use 64 in one call") ?: 1;
	default:
		return zsd_reply_bad_value(call, ret_answer, "ranges", text,
					   "not ranges of blocks; write them as in '0-1023 4096-8191'")
			       ?: 1;
	}
}

/* Returns as read_choice(). */
static int read_batch(const struct zsd_call *call, struct zsd_task_writeback *wanted, struct zsd_answer *ret_answer)
{
	json_int_t bytes = zsd_call_int(call, "batch_bytes", 0);

	wanted->batch_bytes = (uint64_t)bytes;
	if (!bytes || (wanted->batch_bytes >= ZS_BATCH_MIN_BYTES && wanted->batch_bytes <= ZS_BATCH_MAX_BYTES))
		return 0;
	return zsd_reply_bad_number(call, ret_answer, "batch_bytes", bytes, ZSD_BATCH_REASON) ?: 1;
}

static int answer_refused(const struct zsd_call *call, int error, struct zsd_answer *ret_answer)
{
	const char *ranges = zsd_call_string(call, "ranges");

	switch (error) {
	case -EOPNOTSUPP:
		return reply_no_backing(ret_answer);
	case -EINVAL:
		return zsd_reply_bad_value(call, ret_answer, "ranges", ranges,
					   "one ends before it begins; write it as FIRST-LAST");
	case -ERANGE:
		return zsd_reply_bad_value(call, ret_answer, "ranges", ranges,
					   "one ends beyond the device; stay within its blocks");
	default:
		return zsd_command_task_refused(ret_answer, error);
	}
}

const char *zsd_writeback_error(int error)
{
	if (error == -EDQUOT)
		return "Disk quota exceeded: DailyLimit= or TotalLimit= is used up; 'zsctl backing' shows what is left";
	if (error == -ENOSPC)
		return "No space left on device: the backing file is as large as Size= says, or its disk is full; the "
		       "rest stays in memory";
	if (error == -EIO)
		return "Input/output error: the backing file can't be written, see the log; the rest stays in memory";
	return NULL;
}

int zsd_command_writeback(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	struct zsd_task_writeback wanted = {
		.idle_sec = (uint64_t)zsd_call_int(call, "age_sec", 0),
		.limit_blocks = (uint64_t)zsd_call_int(call, "max_blocks", 0),
		.limit_bytes = (uint64_t)zsd_call_int(call, "max_bytes", 0),
	};
	CLEANUP_DEVICE struct zs_device *device = NULL;
	uint64_t number;
	int error = zsd_command_check_numbers(call, ret_answer);

	if (!error && zsd_call_string(call, "name"))
		error = zsd_command_borrow(call, &device, ret_answer);
	if (device)
		wanted.device_id = zs_device_id(device);
	if (!error)
		error = read_choice(call, &wanted, ret_answer);
	if (!error)
		error = read_ranges(call, &wanted, ret_answer);
	if (!error)
		error = read_batch(call, &wanted, ret_answer);
	if (error)
		return error < 0 ? error : 0;
	error = zsd_tasks_writeback(zsd_service_tasks(call->service), &wanted, ZSD_REASON_COMMAND, &number);
	if (error)
		return answer_refused(call, error, ret_answer);
	zs_log(ZS_LOG_INFO, "task started by command: task=%" PRIu64 " writeback device=%s uid=%u pid=%d", number,
	       zsd_call_string(call, "name") ?: "all", call->peer->uid, call->peer->pid);
	return zsd_reply(ret_answer, NULL, json_pack("{s:I}", "task", (json_int_t)number));
}

/*
 * Backing, SetDailyLimit, SetTotalLimit
 */

static bool set_budget(json_t *report, struct zs_store *store)
{
	struct zs_writeback_budget budget;

	if (zs_store_writeback_budget(store, &budget))
		return true;
	const struct zsd_field day[] = {
		{"daily_limit_bytes", budget.day_bytes},
		{"written_today_bytes", budget.written_today_bytes},
	};
	const struct zsd_field total[] = {{"total_limit_left_bytes", budget.remaining_bytes}};

	return (!budget.day_bytes || zsd_set_numbers(report, day, ZS_ARRAY_SIZE(day))) &&
	       (!budget.has_remaining || zsd_set_numbers(report, total, ZS_ARRAY_SIZE(total)));
}

static json_t *report_backing(struct zs_store *store, struct zs_backing *backing)
{
	struct zs_backing_stats stats;
	uint64_t blocks, bytes;

	zs_backing_stats(backing, &stats);
	zs_store_backed(store, &blocks, &bytes);
	const struct zsd_field fields[] = {
		{"size_bytes", stats.size_bytes},
		{"batch_bytes", zs_backing_batch(backing)},
		{"file_bytes", stats.file_bytes},
		{"live_bytes", stats.live_bytes},
		{"dead_bytes", stats.dead_bytes},
		{"blocks", blocks},
		{"segment_bytes", stats.segment_bytes},
		{"segments_free", stats.free_segments},
		{"segments_inflight", stats.inflight_segments},
		{"segments_valid", stats.valid_segments},
		{"segments_quarantined", stats.quarantined_segments},
		{"written_bytes", stats.written_bytes},
		{"payload_bytes", stats.payload_bytes},
		{"collected_bytes", stats.collected_bytes},
		{"read_bytes", stats.read_bytes},
		{"write_errors", stats.write_errors},
		{"read_errors", stats.read_errors},
		{"corrupt_records", stats.corrupt_records},
	};
	CLEANUP_JSON json_t *report = json_pack("{s:s, s:b, s:b}", "path", zs_backing_path(backing), "encrypted",
						stats.is_encrypted, "direct", stats.is_direct);

	if (stats.paused)
		json_object_set_new(report, "paused", json_string(strerrorname_np(-stats.paused)));
	return zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) && set_budget(report, store) ? zs_take(report)
												   : NULL;
}

static json_t *report_reason(struct zsd_tasks *tasks, enum zsd_task_reason reason)
{
	struct zsd_task_sums sums;

	zsd_tasks_sums(tasks, reason, &sums);
	const struct zsd_field fields[] = {
		{"tasks", sums.tasks},
		{"compacted_bytes", sums.compacted_bytes},
		{"written_back_blocks", sums.written_blocks},
		{"written_back_bytes", sums.written_bytes},
		{"freed_bytes", sums.freed_bytes},
		{"recompressed_blocks", sums.recompressed_blocks},
		{"recompression_saved_bytes", sums.saved_bytes},
	};
	CLEANUP_JSON json_t *report = json_pack("{s:s}", "reason", zsd_task_reason_name(reason));

	return zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) ? zs_take(report) : NULL;
}

int zsd_command_backing(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	struct zs_store *store = zsd_service_store(call->service);
	struct zs_backing *backing = zs_store_backing(store);
	CLEANUP_JSON json_t *rows = json_array(), *report = backing ? report_backing(store, backing) : NULL;

	if (backing && !report)
		return -ENOMEM;
	for (unsigned int reason = 0; reason < ZSD_REASON_NR; reason++) {
		if (json_array_append_new(rows, report_reason(zsd_service_tasks(call->service), reason)))
			return -ENOMEM;
	}
	return zsd_reply(ret_answer, NULL, json_pack("{s:O*, s:O}", "backing", report, "reasons", rows));
}

/* -1: none. */
static void log_limit(const struct zsd_call *call, const char *name, json_int_t bytes)
{
	char text[32] = "none";

	if (bytes >= 0)
		snprintf(text, sizeof(text), "%lld", (long long)bytes);
	zs_log(ZS_LOG_INFO, "write limit set by command: %s=%s uid=%u pid=%d", name, text, call->peer->uid,
	       call->peer->pid);
}

static int answer_set(const struct zsd_call *call, int error, struct zsd_answer *ret_answer)
{
	if (error)
		return reply_no_backing(ret_answer);
	zsd_tasks_keep_budget(zsd_service_tasks(call->service));
	zsd_service_limits_changed(call->service);
	return zsd_reply(ret_answer, NULL, json_object());
}

int zsd_command_set_daily_limit(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	struct zs_store *store = zsd_service_store(call->service);
	json_int_t day = zsd_call_int(call, "daily_limit_bytes", 0);
	int error = zsd_command_check_numbers(call, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	error = zs_store_set_daily_limit(store, (uint64_t)day, ZS_LIMIT_BY_COMMAND);
	if (!error)
		log_limit(call, "daily_limit_bytes", day ?: -1);
	return answer_set(call, error, ret_answer);
}

int zsd_command_set_total_limit(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	struct zs_store *store = zsd_service_store(call->service);
	json_int_t total = zsd_call_int(call, "total_limit_bytes", -1);
	json_int_t day = zsd_call_int(call, "daily_limit_bytes", -1);
	int error = zsd_command_check_numbers(call, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	error = zs_store_set_total_limit(store, total < 0 ? ZS_NO_TOTAL_LIMIT : (uint64_t)total, ZS_LIMIT_BY_COMMAND);
	/* What refuses the one would have refused the other. */
	if (!error && day >= 0)
		error = zs_store_set_daily_limit(store, (uint64_t)day, ZS_LIMIT_BY_COMMAND);
	if (!error)
		log_limit(call, "total_limit_bytes", total);
	if (!error && day >= 0)
		log_limit(call, "daily_limit_bytes", day ?: -1);
	return answer_set(call, error, ret_answer);
}
