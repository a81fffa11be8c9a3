/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of io.zsd.control. */

#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/size.h"
#include "command_answer.h"
#include "command_config.h"
#include "command_group.h"
#include "command_insides.h"
#include "command_monitor.h"
#include "command_observe.h"
#include "command_options.h"
#include "command_report.h"
#include "command_reset.h"
#include "interface.h"
#include "service.h"
#include "store/group.h"
#include "tasks.h"

/*
 * What one call of Compact frees: it runs on the control thread, where others wait for it. 16 MiB take some ten
 * milliseconds.
 */
#define COMPACT_DEFAULT_BYTES (16 << 20)
#define COMPACT_MAX_BYTES     (64 << 20)

/* How often it is looked whether I/O in flight has left a removed device. */
#define REMOVE_LOOK_USEC 2000

/*
 * Add
 */

static int answer_too_large(struct zsd_answer *ret_answer, struct zsd_service *service,
			    const struct zs_device_options *options)
{
	uint64_t limit = zs_store_max_device_bytes(zsd_service_store(service), options->block_size);
	char message[ZSD_MESSAGE_BYTES], size_text[ZS_SIZE_TEXT_BYTES], limit_text[ZS_SIZE_TEXT_BYTES];

	zs_size_format(options->size_bytes, size_text);
	zs_size_format(limit, limit_text);
	snprintf(message, sizeof(message),
		 "size %s: the slot tables have room for %s at this block size; use less, or larger blocks", size_text,
		 limit_text);
	return zsd_reply(ret_answer, ZSD_ERROR("DeviceTooLarge"),
			 json_pack("{s:I, s:I, s:s}", "size_bytes", (json_int_t)options->size_bytes, "limit_bytes",
				   (json_int_t)limit, "message", message));
}

static int answer_added(struct zsd_answer *ret_answer, struct zsd_service *service, const char *name, bool created)
{
	return zsd_reply(
		ret_answer, NULL,
		json_pack("{s:s++, s:b}", "file", zsd_service_mount_point(service), "/", name, "created", created));
}

/* Who asks again for what there is, perhaps since the first answer was lost, gets it again. */
static int answer_exists(struct zsd_answer *ret_answer, struct zsd_service *service,
			 const struct zs_device_options *options)
{
	struct zs_store *store = zsd_service_store(service);
	struct zs_device *device = NULL;
	struct zs_device_info info;
	const char *differs;
	uint64_t id;

	if (zs_store_find(store, options->name, &id) == 0)
		device = zs_device_get(store, id, NULL);
	if (!device)
		return zsd_reply_system(ret_answer, -EEXIST, "adding the device");
	zs_device_info(device, &info);
	zs_device_put(device, NULL);
	differs = zsd_options_difference(options, &info);
	if (!differs)
		return answer_added(ret_answer, service, options->name, false);
	return zsd_reply(ret_answer, ZSD_ERROR("DeviceExists"),
			 json_pack("{s:s, s:s, s:s+++}", "name", options->name, "differs", differs, "message",
				   options->name, ": there is a device with this name already, with another ", differs,
				   "; remove it, or use another name"));
}

static int answer_add_failed(struct zsd_answer *ret_answer, struct zsd_service *service,
			     const struct zs_device_options *options, int error)
{
	switch (error) {
	case -EEXIST:
		return answer_exists(ret_answer, service, options);
	case -EFBIG:
		return answer_too_large(ret_answer, service, options);
	case -ENFILE:
		return zsd_reply(ret_answer, ZSD_ERROR("TooManyDevices"),
				 json_pack("{s:i, s:s}", "limit", ZS_DEVICES_MAX, "message",
					   "store: it holds as many devices as it can; remove one first"));
	case -EUSERS:
		return zsd_reply(ret_answer, ZSD_ERROR("TooManyGroups"),
				 json_pack("{s:i, s:s+}", "limit", ZS_GROUPS_MAX, "message", options->group,
					   ": no room for one more group; use one that exists, see 'zsctl groups'"));
	default:
		return zsd_reply_system(ret_answer, error, "adding the device");
	}
}

static int answer_bad_field(const struct zsd_call *call, enum zs_device_field field, const char *reason,
			    struct zsd_answer *ret_answer)
{
	const char *parameter = field == ZS_FIELD_BLOCK_SIZE ? "block_size_bytes" : "size_bytes";

	if (field == ZS_FIELD_NAME)
		return zsd_reply_invalid_value(ret_answer, "name", zsd_call_string(call, "name"), reason);
	if (field == ZS_FIELD_GROUP)
		return zsd_reply_invalid_value(ret_answer, "group", zsd_call_string(call, "group"), reason);
	return zsd_reply_invalid_number(ret_answer, parameter, zsd_call_int(call, parameter, 0), reason);
}

/* The numbers of a call that can't be negative. */
static const char *negative_parameter(const struct zsd_call *call)
{
	static const char *const names[] = {"size_bytes", "block_size_bytes", "memory_limit_bytes"};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(names); i++) {
		if (zsd_call_int(call, names[i], 0) < 0)
			return names[i];
	}
	return NULL;
}

/* Fills options from the call. Returns 0, or 1 if the call was refused in *ret_answer, or -ENOMEM. */
static int read_options(const struct zsd_call *call, struct zs_device_options *options, struct zsd_answer *ret_answer)
{
	const char *algorithm = zsd_call_string(call, "algorithm"), *mode = zsd_call_string(call, "mode");
	const char *cache = zsd_call_string(call, "cache"), *recompress = zsd_call_string(call, "recompress");
	const char *negative = negative_parameter(call);
	char reason[ZSD_REASON_BYTES];
	enum zs_device_field field;

	zsd_options_init(options);
	if (negative)
		return zsd_reply_invalid_number(ret_answer, negative, zsd_call_int(call, negative, 0),
						"less than nothing; use a positive number")
			       ?: 1;
	if (algorithm && zsd_options_set_algorithm(options, algorithm, reason))
		return zsd_reply_invalid_value(ret_answer, "algorithm", algorithm, reason) ?: 1;
	if (recompress && zsd_options_set_recompress(options, recompress, reason))
		return zsd_reply_invalid_value(ret_answer, "recompress", recompress, reason) ?: 1;
	if (mode && zsd_options_set_mode(options, mode, reason))
		return zsd_reply_invalid_value(ret_answer, "mode", mode, reason) ?: 1;
	if (cache && zsd_options_set_cache(options, cache, reason))
		return zsd_reply_invalid_value(ret_answer, "cache", cache, reason) ?: 1;
	options->name = zsd_call_string(call, "name");
	options->size_bytes = (uint64_t)zsd_call_int(call, "size_bytes", 0);
	/* Whatever is beyond 32 bits is refused as the largest number of 32 bits is. */
	options->block_size = (uint32_t)zs_min((uint64_t)zsd_call_int(call, "block_size_bytes", ZS_BLOCK_MIN_BYTES),
					       UINT32_MAX);
	options->memory_limit_bytes = (uint64_t)zsd_call_int(call, "memory_limit_bytes", 0);
	options->group = zsd_call_string(call, "group");
	options->read_only = zsd_call_bool(call, "read_only");
	options->uid = call->peer->uid;
	options->gid = call->peer->gid;
	if (zsd_options_check(options, &field, reason))
		return answer_bad_field(call, field, reason, ret_answer) ?: 1;
	return 0;
}

static int run_add(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	struct zs_device_options options;
	enum zs_device_field field;
	uint64_t id;
	int error = read_options(call, &options, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	error = zsd_service_try_add(call->service, &options, &field, &id);
	/* Devices that are being removed are in the way: a piece was freed, and others have their turn. */
	if (error == -EAGAIN) {
		*ret_answer = (struct zsd_answer){.works = true, .continues = true};
		return 0;
	}
	if (error)
		return answer_add_failed(ret_answer, call->service, &options, error);
	zs_log_event(ZS_EVENT_DEVICE_ADDED, ZS_LOG_INFO, options.name, 0,
		     "device added by command: name=%s size_bytes=%" PRIu64 " uid=%u pid=%d", options.name,
		     options.size_bytes, call->peer->uid, call->peer->pid);
	return answer_added(ret_answer, call->service, options.name, true);
}

/*
 * Remove
 */

/* A disk may hold up I/O in flight for long: only this call waits for it. */
static int wait_removed(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	uint64_t id = (uint64_t)json_integer_value(call->carried);

	if (call->wire.oneway || !zs_store_is_removing(zsd_service_store(call->service), id))
		return zsd_reply(ret_answer, NULL, json_object());
	*ret_answer = (struct zsd_answer){.wait_usec = REMOVE_LOOK_USEC, .continues = true};
	return 0;
}

static int run_remove(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	const char *name = zsd_call_string(call, "name");
	bool force = zsd_call_bool(call, "force");
	unsigned int open_count = 0;
	uint64_t id;
	int error;

	if (call->carried)
		return wait_removed(call, ret_answer);
	error = zsd_service_remove(call->service, name, force, &open_count, &id);
	switch (error) {
	case 0:
		zs_log_event(ZS_EVENT_DEVICE_REMOVED, ZS_LOG_INFO, name, 0,
			     "device removed by command: name=%s force=%d uid=%u pid=%d", name, force, call->peer->uid,
			     call->peer->pid);
		call->carried = json_integer((json_int_t)id);
		return call->carried ? wait_removed(call, ret_answer) : -ENOMEM;
	case -ENODEV:
		return zsd_reply_no_such_device(ret_answer, name);
	case -EBUSY:
		return zsd_reply_busy(call, name, open_count, ", or force the removal", ret_answer);
	default:
		return zsd_reply_system(ret_answer, error, "removing the device");
	}
}

/*
 * List and Stats
 */

/* The next device at or after *cursor. */
static int report_next(struct zsd_service *service, unsigned int *cursor, json_t **ret_report)
{
	uint64_t id;

	*ret_report = NULL;
	while (!*ret_report && zs_store_next(zsd_service_store(service), cursor, &id)) {
		int error = zsd_report_one(service, id, zsd_report_device, ret_report);

		if (error)
			return error;
	}
	return 0;
}

/* One reply a device. Whether another one follows can be known only by finding it: it is kept until the next step. */
static int run_list_more(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	json_t *report = call->carried;
	int error = 0;

	call->carried = NULL;
	if (!report && !call->cursor)
		error = report_next(call->service, &call->cursor, &report);
	if (!error && report)
		error = report_next(call->service, &call->cursor, &call->carried);
	if (error) {
		json_decref(report);
		return error;
	}
	error = zsd_reply(ret_answer, NULL,
			  report ? json_pack("{s:[o]}", "devices", report) : json_pack("{s:[]}", "devices"));
	if (!error)
		ret_answer->continues = call->carried != NULL;
	return error;
}

static int run_list(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	int error;

	if (call->wire.more && !zsd_call_string(call, "name"))
		return run_list_more(call, ret_answer);
	error = zsd_report_all(call, zsd_report_device, ret_answer);
	if (error)
		return error < 0 ? error : 0;
	return zsd_reply(ret_answer, NULL, json_pack("{s:O}", "devices", call->carried));
}

static int run_stats(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	int error = zsd_report_changed(call, zsd_report_device_stats, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	return zsd_reply(ret_answer, NULL,
			 json_pack("{s:o, s:O, s:I}", "pool", zsd_report_pool(call->service), "devices", call->carried,
				   "generation", (json_int_t)call->generation));
}

/*
 * Classes and Caches
 */

static int run_classes(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	bool all = zsd_call_bool(call, "all");

	return zsd_reply(ret_answer, NULL, json_pack("{s:o}", "classes", zsd_report_classes(call->service, all)));
}

static int run_caches(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	return zsd_reply(ret_answer, NULL, json_pack("{s:o}", "caches", zsd_report_caches(call->service)));
}

/*
 * Compact
 */

static int run_compact(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	json_int_t budget = zsd_call_int(call, "budget_bytes", COMPACT_DEFAULT_BYTES);
	struct zs_store *store = zsd_service_store(call->service);
	struct zs_store_stats before, after;
	uint64_t freed;

	if (budget < (json_int_t)ZS_PAGE_SIZE || budget > COMPACT_MAX_BYTES)
		return zsd_reply_invalid_number(ret_answer, "budget_bytes", budget,
						"use 4096 to 67108864, and call again");
	zs_store_stats(store, &before);
	freed = zs_store_compact(store, (uint64_t)budget / ZS_PAGE_SIZE);
	zs_store_stats(store, &after);
	zsd_tasks_count_compacted(zsd_service_tasks(call->service), ZSD_REASON_COMMAND, freed * ZS_PAGE_SIZE);
	/* Who wants more of it asks again and again. */
	zs_log(freed < (uint64_t)budget / ZS_PAGE_SIZE ? ZS_LOG_INFO : ZS_LOG_DEBUG,
	       "compacted by command: freed_bytes=%" PRIu64 " uid=%u pid=%d", freed * ZS_PAGE_SIZE, call->peer->uid,
	       call->peer->pid);
	return zsd_reply(ret_answer, NULL,
			 json_pack("{s:I, s:I}", "freed_bytes", (json_int_t)(freed * ZS_PAGE_SIZE), "moved_objects",
				   (json_int_t)(after.pool.moved_objects - before.pool.moved_objects)));
}

const struct zsd_method zsd_command_methods[] = {
	{
		.name = "Add",
		.changes = true,
		.parameters =
			{
				{"name", ZSD_PARAMETER_STRING, true},
				{"size_bytes", ZSD_PARAMETER_INT, true},
				{"algorithm", ZSD_PARAMETER_STRING, false},
				{"block_size_bytes", ZSD_PARAMETER_INT, false},
				{"memory_limit_bytes", ZSD_PARAMETER_INT, false},
				{"mode", ZSD_PARAMETER_STRING, false},
				{"group", ZSD_PARAMETER_STRING, false},
				{"cache", ZSD_PARAMETER_STRING, false},
				{"recompress", ZSD_PARAMETER_STRING, false},
				{"read_only", ZSD_PARAMETER_BOOL, false},
			},
		.run = run_add,
	},
	{
		.name = "Remove",
		.changes = true,
		.parameters = {{"name", ZSD_PARAMETER_STRING, true}, {"force", ZSD_PARAMETER_BOOL, false}},
		.run = run_remove,
	},
	{
		.name = "Reset",
		.changes = true,
		.parameters = {{"name", ZSD_PARAMETER_STRING, true}},
		.run = zsd_command_reset,
	},
	{
		.name = "List",
		.parameters = {{"name", ZSD_PARAMETER_STRING, false}},
		.run = run_list,
	},
	{
		.name = "Stats",
		.parameters = {{"name", ZSD_PARAMETER_STRING, false}, {"changed_since", ZSD_PARAMETER_INT, false}},
		.run = run_stats,
	},
	{
		.name = "Status",
		.run = zsd_command_status,
	},
	{
		.name = "Usage",
		.parameters = {{"name", ZSD_PARAMETER_STRING, false}},
		.run = zsd_command_usage,
	},
	{
		.name = "Latencies",
		.parameters = {{"name", ZSD_PARAMETER_STRING, false}, {"changed_since", ZSD_PARAMETER_INT, false}},
		.run = zsd_command_latencies,
	},
	{
		.name = "Monitor",
		.parameters = {{"interval_usec", ZSD_PARAMETER_INT, false}},
		.run = zsd_command_monitor,
	},
	{
		.name = "Groups",
		.parameters = {{"name", ZSD_PARAMETER_STRING, false}},
		.run = zsd_command_groups,
	},
	{
		.name = "SetGroupLimit",
		.changes = true,
		.parameters =
			{
				{"name", ZSD_PARAMETER_STRING, true},
				{"memory_limit_bytes", ZSD_PARAMETER_INT, true},
			},
		.run = zsd_command_set_group_limit,
	},
	{
		.name = "Owners",
		.parameters = {{"name", ZSD_PARAMETER_STRING, false}, {"node", ZSD_PARAMETER_INT, false}},
		.run = zsd_command_owners,
	},
	{
		.name = "Set",
		.changes = true,
		.parameters = {{"name", ZSD_PARAMETER_STRING, false}, {"values", ZSD_PARAMETER_MAP, true}},
		.run = zsd_command_set,
	},
	{
		.name = "Reload",
		.changes = true,
		.run = zsd_command_reload,
	},
	{
		.name = "Classes",
		.parameters = {{"all", ZSD_PARAMETER_BOOL, false}},
		.run = run_classes,
	},
	{
		.name = "Caches",
		.run = run_caches,
	},
	{
		.name = "Compact",
		.changes = true,
		.parameters = {{"budget_bytes", ZSD_PARAMETER_INT, false}},
		.run = run_compact,
	},
	{},
};
