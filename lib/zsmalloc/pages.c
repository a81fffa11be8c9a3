/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page source.
 *
 *   state of a page   memory   counted in              map entry
 *   in use            yes      nr_charged[ZSPAGE]      zspage index
 *   reserve           yes      reserve.nr              0
 *   batch             perhaps  nr_batch                0
 *   hole              no       holes.nr                0
 *   fresh             no       nothing                 0
 *
 *   pages below fresh = nr_charged[ZSPAGE] + reserve.nr + nr_batch + holes.nr
 *   memory = nr_used + reserve.nr + nr_batch, and when a run is made of a hole at most the limit and 1/1024 of it
 *
 * Who frees a run puts it into the reserve. Only there a run is used again without a system call, so that is where it
 * waits for its punch as well:
 *
 *   the reserve               with a shrinker                without one, or in bulk
 *   is larger than its limit  it is asked to shrink soon     shrinks
 *   is what may gather        it is asked to do it now       shrinks
 *   is twice as much          who frees shrinks              shrinks
 *   would, with what is in    who allocates shrinks          who allocates shrinks
 *   use, pass the limit
 *
 * The shrinker's thread may be late or gone; memory is given back, then by who frees. Nothing of this outlives the
 * process: after a kill all that no object needs is punched (zs_pages_rebuild_end()).
 */

#include "zsmalloc/pages.h"

#include <errno.h>
#include <limits.h>

#include "base/check.h"
#include "zsmalloc/pages_internal.h"

/* So that the sum of two numbers of pages does not wrap. */
#define PAGES_MAX UINT32_C(0x7fffffff)
/*
 * Free runs that are looked at for the one that fits best: of those with memory, and of holes as long as there is
 * address space that was never used.
 */
#define RESERVE_LOOKS 256
#define HOLE_LOOKS    64

/*
 * Free memory worth keeping: 1/64 of what is used, between these. What is overwritten with other files takes 3 % more
 * or less memory from one to the next, and a page costs some 3 us to make and as much to give back: bench arena alloc
 * makes 0.023 of them for a replacement instead of 0.033 with 1/128. What that is more, compaction that begins earlier
 * by a percent is less (daemon/policy.h), for 0.012 more objects to be moved, of 1 us each.
 */
#define RESERVE_SHARE	  64
#define RESERVE_MIN_PAGES 128
#define RESERVE_MAX_PAGES 4096
/* What is given back of it at a time: little, as it is taken again soon, but not page by page. */
#define SHRINK_SHARE	 16
#define SHRINK_MIN_PAGES 64
/* How far it may go beyond the limit of all pages: 1/1024 of that, between these. */
#define BEYOND_SHARE	 1024
#define BEYOND_MIN_PAGES 128
#define BEYOND_MAX_PAGES 1024
/* What it may be where more is in use than that: overwrites go on, and not each of them shall punch. */
#define RESERVE_FLOOR_PAGES 64
/* While much is freed at once: 16 MiB, so that more of what is punched together is next to each other. */
#define RESERVE_BULK_PAGES 4096
/*
 * What may come together for a shrinker: 1/64 of what is used, between 16 and 64 MiB, until it is asked to hurry, twice
 * as much until it gets help. Measured with a device that is written back: in 16 MiB punches take 40 % less time than
 * in batches of some 100 KiB; 64 MiB take no less, but the page tables that they are of are changed a third less often,
 * and each time is an interrupt for those who read meanwhile (pages_punch.c).
 */
#define GATHER_SHARE	 64
#define GATHER_MIN_PAGES 4096
#define GATHER_MAX_PAGES 16384

int zs_pages_init(struct zs_pages *pages, struct zs_arena *arena)
{
	uint64_t nr = arena->region_bytes[ZS_REGION_PAGES] >> ZS_PAGE_SHIFT;

	*pages = (struct zs_pages){.arena = arena, .nr_pages = (uint32_t)zs_min(nr, PAGES_MAX)};
	zs_lock_init(&pages->lock, ZS_LOCK_PAGES);
	zs_lock_init(&pages->punch, ZS_LOCK_PUNCH);
	pages->map = zs_reserve(pages->nr_pages * sizeof(*pages->map));
	pages->batch = zs_reserve(ZS_PAGES_BATCH * sizeof(*pages->batch));
	if (pages->map && pages->batch && !zs_runs_init(&pages->reserve, pages->nr_pages) &&
	    !zs_runs_init(&pages->holes, pages->nr_pages))
		return 0;
	zs_pages_deinit(pages);
	return -ENOMEM;
}

void zs_pages_deinit(struct zs_pages *pages)
{
	if (!pages->nr_pages)
		return;
	zs_lock_deinit(&pages->lock);
	zs_lock_deinit(&pages->punch);
	zs_runs_deinit(&pages->holes);
	zs_runs_deinit(&pages->reserve);
	zs_reserve_free(pages->batch, ZS_PAGES_BATCH * sizeof(*pages->batch));
	zs_reserve_free((void *)pages->map, pages->nr_pages * sizeof(*pages->map));
	pages->nr_pages = 0;
}

void zs_pages_set_limit(struct zs_pages *pages, uint64_t nr_pages)
{
	ZS_LOCK_SCOPE(&pages->lock);
	pages->nr_limit = nr_pages;
}

/* How many pages may be in use at this urgency. */
static uint64_t allowed_pages(const struct zs_pages *pages, enum zs_urgency urgency)
{
	if (!pages->nr_limit || urgency == ZS_URGENCY_MUST)
		return UINT64_MAX;
	return urgency == ZS_URGENCY_NEW ? pages->nr_limit - pages->nr_limit / 64 : pages->nr_limit;
}

static int charge_locked(struct zs_pages *pages, enum zs_charge charge, uint64_t nr, enum zs_urgency urgency)
{
	uint64_t allowed = allowed_pages(pages, urgency);

	zs_lock_assert_held(&pages->lock);
	if (nr > allowed || pages->nr_used > allowed - nr) {
		pages->limit_hits++;
		return -ENOSPC;
	}
	pages->nr_charged[charge] += nr;
	pages->nr_used += nr;
	pages->nr_peak = zs_max(pages->nr_peak, pages->nr_used);
	return 0;
}

static void uncharge_locked(struct zs_pages *pages, enum zs_charge charge, uint64_t nr)
{
	zs_lock_assert_held(&pages->lock);
	zs_assert(pages->nr_charged[charge] >= nr);
	pages->nr_charged[charge] -= nr;
	pages->nr_used -= nr;
}

int zs_pages_charge(struct zs_pages *pages, enum zs_charge charge, uint64_t nr, enum zs_urgency urgency)
{
	ZS_LOCK_SCOPE(&pages->lock);
	return charge_locked(pages, charge, nr, urgency);
}

void zs_pages_uncharge(struct zs_pages *pages, enum zs_charge charge, uint64_t nr)
{
	ZS_LOCK_SCOPE(&pages->lock);
	uncharge_locked(pages, charge, nr);
}

/* Finds address space for a run that has no memory yet. */
static bool take_hole(struct zs_pages *pages, unsigned int nr, uint32_t *ret_page)
{
	uint32_t rest = pages->nr_pages - pages->fresh;

	if (zs_runs_take(&pages->holes, nr, HOLE_LOOKS, ret_page))
		return true;
	if (rest >= nr) {
		*ret_page = pages->fresh;
		pages->fresh += nr;
		return true;
	}
	/* The untouched end is too short by itself. */
	zs_runs_add(&pages->holes, pages->fresh, rest);
	pages->fresh = pages->nr_pages;
	return zs_runs_take(&pages->holes, nr, UINT_MAX, ret_page);
}

static uint64_t share_of(uint64_t nr, uint64_t share, uint64_t min, uint64_t max)
{
	return zs_min(zs_max(nr / share, min), max);
}

/* How much memory there may be with the reserve, where there is a limit. Under pages->lock. */
static uint64_t memory_limit(const struct zs_pages *pages)
{
	return pages->nr_limit + share_of(pages->nr_limit, BEYOND_SHARE, BEYOND_MIN_PAGES, BEYOND_MAX_PAGES);
}

/* How many free pages may keep their memory. Under pages->lock. */
static uint64_t reserve_limit(const struct zs_pages *pages)
{
	uint64_t worth = RESERVE_BULK_PAGES, most;

	if (!pages->nr_bulks)
		worth = share_of(pages->nr_used, RESERVE_SHARE, RESERVE_MIN_PAGES, RESERVE_MAX_PAGES);
	if (!pages->nr_limit)
		return worth;
	most = memory_limit(pages);
	return zs_min(worth, zs_max(most - zs_min(pages->nr_used, most), RESERVE_FLOOR_PAGES));
}

/* What the reserve is to be after it was larger than its limit. */
static uint64_t shrink_goal(uint64_t limit)
{
	return limit - zs_max(limit / SHRINK_SHARE, zs_min(limit / 2, SHRINK_MIN_PAGES));
}

/* Takes runs out of the reserve, in the order of the arena, until it is small enough or the batch is full. */
static unsigned int take_batch(struct zs_pages *pages, bool all)
{
	ZS_LOCK_SCOPE(&pages->lock);
	uint64_t limit = all ? 0 : reserve_limit(pages), goal = shrink_goal(limit);
	unsigned int count = 0;

	/* What comes from now on asks for itself. */
	pages->shrink = ZS_SHRINK_IDLE;
	if (pages->reserve.nr <= limit)
		return 0;
	while (count < ZS_PAGES_BATCH && pages->reserve.nr > goal) {
		struct zs_run *run = &pages->batch[count];

		if (!zs_runs_next(&pages->reserve, pages->sweep, (uint32_t)(pages->reserve.nr - goal), run)) {
			pages->sweep = 0;
			continue;
		}
		zs_runs_remove(&pages->reserve, run->page, run->nr);
		pages->sweep = run->page + run->nr;
		pages->nr_batch += run->nr;
		count++;
	}
	return count;
}

static void put_holes(struct zs_pages *pages, unsigned int count)
{
	ZS_LOCK_SCOPE(&pages->lock);

	for (unsigned int i = 0; i < count; i++)
		zs_runs_add(&pages->holes, pages->batch[i].page, pages->batch[i].nr);
	pages->nr_punched += pages->nr_batch;
	pages->nr_batch = 0;
}

/* Answers how many runs it has punched. */
static uint64_t shrink(struct zs_pages *pages, bool all)
{
	uint64_t total = 0;
	unsigned int count;
	ZS_LOCK_SCOPE(&pages->punch);

	do {
		count = take_batch(pages, all);
		pages_punch_batch(pages, count);
		put_holes(pages, count);
		total += count;
	} while (count == ZS_PAGES_BATCH);
	return total;
}

void zs_pages_shrink(struct zs_pages *pages)
{
	shrink(pages, false);
}

bool zs_pages_relieve(struct zs_pages *pages)
{
	return shrink(pages, true) > 0;
}

void zs_pages_set_shrinker(struct zs_pages *pages, zs_shrink_wish *wish, void *context)
{
	ZS_LOCK_SCOPE(&pages->lock);
	pages->wish = wish;
	pages->wish_context = context;
	pages->shrink = ZS_SHRINK_IDLE;
}

/* True if a run that is made of a hole now would be too much memory. Under pages->lock; its pages are charged. */
static bool is_beyond_limit(const struct zs_pages *pages)
{
	return pages->nr_limit && pages->nr_used + pages->reserve.nr + pages->nr_batch > memory_limit(pages);
}

static int populate(struct zs_pages *pages, uint32_t page, unsigned int nr)
{
	return zs_arena_populate(pages->arena, ZS_REGION_PAGES, (uint64_t)page << ZS_PAGE_SHIFT,
				 (uint64_t)nr << ZS_PAGE_SHIFT);
}

/* Charges a run and finds its pages; *ret_hole says that they have no memory yet. */
static int take_run(struct zs_pages *pages, unsigned int nr, enum zs_urgency urgency, uint32_t *ret_page,
		    bool *ret_hole)
{
	int error;
	ZS_LOCK_SCOPE(&pages->lock);

	error = charge_locked(pages, ZS_CHARGE_ZSPAGE, nr, urgency);
	if (error)
		return error;
	*ret_hole = !zs_runs_take(&pages->reserve, nr, RESERVE_LOOKS, ret_page);
	if (!*ret_hole)
		return 0;
	if (take_hole(pages, nr, ret_page)) {
		pages->nr_populated += nr;
		return 0;
	}
	uncharge_locked(pages, ZS_CHARGE_ZSPAGE, nr);
	return -EFBIG;
}

/* True if the last run that was made of a hole may be too much memory. */
static bool must_shrink(struct zs_pages *pages)
{
	ZS_LOCK_SCOPE(&pages->lock);
	return is_beyond_limit(pages);
}

int zs_pages_alloc(struct zs_pages *pages, unsigned int nr, enum zs_urgency urgency, uint32_t *ret_page)
{
	uint32_t page;
	bool hole;
	int error;

	zs_assert(nr && nr <= ZS_RUN_MAX_PAGES);
	error = take_run(pages, nr, urgency, &page, &hole);
	if (error == -EFBIG) {
		zs_pages_relieve(pages);
		error = take_run(pages, nr, urgency, &page, &hole);
	}
	if (error)
		return -ENOSPC;
	if (!hole) {
		*ret_page = page;
		return 0;
	}
	if (must_shrink(pages))
		zs_pages_shrink(pages);
	error = populate(pages, page, nr);
	/* What the system lacks may be what the reserve keeps. */
	if (error == -ENOMEM && zs_pages_relieve(pages))
		error = populate(pages, page, nr);
	if (error) {
		pages_punch(pages, page, nr);
		ZS_LOCK_SCOPE(&pages->lock);
		zs_runs_add(&pages->holes, page, nr);
		uncharge_locked(pages, ZS_CHARGE_ZSPAGE, nr);
		return error;
	}
	*ret_page = page;
	return 0;
}

/* How many free pages may come together until the shrinker is to hurry. Under pages->lock. */
static uint64_t gather_limit(const struct zs_pages *pages)
{
	return share_of(pages->nr_used, GATHER_SHARE, GATHER_MIN_PAGES, GATHER_MAX_PAGES);
}

/* The reserve has grown. Answers the wish for the shrinker, if there is a new one. Under pages->lock. */
static zs_shrink_wish *new_wish(struct zs_pages *pages, bool is_urgent)
{
	enum zs_pages_shrink shrink = is_urgent ? ZS_SHRINK_NOW : ZS_SHRINK_SOON;

	if (pages->shrink >= shrink)
		return NULL;
	pages->shrink = shrink;
	return pages->wish;
}

void zs_pages_free(struct zs_pages *pages, uint32_t page, unsigned int nr)
{
	zs_shrink_wish *wish = NULL;
	bool is_full, is_urgent;
	uint64_t gather;

	zs_assert(nr && nr <= ZS_RUN_MAX_PAGES && page < pages->nr_pages);
	zs_pages_set_zspage(pages, page, nr, 0);
	{
		ZS_LOCK_SCOPE(&pages->lock);
		uncharge_locked(pages, ZS_CHARGE_ZSPAGE, nr);
		zs_runs_add(&pages->reserve, page, nr);
		is_full = pages->reserve.nr > reserve_limit(pages);
		gather = gather_limit(pages);
		is_urgent = pages->reserve.nr > gather;
		if (is_full && pages->wish && !pages->nr_bulks && pages->reserve.nr <= 2 * gather) {
			wish = new_wish(pages, is_urgent);
			is_full = false;
		}
	}
	if (is_full)
		zs_pages_shrink(pages);
	if (wish)
		wish(pages->wish_context, is_urgent);
}

void zs_pages_bulk_begin(struct zs_pages *pages)
{
	ZS_LOCK_SCOPE(&pages->lock);
	pages->nr_bulks++;
}

void zs_pages_bulk_end(struct zs_pages *pages)
{
	bool full;

	{
		ZS_LOCK_SCOPE(&pages->lock);
		zs_assert(pages->nr_bulks);
		pages->nr_bulks--;
		full = pages->reserve.nr > reserve_limit(pages);
	}
	if (full)
		zs_pages_shrink(pages);
}

void zs_pages_set_zspage(struct zs_pages *pages, uint32_t page, unsigned int nr, uint32_t zspage)
{
	for (unsigned int i = 0; i < nr; i++)
		/* release: who finds the zspage finds it made */
		atomic_store_explicit(&pages->map[page + i], zspage, memory_order_release);
}

uint32_t zs_pages_zspage(const struct zs_pages *pages, uint32_t page)
{
	return atomic_load_explicit(&pages->map[page], memory_order_acquire);
}

bool zs_pages_adopt(struct zs_pages *pages, uint32_t page, unsigned int nr, uint32_t zspage)
{
	if (page >= pages->nr_pages || nr > pages->nr_pages - page)
		return false;
	for (unsigned int i = 0; i < nr; i++) {
		if (zs_pages_zspage(pages, page + i))
			return false;
	}
	zs_pages_set_zspage(pages, page, nr, zspage);
	ZS_LOCK_SCOPE(&pages->lock);
	pages->fresh = (uint32_t)zs_max(pages->fresh, page + nr);
	zs_assert(!charge_locked(pages, ZS_CHARGE_ZSPAGE, nr, ZS_URGENCY_MUST));
	return true;
}

void zs_pages_rebuild_end(struct zs_pages *pages)
{
	uint32_t start, page = 0;

	ZS_LOCK_SCOPE(&pages->lock);
	while (page < pages->fresh) {
		for (start = page; page < pages->fresh && !pages->map[page]; page++)
			continue;
		if (page > start) {
			pages_punch(pages, start, page - start);
			zs_runs_add(&pages->holes, start, page - start);
		}
		while (page < pages->fresh && zs_pages_zspage(pages, page))
			page++;
	}
	pages_punch(pages, pages->fresh, pages->nr_pages - pages->fresh);
}

/* Asserts that the runs of a set are free, and apart from those of another set. */
static void check_runs(const struct zs_pages *pages, const struct zs_runs *runs, const struct zs_runs *others)
{
	struct zs_run run, other;

	zs_runs_check(runs);
	for (uint32_t page = 0; zs_runs_next(runs, page, UINT32_MAX, &run); page = run.page + run.nr) {
		zs_assert(run.page + run.nr <= pages->fresh);
		for (uint32_t i = 0; i < run.nr; i++)
			zs_assert(!zs_pages_zspage(pages, run.page + i));
		zs_assert(!zs_runs_next(others, run.page, 1, &other) || other.page >= run.page + run.nr);
	}
}

void zs_pages_check(struct zs_pages *pages)
{
	ZS_LOCK_SCOPE(&pages->lock);
	check_runs(pages, &pages->reserve, &pages->holes);
	check_runs(pages, &pages->holes, &pages->reserve);
	zs_assert(pages->reserve.nr + pages->nr_batch + pages->holes.nr + pages->nr_charged[ZS_CHARGE_ZSPAGE] ==
		  pages->fresh);
	zs_assert(pages->nr_used == pages->nr_charged[ZS_CHARGE_ZSPAGE] + pages->nr_charged[ZS_CHARGE_TABLE] +
					    pages->nr_charged[ZS_CHARGE_HANDLE] +
					    pages->nr_charged[ZS_CHARGE_DICTIONARY]);
}
