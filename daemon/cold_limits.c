/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Near the limits of pool, devices and groups. Each chore takes the steps in this order, and the next one only if there
 * is still too much in memory:
 *
 *   1. compact       the pool, a little at each look
 *   2. recompress    a device that has codecs for it: the largest objects first, until enough is saved. Not once three
 *                    quarters of the way from StartAt to the limit are gone, and for ten seconds at most: requests
 *                    that find no room don't wait for it, but they wait
 *   3. write back    the coldest blocks
 *
 * Where nothing can be written (no backing file, one that is full or fails, no budget) the third step is the next
 * device's second one, however near the limit is: nothing else helps. What counts against the limits of devices and
 * groups is less by compression only, and compaction is a matter of the pool.
 */

#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/size.h"
#include "cold_policy_internal.h"
#include "store/cold.h"
#include "store/device.h"
#include "store/group.h"

/* At a look: it is the control thread that does it, and takes 2 ms at most. */
#define COMPACT_PAGES 1024

#define RECOMPRESS_SHARE_PERCENT 50
#define RECOMPRESS_MAX_USEC	 (10 * USEC_PER_SEC)

/* Of a limit; 0 = there is none. */
struct use {
	uint64_t used_bytes, limit_bytes;
};

/* Bytes to free so that what is used comes down to the lower mark, once it has passed the upper one; else 0. */
static uint64_t excess(const struct zsd_cold_policy *policy, struct use use)
{
	const struct zsd_cold_options *options = &policy->options;
	uint64_t stop_bytes = use.limit_bytes / 100 * options->stop_percent;

	if (!use.limit_bytes || use.used_bytes < use.limit_bytes / 100 * options->start_percent ||
	    use.used_bytes <= stop_bytes)
		return 0;
	return use.used_bytes - stop_bytes;
}

/* There is no time for recompression, and something faster to do. */
static bool is_pressing(const struct zsd_cold_policy *policy, struct use use)
{
	return use.limit_bytes && zsd_cold_can_write(policy) &&
	       use.used_bytes >= use.limit_bytes / 400 * (300 + policy->options.start_percent);
}

/*
 * steps
 */

bool zsd_cold_step_is_due(struct zsd_cold_policy *policy, struct zsd_chore *chore,
			  bool (*any_pressing)(const struct zsd_cold_policy *policy))
{
	if (zsd_cold_is_due(policy, chore))
		return true;
	if (chore->recompressed && chore->task &&
	    (zsd_cold_now_usec() >= chore->began_usec + RECOMPRESS_MAX_USEC || any_pressing(policy)))
		zsd_tasks_cancel(policy->tasks, chore->task);
	return false;
}

bool zsd_cold_compact(struct zsd_cold_policy *policy, struct zsd_chore *chore)
{
	uint64_t pages = policy->options.compacts ? zs_store_compact(policy->store, COMPACT_PAGES) : 0;

	chore->compacted_pages += pages;
	return pages;
}

void zsd_cold_log_compaction(struct zsd_chore *chore, enum zsd_task_reason reason)
{
	char freed[ZS_SIZE_TEXT_BYTES];

	if (chore->compacted_pages)
		zs_log(ZS_LOG_INFO, "compacted: reason=%s freed=%s", zsd_task_reason_name(reason),
		       zs_size_format(chore->compacted_pages * ZS_PAGE_SIZE, freed));
	chore->compacted_pages = 0;
}

bool zsd_cold_step_recompress(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			      uint64_t turn, uint64_t device_id, uint64_t bytes)
{
	struct zs_recompress_request request = {.types = ZS_RECOMPRESS_ALL, .max_saved_bytes = bytes};

	if (chore->recompressed == turn || zsd_cold_rests(policy, chore, ZSD_TASK_RECOMPRESS, device_id) ||
	    zsd_cold_recompress(policy, chore, reason, device_id, &request, RECOMPRESS_SHARE_PERCENT))
		return false;
	chore->recompressed = turn;
	chore->began_usec = zsd_cold_now_usec();
	return true;
}

bool zsd_cold_step_write_back(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			      uint64_t device_id, uint64_t bytes)
{
	const struct zsd_task_writeback wanted = {
		.device_id = device_id, .order = ZS_WRITEBACK_COLDEST, .limit_bytes = bytes};

	chore->recompressed = 0;
	return zsd_cold_can_write(policy) && !zsd_cold_rests(policy, chore, ZSD_TASK_WRITEBACK, device_id) &&
	       zsd_cold_write_back(policy, chore, reason, &wanted);
}

/* The same, if there is time for it. */
static bool recompress(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
		       uint64_t turn, uint64_t device_id, struct use use)
{
	return !is_pressing(policy, use) &&
	       zsd_cold_step_recompress(policy, chore, reason, turn, device_id, excess(policy, use));
}

/* Those of one kind, in turn from the cursor on; start_next() is false, and the cursor 0, at the end. */
static void look_at_each(struct zsd_cold_policy *policy, struct zsd_chore *chore, const unsigned int *cursor,
			 bool (*any_pressing)(const struct zsd_cold_policy *policy),
			 bool (*start_next)(struct zsd_cold_policy *policy))
{
	bool is_amid = *cursor > 0;

	if (zsd_cold_step_is_due(policy, chore, any_pressing) && !start_next(policy) && is_amid)
		start_next(policy);
}

/*
 * the pool
 */

static struct use pool_use(const struct zsd_cold_policy *policy)
{
	struct zs_store_stats stats;

	zs_store_stats(policy->store, &stats);
	return (struct use){stats.heap.used_bytes, stats.heap.limit_bytes};
}

static bool pool_is_pressing(const struct zsd_cold_policy *policy)
{
	return !zsd_cold_rests(policy, &policy->pool, ZSD_TASK_WRITEBACK, 0) && is_pressing(policy, pool_use(policy));
}

/* One device each time that the pool is near its limit, in turn. */
static bool recompress_for_pool(struct zsd_cold_policy *policy, struct use use)
{
	uint64_t id;

	/* Those up to the cursor are looked at in the second round. */
	for (unsigned int round = 0; round < 2; round++) {
		while (zs_store_next(policy->store, &policy->pool_cursor, &id)) {
			if (recompress(policy, &policy->pool, ZSD_REASON_POOL_LIMIT, 1, id, use))
				return true;
		}
		policy->pool_cursor = 0;
	}
	return false;
}

static void look_at_pool(struct zsd_cold_policy *policy)
{
	struct zsd_chore *chore = &policy->pool;
	struct use use;

	if (!zsd_cold_step_is_due(policy, chore, pool_is_pressing))
		return;
	use = pool_use(policy);
	if (excess(policy, use) && zsd_cold_compact(policy, chore))
		use = pool_use(policy);
	else
		zsd_cold_log_compaction(chore, ZSD_REASON_POOL_LIMIT);
	if (!excess(policy, use) || !zsd_cold_can_write(policy))
		chore->recompressed = 0;
	if (!excess(policy, use))
		return;
	if (chore->recompressed || !recompress_for_pool(policy, use))
		zsd_cold_step_write_back(policy, chore, ZSD_REASON_POOL_LIMIT, 0, excess(policy, use));
}

/*
 * devices
 */

static struct use device_use(const struct zsd_cold_policy *policy, uint64_t id)
{
	struct zs_device *device = zs_device_get(policy->store, id, NULL);
	struct zs_device_stats stats;
	struct zs_device_info info;
	struct use use = {0};

	if (!device)
		return use;
	zs_device_info(device, &info);
	if (info.memory_limit_bytes) {
		zs_device_stats(device, &stats);
		use = (struct use){stats.memory_bytes, info.memory_limit_bytes};
	}
	zs_device_put(device, NULL);
	return use;
}

static bool any_device_is_pressing(const struct zsd_cold_policy *policy)
{
	unsigned int cursor = 0;
	uint64_t id;

	while (zs_store_next(policy->store, &cursor, &id)) {
		if (!zsd_cold_rests(policy, &policy->device, ZSD_TASK_WRITEBACK, id) &&
		    is_pressing(policy, device_use(policy, id)))
			return true;
	}
	return false;
}

/* Each in its turn, from the cursor on. True if something was started; false at the end of the table. */
static bool start_for_device(struct zsd_cold_policy *policy)
{
	unsigned int cursor = policy->device_cursor, next = cursor;
	struct zsd_chore *chore = &policy->device;
	struct use use;
	uint64_t id;

	for (; zs_store_next(policy->store, &next, &id); cursor = next) {
		use = device_use(policy, id);
		if (!excess(policy, use))
			continue;
		/* Then its turn isn't over. */
		policy->device_cursor = cursor;
		if (recompress(policy, chore, ZSD_REASON_DEVICE_LIMIT, id, id, use))
			return true;
		policy->device_cursor = next;
		if (zsd_cold_step_write_back(policy, chore, ZSD_REASON_DEVICE_LIMIT, id, excess(policy, use)))
			return true;
	}
	policy->device_cursor = 0;
	return false;
}

/*
 * groups
 */

static bool any_group_is_pressing(const struct zsd_cold_policy *policy)
{
	struct zs_group_use group;
	unsigned int cursor = 0;

	while (zs_store_next_limited_group(policy->store, &cursor, &group)) {
		if (is_pressing(policy, (struct use){group.charged_bytes, group.memory_limit_bytes}))
			return true;
	}
	return false;
}

static bool is_member(const struct zsd_cold_policy *policy, uint64_t id, const struct zs_group_use *group)
{
	struct zs_device *device = zs_device_get(policy->store, id, NULL);
	struct zs_device_info info;

	if (!device)
		return false;
	zs_device_info(device, &info);
	zs_device_put(device, NULL);
	return strcmp(info.group, group->name) == 0;
}

/* Each of the group's devices in turn, where nothing can be written. */
static bool recompress_member(struct zsd_cold_policy *policy, const struct zs_group_use *group, uint64_t bytes)
{
	uint64_t id;

	policy->group.recompressed = 0;
	while (zs_store_next(policy->store, &policy->member_cursor, &id)) {
		if (is_member(policy, id, group) &&
		    zsd_cold_step_recompress(policy, &policy->group, ZSD_REASON_GROUP_LIMIT,
					     group->number + UINT64_C(1), id, bytes))
			return true;
	}
	return false;
}

/* True if something was started for one of the group's devices. The others' turn comes while it is still above. */
static bool look_at_group(struct zsd_cold_policy *policy, const struct zs_group_use *group)
{
	struct use use = {group->charged_bytes, group->memory_limit_bytes};
	uint64_t bytes = excess(policy, use), above, id;

	if (!bytes)
		return false;
	id = zs_store_group_device(policy->store, group->number, use.used_bytes - bytes, &above);
	if (!id)
		return false;
	if (!zsd_cold_can_write(policy) || zsd_cold_rests(policy, &policy->group, ZSD_TASK_WRITEBACK, id))
		return recompress_member(policy, group, bytes);
	/* What is charged is a little more than payload. */
	return recompress(policy, &policy->group, ZSD_REASON_GROUP_LIMIT, group->number + UINT64_C(1), id, use) ||
	       zsd_cold_step_write_back(policy, &policy->group, ZSD_REASON_GROUP_LIMIT, id,
					above ? zs_min(bytes, above) : bytes);
}

/* As start_for_device(). */
static bool start_for_group(struct zsd_cold_policy *policy)
{
	unsigned int cursor = policy->group_cursor, next = cursor;
	struct zs_group_use group;

	for (; zs_store_next_limited_group(policy->store, &next, &group); cursor = next) {
		if (!look_at_group(policy, &group)) {
			policy->member_cursor = 0;
			continue;
		}
		/* After a recompression its turn isn't over. */
		policy->group_cursor = policy->group.recompressed ? cursor : next;
		return true;
	}
	policy->group_cursor = 0;
	return false;
}

void zsd_cold_look_at_limits(struct zsd_cold_policy *policy)
{
	look_at_pool(policy);
	look_at_each(policy, &policy->device, &policy->device_cursor, any_device_is_pressing, start_for_device);
	look_at_each(policy, &policy->group, &policy->group_cursor, any_group_is_pressing, start_for_group);
}
