/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether anything can be written to the backing file, as far as one knows without trying: a try looks at all slots.
 *
 *   the last writeback ended since             nothing is written until
 *   the file is full                           a segment more of it is not in use: blocks were freed, or it has grown
 *   its disk is full, or it answers errors     a minute later
 *   the budget is used up                      it is refilled, at midnight (UTC) or by a command
 *
 * Requests that wait for room have it tried all the same, but for the budget.
 */

#include <errno.h>
#include <time.h>

#include "cold_policy_internal.h"
#include "store/cold.h"

#define DAY_SEC 86400

/* It was full, and as far as one can see it still is. */
static bool is_full(const struct zsd_cold_policy *policy)
{
	uint64_t unused;

	return policy->full_unused_bytes && zs_backing_is_full(zs_store_backing(policy->store), &unused) &&
	       unused < policy->full_unused_bytes;
}

bool zsd_cold_can_write(const struct zsd_cold_policy *policy)
{
	return zs_store_backing(policy->store) && policy->now_usec >= policy->file_usec && !is_full(policy) &&
	       zs_store_has_writeback_budget(policy->store);
}

/* At midnight the budget of a day begins anew; what is counted once and for all only by a command. */
static uint64_t refill_usec(const struct zsd_cold_policy *policy)
{
	struct zs_writeback_budget budget;

	if (zs_store_writeback_budget(policy->store, &budget) || !budget.day_bytes)
		return UINT64_MAX;
	return policy->now_usec + (DAY_SEC - (uint64_t)time(NULL) % DAY_SEC) * USEC_PER_SEC;
}

uint64_t zsd_cold_next_write_usec(const struct zsd_cold_policy *policy)
{
	struct zs_store_stats stats;

	if (policy->now_usec < policy->file_usec)
		return policy->file_usec;
	if (!is_full(policy))
		return refill_usec(policy);
	zs_store_stats(policy->store, &stats);
	return stats.deferred.pending || stats.deferred.devices ? policy->now_usec + RETRY_USEC : UINT64_MAX;
}

bool zsd_cold_note_file_error(struct zsd_cold_policy *policy, int error)
{
	struct zs_backing *backing = zs_store_backing(policy->store);
	struct zs_backing_stats stats;
	uint64_t unused;

	if (error != -ENOSPC && error != -EDQUOT && error != -EIO)
		return false;
	if (error == -ENOSPC && zs_backing_is_full(backing, &unused)) {
		zs_backing_stats(backing, &stats);
		policy->full_unused_bytes = unused + stats.segment_bytes;
	} else if (error != -EDQUOT) {
		policy->file_usec = policy->now_usec + RETRY_USEC;
	}
	return true;
}
