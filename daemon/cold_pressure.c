/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When the system is short of memory, a twentieth of what the pool has in use is to be free, by the steps of
 * cold_limits.c in their order: some is compacted, a device recompressed, each time another one, and then the coldest
 * blocks are written back. Where nothing can be written all devices are recompressed, one after the other, until it is
 * enough.
 *
 * The kernel tells every two seconds as long as memory is short. If it does while a device is recompressed, and there
 * is something faster to do, there is no time for it any more.
 */

#include "base/bits.h"
#include "cold_policy_internal.h"

#define PARTS	   20
#define PAUSE_USEC (10 * USEC_PER_SEC)

static uint64_t used_bytes(const struct zsd_cold_policy *policy)
{
	struct zs_store_stats stats;

	zs_store_stats(policy->store, &stats);
	return stats.heap.used_bytes;
}

bool zsd_cold_pressed(struct zsd_cold_policy *policy)
{
	uint64_t used;

	/* Now or at the next look, it is the same. */
	policy->pressed_again = policy->pressed_goal_bytes > 0;
	if (policy->pressed_again || !zsd_cold_is_due(policy, &policy->pressed))
		return false;
	used = used_bytes(policy);
	if (!(used / PARTS))
		return false;
	policy->pressed_goal_bytes = used - used / PARTS;
	zsd_cold_begin_round(policy, &policy->pressed);
	return true;
}

static void end(struct zsd_cold_policy *policy)
{
	zsd_cold_log_compaction(&policy->pressed, ZSD_REASON_PRESSURE);
	policy->pressed_goal_bytes = 0;
	policy->pressed_again = false;
	policy->pressed.recompressed = 0;
	/* A start that failed may have put it off for longer. */
	policy->pressed.next_usec = zs_max(policy->pressed.next_usec, policy->now_usec + PAUSE_USEC);
}

static bool is_pressing(const struct zsd_cold_policy *policy)
{
	return policy->pressed_again && zsd_cold_can_write_of(policy, &policy->pressed, 0);
}

/* The next device in turn; false if all had theirs. */
static bool recompress(struct zsd_cold_policy *policy, uint64_t bytes)
{
	uint64_t id;

	while (zsd_cold_next_in_round(policy, &policy->pressed, zs_store_next, &id)) {
		if (zsd_cold_step_recompress(policy, &policy->pressed, ZSD_REASON_PRESSURE, 1, id, bytes))
			return true;
	}
	return false;
}

void zsd_cold_look_at_pressure(struct zsd_cold_policy *policy)
{
	struct zsd_chore *chore = &policy->pressed;
	uint64_t used, goal = policy->pressed_goal_bytes;

	if (!goal || !zsd_cold_step_is_due(policy, chore, is_pressing))
		return;
	used = used_bytes(policy);
	if (used > goal && zsd_cold_compact(policy, chore, ZSD_REASON_PRESSURE))
		used = used_bytes(policy);
	if (!zsd_cold_can_write_of(policy, chore, 0))
		chore->recompressed = 0;
	if (used > goal && !chore->recompressed && recompress(policy, used - goal))
		return;
	if (used > goal)
		zsd_cold_step_write_back(policy, chore, ZSD_REASON_PRESSURE, 0, used - goal);
	end(policy);
}
