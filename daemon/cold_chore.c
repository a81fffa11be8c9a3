/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chores: one task at a time, and what is to be learnt from its end.
 *
 *   a writeback ended with     so
 *   no room, budget, errors    nothing is written for a while, by any chore: the file is to blame (cold_file.c)
 *   no block                   this chore writes nothing back of that device for a minute, and until data is used
 *
 * Likewise a chore doesn't recompress a device when that has saved nothing. Others go on meanwhile.
 *
 * A chore that has many things to do takes them in rounds. What is of use begins a round anew; a whole round without is
 * the last one until somebody uses the data.
 */

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "cold_policy_internal.h"
#include "store/cold.h"
#include "store/device.h"
#include "store/entry.h"

/* At least the largest record, or nothing would be written for a device that is just above its mark. */
#define WRITE_MIN_BYTES ((uint64_t)128 << 10)

/*
 * rests
 */

static unsigned int place_of(uint64_t device_id)
{
	return device_id ? zs_device_index(device_id) : ZS_DEVICES_MAX;
}

static void set_vain_usec(struct zsd_cold_policy *policy, const struct zsd_chore *chore, enum zsd_task_kind kind,
			  uint64_t device_id, uint64_t usec)
{
	struct zsd_rest *rest = &policy->rests[place_of(device_id)];

	if (rest->device_id != device_id)
		*rest = (struct zsd_rest){.device_id = device_id};
	rest->began_usec[chore->number][kind == ZSD_TASK_WRITEBACK] = usec;
}

uint64_t zsd_cold_vain_usec(const struct zsd_cold_policy *policy, const struct zsd_chore *chore,
			    enum zsd_task_kind kind, uint64_t device_id)
{
	const struct zsd_rest *rest = &policy->rests[place_of(device_id)];

	return rest->device_id == device_id ? rest->began_usec[chore->number][kind == ZSD_TASK_WRITEBACK] : 0;
}

bool zsd_cold_rests(const struct zsd_cold_policy *policy, const struct zsd_chore *chore, enum zsd_task_kind kind,
		    uint64_t device_id)
{
	uint64_t began_usec = zsd_cold_vain_usec(policy, chore, kind, device_id);

	return began_usec && (policy->now_usec < began_usec + RETRY_USEC || policy->active_usec < began_usec);
}

void zsd_cold_end_rest(struct zsd_cold_policy *policy, const struct zsd_chore *chore, enum zsd_task_kind kind,
		       uint64_t device_id)
{
	set_vain_usec(policy, chore, kind, device_id, 0);
}

bool zsd_cold_can_write_of(const struct zsd_cold_policy *policy, const struct zsd_chore *chore, uint64_t device_id)
{
	return zsd_cold_can_write(policy) && !zsd_cold_rests(policy, chore, ZSD_TASK_WRITEBACK, device_id);
}

/*
 * rounds
 */

void zsd_cold_begin_round(const struct zsd_cold_policy *policy, struct zsd_chore *chore)
{
	chore->round = (struct zsd_round){
		.cursor = chore->round.cursor,
		.start = chore->round.cursor,
		.began_usec = policy->now_usec,
	};
}

bool zsd_cold_next_in_round(const struct zsd_cold_policy *policy, struct zsd_chore *chore, zsd_cold_next *next,
			    uint64_t *ret_id)
{
	struct zsd_round *round = &chore->round;

	if (!round->has_wrapped) {
		if (next(policy->store, &round->cursor, ret_id))
			return true;
		round->cursor = 0;
		round->has_wrapped = true;
	}
	if (next(policy->store, &round->cursor, ret_id) && round->cursor <= round->start)
		return true;
	/* Where it is over, however often one asks. */
	round->cursor = round->start;
	return false;
}

/*
 * ends
 */

/* Others have their turn, all of them: what was in vain rests, and does not end a round by itself. */
static void end_turn(const struct zsd_cold_policy *policy, struct zsd_chore *chore)
{
	chore->turn = 0;
	zsd_cold_begin_round(policy, chore);
}

static void was_of_use(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_kind kind)
{
	zsd_cold_end_rest(policy, chore, kind, chore->device_id);
	if (kind == ZSD_TASK_WRITEBACK)
		end_turn(policy, chore);
	else
		zsd_cold_begin_round(policy, chore);
}

static void was_in_vain(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_kind kind)
{
	set_vain_usec(policy, chore, kind, chore->device_id, policy->now_usec);
	if (kind == ZSD_TASK_WRITEBACK && chore->turn)
		end_turn(policy, chore);
}

/* The chore's task is over: what is to be known of it. */
static void settle(struct zsd_cold_policy *policy, struct zsd_chore *chore, const struct zsd_task_info *info)
{
	bool is_idle = info->reason == ZSD_REASON_IDLE;

	chore->round.was_in_vain = true;
	if (info->kind != ZSD_TASK_WRITEBACK || !zsd_cold_note_file_error(policy, info->error)) {
		if (info->finished_blocks || info->recompress.saved_bytes)
			was_of_use(policy, chore, info->kind);
		else if (info->state != ZSD_TASK_CANCELLED && !is_idle)
			was_in_vain(policy, chore, info->kind);
	}
	/* Nobody would look for idle blocks again. */
	if (info->kind == ZSD_TASK_WRITEBACK && is_idle && info->error)
		chore->next_usec = zs_min(chore->next_usec, policy->now_usec + RETRY_USEC);
}

bool zsd_cold_is_due(struct zsd_cold_policy *policy, struct zsd_chore *chore)
{
	struct zsd_task_info info;

	if (chore->task && !zsd_tasks_info(policy->tasks, chore->task, &info)) {
		if (info.state <= ZSD_TASK_RUNNING)
			return false;
		settle(policy, chore, &info);
	}
	/* Over, or so long ago that nobody knows of it. */
	chore->task = 0;
	return policy->now_usec >= chore->next_usec;
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
		chore->next_usec = policy->now_usec + RETRY_USEC;
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
