/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done near a limit, or when memory is short, one step at a time. */

#include "base/log.h"
#include "base/size.h"
#include "cold_policy_internal.h"
#include "store/cold.h"

#define RECOMPRESS_SHARE_PERCENT 50
#define RECOMPRESS_MAX_USEC	 (10 * USEC_PER_SEC)

bool zsd_cold_step_is_due(struct zsd_cold_policy *policy, struct zsd_chore *chore,
			  bool (*any_pressing)(const struct zsd_cold_policy *policy))
{
	if (zsd_cold_is_due(policy, chore)) {
		/* Nothing was done yet in this round. */
		if (!chore->round.was_in_vain)
			zsd_cold_begin_round(policy, chore);
		return true;
	}
	if (chore->recompressed && chore->task &&
	    (policy->now_usec >= chore->began_usec + RECOMPRESS_MAX_USEC || any_pressing(policy)))
		zsd_tasks_cancel(policy->tasks, chore->task);
	return false;
}

uint64_t zsd_cold_compact(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason)
{
	uint64_t pages = policy->options.compacts ? zs_store_compact(policy->store, ZSD_COMPACT_PAGES) : 0;

	chore->compacted_pages += pages;
	zsd_tasks_count_compacted(policy->tasks, reason, pages * ZS_PAGE_SIZE);
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
	chore->began_usec = policy->now_usec;
	return true;
}

bool zsd_cold_step_write_back(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			      uint64_t device_id, uint64_t bytes)
{
	const struct zsd_task_writeback wanted = {
		.device_id = device_id, .order = ZS_WRITEBACK_COLDEST, .limit_bytes = bytes};

	chore->recompressed = 0;
	return zsd_cold_can_write_of(policy, chore, device_id) && zsd_cold_write_back(policy, chore, reason, &wanted);
}
