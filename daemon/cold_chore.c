/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chores: one task at a time, and what is to be learnt from its end.
 *
 *   a writeback ended with     so
 *   no room, budget, errors    nothing is written for a minute, by any chore: it is the file that is to blame
 *   no block                   this chore writes nothing back of that device for a minute
 *
 * Likewise a chore doesn't recompress a device for a minute when that has saved nothing. Others go on meanwhile.
 */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/log.h"
#include "cold_policy_internal.h"
#include "store/cold.h"
#include "store/device.h"

/* At least the largest record, or nothing would be written for a device that is just above its mark. */
#define WRITE_MIN_BYTES ((uint64_t)128 << 10)

uint64_t zsd_cold_now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/*
 * rests
 */

static void rest(struct zsd_cold_policy *policy, const struct zsd_chore *chore, enum zsd_task_kind kind)
{
	policy->rests[policy->nr_rests++ % ZSD_RESTS] = (struct zsd_rest){
		.chore = chore,
		.kind = kind,
		.device_id = chore->device_id,
		.until_usec = zsd_cold_now_usec() + RETRY_USEC,
	};
}

bool zsd_cold_rests(const struct zsd_cold_policy *policy, const struct zsd_chore *chore, enum zsd_task_kind kind,
		    uint64_t device_id)
{
	uint64_t now = zsd_cold_now_usec();

	for (unsigned int i = 0; i < zs_min(policy->nr_rests, ZSD_RESTS); i++) {
		const struct zsd_rest *found = &policy->rests[i];

		if (found->chore == chore && found->kind == kind && found->device_id == device_id &&
		    found->until_usec > now)
			return true;
	}
	return false;
}

bool zsd_cold_can_write(const struct zsd_cold_policy *policy)
{
	return zs_store_backing(policy->store) && zsd_cold_now_usec() >= policy->file_usec &&
	       zs_store_has_writeback_budget(policy->store);
}

/*
 * ends
 */

static bool is_of_file(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EIO;
}

void zsd_cold_settle(struct zsd_cold_policy *policy, struct zsd_chore *chore, const struct zsd_task_info *info)
{
	bool was_of_use = info->finished_blocks || info->recompress.saved_bytes;

	chore->task = 0;
	if (info->kind == ZSD_TASK_WRITEBACK && is_of_file(info->error))
		policy->file_usec = zsd_cold_now_usec() + RETRY_USEC;
	else if (!was_of_use && info->state != ZSD_TASK_CANCELLED && info->reason != ZSD_REASON_IDLE)
		rest(policy, chore, info->kind);
}

bool zsd_cold_is_due(struct zsd_cold_policy *policy, struct zsd_chore *chore)
{
	struct zsd_task_info info;

	if (zsd_cold_now_usec() < chore->next_usec)
		return false;
	if (!chore->task || zsd_tasks_info(policy->tasks, chore->task, &info))
		return true;
	if (info.state <= ZSD_TASK_RUNNING)
		return false;
	zsd_cold_settle(policy, chore, &info);
	return true;
}

/*
 * beginnings
 */

bool zsd_cold_write_back(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			 const struct zsd_task_writeback *wanted)
{
	struct zsd_task_writeback some = *wanted;
	int r;

	if (some.limit_bytes)
		some.limit_bytes = zs_max(some.limit_bytes, WRITE_MIN_BYTES);
	r = zsd_tasks_writeback(policy->tasks, &some, reason, &chore->task);
	chore->device_id = wanted->device_id;
	if (!r)
		return true;
	chore->task = 0;
	if (r != -ENODEV && r != -EBUSY)
		chore->next_usec = zsd_cold_now_usec() + RETRY_USEC;
	zs_log(ZS_LOG_DEBUG, "can't start writing back: reason=%s: %s", zsd_task_reason_name(reason), strerror(-r));
	return false;
}

int zsd_cold_recompress(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			uint64_t id, struct zs_recompress_request *request, unsigned int share_percent)
{
	struct zs_device *device = zs_device_get(policy->store, id, NULL);
	enum zs_recompress_field field;
	struct zs_device_info info;
	int r = -EOPNOTSUPP;

	if (!device)
		return -ENODEV;
	zs_device_info(device, &info);
	request->last = info.size_bytes / info.block_size - 1;
	request->nr_codecs = info.nr_recompress;
	memcpy(request->codecs, info.recompress, sizeof(request->codecs));
	if (info.nr_recompress)
		r = zsd_tasks_recompress(policy->tasks, id, request, share_percent, reason, &field, &chore->task);
	if (!r)
		chore->device_id = id;
	zs_device_put(device, NULL);
	return r;
}
