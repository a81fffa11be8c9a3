/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods about dictionaries. */

#include <errno.h>
#include <inttypes.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "codec/codec.h"
#include "command_answer.h"
#include "command_cold.h"
#include "command_report.h"
#include "service.h"
#include "tasks.h"

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

json_t *zsd_report_training(const struct zs_train_progress *progress)
{
	const struct zsd_field fields[] = {
		{"learnt_blocks", progress->learnt_blocks},
		{"tried_blocks", progress->tried_blocks},
		{"before_bytes", progress->before_bytes},
		{"after_bytes", progress->after_bytes},
		{"read_before_ns", progress->read_before_nsec},
		{"read_after_ns", progress->read_after_nsec},
		{"gain_bytes", progress->gain_bytes},
		{"cost_bytes", progress->cost_bytes},
		{"version", progress->version},
	};
	CLEANUP_JSON json_t *report = json_object();

	/* The last one only if there is one. */
	return zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields) - !progress->version) ? zs_take(report) : NULL;
}

/* The first codec for recompression that uses dictionaries. Returns as zsd_command_borrow(). */
static int read_codec(const struct zsd_call *call, struct zs_device *device, struct zs_codec_params *ret_codec,
		      struct zsd_answer *ret_answer)
{
	const char *text = zsd_call_string(call, "recompress");
	struct zs_device_options options = {0};
	char reason[ZSD_REASON_BYTES];
	struct zs_device_info info;

	zs_device_info(device, &info);
	if (text && zsd_options_set_recompress(&options, text, reason))
		return zsd_reply_bad_value(call, ret_answer, "recompress", text, reason) ?: 1;
	for (unsigned int i = 0; i < (text ? options.nr_recompress : info.nr_recompress); i++) {
		*ret_codec = text ? options.recompress[i] : info.recompress[i];
		if (zs_codec_uses_dictionary(ret_codec->codec))
			return 0;
	}
	return zsd_reply_bad_value(call, ret_answer, "recompress",
				   text
					   ?: info.nr_recompress ? "lz4"
								 : "none",
				   "only zstd uses dictionaries; name it, as in zstd:3")
		       ?: 1;
}

static int refuse(const struct zsd_call *call, struct zsd_answer *ret_answer, int error)
{
	return error == -ENODEV ? zsd_reply_no_such_device(ret_answer, zsd_call_string(call, "name"))
				: zsd_command_task_refused(ret_answer, error);
}

const char *zsd_training_error(int error)
{
	if (error == -ENODATA)
		return "too few blocks in memory to learn from";
	if (error == -EALREADY)
		return "a training that was cancelled still learns, which can't be interrupted; try again in a minute";
	if (error == -EBUSY || error == -ENFILE)
		return "blocks need too many dictionaries; recompress them with --again, or write them anew "
		       "(all stay while the device has blocks in the backing file)";
	return NULL;
}

int zsd_command_train(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	json_int_t size = zsd_call_int(call, "size_bytes", ZS_TRAIN_SIZE_DEFAULT);
	struct zs_train_request request = {.size_bytes = (uint32_t)size};
	CLEANUP_DEVICE struct zs_device *device = NULL;
	uint64_t number;
	int error = zsd_command_borrow(call, &device, ret_answer)
			    ?: read_codec(call, device, &request.codec, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	if (size < ZS_DICTIONARY_MIN_BYTES || size > ZS_DICTIONARY_MAX_BYTES)
		return zsd_reply_bad_number(call, ret_answer, "size_bytes", size,
					    "not the size of a dictionary; use 4K to 128K");
	request.device_id = zs_device_id(device);
	error = zsd_tasks_train(zsd_service_tasks(call->service), &request, ZSD_REASON_COMMAND, &number);
	if (error)
		return refuse(call, ret_answer, error);
	zs_log(ZS_LOG_INFO, "task started by command: task=%" PRIu64 " train device=%s uid=%u pid=%d", number,
	       zsd_call_string(call, "name"), call->peer->uid, call->peer->pid);
	return zsd_reply(ret_answer, NULL, json_pack("{s:I}", "task", (json_int_t)number));
}

static json_t *report_dictionary(const struct zs_dictionary_info *info)
{
	const struct zsd_field fields[] = {
		{"version", info->version},
		{"size_bytes", info->size_bytes},
		{"memory_bytes", info->memory_bytes},
		{"blocks", info->blocks},
		{"created_usec", (uint64_t)info->created_sec * 1000000},
	};
	CLEANUP_JSON json_t *report = json_pack("{s:b, s:b}", "current", info->is_current, "damaged", info->is_damaged);

	return zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) ? zs_take(report) : NULL;
}

int zsd_command_dictionaries(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	struct zs_dictionary_info infos[ZS_DICTIONARY_VERSIONS];
	CLEANUP_DEVICE struct zs_device *device = NULL;
	CLEANUP_JSON json_t *rows = json_array();
	int error = zsd_command_borrow(call, &device, ret_answer);
	unsigned int nr;

	if (error)
		return error < 0 ? error : 0;
	nr = zs_device_dictionaries(device, infos);
	for (unsigned int i = 0; i < nr; i++) {
		if (json_array_append_new(rows, report_dictionary(&infos[i])))
			return -ENOMEM;
	}
	return zsd_reply(ret_answer, NULL, json_pack("{s:O}", "dictionaries", rows));
}
