#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page source: runs of pages of the arena, the limit, and the map from a page to its zspage.
 *
 * Owns the pages region. Runs of 1 to ZS_RUN_MAX_PAGES pages are handed out with memory behind them and come back
 * whole. A run that comes back stays in the reserve, memory included, and is used again for runs of any length; when
 * that is too large, runs are sorted and punched, outside the lock: by the thread that frees, or by somebody who lets
 * more come together before (zs_pages_set_shrinker()). A hole takes address space only.
 *
 * Locks: pages->punch -> pages->lock, the innermost ones. Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/geometry.h"
#include "zsmalloc/pool.h"
#include "zsmalloc/runs.h"

/* What counts against the limit. */
enum zs_charge { ZS_CHARGE_ZSPAGE, ZS_CHARGE_TABLE, ZS_CHARGE_HANDLE, ZS_CHARGE_DICTIONARY, ZS_CHARGE_NR };

/* Runs that are punched in one go: the more there are, the more of them are neighbours. */
#define ZS_PAGES_BATCH 8192u

enum zs_pages_shrink { ZS_SHRINK_IDLE, ZS_SHRINK_SOON, ZS_SHRINK_NOW };

struct zs_pages {
	struct zs_arena *arena; /* immutable */
	uint32_t nr_pages;	/* length of the region; immutable */
	/*
	 * For each page of a zspage its descriptor's index, else 0. Entries of a zspage are stable while the caller
	 * knows an object in it.
	 */
	_Atomic uint32_t *map;

	struct zs_lock lock;	     /* guards all below */
	uint32_t fresh;		     /* pages from here on were never handed out */
	struct zs_runs reserve;	     /* free pages with memory */
	struct zs_runs holes;	     /* free pages without */
	uint32_t sweep;		     /* what is punched next begins here */
	uint64_t nr_batch;	     /* pages in batch, which are being punched */
	enum zs_pages_shrink shrink; /* what the shrinker was asked for */
	zs_shrink_wish *wish;	     /* NULL: there is no shrinker */
	void *wish_context;
	unsigned int nr_bulks;		   /* zs_pages_bulk_begin() without its end */
	uint64_t nr_charged[ZS_CHARGE_NR]; /* pages in use, by what for */
	uint64_t nr_used;		   /* sum of nr_charged */
	uint64_t nr_peak;		   /* highest nr_used */
	uint64_t nr_limit;		   /* 0 = none */
	uint64_t nr_populated;		   /* given memory so far */
	uint64_t nr_punched;		   /* given back to the system so far */
	uint64_t limit_hits;

	struct zs_lock punch; /* held by the one thread that gives memory back; guards the next */
	struct zs_run *batch; /* [ZS_PAGES_BATCH] */
};

/* Returns 0 or -ENOMEM. */
int zs_pages_init(struct zs_pages *pages, struct zs_arena *arena);
void zs_pages_deinit(struct zs_pages *pages);

void zs_pages_set_limit(struct zs_pages *pages, uint64_t nr_pages);

/*
 * A run of nr pages with memory. Returns 0, -ENOSPC (limit, or no address space left) or -ENOMEM: the system has none,
 * also after the reserve was given back.
 */
int zs_pages_alloc(struct zs_pages *pages, unsigned int nr, enum zs_urgency urgency, uint32_t *ret_page);
/* Takes a run back, as it was handed out. */
void zs_pages_free(struct zs_pages *pages, uint32_t page, unsigned int nr);

/*
 * Says who calls zs_pages_shrink(), as zs_heap_set_shrinker(). wish is called without a lock of this module. And gives
 * back what the reserve has too much; returns when that, and what another thread was giving back, is punched.
 */
void zs_pages_set_shrinker(struct zs_pages *pages, zs_shrink_wish *wish, void *context);
void zs_pages_shrink(struct zs_pages *pages);
/* Gives all of the reserve back, for a system that is short of memory; true if there was something. */
bool zs_pages_relieve(struct zs_pages *pages);

/*
 * Between these the reserve may be larger, and who frees punches it, in larger batches. Any number of threads at a
 * time.
 */
void zs_pages_bulk_begin(struct zs_pages *pages);
void zs_pages_bulk_end(struct zs_pages *pages);

/* Counts pages that come from elsewhere against the limit. Returns 0 or -ENOSPC. */
int zs_pages_charge(struct zs_pages *pages, enum zs_charge charge, uint64_t nr, enum zs_urgency urgency);
void zs_pages_uncharge(struct zs_pages *pages, enum zs_charge charge, uint64_t nr);

/* Says to which zspage a run belongs. */
void zs_pages_set_zspage(struct zs_pages *pages, uint32_t page, unsigned int nr, uint32_t zspage);
/* The zspage of a page, or 0. */
uint32_t zs_pages_zspage(const struct zs_pages *pages, uint32_t page);

/*
 * rebuild: zs_pages_adopt() takes a run that has no owner yet (false if it has one, or lies outside);
 * zs_pages_rebuild_end() makes free runs of all that was not adopted and punches it. One thread.
 */
bool zs_pages_adopt(struct zs_pages *pages, uint32_t page, unsigned int nr, uint32_t zspage);
void zs_pages_rebuild_end(struct zs_pages *pages);

/* Asserts that the sets and counters agree. Context: no other thread. */
void zs_pages_check(struct zs_pages *pages);

static inline void *zs_pages_at(const struct zs_pages *pages, uint32_t page)
{
	return zs_arena_at(pages->arena, ZS_REGION_PAGES, (uint64_t)page << ZS_PAGE_SHIFT);
}
