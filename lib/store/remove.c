/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removing a device: nobody finds it any more, those who have it finish, and what it holds is freed. */

#include <errno.h>
#include <time.h>

#include "store/device_internal.h"
#include "store/slot.h"

/* How often a remover looks whether the last borrower has gone; a request takes a millisecond at most. */
#define DRAIN_INTERVAL_NSEC 50000

static void drain(struct zs_device *device)
{
	const struct timespec interval = {.tv_nsec = DRAIN_INTERVAL_NSEC};

	while (!zs_device_is_drained(device))
		nanosleep(&interval, NULL);
}

bool zs_device_is_drained(const struct zs_device *device)
{
	return !zs_shards_sum(&device->shards, ZS_COUNT_INFLIGHT);
}

/* Nothing is counted any more that is the device's alone; its group has room again with each page. */
static void free_handles(struct zs_device *device, const struct zs_handle *handles, unsigned int nr)
{
	struct zs_object_info info;
	uint64_t cost = 0;

	for (unsigned int i = 0; i < nr; i++) {
		zs_handles_prefetch(device->pool, handles, nr, i);
		zs_pool_free(device->pool, handles[i], &info);
		if (info.units)
			zs_cold_count(device, 0, info.units, UINT64_MAX);
		if (info.units || info.size)
			cost += sizeof(uint64_t);
		if (info.size)
			cost += zs_pool_cost(info.size);
	}
	zs_count(&device->shards, 0, ZS_COUNT_COST_BYTES, -cost);
	zs_uncharge(device, cost);
}

bool zs_device_free_page(struct zs_device *device)
{
	uint64_t first = zs_table_next(&device->table, device->removed_blocks), end, slot;
	struct zs_handle handles[ZS_SLOTS_PER_PAGE];
	unsigned int nr = 0;

	device->removed_blocks = first;
	if (first >= device->table.nr_blocks)
		return false;
	end = zs_min(first + ZS_SLOTS_PER_PAGE, device->table.nr_blocks);
	for (uint64_t block = first; block < end; block++) {
		slot = zs_table_load(&device->table, block);
		if (!zs_slot_is_sound(slot))
			zs_pool_note_leak(device->pool);
		else if (zs_slot_state(slot) == ZS_SLOT_OBJECT)
			handles[nr++] = zs_slot_handle(slot);
	}
	free_handles(device, handles, nr);
	zs_table_punch_page(&device->table, first);
	device->removed_blocks = first + ZS_SLOTS_PER_PAGE;
	return true;
}

void zs_device_finish(struct zs_device *device)
{
	struct zs_store *store = device->store;

	zs_heap_bulk_begin(store->heap);
	while (zs_device_free_page(device))
		continue;
	zs_heap_bulk_end(store->heap);
	zs_table_punch(&device->table);
	/* No object is left that needs them, and nobody who reads one. */
	zs_dictionaries_forget(device);
	zs_latencies_deinit(&device->latencies);
	/* Damaged objects that could not be freed stay in the arena: the pool may not be empty. */
	if (store->arena.pool_per_device)
		zs_pool_abandon(zs_take(device->pool));
	/* Until the lock is held the table's place is taken, and zs_extent_find() may be reading where it is. */
	ZS_LOCK_SCOPE(&store->lock);
	zs_table_deinit(&device->table);
	/* What its slots still named is free by now and was not counted; what is damaged can't say its cost. */
	zs_group_leave(device, zs_shards_sum(&device->shards, ZS_COUNT_COST_BYTES));
	device->state = ZS_DEVICE_FREE;
}

void zs_device_remove(struct zs_device *device)
{
	device->state = ZS_DEVICE_REMOVING;
	device->removed_blocks = 0;
	if (device->group)
		atomic_fetch_add(&device->group->budget.nr_waiting, 1);
	atomic_store(&device->id, 0);
	/* the commit */
	atomic_store_explicit(&device->entry->id, 0, memory_order_release);
}

/* From here on there is no such device. Returns 0 or -ENODEV. */
static int commit_removal(struct zs_store *store, uint64_t id, struct zs_device **ret_device)
{
	struct zs_device *device = atomic_load(&store->devices[zs_device_index(id)]);
	ZS_LOCK_SCOPE(&store->lock);

	if (!device || !id || device->state != ZS_DEVICE_ACTIVE || atomic_load(&device->id) != id)
		return -ENODEV;
	zs_device_remove(device);
	*ret_device = device;
	return 0;
}

void zs_device_free(struct zs_device *device)
{
	if (zs_deferred_device(&device->store->deferred, device))
		return;
	drain(device);
	/* What it has discarded before may still wait, and must be free before the index is used again. */
	zs_deferred_flush(&device->store->deferred);
	zs_device_finish(device);
}

int zs_store_remove(struct zs_store *store, uint64_t id)
{
	struct zs_device *device;
	int error = commit_removal(store, id, &device);

	if (error)
		return error;
	drain(device);
	zs_device_free(device);
	return 0;
}

int zs_store_remove_begin(struct zs_store *store, uint64_t id)
{
	struct zs_device *device;
	int error = commit_removal(store, id, &device);

	if (!error)
		zs_device_free(device);
	return error;
}

bool zs_store_is_removing(struct zs_store *store, uint64_t id)
{
	struct zs_device *device = atomic_load(&store->devices[zs_device_index(id)]);
	ZS_LOCK_SCOPE(&store->lock);

	return device && device->state == ZS_DEVICE_REMOVING && device->own_id == id && !zs_device_is_drained(device);
}
