/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kept objects: free ones that a thread has at hand, a few of each class (Bonwick's magazines, below the lists).
 *
 * What a thread frees it keeps, and hands out next. So most allocations and frees take neither the class's lock nor a
 * line of memory that another processor has just written: the class, the descriptor of the zspage, its neighbours' on
 * the list. Each of these takes 100 to 250 ns to get here.
 *
 *   where an object is    its zspage  its class   its header's handle
 *   free list of zspage   free        free        0
 *   kept                  in use      in use      0
 *   with the caller       in use      in use      the caller's
 *
 * A class lets its threads keep one object for KEPT_PER_INUSE in use, and drops what they have when it has become so
 * much smaller that they may keep twice as many. That is decided where an object is given back to its zspage, and a
 * thread that frees more than it may keep gets there, so
 *
 *   kept objects of a class <= nr_may_keep <= nr_objects / KEPT_PER_INUSE * 2
 *
 * always holds: a small class has none, and one whose last object is freed neither. They are also dropped when
 * compaction finds nothing else to do, and when an allocation finds no room. Who may keep some is decided anew then: it
 * is who frees first.
 *
 * Nothing of this is in the arena: after a kill nobody names a kept object, and it is free. A thread's table for all
 * classes is private memory, which no limit counts; so there are only so many that they take no more than 1/TABLES_PART
 * of what the class has in use whose thread asks for the next one: pools of many small devices have none.
 *
 * A thread's objects have a lock of their own, under the class's, which nobody else takes but to drop them. Threads
 * that share a number (base/thread.h) share them, and a number's next thread goes on with them.
 */

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/thread.h"
#include "zsmalloc/pool_internal.h"

/*
 * With two threads and 8 objects of a class each, replacements were 11 % faster than with 4 and one for 256 in use, and
 * 3 % faster than with 8 and one for 256 (bench arena alloc, mean of 5), for the same memory.
 */
#define KEPT_PER_INUSE 128
#define TABLES_PART    64
/* Of what tests have. With fewer than 3 a class would keep its last object. */
#define FEW_PER_INUSE 4

bool zs_kept_of_few;

static uint32_t nr_may_keep(const struct zs_size_class *class)
{
	return atomic_load_explicit(&class->nr_may_keep, memory_order_relaxed);
}

static struct zs_kept *kept_of(const struct zs_pool *pool, unsigned int thread, unsigned int class)
{
	/* acquire: whoever finds them finds them made */
	struct zs_kept *kept = atomic_load_explicit(&pool->kept[thread], memory_order_acquire);

	return kept ? &kept[class] : NULL;
}

static uint32_t number_of(const struct zs_kept *kept)
{
	return atomic_load_explicit(&kept->nr, memory_order_relaxed);
}

static uint32_t max_of(const struct zs_kept *kept)
{
	return atomic_load_explicit(&kept->max, memory_order_relaxed);
}

static struct zs_location location_of(const struct zs_kept *kept, uint32_t number)
{
	return zs_handle_location(atomic_load_explicit(&kept->words[number], memory_order_relaxed));
}

bool pool_take_kept(struct zs_pool *pool, unsigned int class, struct zs_location *ret_location)
{
	struct zs_kept *kept = kept_of(pool, zs_thread_number(), class);
	uint32_t nr;

	if (!kept || !number_of(kept))
		return false;
	ZS_LOCK_SCOPE(&kept->lock);
	nr = number_of(kept);
	if (!nr)
		return false;
	*ret_location = location_of(kept, nr - 1);
	zs_assert(!atomic_load_explicit(&heap_object(pool->heap, *ret_location)->handle, memory_order_relaxed));
	atomic_store_explicit(&kept->nr, nr - 1, memory_order_relaxed);
	return true;
}

bool pool_keep(struct zs_pool *pool, struct zs_location location)
{
	struct zs_kept *kept = kept_of(pool, zs_thread_number(), location.class);
	uint32_t nr;

	if (!kept || number_of(kept) >= max_of(kept))
		return false;
	ZS_LOCK_SCOPE(&kept->lock);
	nr = number_of(kept);
	if (nr >= max_of(kept))
		return false;
	atomic_store_explicit(&heap_object(pool->heap, location)->handle, 0, memory_order_relaxed);
	atomic_store_explicit(&kept->words[nr], zs_handle_word(ZS_HANDLE_FREE, location, 0), memory_order_relaxed);
	atomic_store_explicit(&kept->nr, nr + 1, memory_order_relaxed);
	return true;
}

/* Takes out all, and lets the thread keep no more from now on. Answers how many there were. */
static uint32_t empty_kept(struct zs_kept *kept, struct zs_location *locations)
{
	uint32_t nr;
	ZS_LOCK_SCOPE(&kept->lock);

	nr = number_of(kept);
	for (uint32_t i = 0; i < nr; i++)
		locations[i] = location_of(kept, i);
	atomic_store_explicit(&kept->nr, 0, memory_order_relaxed);
	atomic_store_explicit(&kept->max, 0, memory_order_relaxed);
	return nr;
}

bool pool_drop_kept(struct zs_pool *pool, unsigned int class, struct zs_list *empty)
{
	unsigned int nr_threads = nr_may_keep(&pool->classes[class]) ? zs_thread_numbers() : 0;
	struct zs_location locations[ZS_KEPT_MAX];
	bool any = false;

	for (unsigned int thread = 0; thread < nr_threads; thread++) {
		struct zs_kept *kept = kept_of(pool, thread, class);
		uint32_t nr = kept ? empty_kept(kept, locations) : 0;

		any |= nr > 0;
		while (nr)
			pool_give_back(pool, locations[--nr], empty);
	}
	atomic_store_explicit(&pool->classes[class].nr_may_keep, 0, memory_order_relaxed);
	return any;
}

bool pool_reclaim_kept(struct zs_pool *pool, uint64_t page_budget, uint64_t *ret_pages)
{
	const struct zs_geometry *geometry = pool->heap->geometry;
	uint64_t pages = 0;
	bool any = false;

	for (unsigned int i = 0; i < geometry->nr_classes && pages < page_budget; i++) {
		struct zs_list empty;

		if (!nr_may_keep(&pool->classes[i]))
			continue;
		zs_list_init(&empty);
		zs_lock(pool_lock(pool, i));
		any |= pool_drop_kept(pool, i, &empty);
		zs_unlock(pool_lock(pool, i));
		pages += (uint64_t)zspages_destroy(pool->heap, &empty) * geometry->classes[i].pages;
	}
	if (ret_pages)
		*ret_pages = pages;
	return any;
}

static size_t table_bytes(const struct zs_pool *pool)
{
	return pool->heap->geometry->nr_classes * sizeof(struct zs_kept);
}

/* Under the class's lock. */
static bool may_have_table(const struct zs_pool *pool, unsigned int index)
{
	uint64_t nr_objects = atomic_load_explicit(&pool->classes[index].nr_objects, memory_order_relaxed);
	uint64_t nr_tables = atomic_load_explicit(&pool->nr_kept_tables, memory_order_relaxed);

	return zs_kept_of_few || (nr_tables + 1) * table_bytes(pool) <=
					 nr_objects * pool->heap->geometry->classes[index].size / TABLES_PART;
}

static struct zs_kept *make_table(struct zs_pool *pool, unsigned int thread)
{
	struct zs_kept *table = zs_fault() ? NULL : aligned_alloc(_Alignof(struct zs_kept), table_bytes(pool));
	struct zs_kept *other = NULL;

	if (!table)
		return NULL;
	memset(table, 0, table_bytes(pool));
	for (unsigned int i = 0; i < pool->heap->geometry->nr_classes; i++)
		zs_lock_init(&table[i].lock, ZS_LOCK_KEPT);
	/* Threads may share a number. */
	if (!atomic_compare_exchange_strong(&pool->kept[thread], &other, table)) {
		free(table);
		return other;
	}
	atomic_fetch_add_explicit(&pool->nr_kept_tables, 1, memory_order_relaxed);
	return table;
}

void pool_forget_kept(struct zs_pool *pool)
{
	for (unsigned int thread = 0; thread < ZS_THREADS_MAX; thread++) {
		struct zs_kept *table = pool->kept[thread];

		for (unsigned int i = 0; table && i < pool->heap->geometry->nr_classes; i++)
			zs_lock_deinit(&table[i].lock);
		free(table);
	}
}

/* How many objects of a class threads may keep in all. Under class->lock. */
static uint32_t share_of(const struct zs_size_class *class)
{
	uint32_t nr_objects = atomic_load_explicit(&class->nr_objects, memory_order_relaxed);

	return nr_objects / (zs_kept_of_few ? FEW_PER_INUSE : KEPT_PER_INUSE);
}

void pool_limit_kept(struct zs_pool *pool, unsigned int class, struct zs_list *empty)
{
	if (nr_may_keep(&pool->classes[class]) > 2 * share_of(&pool->classes[class]))
		pool_drop_kept(pool, class, empty);
}

void pool_allow_kept(struct zs_pool *pool, unsigned int index)
{
	struct zs_size_class *class = &pool->classes[index];
	unsigned int thread = zs_thread_number();
	struct zs_kept *kept;

	if (nr_may_keep(class) >= share_of(class) || pool->has_one_lock)
		return;
	kept = kept_of(pool, thread, index);
	if (!kept && may_have_table(pool, index) && make_table(pool, thread))
		kept = kept_of(pool, thread, index);
	if (!kept || max_of(kept) == ZS_KEPT_MAX)
		return;
	atomic_store_explicit(&kept->max, max_of(kept) + 1, memory_order_relaxed);
	size_class_count(&class->nr_may_keep, 1);
}

static uint32_t count_of(const struct zs_kept *kept, const struct zspage *zspage)
{
	uint32_t nr = number_of(kept), count = 0;

	if (!zspage)
		return nr;
	for (uint32_t i = 0; i < nr; i++)
		count += location_of(kept, i).page == zspage->page;
	return count;
}

uint32_t pool_count_kept(const struct zs_pool *pool, unsigned int class, const struct zspage *zspage)
{
	unsigned int nr_threads = nr_may_keep(&pool->classes[class]) ? zs_thread_numbers() : 0;
	uint32_t count = 0;

	for (unsigned int thread = 0; thread < nr_threads; thread++) {
		const struct zs_kept *kept = kept_of(pool, thread, class);

		count += kept ? count_of(kept, zspage) : 0;
	}
	return count;
}

static void check_location(const struct zs_pool *pool, unsigned int class, struct zs_location location)
{
	uint32_t index = zs_pages_zspage(&pool->heap->pages, location.page);
	const struct zspage *zspage = heap_zspage(pool->heap, index);

	zs_assert(index && zspage->page == location.page && zspage->pool == pool->number && zspage->class == class);
	zs_assert(location.class == class && location.index < zspage->fresh);
	zs_assert(!heap_object(pool->heap, location)->handle);
}

void pool_check_kept(struct zs_pool *pool, unsigned int index)
{
	const struct zs_size_class *class = &pool->classes[index];
	uint32_t may_keep = 0;

	for (unsigned int thread = 0; thread < ZS_THREADS_MAX; thread++) {
		struct zs_kept *kept = kept_of(pool, thread, index);

		if (!kept)
			continue;
		zs_assert(kept->nr <= kept->max && kept->max <= ZS_KEPT_MAX);
		for (uint32_t i = 0; i < kept->nr; i++)
			check_location(pool, index, location_of(kept, i));
		may_keep += kept->max;
	}
	zs_assert(may_keep == nr_may_keep(class) && may_keep <= 2 * share_of(class));
}

const void *pool_next(const struct zs_pool *pool, unsigned int class)
{
	const struct zs_kept *kept = kept_of(pool, zs_thread_number(), class);
	uint32_t nr = kept ? number_of(kept) : 0;

	if (nr)
		return heap_object(pool->heap, location_of(kept, nr - 1));
	return atomic_load_explicit(&pool->classes[class].next, memory_order_relaxed);
}

bool pool_will_keep(const struct zs_pool *pool, unsigned int class)
{
	const struct zs_kept *kept = kept_of(pool, zs_thread_number(), class);

	return kept && number_of(kept) < max_of(kept);
}
