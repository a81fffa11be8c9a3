/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Metrics of the backing file. */

#include "base/bits.h"
#include "metrics_text.h"
#include "store/backing.h"
#include "store/cold.h"
#include "store/writeback.h"

/* What may still be written before something refills it, if there is a limit. */
static void write_budget(struct zsd_text *text, struct zs_store *store)
{
	struct zs_writeback_budget budget;
	uint64_t left = UINT64_MAX;

	if (zs_store_writeback_budget(store, &budget))
		return;
	if (budget.day_bytes)
		left = budget.day_bytes - zs_min(budget.written_today_bytes, budget.day_bytes);
	if (budget.has_remaining)
		left = zs_min(left, budget.remaining_bytes);
	if (left != UINT64_MAX)
		zsd_text_gauge(text, "zsd_writeback_budget_bytes",
			       "What the limits leave to be written to the backing file.", (double)left);
}

void zsd_metrics_write_backing(struct zsd_text *text, struct zs_store *store)
{
	struct zs_backing *backing = zs_store_backing(store);
	struct zs_backing_stats stats;

	if (!backing)
		return;
	zs_backing_stats(backing, &stats);
	zsd_text_counter(text, "zsd_writeback_bytes", "Bytes written to the backing file, collection included.",
			 stats.written_bytes);
	zsd_text_counter(text, "zsd_writeback_pages", "Blocks written to the backing file, collection included.",
			 stats.appended_records);
	zsd_text_counter(text, "zsd_writeback_errors", "Writes to the backing file that have failed.",
			 stats.write_errors);
	write_budget(text, store);
}
