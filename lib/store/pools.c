/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes over all pools of a store: compaction and statistics. */

#include "store/device_internal.h"
#include "zsmalloc/report.h"

/* Borrows the next device that has a pool of its own; NULL if there are no more. */
static struct zs_device *next_pool(struct zs_store *store, unsigned int *cursor)
{
	struct zs_device *device = NULL;
	uint64_t id;

	while (!device && store->arena.pool_per_device && zs_store_next(store, cursor, &id))
		device = zs_device_get(store, id, NULL);
	return device;
}

static void stats_of_pools(struct zs_store *store, struct zs_pool_stats *ret_stats)
{
	struct zs_device *device;
	unsigned int cursor = 0;

	zs_pool_stats(store->pool, ret_stats);
	while ((device = next_pool(store, &cursor))) {
		struct zs_pool_stats stats;

		zs_pool_stats(device->pool, &stats);
		zs_device_put(device, NULL);
		ret_stats->objects += stats.objects;
		ret_stats->objects_total += stats.objects_total;
		ret_stats->pages += stats.pages;
		ret_stats->freeable_pages += stats.freeable_pages;
		ret_stats->compacted_pages += stats.compacted_pages;
		ret_stats->moved_objects += stats.moved_objects;
		ret_stats->lent_objects += stats.lent_objects;
		ret_stats->lock_waits += stats.lock_waits;
		ret_stats->lock_wait_ns += stats.lock_wait_ns;
	}
}

static uint64_t compact_device(struct zs_store *store, uint64_t id, uint64_t page_budget)
{
	struct zs_device *device = zs_device_get(store, id, NULL);
	uint64_t freed;

	if (!device)
		return 0;
	freed = zs_pool_compact(device->pool, page_budget);
	zs_device_put(device, NULL);
	return freed;
}

/* All devices' pools, from where the last call stopped: to begin with the first one each time would be quadratic. */
static uint64_t compact_devices(struct zs_store *store, uint64_t page_budget)
{
	unsigned int cursor = atomic_load_explicit(&store->compact_device, memory_order_relaxed);
	uint64_t freed = 0, id;
	bool wrapped = false;

	while (freed < page_budget) {
		if (zs_store_next(store, &cursor, &id)) {
			freed += compact_device(store, id, page_budget - freed);
			continue;
		}
		if (wrapped)
			break;
		wrapped = true;
		cursor = 0;
	}
	/* The one that used up the budget may have more to give. */
	atomic_store_explicit(&store->compact_device, cursor ? cursor - 1 : 0, memory_order_relaxed);
	return freed;
}

uint64_t zs_store_compact(struct zs_store *store, uint64_t page_budget)
{
	if (store->arena.pool_per_device)
		return compact_devices(store, page_budget);
	return zs_pool_compact(store->pool, page_budget);
}

unsigned int zs_store_classes(struct zs_store *store, struct zs_class_stats *ret_classes)
{
	unsigned int cursor = 0, nr = zs_classes_init(ret_classes);
	struct zs_device *device;

	zs_pool_add_classes(store->pool, ret_classes);
	while ((device = next_pool(store, &cursor))) {
		zs_pool_add_classes(device->pool, ret_classes);
		zs_device_put(device, NULL);
	}
	return nr;
}

void zs_store_stats(struct zs_store *store, struct zs_store_stats *ret_stats)
{
	unsigned int cursor = 0;
	uint64_t id;

	*ret_stats = (struct zs_store_stats){
		.resident_bytes = zs_arena_resident_bytes(&store->arena),
		.pool_per_device = store->arena.pool_per_device,
	};
	/* First this: what does not wait any more is free in the pools' numbers. */
	zs_deferred_stats(&store->deferred, &ret_stats->deferred);
	zs_heap_stats(store->heap, &ret_stats->heap);
	stats_of_pools(store, &ret_stats->pool);
	while (zs_store_next(store, &cursor, &id))
		ret_stats->nr_devices++;
}
