#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A slab cache: objects of one small size, named by 32-bit indexes that never move, in memory that is reserved once and
 * grows and shrinks by pages. There are two: handle words (in the arena) and zspage descriptors (in private memory);
 * all pools share both, so that half-empty pages exist once and not once per pool.
 *
 * A free object's first eight bytes hold the link to the next free one of its page, in the bits that a handle word
 * keeps for its location: a free handle word therefore has the state FREE. Index 0 is never handed out.
 *
 * Lock: slab->lock, taken under a size class's lock or alone; the page source's lock may be taken under it. Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/lock.h"
#include "zsmalloc/pool.h"

/* Where the pages of a slab cache come from. Both are called with the cache's lock held. */
struct zs_slab_ops {
	/* Makes memory for a page, zeroed. Returns 0, -ENOSPC or -ENOMEM. */
	int (*grow)(void *context, uint64_t page, enum zs_urgency urgency);
	/* Takes the memory of a page back; it reads as zeros afterwards. */
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
	const struct zs_slab_ops *ops;
	void *context;
	struct zs_slab_page *pages; /* [nr_pages_max] */

	struct zs_lock lock;	/* guards all below, and the pages' descriptors */
	struct zs_list partial; /* pages with used and free objects */
	struct zs_list empty;	/* pages with memory and no used object; at most SLAB_EMPTY_MAX */
	struct zs_list dropped; /* pages whose memory was given back */
	uint32_t nr_empty;
	uint32_t nr_fresh;  /* pages from here on were never used */
	uint64_t nr_memory; /* pages with memory */
	uint64_t nr_active; /* objects handed out */
};

/* base points to nr_pages_max pages of address space. object_bytes is a multiple of 8. Returns 0 or -ENOMEM. */
int zs_slab_init(struct zs_slab *slab, void *base, uint32_t object_bytes, uint32_t nr_pages_max,
		 const struct zs_slab_ops *ops, void *context);
void zs_slab_deinit(struct zs_slab *slab);

/* Returns 0, what grow answered, or -ENOSPC if all indexes are taken. The object's content is unspecified. */
int zs_slab_alloc(struct zs_slab *slab, enum zs_urgency urgency, uint32_t *ret_index);
void zs_slab_free(struct zs_slab *slab, uint32_t index);

static inline void *zs_slab_at(const struct zs_slab *slab, uint32_t index)
{
	return slab->base + (uint64_t)(index / slab->objects_per_page) * ZS_PAGE_SIZE +
	       (uint64_t)(index % slab->objects_per_page) * slab->object_bytes;
}

/*
 * rebuild: says that a page has memory (ops->grow isn't called), and which of its objects are in use (bit i of the
 * bitmap for the page's ith object). A page without any is given back. Pages in ascending order, each once. One thread.
 */
void zs_slab_adopt(struct zs_slab *slab, uint32_t page, const uint64_t *used);

/* Asserts the invariants. Context: no other thread. */
void zs_slab_check(struct zs_slab *slab);
