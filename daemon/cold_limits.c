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
 * It begins when StartAt is passed, and goes on until StopAt is reached, whatever has ended a step before: its time, a
 * budget, a command; or an error of the file, a minute later and when the data is used again. Below StartAt there is
 * time for compaction, which is the only step as long as it frees much. A limit that is raised, or StartAt, is to be
 * passed anew.
 *
 * Where nothing can be written (no backing file, one that is full or fails, no budget, or nothing was found to write
 * lately) the third step is the next device's second one, however near the limit is: nothing else helps. What counts
 * against the limits of devices and groups is less by compression only, and compaction is a matter of the pool.
 */

#include "base/bits.h"
#include "cold_policy_internal.h"
#include "store/cold.h"
#include "store/device.h"
#include "store/entry.h"
#include "store/group.h"

/* Of a limit; 0 = there is none. */
struct use {
	uint64_t used_bytes, limit_bytes;
	uint64_t id; /* not that of whose place it may have */
};

static uint64_t start_bytes(const struct zsd_cold_policy *policy, struct use use)
{
	return zs_max(use.limit_bytes / 100 * policy->options.start_percent, 1);
}

/* Bytes to free so that what is used comes down to the lower mark, once it has passed the upper one; else 0. */
static uint64_t excess(const struct zsd_cold_policy *policy, struct zsd_mark *mark, struct use use)
{
	uint64_t start = start_bytes(policy, use), stop = use.limit_bytes / 100 * policy->options.stop_percent;

	if (mark->id != use.id)
		*mark = (struct zsd_mark){.id = use.id};
	if (use.limit_bytes && use.used_bytes >= start)
		mark->passed_bytes = start;
	if (!use.limit_bytes || use.used_bytes <= stop || mark->passed_bytes < start)
		mark->passed_bytes = 0;
	return mark->passed_bytes ? use.used_bytes - stop : 0;
}

/* There is no time for recompression. */
static bool is_pressed(const struct zsd_cold_policy *policy, struct use use)
{
	return use.limit_bytes && use.used_bytes >= use.limit_bytes / 400 * (300 + policy->options.start_percent);
}

/* ... and something faster to do: the chore can write back of this device (0: all). */
static bool is_pressing(const struct zsd_cold_policy *policy, const struct zsd_chore *chore, uint64_t device_id,
			struct use use)
{
	return is_pressed(policy, use) && zsd_cold_can_write_of(policy, chore, device_id);
}

/* Goes round once more if the data is used since. */
static bool next_of(const struct zsd_cold_policy *policy, struct zsd_chore *chore, zsd_cold_next *next,
		    uint64_t *ret_id)
{
	if (zsd_cold_next_in_round(policy, chore, next, ret_id))
		return true;
	if (chore->round.began_usec >= policy->active_usec)
		return false;
	zsd_cold_begin_round(policy, chore);
	return zsd_cold_next_in_round(policy, chore, next, ret_id);
}

/* Each in its turn, which lasts until something was written back, or nothing can be done for it. */
static void look_at_each(struct zsd_cold_policy *policy, struct zsd_chore *chore, zsd_cold_next *next,
			 bool (*any_pressing)(const struct zsd_cold_policy *policy),
			 bool (*start)(struct zsd_cold_policy *policy, uint64_t turn))
{
	if (!zsd_cold_step_is_due(policy, chore, any_pressing) || (chore->turn && start(policy, chore->turn)))
		return;
	do {
		chore->recompressed = 0;
		chore->member = 0;
		if (!next_of(policy, chore, next, &chore->turn)) {
			chore->turn = 0;
			return;
		}
	} while (!start(policy, chore->turn));
}

/*
 * the pool
 */

static struct use pool_use(const struct zsd_cold_policy *policy)
{
	struct zs_store_stats stats;

	zs_store_stats(policy->store, &stats);
	return (struct use){stats.heap.used_bytes, stats.heap.limit_bytes, 0};
}

static bool pool_is_pressing(const struct zsd_cold_policy *policy)
{
	return is_pressing(policy, &policy->pool, 0, pool_use(policy));
}

/* One device each time that the pool is near its limit, in turn. */
static bool recompress_for_pool(struct zsd_cold_policy *policy, struct use use, uint64_t bytes)
{
	struct zsd_chore *chore = &policy->pool;
	uint64_t id;

	if (chore->recompressed || is_pressing(policy, chore, 0, use))
		return false;
	while (next_of(policy, chore, zs_store_next, &id)) {
		if (zsd_cold_step_recompress(policy, chore, ZSD_REASON_POOL_LIMIT, 1, id, bytes))
			return true;
	}
	return false;
}

static void look_at_pool(struct zsd_cold_policy *policy)
{
	struct zsd_chore *chore = &policy->pool;
	uint64_t bytes, pages = 0;
	struct use use;

	if (!zsd_cold_step_is_due(policy, chore, pool_is_pressing))
		return;
	use = pool_use(policy);
	if (excess(policy, &policy->pool_mark, use))
		pages = zsd_cold_compact(policy, chore, ZSD_REASON_POOL_LIMIT);
	if (pages)
		use = pool_use(policy);
	else
		zsd_cold_log_compaction(chore, ZSD_REASON_POOL_LIMIT);
	bytes = excess(policy, &policy->pool_mark, use);
	if (!bytes || !zsd_cold_can_write_of(policy, chore, 0))
		chore->recompressed = 0;
	if (!bytes || (pages >= ZSD_COMPACT_PAGES && use.used_bytes < start_bytes(policy, use)))
		return;
	if (!recompress_for_pool(policy, use, bytes))
		zsd_cold_step_write_back(policy, chore, ZSD_REASON_POOL_LIMIT, 0, bytes);
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
		use = (struct use){stats.memory_bytes, info.memory_limit_bytes, id};
	}
	zs_device_put(device, NULL);
	return use;
}

static bool any_device_is_pressing(const struct zsd_cold_policy *policy)
{
	unsigned int cursor = 0;
	uint64_t id;

	while (zs_store_next(policy->store, &cursor, &id)) {
		if (is_pressing(policy, &policy->device, id, device_use(policy, id)))
			return true;
	}
	return false;
}

static bool start_for_device(struct zsd_cold_policy *policy, uint64_t id)
{
	struct zsd_chore *chore = &policy->device;
	struct use use = device_use(policy, id);
	uint64_t bytes = excess(policy, &policy->device_marks[zs_device_index(id)], use);

	if (!bytes)
		return false;
	if (!is_pressing(policy, chore, id, use) &&
	    zsd_cold_step_recompress(policy, chore, ZSD_REASON_DEVICE_LIMIT, id, id, bytes))
		return true;
	return zsd_cold_step_write_back(policy, chore, ZSD_REASON_DEVICE_LIMIT, id, bytes);
}

/*
 * groups
 */

static bool next_group(struct zs_store *store, unsigned int *cursor, uint64_t *ret_number)
{
	struct zs_group_use group;

	if (!zs_store_next_limited_group(store, cursor, &group))
		return false;
	*ret_number = group.number;
	return true;
}

static struct use group_use(const struct zsd_cold_policy *policy, uint64_t number)
{
	unsigned int cursor = (unsigned int)number - 1;
	struct zs_group_use group;

	if (!zs_store_next_limited_group(policy->store, &cursor, &group) || group.number != number)
		return (struct use){0};
	return (struct use){group.charged_bytes, group.memory_limit_bytes, group.limit_id};
}

/*
 * A member that wrote nothing back is left alone as long as others have more than their share. Then the one of which
 * that is longest ago has another turn, a minute later at the earliest: so each of them has one, however many they are.
 */
static bool writes_nothing_back(const void *context, uint64_t id)
{
	const struct zsd_cold_policy *policy = context;

	return zsd_cold_vain_usec(policy, &policy->group, ZSD_TASK_WRITEBACK, id);
}

static void end_longest_rest(struct zsd_cold_policy *policy, uint64_t number)
{
	uint64_t id, longest = 0, since_usec = UINT64_MAX;
	struct zsd_chore *chore = &policy->group;
	unsigned int cursor = 0;

	while (zs_store_next_in_group(policy->store, (unsigned int)number, &cursor, &id)) {
		uint64_t usec = zsd_cold_vain_usec(policy, chore, ZSD_TASK_WRITEBACK, id);

		if (!usec || usec >= since_usec || zsd_cold_rests(policy, chore, ZSD_TASK_WRITEBACK, id))
			continue;
		longest = id;
		since_usec = usec;
	}
	if (longest)
		zsd_cold_end_rest(policy, chore, ZSD_TASK_WRITEBACK, longest);
}

/* The device of a group that is to be written back; 0 if there is none, or nothing can be written. */
static uint64_t find_member(const struct zsd_cold_policy *policy, uint64_t number, uint64_t keep_bytes,
			    uint64_t *ret_above_bytes)
{
	*ret_above_bytes = 0;
	if (!zsd_cold_can_write(policy))
		return 0;
	return zs_store_group_device(policy->store, (unsigned int)number, keep_bytes, writes_nothing_back, policy,
				     ret_above_bytes);
}

static bool any_group_is_pressing(const struct zsd_cold_policy *policy)
{
	unsigned int cursor = 0;
	uint64_t number, above;

	while (next_group(policy->store, &cursor, &number)) {
		if (is_pressed(policy, group_use(policy, number)) && find_member(policy, number, 0, &above))
			return true;
	}
	return false;
}

/* Each of the group's devices in turn, where nothing can be written. */
static bool recompress_members(struct zsd_cold_policy *policy, uint64_t number, uint64_t bytes)
{
	struct zsd_chore *chore = &policy->group;
	uint64_t id;

	chore->recompressed = 0;
	while (zs_store_next_in_group(policy->store, (unsigned int)number, &chore->member, &id)) {
		if (zsd_cold_step_recompress(policy, chore, ZSD_REASON_GROUP_LIMIT, number, id, bytes))
			return true;
	}
	return false;
}

/* True if something was started for one of the group's devices. The others' turn comes while it is still above. */
static bool start_for_group(struct zsd_cold_policy *policy, uint64_t number)
{
	struct zsd_chore *chore = &policy->group;
	struct use use = group_use(policy, number);
	uint64_t bytes = excess(policy, &policy->group_marks[number - 1], use), above, id;

	if (!bytes)
		return false;
	id = find_member(policy, number, use.used_bytes - bytes, &above);
	if (!above) {
		end_longest_rest(policy, number);
		id = find_member(policy, number, use.used_bytes - bytes, &above);
	}
	if (!id)
		return recompress_members(policy, number, bytes);
	if (!is_pressed(policy, use) &&
	    zsd_cold_step_recompress(policy, chore, ZSD_REASON_GROUP_LIMIT, number, id, bytes))
		return true;
	/* What is charged is a little more than payload. */
	return zsd_cold_step_write_back(policy, chore, ZSD_REASON_GROUP_LIMIT, id,
					above ? zs_min(bytes, above) : bytes);
}

void zsd_cold_look_at_limits(struct zsd_cold_policy *policy)
{
	look_at_pool(policy);
	look_at_each(policy, &policy->device, zs_store_next, any_device_is_pressing, start_for_device);
	look_at_each(policy, &policy->group, next_group, any_group_is_pressing, start_for_group);
}
