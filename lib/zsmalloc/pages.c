/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page source.
 *
 *   state of a run   memory   counted in              map entry of its first page
 *   in use           yes      nr_charged[ZSPAGE]      zspage index (all its pages)
 *   reserve          yes      nr_reserve              MAP_FREE | next
 *   batch            perhaps  nr_batch                0
 *   hole             no       nothing                 MAP_FREE | next
 *   fresh            no       nothing                 0
 *
 *   pages below fresh = nr_charged[ZSPAGE] + nr_reserve + nr_batch + those in holes
 *   memory = nr_used + nr_reserve + nr_batch, and when a run is made of a hole at most the limit and the reserve's
 *
 * Who frees a run puts it into the reserve. Only there a run is used again without a system call, so that is where it
 * waits for its punch as well:
 *
 *   the reserve               with a shrinker                without one, or in bulk
 *   is larger than its limit  it is asked to shrink soon     shrinks
 *   more than GATHER_PAGES    it is asked to do it now       shrinks
 *   more than GATHER_MAX      who frees shrinks              shrinks
 *   would, with what is in    who allocates shrinks          who allocates shrinks
 *   use, pass the limit
 *
 * The shrinker's thread may be late or gone; memory is given back, then by who frees. Nothing of this outlives the
 * process: after a kill all that no object needs is punched (zs_pages_rebuild_end()).
 */

#include "zsmalloc/pages.h"

#include <errno.h>

#include "base/check.h"
#include "zsmalloc/pages_internal.h"

/*
 * Free memory worth keeping: 1/1024 of what is used, between these. Up to 16 times as much was tried: it saves next to
 * nothing, as runs are used again only for zspages of the same length, and shows as memory.
 */
#define RESERVE_SHARE	  1024
#define RESERVE_MIN_PAGES 128
#define RESERVE_MAX_PAGES 1024
/* The same while much is freed at once: 16 MiB, so that more of what is punched together is next to each other. */
#define RESERVE_BULK_PAGES 4096
/*
 * What may come together for a shrinker: 16 MiB until it is asked to hurry, twice as much until it gets help. Measured
 * with a device that is written back: punches take 40 % less time than in batches of some 100 KiB; 64 MiB are no
 * better.
 */
#define GATHER_PAGES	 4096
#define GATHER_MAX_PAGES 8192

int zs_pages_init(struct zs_pages *pages, struct zs_arena *arena)
{
	uint64_t nr = arena->region_bytes[ZS_REGION_PAGES] >> ZS_PAGE_SHIFT;

	*pages = (struct zs_pages){.arena = arena, .nr_pages = (uint32_t)zs_min(nr, MAP_END)};
	pages->map = zs_reserve(pages->nr_pages * sizeof(*pages->map));
	pages->batch = zs_reserve(ZS_PAGES_BATCH * sizeof(*pages->batch));
	if (!pages->map || !pages->batch) {
		zs_reserve_free((void *)pages->map, pages->nr_pages * sizeof(*pages->map));
		zs_reserve_free(pages->batch, ZS_PAGES_BATCH * sizeof(*pages->batch));
		pages->map = NULL;
		return -ENOMEM;
	}
	for (unsigned int i = 0; i <= ZS_RUN_MAX_PAGES; i++)
		pages->reserve[i] = pages->holes[i] = MAP_END;
	zs_lock_init(&pages->lock, ZS_LOCK_PAGES);
	zs_lock_init(&pages->punch, ZS_LOCK_PUNCH);
	return 0;
}

void zs_pages_deinit(struct zs_pages *pages)
{
	if (!pages->map)
		return;
	zs_lock_deinit(&pages->lock);
	zs_lock_deinit(&pages->punch);
	zs_reserve_free(pages->batch, ZS_PAGES_BATCH * sizeof(*pages->batch));
	zs_reserve_free(pages->map, pages->nr_pages * sizeof(*pages->map));
	pages->map = NULL;
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

/* Cuts nr pages off the shortest hole that is longer. */
static bool split_hole(struct zs_pages *pages, unsigned int nr, uint32_t *ret_page)
{
	for (unsigned int length = nr + 1; length <= ZS_RUN_MAX_PAGES; length++) {
		if (!pages_list_pop(pages, &pages->holes[length], ret_page))
			continue;
		pages_list_push(pages, &pages->holes[length - nr], *ret_page + nr);
		return true;
	}
	return false;
}

/* Finds address space for a run that has no memory yet. */
static bool take_hole(struct zs_pages *pages, unsigned int nr, uint32_t *ret_page)
{
	if (pages_list_pop(pages, &pages->holes[nr], ret_page))
		return true;
	if (pages->nr_pages - pages->fresh >= nr) {
		*ret_page = pages->fresh;
		pages->fresh += nr;
		return true;
	}
	return split_hole(pages, nr, ret_page);
}

/* How many free pages may keep their memory. Under pages->lock. */
static uint64_t reserve_limit(const struct zs_pages *pages)
{
	if (pages->nr_bulks)
		return RESERVE_BULK_PAGES;
	return zs_min(zs_max(pages->nr_used / RESERVE_SHARE, RESERVE_MIN_PAGES), RESERVE_MAX_PAGES);
}

/* Takes runs out of the reserve, longest first, until half of the limit is left or the batch is full. */
static unsigned int take_batch(struct zs_pages *pages, bool all)
{
	ZS_LOCK_SCOPE(&pages->lock);
	uint64_t limit = all ? 0 : reserve_limit(pages);
	unsigned int count = 0;

	/* What comes from now on asks for itself. */
	pages->shrink = ZS_SHRINK_IDLE;
	if (pages->nr_reserve <= limit)
		return 0;
	for (unsigned int nr = ZS_RUN_MAX_PAGES; nr; nr--) {
		while (count < ZS_PAGES_BATCH && pages->nr_reserve > limit / 2 &&
		       pages_list_pop(pages, &pages->reserve[nr], &pages->batch[count].page)) {
			pages->nr_reserve -= nr;
			pages->nr_batch += nr;
			pages->batch[count++].nr = nr;
		}
	}
	return count;
}

static void put_holes(struct zs_pages *pages, unsigned int count)
{
	ZS_LOCK_SCOPE(&pages->lock);

	for (unsigned int i = 0; i < count; i++)
		pages_list_push(pages, &pages->holes[pages->batch[i].nr], pages->batch[i].page);
	pages->nr_punched += pages->nr_batch;
	pages->nr_batch = 0;
	pages->has_new_holes |= count > 0;
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
	return pages->nr_limit &&
	       pages->nr_used + pages->nr_reserve + pages->nr_batch > pages->nr_limit + reserve_limit(pages);
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
	*ret_hole = !pages_list_pop(pages, &pages->reserve[nr], ret_page);
	if (!*ret_hole) {
		pages->nr_reserve -= nr;
		return 0;
	}
	if (take_hole(pages, nr, ret_page))
		return 0;
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
		pages_merge_holes(pages, nr);
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
		pages_list_push(pages, &pages->holes[nr], page);
		pages->has_new_holes = true;
		uncharge_locked(pages, ZS_CHARGE_ZSPAGE, nr);
		return error;
	}
	*ret_page = page;
	return 0;
}

/* The reserve has grown. Answers the wish for the shrinker, if there is a new one. Under pages->lock. */
static zs_shrink_wish *new_wish(struct zs_pages *pages)
{
	enum zs_pages_shrink shrink = pages->nr_reserve > GATHER_PAGES ? ZS_SHRINK_NOW : ZS_SHRINK_SOON;

	if (pages->shrink >= shrink)
		return NULL;
	pages->shrink = shrink;
	return pages->wish;
}

void zs_pages_free(struct zs_pages *pages, uint32_t page, unsigned int nr)
{
	zs_shrink_wish *wish = NULL;
	bool is_full, is_urgent;

	zs_assert(nr && nr <= ZS_RUN_MAX_PAGES && page < pages->nr_pages);
	zs_pages_set_zspage(pages, page, nr, 0);
	{
		ZS_LOCK_SCOPE(&pages->lock);
		uncharge_locked(pages, ZS_CHARGE_ZSPAGE, nr);
		pages_list_push(pages, &pages->reserve[nr], page);
		pages->nr_reserve += nr;
		is_full = pages->nr_reserve > reserve_limit(pages);
		is_urgent = pages->nr_reserve > GATHER_PAGES;
		if (is_full && pages->wish && !pages->nr_bulks && pages->nr_reserve <= GATHER_MAX_PAGES) {
			wish = new_wish(pages);
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
		full = pages->nr_reserve > reserve_limit(pages);
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
	uint32_t entry = atomic_load_explicit(&pages->map[page], memory_order_acquire);

	return entry & MAP_FREE ? 0 : entry;
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
			pages_add_holes(pages, start, page, ZS_RUN_MAX_PAGES);
		}
		while (page < pages->fresh && zs_pages_zspage(pages, page))
			page++;
	}
	pages_punch(pages, pages->fresh, pages->nr_pages - pages->fresh);
}

/* Counts the pages on a list and asserts that each run is free and inside. */
static uint64_t check_list(struct zs_pages *pages, uint32_t head, unsigned int nr)
{
	uint64_t count = 0;

	for (uint32_t page = head; page != MAP_END; page = atomic_load(&pages->map[page]) & ~MAP_FREE) {
		zs_assert(page + nr <= pages->fresh);
		zs_assert(atomic_load(&pages->map[page]) & MAP_FREE);
		count += nr;
	}
	return count;
}

void zs_pages_check(struct zs_pages *pages)
{
	uint64_t reserve = 0, holes = 0;

	ZS_LOCK_SCOPE(&pages->lock);
	for (unsigned int nr = 1; nr <= ZS_RUN_MAX_PAGES; nr++) {
		reserve += check_list(pages, pages->reserve[nr], nr);
		holes += check_list(pages, pages->holes[nr], nr);
	}
	zs_assert(reserve == pages->nr_reserve);
	zs_assert(reserve + pages->nr_batch + holes + pages->nr_charged[ZS_CHARGE_ZSPAGE] == pages->fresh);
	zs_assert(pages->nr_used == pages->nr_charged[ZS_CHARGE_ZSPAGE] + pages->nr_charged[ZS_CHARGE_TABLE] +
					    pages->nr_charged[ZS_CHARGE_HANDLE] +
					    pages->nr_charged[ZS_CHARGE_DICTIONARY]);
}
