/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The budget of writeback. It is taken in portions, each stored in the arena before it is used: a process that is
 * killed has written at most what the arena says.
 */

#include <errno.h>
#include <time.h>

#include "base/bits.h"
#include "store/device_internal.h"
#include "store/writeback_internal.h"

#define PORTION_BYTES ((uint64_t)1 << 20)

static uint64_t today(void)
{
	return (uint64_t)time(NULL) / 86400;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Under store->lock. A day that has passed owes nothing to the next one. */
static struct zs_backing_budget load(struct zs_backing *backing)
{
	struct zs_backing_budget budget;

	zs_backing_get_budget(backing, &budget);
	if (budget.day != today()) {
		budget.day = today();
		budget.written_bytes = 0;
	}
	return budget;
}

static void spend(struct zs_backing_budget *budget, uint64_t bytes)
{
	budget->written_bytes += bytes;
	budget->remaining_bytes = minus(budget->remaining_bytes, bytes);
}

/* Collection is not asked for byte by byte. Context: the thread that writes back. Answers how much it was. */
static uint64_t spend_collected(struct zs_store *store, struct zs_backing_budget *budget)
{
	struct zs_backing_stats stats;
	uint64_t bytes;

	zs_backing_stats(store->cold.backing, &stats);
	bytes = stats.collected_bytes - store->cold.collected_bytes;
	store->cold.collected_bytes = stats.collected_bytes;
	spend(budget, bytes);
	return bytes;
}

static uint64_t available(const struct zs_backing_budget *budget)
{
	uint64_t bytes = UINT64_MAX;

	if (budget->limit_bytes)
		bytes = minus(budget->limit_bytes, budget->written_bytes);
	return budget->is_counted ? zs_min(bytes, budget->remaining_bytes) : bytes;
}

int writeback_budget_take(struct writeback *run, uint64_t bytes)
{
	struct zs_backing *backing = run->store->cold.backing;
	struct zs_backing_budget budget;
	uint64_t portion;

	if (run->allowance_bytes >= bytes) {
		run->allowance_bytes -= bytes;
		return 0;
	}
	ZS_LOCK_SCOPE(&run->store->lock);
	budget = load(backing);
	portion = zs_min(available(&budget), zs_max(bytes, PORTION_BYTES));
	if (portion + run->allowance_bytes < bytes) {
		/* All that is left, once the allowance is given back. */
		run->store->cold.short_bytes = portion + run->allowance_bytes;
		return -EDQUOT;
	}
	spend(&budget, portion);
	zs_backing_set_budget(backing, &budget);
	run->allowance_bytes += portion - bytes;
	return 0;
}

void writeback_budget_settle(struct writeback *run)
{
	struct zs_backing *backing = run->store->cold.backing;
	struct zs_backing_budget budget;
	ZS_LOCK_SCOPE(&run->store->lock);

	budget = load(backing);
	spend_collected(run->store, &budget);
	budget.written_bytes = minus(budget.written_bytes, run->allowance_bytes);
	budget.remaining_bytes += budget.is_counted ? run->allowance_bytes : 0;
	zs_backing_set_budget(backing, &budget);
	run->allowance_bytes = 0;
}

bool writeback_budget_collected(struct zs_store *store)
{
	struct zs_backing_budget budget;
	ZS_LOCK_SCOPE(&store->lock);

	budget = load(store->cold.backing);
	if (spend_collected(store, &budget))
		zs_backing_set_budget(store->cold.backing, &budget);
	return available(&budget) > 0;
}

int zs_store_set_writeback_budget(struct zs_store *store, const struct zs_writeback_budget *budget)
{
	struct zs_backing_budget kept;
	ZS_LOCK_SCOPE(&store->lock);

	if (!store->cold.backing)
		return -EOPNOTSUPP;
	kept = load(store->cold.backing);
	kept.limit_bytes = budget->day_bytes;
	kept.is_counted = budget->has_remaining;
	kept.remaining_bytes = budget->has_remaining ? budget->remaining_bytes : 0;
	zs_backing_set_budget(store->cold.backing, &kept);
	store->cold.short_bytes = 0;
	return 0;
}

int zs_store_writeback_budget(struct zs_store *store, struct zs_writeback_budget *ret_budget)
{
	struct zs_backing_budget kept;
	ZS_LOCK_SCOPE(&store->lock);

	if (!store->cold.backing)
		return -EOPNOTSUPP;
	kept = load(store->cold.backing);
	*ret_budget = (struct zs_writeback_budget){
		.day_bytes = kept.limit_bytes,
		.written_today_bytes = kept.written_bytes,
		.has_remaining = kept.is_counted,
		.remaining_bytes = kept.remaining_bytes,
	};
	return 0;
}

bool zs_store_has_writeback_budget(struct zs_store *store)
{
	struct zs_backing_budget budget;
	ZS_LOCK_SCOPE(&store->lock);

	if (!store->cold.backing)
		return false;
	budget = load(store->cold.backing);
	return available(&budget) > store->cold.short_bytes;
}
