/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether anything can be written to the backing file, as far as one knows without trying: a try looks at all slots.
 *
 *   the last writeback ended since             nothing is written until
 *   the file is full                           so much more of it is not in use that a try is worth it: blocks were
 *                                              freed, or it has grown; a minute later a segment is enough
 *   its disk is full, or it answers errors     a minute later
 *   the budget is used up                      it is refilled, at midnight (UTC) or by a command
 *
 * Midnight is the clock's that days are counted by: that one is waited for, since no other one knows how long the
 * system was suspended, nor that it was set.
 *
 * Requests that wait for room have it tried all the same, but for the budget.
 */

#include <errno.h>
#include <sys/timerfd.h>

#include "base/bits.h"
#include "cold_policy_internal.h"
#include "store/cold.h"

/* Of a file that was full: worth a try at once. */
#define ROOM_MIN_BYTES ZS_BATCH_MAX_BYTES
#define ROOM_PART      64

/* It was full, and there isn't enough room since: counted from when a block found none, whenever that was seen. */
static bool is_full(const struct zsd_cold_policy *policy)
{
	struct zs_backing *backing = zs_store_backing(policy->store);
	struct zs_backing_stats stats;
	uint64_t freed;

	if (!policy->was_full)
		return false;
	freed = zs_backing_freed(backing);
	zs_backing_stats(backing, &stats);
	if (policy->now_usec >= policy->full_usec + RETRY_USEC)
		return freed < stats.segment_bytes;
	return freed < zs_max(ROOM_MIN_BYTES, stats.size_bytes / ROOM_PART);
}

/* When it may not be any more though nobody uses the data: what was freed is enough then, or what still is. */
static uint64_t room_usec(const struct zsd_cold_policy *policy)
{
	struct zs_store_stats stats;

	if (policy->now_usec < policy->full_usec + RETRY_USEC)
		return policy->full_usec + RETRY_USEC;
	zs_store_stats(policy->store, &stats);
	/* A request tells when it begins, and frees a little later. */
	return stats.deferred.pending || stats.deferred.devices || policy->now_usec < policy->active_usec + RETRY_USEC
		       ? policy->now_usec + RETRY_USEC
		       : UINT64_MAX;
}

bool zsd_cold_can_write(const struct zsd_cold_policy *policy)
{
	return zs_store_backing(policy->store) && policy->now_usec >= policy->file_usec && !is_full(policy) &&
	       zs_store_has_writeback_budget(policy->store);
}

/* When the budget that is used up begins anew, since 1970; 0: only when a command says so, or there is one. */
static uint64_t refill_sec(const struct zsd_cold_policy *policy)
{
	struct zs_writeback_budget budget;

	if (zs_store_writeback_budget(policy->store, &budget) || !budget.day_bytes ||
	    zs_store_has_writeback_budget(policy->store))
		return 0;
	return budget.refill_sec;
}

void zsd_cold_await_refill(const struct zsd_cold_policy *policy)
{
	struct itimerspec at = {0};
	int flags;

	/* ECANCELED: the clock was set, and that is known by now. */
	do {
		at.it_value.tv_sec = (time_t)refill_sec(policy);
		flags = at.it_value.tv_sec ? TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET : 0;
	} while (timerfd_settime(policy->midnight_fd, flags, &at, NULL) < 0 && errno == ECANCELED);
}

uint64_t zsd_cold_next_write_usec(const struct zsd_cold_policy *policy)
{
	if (policy->now_usec < policy->file_usec)
		return policy->file_usec;
	return is_full(policy) ? room_usec(policy) : UINT64_MAX;
}

bool zsd_cold_note_file_error(struct zsd_cold_policy *policy, int error)
{
	bool full;

	if (error != -ENOSPC && error != -EDQUOT && error != -EIO)
		return false;
	if (error == -EDQUOT)
		return true;
	full = error == -ENOSPC && zs_backing_is_full(zs_store_backing(policy->store));
	if (full) {
		policy->was_full = true;
		policy->full_usec = policy->now_usec;
	}
	/* Where it was the disk that had no room, the file may not look full. */
	if (!full || !is_full(policy))
		policy->file_usec = policy->now_usec + RETRY_USEC;
	return true;
}
