/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hints: memory that is going to be needed is asked for ahead, and what an object costs is told.
 *
 * They take any handle, also one that is freed meanwhile or that a damaged slot names: nothing is pinned, and what is
 * read may be out of date.
 */

#include "zsmalloc/pool_internal.h"

/* Objects between asking for the word that says where one is, for its own memory, and freeing it. */
#define FREE_AHEAD 8

void zs_handle_prefetch(struct zs_pool *pool, struct zs_handle handle)
{
	__builtin_prefetch(heap_handle_word(pool->heap, handle.index), 1);
	if (pool->heap->account)
		zs_account_prefetch(pool->heap->account, handle.index);
}

/* Where the live object of a handle is now; false if there is none. Any handle, also what a damaged slot names. */
static bool live_location(const struct zs_heap *heap, struct zs_handle handle, struct zs_location *ret_location)
{
	uint64_t word;

	if (!heap_handle_is_valid(heap, handle.index))
		return false;
	word = atomic_load_explicit(heap_handle_word(heap, handle.index), memory_order_relaxed);
	*ret_location = zs_handle_location(word);
	return zs_handle_state(word) == ZS_HANDLE_LIVE && heap_location_is_valid(heap, *ret_location);
}

void zs_obj_prefetch(struct zs_pool *pool, struct zs_handle handle)
{
	struct zs_heap *heap = pool->heap;
	struct zs_location location;

	if (!live_location(heap, handle, &location))
		return;
	if (!pool_will_keep(pool, location.class))
		__builtin_prefetch(&pool->classes[location.class], 1);
	__builtin_prefetch(heap_zspage(heap, zs_pages_zspage(&heap->pages, location.page)), 1);
	/* Last: nothing that follows is done until it is known where that page is, which nobody has asked lately. */
	__builtin_prefetch(heap_object(heap, location), 1);
}

/* From beginning to end: the hardware's own prefetching begins late, and ends with the page. */
void zs_obj_prefetch_payload(struct zs_pool *pool, struct zs_handle handle)
{
	struct zs_heap *heap = pool->heap;
	struct zs_location location;
	const char *object;

	if (!live_location(heap, handle, &location))
		return;
	object = (const char *)heap_object(heap, location);
	for (size_t i = 0; i < heap->geometry->classes[location.class].size; i += ZS_CACHE_LINE)
		__builtin_prefetch(object + i, 0, 2);
}

void zs_handles_prefetch(struct zs_pool *pool, const struct zs_handle *handles, unsigned int nr, unsigned int next)
{
	if (!next) {
		for (unsigned int i = 0; i < nr && i < 2 * FREE_AHEAD; i++)
			zs_handle_prefetch(pool, handles[i]);
	}
	if (nr - next > 2 * FREE_AHEAD)
		zs_handle_prefetch(pool, handles[next + 2 * FREE_AHEAD]);
	if (nr - next > FREE_AHEAD)
		zs_obj_prefetch(pool, handles[next + FREE_AHEAD]);
}

size_t zs_obj_cost(struct zs_pool *pool, struct zs_handle handle)
{
	struct zs_location location;

	if (!live_location(pool->heap, handle, &location))
		return 0;
	return pool->heap->geometry->classes[location.class].cost;
}
