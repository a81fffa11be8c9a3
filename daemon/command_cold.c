/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods about blocks that are not in use: their ages, recompression, and the tasks that work on them. */

#include "command_cold.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "command_answer.h"
#include "command_report.h"
#include "service.h"
#include "store/age.h"
#include "store/recompress.h"
#include "tasks.h"

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

/* How many blocks are walked over at a time: some milliseconds on the control thread, where others wait. */
#define WALK_BLOCKS (UINT64_C(1) << 20)

int zsd_command_borrow(struct zsd_call *call, struct zs_device **ret_device, struct zsd_answer *ret_answer)
{
	struct zs_store *store = zsd_service_store(call->service);
	const char *name = zsd_call_string(call, "name");
	uint64_t id;

	*ret_device = zs_store_find(store, name, &id) ? NULL : zs_device_get(store, id, NULL);
	return *ret_device ? 0 : zsd_reply_no_such_device(ret_answer, name) ?: 1;
}

int zsd_command_check_numbers(const struct zsd_call *call, struct zsd_answer *ret_answer)
{
	static const char *const names[] = {"age_sec",		 "first_block",	      "last_block",
					    "threshold_bytes",	 "max_blocks",	      "max_bytes",
					    "daily_limit_bytes", "total_limit_bytes", "batch_bytes"};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(names); i++) {
		json_int_t number = zsd_call_int(call, names[i], 0);

		if (number < 0)
			return zsd_reply_bad_number(call, ret_answer, names[i], number,
						    "less than nothing; use a positive number")
				       ?: 1;
	}
	return 0;
}

static uint64_t count_blocks(const struct zs_device *device)
{
	return zs_device_size(device) / zs_device_block_size(device);
}

static int refuse_range(const struct zsd_call *call, const struct zs_device *device, struct zsd_answer *ret_answer)
{
	uint64_t last = count_blocks(device) - 1;
	char reason[ZSD_REASON_BYTES];

	snprintf(reason, sizeof(reason),
		 "first_block is %" PRIu64 ", and the device ends with %" PRIu64 "; stay between",
		 (uint64_t)zsd_call_int(call, "first_block", 0), last);
	return zsd_reply_bad_number(call, ret_answer, "last_block", zsd_call_int(call, "last_block", (json_int_t)last),
				    reason);
}

/*
 * Ages, MarkIdle
 */

/* The first block of this step; first at the first one. What earlier steps have found is carried as found. */
static uint64_t step_first(const struct zsd_call *call, uint64_t first)
{
	return call->carried ? (uint64_t)json_integer_value(json_object_get(call->carried, "next")) : first;
}

static const json_t *found_before(const struct zsd_call *call)
{
	return json_object_get(call->carried, "found");
}

/* There is more to walk over, from next on: others have their turn now. Takes over what was found so far. */
static int walk_on(struct zsd_call *call, uint64_t next, json_t *found, struct zsd_answer *ret_answer)
{
	json_t *carried = json_pack("{s:I, s:o}", "next", (json_int_t)next, "found", found);

	if (!carried)
		return -ENOMEM;
	json_decref(call->carried);
	call->carried = carried;
	*ret_answer = (struct zsd_answer){.works = true, .continues = true};
	return 0;
}

static json_t *pack_ages(const struct zs_ages *ages)
{
	CLEANUP_JSON json_t *found = json_array();

	for (unsigned int i = 0; i < ZS_AGE_BUCKETS; i++) {
		if (json_array_append_new(found, json_integer((json_int_t)ages->blocks[i])))
			return NULL;
	}
	return json_array_append_new(found, json_integer((json_int_t)ages->idle_blocks)) ? NULL : zs_take(found);
}

/* What earlier steps have found; nothing at the first one. */
static void unpack_ages(const json_t *found, struct zs_ages *ret_ages)
{
	*ret_ages = (struct zs_ages){0};
	for (unsigned int i = 0; i < ZS_AGE_BUCKETS; i++)
		ret_ages->blocks[i] = (uint64_t)json_integer_value(json_array_get(found, i));
	ret_ages->idle_blocks = (uint64_t)json_integer_value(json_array_get(found, ZS_AGE_BUCKETS));
}

static int run_ages(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	CLEANUP_DEVICE struct zs_device *device = NULL;
	CLEANUP_JSON json_t *rows = json_array();
	uint64_t next = step_first(call, 0);
	struct zs_ages ages;
	int error = zsd_command_borrow(call, &device, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	unpack_ages(found_before(call), &ages);
	zs_device_ages(device, next, next + WALK_BLOCKS, &ages);
	next = zs_device_walk_on(device, next + WALK_BLOCKS);
	if (next < count_blocks(device))
		return walk_on(call, next, pack_ages(&ages), ret_answer);
	for (unsigned int i = 0; i < ZS_AGE_BUCKETS; i++) {
		json_t *row = json_pack("{s:I, s:I}", "blocks", (json_int_t)ages.blocks[i], "data_bytes",
					(json_int_t)(ages.blocks[i] * zs_device_block_size(device)));

		if (i < ZS_AGE_BUCKETS - 1)
			json_object_set_new(row, "below_sec", json_integer((json_int_t)zs_age_bounds_sec[i]));
		if (json_array_append_new(rows, row))
			return -ENOMEM;
	}
	return zsd_reply(ret_answer, NULL,
			 json_pack("{s:O, s:I}", "ages", rows, "idle_blocks", (json_int_t)ages.idle_blocks));
}

static int run_mark_idle(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	CLEANUP_DEVICE struct zs_device *device = NULL;
	uint64_t first, last, next, marked = 0;
	int error = zsd_command_borrow(call, &device, ret_answer) ?: zsd_command_check_numbers(call, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	first = (uint64_t)zsd_call_int(call, "first_block", 0);
	last = (uint64_t)zsd_call_int(call, "last_block", (json_int_t)count_blocks(device) - 1);
	if (last < first || last >= count_blocks(device))
		return refuse_range(call, device, ret_answer);
	first = step_first(call, first);
	next = zs_min(first + WALK_BLOCKS, last + 1);
	/* Another device may have its name by now, and may be smaller. */
	if (first < next)
		zs_assert(!zs_device_mark_idle(device, first, next - 1, (uint64_t)zsd_call_int(call, "age_sec", 0),
					       &marked));
	marked += (uint64_t)json_integer_value(found_before(call));
	next = zs_device_walk_on(device, next);
	if (next <= last)
		return walk_on(call, next, json_integer((json_int_t)marked), ret_answer);
	zs_log(ZS_LOG_INFO, "blocks marked as idle by command: device=%s blocks=%" PRIu64 " uid=%u pid=%d",
	       zsd_call_string(call, "name"), marked, call->peer->uid, call->peer->pid);
	return zsd_reply(ret_answer, NULL, json_pack("{s:I}", "blocks", (json_int_t)marked));
}

/*
 * Recompress
 */

/* "idle", "huge", "idle huge" or "all". Returns 0 or -EINVAL. */
static int parse_types(const char *text, unsigned int *ret_types)
{
	static const struct {
		const char *name;
		unsigned int type;
	} names[] = {{"idle", ZS_RECOMPRESS_IDLE}, {"huge", ZS_RECOMPRESS_HUGE}, {"all", ZS_RECOMPRESS_ALL}};
	char word[8];
	int length;

	*ret_types = 0;
	for (; sscanf(text, " %7s%n", word, &length) == 1; text += length) {
		size_t i = 0;

		while (i < ZS_ARRAY_SIZE(names) && strcmp(names[i].name, word) != 0)
			i++;
		if (i == ZS_ARRAY_SIZE(names))
			return -EINVAL;
		*ret_types |= names[i].type;
	}
	return *ret_types ? 0 : -EINVAL;
}

/* The codecs of the call, or else those of the device. Returns as zsd_command_borrow(). */
static int read_codecs(const struct zsd_call *call, struct zs_device *device, struct zs_recompress_request *request,
		       struct zsd_answer *ret_answer)
{
	const char *text = zsd_call_string(call, "recompress");
	struct zs_device_options options = {0};
	char reason[ZSD_REASON_BYTES];
	struct zs_device_info info;

	if (text && zsd_options_set_recompress(&options, text, reason))
		return zsd_reply_bad_value(call, ret_answer, "recompress", text, reason) ?: 1;
	zs_device_info(device, &info);
	request->nr_codecs = text ? options.nr_recompress : info.nr_recompress;
	memcpy(request->codecs, text ? options.recompress : info.recompress, sizeof(request->codecs));
	if (request->nr_codecs)
		return 0;
	return zsd_reply_bad_value(call, ret_answer, "recompress", text ?: "none",
				   "the device has no codecs for it; name some, as in zstd:3")
		       ?: 1;
}

/* Returns as zsd_command_borrow(). */
static int read_request(const struct zsd_call *call, struct zs_device *device, struct zs_recompress_request *request,
			struct zsd_answer *ret_answer)
{
	const char *types = zsd_call_string(call, "types");
	int error = zsd_command_check_numbers(call, ret_answer);

	if (error)
		return error;
	*request = (struct zs_recompress_request){
		.first = (uint64_t)zsd_call_int(call, "first_block", 0),
		.last = (uint64_t)zsd_call_int(call, "last_block", (json_int_t)count_blocks(device) - 1),
		.age_sec = (uint64_t)zsd_call_int(call, "age_sec", 0),
		.threshold_bytes = (uint32_t)zs_min((uint64_t)zsd_call_int(call, "threshold_bytes", 0), UINT32_MAX),
		.max_blocks = (uint64_t)zsd_call_int(call, "max_blocks", 0),
		.again = zsd_call_bool(call, "again"),
	};
	if (parse_types(types ?: request->age_sec ? "idle" : "all", &request->types))
		return zsd_reply_bad_value(call, ret_answer, "types", types, "no such type; use idle, huge, or all")
			       ?: 1;
	return read_codecs(call, device, request, ret_answer);
}

int zsd_command_task_refused(struct zsd_answer *ret_answer, int error)
{
	if (error == -EBUSY)
		return zsd_reply(ret_answer, ZSD_ERROR("TooManyTasks"),
				 json_pack("{s:i, s:s}", "limit", ZSD_TASKS_MAX, "message",
					   "tasks: as many wait as can; wait for one, or cancel one"));
	return zsd_reply_system(ret_answer, error, "starting the task");
}

static int answer_refused(const struct zsd_call *call, const struct zs_device *device, enum zs_recompress_field field,
			  int error, struct zsd_answer *ret_answer)
{
	char reason[ZSD_REASON_BYTES];

	if (field == ZS_RECOMPRESS_FIELD_RANGE)
		return refuse_range(call, device, ret_answer);
	if (field == ZS_RECOMPRESS_FIELD_THRESHOLD) {
		snprintf(reason, sizeof(reason), "no object takes that much; a raw block takes %zu bytes",
			 zs_pool_cost(zs_device_block_size(device)));
		return zsd_reply_bad_number(call, ret_answer, "threshold_bytes",
					    zsd_call_int(call, "threshold_bytes", 0), reason);
	}
	return zsd_command_task_refused(ret_answer, error);
}

static int run_recompress(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	json_int_t share = zsd_call_int(call, "share_percent", 100);
	CLEANUP_DEVICE struct zs_device *device = NULL;
	struct zs_recompress_request request;
	enum zs_recompress_field field;
	uint64_t number;
	int error = zsd_command_borrow(call, &device, ret_answer) ?: read_request(call, device, &request, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	if (share < 1 || share > 100)
		return zsd_reply_bad_number(call, ret_answer, "share_percent", share,
					    "not a part of a CPU; use 1 to 100");
	error = zsd_tasks_recompress(zsd_service_tasks(call->service), zs_device_id(device), &request,
				     (unsigned int)share, ZSD_REASON_COMMAND, &field, &number);
	if (error)
		return answer_refused(call, device, field, error, ret_answer);
	zs_log(ZS_LOG_INFO, "task started by command: task=%" PRIu64 " recompress device=%s uid=%u pid=%d", number,
	       zsd_call_string(call, "name"), call->peer->uid, call->peer->pid);
	return zsd_reply(ret_answer, NULL, json_pack("{s:I}", "task", (json_int_t)number));
}

/*
 * Tasks, CancelTask
 */

/* Where an errno alone would not say what is to be done. */
static const char *error_text(const struct zsd_task_info *info)
{
	const char *text = NULL;

	if (info->kind == ZSD_TASK_TRAIN)
		text = zsd_training_error(info->error);
	else if (info->kind == ZSD_TASK_WRITEBACK)
		text = zsd_writeback_error(info->error);
	return text ?: strerror(-info->error);
}

static json_t *report_task(const struct zsd_task_info *info)
{
	static const char *const kinds[] = {
		[ZSD_TASK_RECOMPRESS] = "recompress", [ZSD_TASK_WRITEBACK] = "writeback", [ZSD_TASK_TRAIN] = "train"};
	static const char *const states[] = {
		[ZSD_TASK_WAITING] = "waiting",	    [ZSD_TASK_RUNNING] = "running", [ZSD_TASK_DONE] = "done",
		[ZSD_TASK_CANCELLED] = "cancelled", [ZSD_TASK_FAILED] = "failed",
	};
	bool back = info->kind == ZSD_TASK_WRITEBACK, train = info->kind == ZSD_TASK_TRAIN;
	const struct zsd_field fields[] = {
		{"task", info->number},
		{"blocks", back ? info->scanned_blocks : info->recompress.blocks + info->train.blocks},
		{"blocks_done", back ? info->scanned_blocks : info->recompress.blocks_done + info->train.blocks_done},
		{"blocks_tried", back ? info->written_blocks : info->recompress.tried + info->train.tried_blocks},
		{"blocks_changed", back ? info->finished_blocks : info->recompress.recompressed},
		{"blocks_busy", back ? info->busy_blocks + info->replaced_blocks : info->recompress.busy},
		{"blocks_failed", back ? info->failed_blocks : info->recompress.failed},
		{"saved_bytes", back ? info->freed_bytes : info->recompress.saved_bytes},
		{"written_bytes", info->written_bytes},
	};
	CLEANUP_JSON json_t *report = json_pack("{s:s, s:s, s:s, s:s}", "kind", kinds[info->kind], "state",
						states[info->state], "name", info->device, "reason",
						zsd_task_reason_name(info->reason));

	if (info->error)
		json_object_set_new(report, "error", json_string(error_text(info)));
	if (train)
		json_object_set_new(report, "training", zsd_report_training(&info->train));
	return zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) ? zs_take(report) : NULL;
}

static int reply_no_such_task(struct zsd_answer *ret_answer, json_int_t task, const char *why)
{
	char message[ZSD_MESSAGE_BYTES];

	snprintf(message, sizeof(message), "task %lld: %s; 'zsctl tasks' lists those that are known", (long long)task,
		 why);
	return zsd_reply(ret_answer, ZSD_ERROR("NoSuchTask"),
			 json_pack("{s:I, s:s}", "task", task, "message", message));
}

static int report_all(struct zsd_tasks *tasks, json_t *rows)
{
	struct zsd_task_info info;
	uint64_t cursor = 0;

	while (zsd_tasks_next(tasks, &cursor, &info)) {
		if (json_array_append_new(rows, report_task(&info)))
			return -ENOMEM;
	}
	return 0;
}

static int run_tasks(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	struct zsd_tasks *tasks = zsd_service_tasks(call->service);
	json_int_t task = zsd_call_int(call, "task", 0);
	CLEANUP_JSON json_t *rows = json_array();
	struct zsd_task_info info;

	if (!task) {
		if (report_all(tasks, rows))
			return -ENOMEM;
	} else if (zsd_tasks_info(tasks, (uint64_t)task, &info)) {
		return reply_no_such_task(ret_answer, task, "there is none");
	} else if (json_array_append_new(rows, report_task(&info))) {
		return -ENOMEM;
	}
	return zsd_reply(ret_answer, NULL, json_pack("{s:O}", "tasks", rows));
}

static int run_cancel_task(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	json_int_t task = zsd_call_int(call, "task", 0);

	switch (zsd_tasks_cancel(zsd_service_tasks(call->service), (uint64_t)task)) {
	case 0:
		zs_log(ZS_LOG_INFO, "task cancelled by command: task=%lld uid=%u pid=%d", (long long)task,
		       call->peer->uid, call->peer->pid);
		return zsd_reply(ret_answer, NULL, json_object());
	case -EALREADY:
		return reply_no_such_task(ret_answer, task, "it has ended");
	default:
		return reply_no_such_task(ret_answer, task, "there is none");
	}
}

const struct zsd_method zsd_cold_methods[] = {
	{
		.name = "Ages",
		.parameters = {{"name", ZSD_PARAMETER_STRING, true}},
		.run = run_ages,
	},
	{
		.name = "MarkIdle",
		.changes = true,
		.parameters =
			{
				{"name", ZSD_PARAMETER_STRING, true},
				{"age_sec", ZSD_PARAMETER_INT, false},
				{"first_block", ZSD_PARAMETER_INT, false},
				{"last_block", ZSD_PARAMETER_INT, false},
			},
		.run = run_mark_idle,
	},
	{
		.name = "Recompress",
		.changes = true,
		.parameters =
			{
				{"name", ZSD_PARAMETER_STRING, true},
				{"types", ZSD_PARAMETER_STRING, false},
				{"age_sec", ZSD_PARAMETER_INT, false},
				{"first_block", ZSD_PARAMETER_INT, false},
				{"last_block", ZSD_PARAMETER_INT, false},
				{"threshold_bytes", ZSD_PARAMETER_INT, false},
				{"max_blocks", ZSD_PARAMETER_INT, false},
				{"recompress", ZSD_PARAMETER_STRING, false},
				{"again", ZSD_PARAMETER_BOOL, false},
				{"share_percent", ZSD_PARAMETER_INT, false},
			},
		.run = run_recompress,
	},
	{
		.name = "Train",
		.changes = true,
		.parameters =
			{
				{"name", ZSD_PARAMETER_STRING, true},
				{"size_bytes", ZSD_PARAMETER_INT, false},
				{"recompress", ZSD_PARAMETER_STRING, false},
			},
		.run = zsd_command_train,
	},
	{
		.name = "Dictionaries",
		.parameters = {{"name", ZSD_PARAMETER_STRING, true}},
		.run = zsd_command_dictionaries,
	},
	{
		.name = "Tasks",
		.parameters = {{"task", ZSD_PARAMETER_INT, false}},
		.run = run_tasks,
	},
	{
		.name = "CancelTask",
		.changes = true,
		.parameters = {{"task", ZSD_PARAMETER_INT, true}},
		.run = run_cancel_task,
	},
	{
		.name = "Writeback",
		.changes = true,
		.parameters =
			{
				{"name", ZSD_PARAMETER_STRING, false},
				{"type", ZSD_PARAMETER_STRING, false},
				{"order", ZSD_PARAMETER_STRING, false},
				{"age_sec", ZSD_PARAMETER_INT, false},
				{"ranges", ZSD_PARAMETER_STRING, false},
				{"max_blocks", ZSD_PARAMETER_INT, false},
				{"max_bytes", ZSD_PARAMETER_INT, false},
				{"batch_bytes", ZSD_PARAMETER_INT, false},
			},
		.run = zsd_command_writeback,
	},
	{
		.name = "Backing",
		.run = zsd_command_backing,
	},
	{
		.name = "SetDailyLimit",
		.changes = true,
		.parameters = {{"daily_limit_bytes", ZSD_PARAMETER_INT, true}},
		.run = zsd_command_set_daily_limit,
	},
	{
		.name = "SetTotalLimit",
		.changes = true,
		.parameters = {{"total_limit_bytes", ZSD_PARAMETER_INT, false},
			       {"daily_limit_bytes", ZSD_PARAMETER_INT, false}},
		.run = zsd_command_set_total_limit,
	},
	{},
};
