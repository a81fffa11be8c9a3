/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Room below the limit of all pools. */

#include "store/room.h"

#include <errno.h>

#include "store/device_internal.h"
#include "store/store.h"
#include "store/table.h"

/* What is compacted at a time for a block that finds the pool full: a zspage of the largest, and some more. */
#define ROOM_PAGES 128

/* The limit is that of all pools: with one for each device, another one's holes may be what is missing. */
static bool make_room(struct zs_device *device)
{
	return zs_pool_compact(device->pool, ROOM_PAGES) ||
	       (device->store->arena.pool_per_device && zs_store_compact(device->store, ROOM_PAGES));
}

int zs_room_alloc(struct zs_device *device, size_t size, enum zs_urgency urgency, struct zs_handle *ret_handle)
{
	int error = zs_pool_alloc(device->pool, size, urgency, ret_handle);

	if (error == -ENOSPC && make_room(device))
		error = zs_pool_alloc(device->pool, size, urgency, ret_handle);
	return error;
}

int zs_room_prepare(struct zs_device *device, uint64_t block)
{
	int error = zs_table_prepare(&device->table, block, ZS_URGENCY_NEW);

	if (error == -ENOSPC && make_room(device))
		error = zs_table_prepare(&device->table, block, ZS_URGENCY_NEW);
	return error;
}

bool zs_room_relieve(struct zs_store *store)
{
	return zs_deferred_help(&store->deferred, NULL) | zs_heap_relieve(store->heap);
}
