/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Room for objects: which zspage an allocation takes it from.
 *
 *   1. an object of its class that the thread has freed itself and kept (zsmalloc/kept.c)
 *   2. the fullest zspage of the class that has a free object
 *   3. the same of a larger class that lends: of the nearest one with the free objects of a whole zspage to spare
 *   4. a new zspage of the object's class
   5. if there is no memory for that, all of this once more with what all threads have kept
 *
 * Files come in turns, and so do the sizes of their blocks: a class grows by zspages that are half empty a minute
 * later, while its neighbour does the reverse. Compaction would move the objects of both together, and give pages back
 * that the next turn takes again. Lending lets the neighbour's free objects serve instead, at the price of what they
 * are larger. A class that has less than a zspage to spare lends nothing: its own next objects need that, and
 * compaction could not have made a page of it.
 *
 * An object that was lent stays of the lender's class until it is freed, and is charged what its own class costs.
 *
 * New zspages are made, and empty ones given back, without any lock held; so two threads may each make a zspage for the
 * same class at the same time: the second one to come back finds the first one's, and returns its own.
 */

#include "base/check.h"
#include "zsmalloc/pool_internal.h"

void size_class_remove(struct zs_size_class *class, struct zspage *zspage)
{
	if (zspage->group == ZS_FULLNESS_FULL) {
		class->group_zspages[ZS_FULLNESS_FULL]--;
		return;
	}
	/* A new zspage is on no list yet. */
	class->group_zspages[zspage->group] -= !zs_list_empty(&zspage->link);
	zs_list_unlink(&zspage->link);
	if (zs_list_empty(&class->groups[zspage->group]))
		class->occupied &= (uint16_t) ~(1u << zspage->group);
}

void size_class_refile(struct zs_heap *heap, struct zs_size_class *class, struct zspage *zspage)
{
	enum zs_fullness group = zspage_fullness(heap, zspage);

	if (group == zspage->group && (group == ZS_FULLNESS_FULL || !zs_list_empty(&zspage->link)))
		return;
	size_class_remove(class, zspage);
	zspage->group = (uint8_t)group;
	class->group_zspages[group]++;
	if (group == ZS_FULLNESS_FULL)
		return;
	zs_list_push(&class->groups[group], &zspage->link);
	class->occupied |= (uint16_t)(1u << group);
}

struct zspage *size_class_find(struct zs_size_class *class)
{
	if (!class->occupied)
		return NULL;
	return zs_list_entry(class->groups[zs_ilog2(class->occupied)].next, struct zspage, link);
}

/*
 * Notes the object that the class hands out next. Nobody has used it lately, unless it was freed just now, so whoever
 * has written this one asks for it (zs_obj_replace()). Under class->lock.
 */
static void note_next(const struct zs_heap *heap, struct zs_size_class *class)
{
	const struct zspage *zspage = size_class_find(class);
	const void *next = zspage && zspage->free != ZSPAGE_END ? zspage_object(heap, zspage, zspage->free) : NULL;

	atomic_store_explicit(&class->next, next, memory_order_relaxed);
}

/* Takes an object from a zspage of the class that has one; false if there is none. Under class->lock. */
static bool class_take(struct zs_pool *pool, unsigned int index, bool *ret_fresh, struct zs_location *ret_location)
{
	struct zs_size_class *class = &pool->classes[index];
	struct zspage *zspage = size_class_find(class);

	if (!zspage)
		return false;
	*ret_fresh = zspage->free == ZSPAGE_END;
	ret_location->page = zspage->page;
	ret_location->class = (uint8_t)index;
	ret_location->index = (uint16_t)zspage_object_alloc(pool->heap, zspage);
	size_class_count(&class->nr_objects, 1);
	size_class_refile(pool->heap, class, zspage);
	note_next(pool->heap, class);
	return true;
}

/* The slow path of pool_take_room(): the class needs a zspage. */
static int class_grow_and_take(struct zs_pool *pool, unsigned int index, enum zs_urgency urgency, bool *ret_fresh,
			       struct zs_location *ret_location)
{
	struct zs_size_class *class = &pool->classes[index];
	struct zspage *zspage;
	int error;
	bool taken;

	error = zspage_create(pool, index, urgency, &zspage);
	if (error)
		return error;
	zs_lock(pool_lock(pool, index));
	taken = class_take(pool, index, ret_fresh, ret_location);
	if (!taken) {
		size_class_refile(pool->heap, class, zspage);
		size_class_count(&class->nr_zspages, 1);
		zs_assert(class_take(pool, index, ret_fresh, ret_location));
	}
	zs_unlock(pool_lock(pool, index));
	if (taken)
		zspage_destroy(pool->heap, zspage);
	return 0;
}

/* Takes an object of a larger class that lends; false if none does. Looks first, and locks the class that it finds. */
static bool borrow(struct zs_pool *pool, unsigned int index, bool *ret_fresh, struct zs_location *ret_location)
{
	const struct zs_geometry *geometry = pool->heap->geometry;

	for (unsigned int lender = index + 1; zs_geometry_lends(geometry, lender, index); lender++) {
		if (!size_class_has_spare_zspage(pool, lender))
			continue;
		ZS_LOCK_SCOPE(pool_lock(pool, lender));
		if (!size_class_has_spare_zspage(pool, lender))
			continue;
		zs_assert(class_take(pool, lender, ret_fresh, ret_location));
		pool->classes[lender].nr_lent++;
		return true;
	}
	return false;
}

static int take_room(struct zs_pool *pool, unsigned int index, enum zs_urgency urgency, bool *ret_fresh,
		     struct zs_location *ret_location)
{
	*ret_fresh = false;
	if (pool_take_kept(pool, index, ret_location))
		return 0;
	{
		ZS_LOCK_SCOPE(pool_lock(pool, index));
		if (class_take(pool, index, ret_fresh, ret_location))
			return 0;
	}
	if (borrow(pool, index, ret_fresh, ret_location))
		return 0;
	return class_grow_and_take(pool, index, urgency, ret_fresh, ret_location);
}

int pool_take_room(struct zs_pool *pool, unsigned int index, enum zs_urgency urgency, struct zs_handle handle,
		   bool *ret_fresh, struct zs_location *ret_location)
{
	int error = take_room(pool, index, urgency, ret_fresh, ret_location);

	/* What threads keep may be all that is free in the class, or in those that lend to it, or all of a zspage. */
	if (error && pool_reclaim_kept(pool, UINT64_MAX, NULL))
		error = take_room(pool, index, urgency, ret_fresh, ret_location);
	if (error)
		return error;
	/* Without the lock, which else would be held until the object's first line has come from memory. */
	atomic_store_explicit(&heap_object(pool->heap, *ret_location)->handle, handle.index, memory_order_relaxed);
	return 0;
}

void pool_give_back(struct zs_pool *pool, struct zs_location location, struct zs_list *empty)
{
	struct zs_heap *heap = pool->heap;
	struct zs_size_class *class = &pool->classes[location.class];
	struct zspage *zspage = heap_zspage(heap, zs_pages_zspage(&heap->pages, location.page));

	zspage_object_free(heap, zspage, location.index);
	size_class_count(&class->nr_objects, -1);
	if (zspage->inuse) {
		size_class_refile(heap, class, zspage);
		return;
	}
	size_class_remove(class, zspage);
	size_class_count(&class->nr_zspages, -1);
	zs_list_push(empty, &zspage->link);
}

void pool_free_room(struct zs_pool *pool, struct zs_location location, struct zs_list *empty)
{
	pool_give_back(pool, location, empty);
	pool_limit_kept(pool, location.class, empty);
}
