/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Near the limits of pool, devices and groups. Each chore takes the steps in this order, and the next one only if there
 * is still too much in memory:
 *
 *   1. compact       the pool, a little at each look
 *   2. recompress    a device that has codecs for it: the largest objects first, until enough is saved. Not if three
 *                    quarters of the way from StartAt to the limit are gone, and for ten seconds at most: requests
 *                    that find no room don't wait for it, but they wait
 *   3. write back    the coldest blocks
 */

#include "base/bits.h"
#include "cold_policy_internal.h"
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

/* There is no time for recompression. */
static bool is_pressing(const struct zsd_cold_policy *policy, struct use use)
{
	return use.used_bytes >= use.limit_bytes / 400 * (300 + policy->options.start_percent);
}

/* Whether something may be started for the chore; ends a recompression that takes too long. */
static bool is_due(struct zsd_cold_policy *policy, struct zsd_chore *chore)
{
	if (zsd_cold_is_due(policy, chore))
		return true;
	if (chore->recompressed && chore->task && zsd_cold_now_usec() >= chore->began_usec + RECOMPRESS_MAX_USEC)
		zsd_tasks_cancel(policy->tasks, chore->task);
	return false;
}

/* True if it was started; what says for whom, and is not 0. Not twice without writing back in between. */
static bool recompress(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
		       uint64_t what, uint64_t device_id, struct use use)
{
	struct zs_recompress_request request = {.types = ZS_RECOMPRESS_ALL, .max_saved_bytes = excess(policy, use)};

	if (chore->recompressed == what || is_pressing(policy, use) ||
	    zsd_cold_recompress(policy, chore, reason, device_id, &request, RECOMPRESS_SHARE_PERCENT))
		return false;
	chore->recompressed = what;
	chore->began_usec = zsd_cold_now_usec();
	return true;
}

static void write_back(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
		       uint64_t device_id, uint64_t bytes)
{
	const struct zsd_task_writeback wanted = {
		.device_id = device_id, .order = ZS_WRITEBACK_COLDEST, .limit_bytes = bytes};

	chore->recompressed = 0;
	zsd_cold_write_back(policy, chore, reason, &wanted);
}

/*
 * the pool
 */

static struct use pool_use(struct zsd_cold_policy *policy)
{
	struct zs_store_stats stats;

	zs_store_stats(policy->store, &stats);
	return (struct use){stats.heap.used_bytes, stats.heap.limit_bytes};
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

	if (!is_due(policy, chore))
		return;
	use = pool_use(policy);
	if (excess(policy, use) && zs_store_compact(policy->store, COMPACT_PAGES))
		use = pool_use(policy);
	if (!excess(policy, use))
		chore->recompressed = 0;
	else if (chore->recompressed || !recompress_for_pool(policy, use))
		write_back(policy, chore, ZSD_REASON_POOL_LIMIT, 0, excess(policy, use));
}

/*
 * devices
 */

static struct use device_use(struct zsd_cold_policy *policy, uint64_t id)
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

static void look_at_devices(struct zsd_cold_policy *policy)
{
	unsigned int cursor = policy->device_cursor, next = cursor;
	struct zsd_chore *chore = &policy->device;
	struct use use;
	uint64_t id;

	if (!is_due(policy, chore))
		return;
	/* Each in its turn; at the end of the table the next look begins anew. */
	for (; zs_store_next(policy->store, &next, &id); cursor = next) {
		use = device_use(policy, id);
		if (!excess(policy, use))
			continue;
		/* Then its turn isn't over. */
		policy->device_cursor = cursor;
		if (recompress(policy, chore, ZSD_REASON_DEVICE_LIMIT, id, id, use))
			return;
		policy->device_cursor = next;
		write_back(policy, chore, ZSD_REASON_DEVICE_LIMIT, id, excess(policy, use));
		return;
	}
	policy->device_cursor = 0;
	*chore = (struct zsd_chore){.next_usec = chore->next_usec};
}

/*
 * groups
 */

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
	/* What is charged is a little more than payload. */
	if (!recompress(policy, &policy->group, ZSD_REASON_GROUP_LIMIT, group->number + UINT64_C(1), id, use))
		write_back(policy, &policy->group, ZSD_REASON_GROUP_LIMIT, id, above ? zs_min(bytes, above) : bytes);
	return true;
}

static void look_at_groups(struct zsd_cold_policy *policy)
{
	unsigned int next = policy->group_cursor;
	struct zsd_chore *chore = &policy->group;
	struct zs_group_use group;

	if (!is_due(policy, chore))
		return;
	while (zs_store_next_limited_group(policy->store, &next, &group)) {
		if (!look_at_group(policy, &group))
			continue;
		/* After a recompression its turn isn't over. */
		policy->group_cursor = chore->recompressed ? policy->group_cursor : next;
		return;
	}
	policy->group_cursor = 0;
	*chore = (struct zsd_chore){.next_usec = chore->next_usec};
}

void zsd_cold_look_at_limits(struct zsd_cold_policy *policy)
{
	look_at_pool(policy);
	look_at_devices(policy);
	look_at_groups(policy);
}
