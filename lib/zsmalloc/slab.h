#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A slab cache: objects of one small size, named by 32-bit indexes that never move, in memory that is reserved once and
 * grows and shrinks by pages. There are two: handle words (in the arena) and zspage descriptors (in private memory);
 * all pools share both, so that half-empty pages exist once and not once per pool.
 *
 * Each thread keeps a magazine of free objects for each cache (zsmalloc/magazine.c), so that most calls take no lock.
 *
 * A free object's first eight bytes hold the link to the next free one of its page, in the bits that a handle word
 * keeps for its location: a free handle word therefore has the state FREE. Index 0 is never handed out.
 *
 * Lock: slab->lock, taken when no size class's is held, though the order would allow it; under it those of the page
 * source. Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/lock.h"
#include "zsmalloc/pool.h"

/*
 * Free objects at hand per thread and cache. More of them would save locking and show as unused memory: 16 are 128
 * bytes of handle words.
 */
#define ZS_MAGAZINE_OBJECTS 16

/* Where the pages of a slab cache come from. Both are called with the cache's lock held. */
struct zs_slab_ops {
	/* Makes memory for a page. Returns 0, -ENOSPC or -ENOMEM. */
	int (*grow)(void *context, uint64_t page, enum zs_urgency urgency);
	/* Takes the memory of a page back. In the arena it reads as zeros afterwards, and when it grows again. */
	void (*shrink)(void *context, uint64_t page);
};

/* A page of objects: private memory, so it is derived and never in the arena. */
struct zs_slab_page {
	struct zs_list link; /* slab->partial, slab->empty or slab->dropped; unlinked when full or never used */
	uint16_t nr_used;
	uint16_t fresh; /* objects from here on were never handed out */
	uint16_t free;	/* first free object, or SLAB_END */
	bool has_memory;
};

struct zs_slab {
	char *base; /* immutable, like the next four */
	uint32_t object_bytes;
	uint32_t objects_per_page;
	uint32_t nr_pages_max;
	unsigned int number; /* of the cache in the process: which of a thread's magazines it uses */
	const struct zs_slab_ops *ops;
	void *context;
	struct zs_slab_page *pages; /* [nr_pages_max] */

	struct zs_lock lock;	/* guards all below, and the pages' descriptors */
	struct zs_list partial; /* pages with used and free objects */
	struct zs_list empty;	/* pages with memory and no used object; at most SLAB_EMPTY_MAX */
	struct zs_list dropped; /* pages whose memory was given back */
	uint32_t nr_empty;
	uint32_t nr_fresh;	  /* pages from here on were never used */
	uint64_t nr_memory;	  /* pages with memory */
	uint64_t nr_active;	  /* objects handed out, to users and magazines */
	struct zs_list magazines; /* struct magazine */
};

/* base points to nr_pages_max pages of address space; object_bytes: a power of two, 8 or more. Returns 0 or -ENOMEM. */
int zs_slab_init(struct zs_slab *slab, void *base, uint32_t object_bytes, uint32_t nr_pages_max,
		 const struct zs_slab_ops *ops, void *context);
void zs_slab_deinit(struct zs_slab *slab);

/* Returns 0, what grow answered, or -ENOSPC if all indexes are taken. The object's content is unspecified. */
int zs_slab_alloc(struct zs_slab *slab, enum zs_urgency urgency, uint32_t *ret_index);
/* The object's first 8 bytes must say that it is free in the user's terms: it may stay in a magazine as it is. */
void zs_slab_free(struct zs_slab *slab, uint32_t index);

/* All but the name. */
void zs_slab_stats(struct zs_slab *slab, struct zs_cache_stats *ret_stats);

/* Between caches and magazines: several objects under one lock. Takes at least one, or fails as alloc does. */
int zs_slab_take(struct zs_slab *slab, enum zs_urgency urgency, uint32_t *indexes, unsigned int nr,
		 unsigned int *ret_nr);
void zs_slab_put(struct zs_slab *slab, const uint32_t *indexes, unsigned int nr);
/* Empties the calling thread's magazine of this cache. */
void zs_slab_flush(struct zs_slab *slab);
/* Empties all magazines, on behalf of their threads. Context: none of them uses the cache now or later. */
void zs_slab_forget_magazines(struct zs_slab *slab);
/* Free objects in magazines. Under slab->lock. */
uint64_t zs_slab_count_magazines(const struct zs_slab *slab);

static inline void *zs_slab_at(const struct zs_slab *slab, uint32_t index)
{
	return slab->base + (uint64_t)index * slab->object_bytes;
}

/*
 * rebuild: says that a page has memory (ops->grow isn't called), and which of its objects are in use (bit i of the
 * bitmap for the page's ith object). A page without any is given back. Pages in ascending order, each once. One thread.
 */
void zs_slab_adopt(struct zs_slab *slab, uint32_t page, const uint64_t *used);

/* Asserts the invariants. Context: no other thread. */
void zs_slab_check(struct zs_slab *slab);
