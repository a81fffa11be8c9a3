#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A zspage: a run of pages cut into objects of one size, contiguous in the arena, so that an object is read in place
 * also where it crosses a page border.
 *
 * The descriptor is private memory, from the heap's cache of descriptors, and named by its index there. A free object
 * holds the index of the next free one in its header's meta; objects that were never handed out are not touched.
 *
 *   inuse + |free list| + (objects - fresh) == objects of the class
 *
 * Context: all but create and destroy want the lock of the zspage's class.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "zsmalloc/geometry.h"
#include "zsmalloc/object.h"

struct zs_heap;
struct zs_pool;

/* How full a zspage is: 0, 1-9 %, ... 80-89 %, 90-99 %, 100 %; as zsmalloc's fullness groups. */
enum zs_fullness { ZS_FULLNESS_EMPTY, ZS_FULLNESS_ALMOST = 10, ZS_FULLNESS_FULL, ZS_FULLNESS_NR };

struct zspage {
	struct zs_list link; /* the class's list of its fullness group; a full one is on none */
	uint32_t page;	     /* first page; immutable, as are pool and class */
	uint32_t pool;	     /* its number, for who looks for full zspages */
	uint16_t inuse;	     /* objects handed out */
	uint16_t free;	     /* first free object, or ZSPAGE_END */
	uint16_t fresh;	     /* objects from here on were never handed out */
	uint8_t class;
	uint8_t group; /* enum zs_fullness; of a new one, on no list yet, ZS_FULLNESS_EMPTY */
};

#define ZSPAGE_END UINT16_MAX

/*
 * inuse, pool and class of a descriptor that may be another zspage's by now are read without its lock
 * (zs_pool_migrate_page()), and so written in one go.
 */
static inline void zspage_set_inuse(struct zspage *zspage, unsigned int inuse)
{
	/* Who sees that it is in use sees whose it is. */
	__atomic_store_n(&zspage->inuse, (uint16_t)inuse, __ATOMIC_RELEASE);
}

/* A new zspage, on no list yet. Locks: slab, pages. Returns 0, -ENOSPC or -ENOMEM. */
int zspage_create(struct zs_pool *pool, unsigned int class, enum zs_urgency urgency, struct zspage **ret_zspage);
/* Gives back an empty zspage that is on no list. */
void zspage_destroy(struct zs_heap *heap, struct zspage *zspage);
/* The same for all zspages of a list, which is empty then. Answers their number. */
unsigned int zspages_destroy(struct zs_heap *heap, struct zs_list *zspages);

struct zs_object_header *zspage_object(const struct zs_heap *heap, const struct zspage *zspage, unsigned int index);

/* Hands out an object of a zspage that is not full; the caller writes the handle into it. */
unsigned int zspage_object_alloc(const struct zs_heap *heap, struct zspage *zspage);
void zspage_object_free(const struct zs_heap *heap, struct zspage *zspage, unsigned int index);

enum zs_fullness zspage_fullness(const struct zs_heap *heap, const struct zspage *zspage);
