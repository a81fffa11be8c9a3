/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes over all pools of a store: compaction and statistics. */

#include "store/device_internal.h"

/* Sums over the devices' pools too, where they have their own. */
static void stats_of_pools(struct zs_store *store, struct zs_pool_stats *ret_stats)
{
	unsigned int cursor = 0;
	uint64_t id;

	zs_pool_stats(store->pool, ret_stats);
	while (store->arena.pool_per_device && zs_store_next(store, &cursor, &id)) {
		struct zs_device *device = zs_device_get(store, id, NULL);
		struct zs_pool_stats stats;

		if (!device)
			continue;
		zs_pool_stats(device->pool, &stats);
		zs_device_put(device, NULL);
		ret_stats->objects += stats.objects;
		ret_stats->objects_total += stats.objects_total;
		ret_stats->pages += stats.pages;
		ret_stats->freeable_pages += stats.freeable_pages;
		ret_stats->compacted_pages += stats.compacted_pages;
		ret_stats->moved_objects += stats.moved_objects;
	}
}

uint64_t zs_store_compact(struct zs_store *store, uint64_t page_budget)
{
	uint64_t freed = zs_pool_compact(store->pool, page_budget), id;
	unsigned int cursor = 0;

	while (store->arena.pool_per_device && freed < page_budget && zs_store_next(store, &cursor, &id)) {
		struct zs_device *device = zs_device_get(store, id, NULL);

		if (!device)
			continue;
		freed += zs_pool_compact(device->pool, page_budget - freed);
		zs_device_put(device, NULL);
	}
	return freed;
}

void zs_store_stats(struct zs_store *store, struct zs_store_stats *ret_stats)
{
	unsigned int cursor = 0;
	uint64_t id;

	*ret_stats = (struct zs_store_stats){.resident_bytes = zs_arena_resident_bytes(&store->arena)};
	zs_heap_stats(store->heap, &ret_stats->heap);
	stats_of_pools(store, &ret_stats->pool);
	zs_deferred_stats(&store->deferred, &ret_stats->deferred);
	while (zs_store_next(store, &cursor, &id))
		ret_stats->nr_devices++;
}
