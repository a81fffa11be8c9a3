/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The budget of writeback. It is taken in portions, each stored in the arena and in the file before it is used: a
 * process that is killed has written at most what they say. The less is left, the smaller they are.
 */

#include <errno.h>
#include <time.h>

#include "base/bits.h"
#include "store/device_internal.h"
#include "store/writeback_internal.h"

#define DAY_SEC 86400

/* For each a page is written, and the disk's cache flushed. */
#define PORTION_BYTES ((uint64_t)64 << 20)
#define PORTION_PART  8

static uint64_t today(void)
{
	return (uint64_t)time(NULL) / DAY_SEC;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/*
 * A day that has passed owes nothing to the next one. A clock that is set back refills nothing: by a day at most, as
 * around midnight, it is waited for; by more, it was wrong, and days are counted from where it is now.
 */
static void enter_day(struct zs_backing_budget *budget, uint64_t day)
{
	if (day > budget->day)
		budget->written_bytes = 0;
	if (day > budget->day || day + 1 < budget->day)
		budget->day = day;
}

/* Under store->lock. */
static struct zs_backing_budget load(struct zs_backing *backing)
{
	struct zs_backing_budget budget;
	uint64_t day;

	zs_backing_get_budget(backing, &budget);
	day = budget.day;
	enter_day(&budget, today());
	/* Or days would be counted from there anew each time, until something is written. */
	if (budget.day < day)
		zs_backing_set_budget(backing, &budget);
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

/* What was taken and not used. Of a total limit that was set meanwhile nothing was taken. Under store->lock. */
static void refund(struct writeback *run, struct zs_backing_budget *budget)
{
	struct zs_cold *cold = &run->store->cold;

	budget->written_bytes = minus(budget->written_bytes, run->allowance_bytes);
	if (budget->is_counted && !cold->total_is_new)
		budget->remaining_bytes += run->allowance_bytes;
	run->allowance_bytes = 0;
	cold->total_is_new = false;
	atomic_store_explicit(&cold->limit_is_new, false, memory_order_relaxed);
}

/* Returns 0 or -EDQUOT. */
static int take_portion(struct writeback *run, uint64_t bytes)
{
	struct zs_backing *backing = run->store->cold.backing;
	struct zs_backing_budget budget;
	uint64_t left, portion;
	ZS_LOCK_SCOPE(&run->store->lock);

	budget = load(backing);
	refund(run, &budget);
	left = available(&budget);
	portion = zs_min(left, zs_max(bytes, zs_min(left / PORTION_PART, PORTION_BYTES)));
	if (portion >= bytes) {
		spend(&budget, portion);
		run->allowance_bytes = portion;
	} else {
		run->store->cold.short_bytes = left;
	}
	zs_backing_set_budget(backing, &budget);
	return portion < bytes ? -EDQUOT : 0;
}

int writeback_budget_take(struct writeback *run, uint64_t bytes)
{
	bool is_new = atomic_load_explicit(&run->store->cold.limit_is_new, memory_order_relaxed);
	int error;

	if (run->allowance_bytes < bytes || is_new) {
		error = take_portion(run, bytes);
		zs_store_keep_writeback_budget(run->store);
		if (error)
			return error;
	}
	run->allowance_bytes -= bytes;
	return 0;
}

static void settle(struct writeback *run)
{
	struct zs_backing_budget budget;
	ZS_LOCK_SCOPE(&run->store->lock);

	budget = load(run->store->cold.backing);
	spend_collected(run->store, &budget);
	refund(run, &budget);
	zs_backing_set_budget(run->store->cold.backing, &budget);
}

void writeback_budget_settle(struct writeback *run)
{
	settle(run);
	zs_store_keep_writeback_budget(run->store);
}

static bool take_collected(struct zs_store *store)
{
	struct zs_backing_budget budget;
	ZS_LOCK_SCOPE(&store->lock);

	budget = load(store->cold.backing);
	if (spend_collected(store, &budget))
		zs_backing_set_budget(store->cold.backing, &budget);
	return available(&budget) > 0;
}

bool writeback_budget_collected(struct zs_store *store)
{
	bool left = take_collected(store);

	zs_store_keep_writeback_budget(store);
	return left;
}

void zs_store_keep_writeback_budget(struct zs_store *store)
{
	struct zs_backing_budget budget;

	if (!store->cold.backing)
		return;
	zs_lock(&store->lock);
	zs_backing_get_budget(store->cold.backing, &budget);
	zs_unlock(&store->lock);
	zs_backing_keep_budget(store->cold.backing, &budget);
}

/*
 * limits
 */

static bool is_wanted(enum zs_limit_source source, uint64_t configured, uint64_t bytes)
{
	return source != ZS_LIMIT_AT_START || configured != bytes;
}

/* Under store->lock. */
static void put_limits(struct zs_store *store, const struct zs_backing_budget *budget)
{
	zs_backing_set_budget(store->cold.backing, budget);
	store->cold.short_bytes = 0;
	atomic_store_explicit(&store->cold.limit_is_new, true, memory_order_relaxed);
}

int zs_store_set_daily_limit(struct zs_store *store, uint64_t bytes, enum zs_limit_source source)
{
	struct zs_backing_budget budget;
	ZS_LOCK_SCOPE(&store->lock);

	if (!store->cold.backing)
		return -EOPNOTSUPP;
	budget = load(store->cold.backing);
	if (!is_wanted(source, budget.configured_limit_bytes, bytes))
		return 0;
	budget.limit_bytes = bytes;
	if (source != ZS_LIMIT_BY_COMMAND)
		budget.configured_limit_bytes = bytes;
	put_limits(store, &budget);
	return 0;
}

int zs_store_set_total_limit(struct zs_store *store, uint64_t bytes, enum zs_limit_source source)
{
	bool is_counted = bytes != ZS_NO_TOTAL_LIMIT;
	struct zs_backing_budget budget;
	ZS_LOCK_SCOPE(&store->lock);

	if (!store->cold.backing)
		return -EOPNOTSUPP;
	budget = load(store->cold.backing);
	bytes = is_counted ? bytes : 0;
	if (!is_wanted(source, budget.configured_total_bytes, bytes))
		return 0;
	budget.is_counted = is_counted;
	budget.remaining_bytes = bytes;
	if (source != ZS_LIMIT_BY_COMMAND)
		budget.configured_total_bytes = bytes;
	store->cold.total_is_new = true;
	put_limits(store, &budget);
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
		.refill_sec = (kept.day + 1) * DAY_SEC,
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
