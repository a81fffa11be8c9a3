/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The heap: what all pools share. */

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "zsmalloc/pool_internal.h"

static int handles_grow(void *context, uint64_t page, enum zs_urgency urgency)
{
	struct zs_heap *heap = context;
	int error = zs_pages_charge(&heap->pages, ZS_CHARGE_HANDLE, 1, urgency);

	if (error)
		return error;
	error = zs_arena_populate(heap->arena, ZS_REGION_HANDLES, page * ZS_PAGE_SIZE, ZS_PAGE_SIZE);
	if (error)
		zs_pages_uncharge(&heap->pages, ZS_CHARGE_HANDLE, 1);
	return error;
}

static void handles_shrink(void *context, uint64_t page)
{
	struct zs_heap *heap = context;

	zs_arena_punch(heap->arena, ZS_REGION_HANDLES, page * ZS_PAGE_SIZE, ZS_PAGE_SIZE);
	zs_pages_uncharge(&heap->pages, ZS_CHARGE_HANDLE, 1);
}

static const struct zs_slab_ops handle_ops = {.grow = handles_grow, .shrink = handles_shrink};

/*
 * Descriptors are private memory: some 32 bytes for each 4 to 64 KiB of zspage, not counted against the limit. Pages of
 * them are dropped by many at once, see zs_unmap(): a device that is written back empties one for each 2 or 3 MiB.
 */
static int zspages_grow(void *context, uint64_t page, enum zs_urgency urgency)
{
	struct zs_heap *heap = context;

	if (zs_fault())
		return -ENOMEM;
	for (unsigned int i = 0; i < heap->nr_drops; i++) {
		if (heap->drops[i] != page)
			continue;
		heap->drops[i] = heap->drops[--heap->nr_drops];
		break;
	}
	return 0;
}

static void zspages_shrink(void *context, uint64_t page)
{
	struct iovec ranges[ZS_HEAP_DROPS];
	struct zs_heap *heap = context;

	heap->drops[heap->nr_drops++] = (uint32_t)page;
	if (heap->nr_drops < ZS_HEAP_DROPS)
		return;
	for (unsigned int i = 0; i < ZS_HEAP_DROPS; i++)
		ranges[i] = (struct iovec){
			.iov_base = (char *)heap->zspage_memory + heap->drops[i] * ZS_PAGE_SIZE,
			.iov_len = ZS_PAGE_SIZE,
		};
	zs_unmap(ranges, ZS_HEAP_DROPS);
	heap->nr_drops = 0;
}

static const struct zs_slab_ops zspage_ops = {.grow = zspages_grow, .shrink = zspages_shrink};

static int heap_init_handles(struct zs_heap *heap)
{
	uint64_t nr_pages = heap->arena->region_bytes[ZS_REGION_HANDLES] / ZS_PAGE_SIZE;

	/* 32 bits name 2^32 handles, no more. */
	nr_pages = zs_min(nr_pages, (UINT64_C(1) << 32) / ZS_HANDLES_PER_PAGE);
	return zs_slab_init(&heap->handles, zs_arena_at(heap->arena, ZS_REGION_HANDLES, 0), sizeof(uint64_t),
			    (uint32_t)nr_pages, &handle_ops, heap);
}

static int heap_init_zspages(struct zs_heap *heap)
{
	uint64_t per_page = ZS_PAGE_SIZE / sizeof(struct zspage);
	uint64_t nr_pages = heap->pages.nr_pages / per_page + 1;

	heap->zspage_memory_bytes = nr_pages * ZS_PAGE_SIZE;
	heap->zspage_memory = zs_reserve(heap->zspage_memory_bytes);
	if (!heap->zspage_memory)
		return -ENOMEM;
	return zs_slab_init(&heap->zspages, heap->zspage_memory, sizeof(struct zspage), (uint32_t)nr_pages, &zspage_ops,
			    heap);
}

static int heap_init_adopted(struct zs_heap *heap)
{
	heap->adopted_bytes = (uint64_t)heap->handles.nr_pages_max * ZS_HANDLES_PER_PAGE / 8;
	heap->adopted = zs_reserve(heap->adopted_bytes);
	return heap->adopted ? 0 : -ENOMEM;
}

static void heap_destroyp(struct zs_heap **heap)
{
	zs_heap_destroy(*heap);
}

int zs_heap_create(struct zs_arena *arena, bool fresh, struct zs_heap **ret_heap)
{
	ZS_CLEANUP(heap_destroyp) struct zs_heap *heap = zs_calloc(1, sizeof(*heap));
	int error;

	if (!heap)
		return -ENOMEM;
	heap->arena = arena;
	heap->geometry = zs_geometry();
	error = zs_pages_init(&heap->pages, arena);
	if (!error)
		error = heap_init_handles(heap);
	if (!error)
		error = heap_init_zspages(heap);
	if (!error && !fresh)
		error = heap_init_adopted(heap);
	if (error)
		return error;
	*ret_heap = zs_take(heap);
	return 0;
}

void zs_heap_destroy(struct zs_heap *heap)
{
	if (!heap)
		return;
	if (heap->adopted)
		zs_reserve_free(heap->adopted, heap->adopted_bytes);
	zs_account_destroy(heap->account);
	zs_slab_deinit(&heap->zspages);
	zs_reserve_free(heap->zspage_memory, heap->zspage_memory_bytes);
	zs_slab_deinit(&heap->handles);
	zs_pages_deinit(&heap->pages);
	free(heap);
}

int zs_heap_start_account(struct zs_heap *heap, const struct zs_account_options *options)
{
	zs_assert(!heap->account);
	return zs_account_create(options, (uint64_t)heap->handles.nr_pages_max * ZS_HANDLES_PER_PAGE,
				 heap->pages.nr_pages, &heap->account);
}

struct zs_account *zs_heap_account(struct zs_heap *heap)
{
	return heap->account;
}

void zs_heap_set_backed(struct zs_heap *heap, zs_backed_free *free_place, void *context)
{
	heap->free_place = free_place;
	heap->backed_context = context;
}

void zs_heap_set_limit(struct zs_heap *heap, uint64_t limit_bytes)
{
	zs_pages_set_limit(&heap->pages, zs_div_round_up(limit_bytes, ZS_PAGE_SIZE));
}

void zs_heap_set_shrinker(struct zs_heap *heap, zs_shrink_wish *wish, void *context)
{
	zs_pages_set_shrinker(&heap->pages, wish, context);
}

void zs_heap_shrink(struct zs_heap *heap)
{
	zs_pages_shrink(&heap->pages);
}

bool zs_heap_relieve(struct zs_heap *heap)
{
	return zs_pages_relieve(&heap->pages);
}

void zs_heap_bulk_begin(struct zs_heap *heap)
{
	zs_pages_bulk_begin(&heap->pages);
}

void zs_heap_bulk_end(struct zs_heap *heap)
{
	zs_pages_bulk_end(&heap->pages);
}

int zs_heap_charge_table(struct zs_heap *heap, uint64_t nr_pages, enum zs_urgency urgency)
{
	return zs_pages_charge(&heap->pages, ZS_CHARGE_TABLE, nr_pages, urgency);
}

void zs_heap_uncharge_table(struct zs_heap *heap, uint64_t nr_pages)
{
	zs_pages_uncharge(&heap->pages, ZS_CHARGE_TABLE, nr_pages);
}

int zs_heap_charge_dictionary(struct zs_heap *heap, uint64_t nr_pages, enum zs_urgency urgency)
{
	return zs_pages_charge(&heap->pages, ZS_CHARGE_DICTIONARY, nr_pages, urgency);
}

void zs_heap_uncharge_dictionary(struct zs_heap *heap, uint64_t nr_pages)
{
	zs_pages_uncharge(&heap->pages, ZS_CHARGE_DICTIONARY, nr_pages);
}

static void stats_of_pages(struct zs_pages *pages, struct zs_heap_stats *stats)
{
	ZS_LOCK_SCOPE(&pages->lock);
	stats->limit_bytes = pages->nr_limit * ZS_PAGE_SIZE;
	stats->used_bytes = pages->nr_used * ZS_PAGE_SIZE;
	stats->peak_bytes = pages->nr_peak * ZS_PAGE_SIZE;
	stats->zspage_pages = pages->nr_charged[ZS_CHARGE_ZSPAGE];
	stats->slot_table_pages = pages->nr_charged[ZS_CHARGE_TABLE];
	stats->handle_pages = pages->nr_charged[ZS_CHARGE_HANDLE];
	stats->dictionary_pages = pages->nr_charged[ZS_CHARGE_DICTIONARY];
	stats->reserve_pages = pages->reserve.nr + pages->nr_batch;
	stats->populated_pages = pages->nr_populated;
	stats->punched_pages = pages->nr_punched;
	stats->limit_hits = pages->limit_hits;
}

void zs_cache_stats(struct zs_heap *heap, enum zs_cache cache, struct zs_cache_stats *ret_stats)
{
	bool handles = cache == ZS_CACHE_HANDLES;

	zs_slab_stats(handles ? &heap->handles : &heap->zspages, ret_stats);
	ret_stats->name = handles ? "handle" : "zspage";
}

void zs_heap_stats(struct zs_heap *heap, struct zs_heap_stats *ret_stats)
{
	*ret_stats = (struct zs_heap_stats){0};
	stats_of_pages(&heap->pages, ret_stats);
	zs_cache_stats(heap, ZS_CACHE_HANDLES, &ret_stats->handles);
	zs_cache_stats(heap, ZS_CACHE_ZSPAGES, &ret_stats->zspages);
	ret_stats->leaked_objects = atomic_load_explicit(&heap->nr_leaked, memory_order_relaxed);
}
