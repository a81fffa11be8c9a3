/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deferred free: the freeing, a piece at a time under deferred->drain.
 *
 * Order matters in one place: a device's index may be used again only when no object of its waits any more. Blocks and
 * batches of a device are handed over by its borrowers, who count them in its budget. So a removed device is finished
 * when it has no borrower and, seen after that, nothing of it waits.
 */

#include "store/deferred.h"

#include <stdlib.h>

#include "store/deferred_internal.h"
#include "store/device_internal.h"

static void free_handle(struct zs_deferred *deferred, struct zs_device *device, struct zs_handle handle)
{
	zs_device_free_object(device, 0, handle);
	zs_charge_waited(device, 1);
	atomic_fetch_sub_explicit(&deferred->pending, 1, memory_order_release);
	atomic_fetch_add_explicit(&deferred->drained, 1, memory_order_relaxed);
}

/* Takes the shard's full array and leaves the empty one. */
static void swap_shard(struct zs_deferred_shard *shard)
{
	struct zs_deferred_block *empty = shard->spare;
	ZS_LOCK_SCOPE(&shard->lock);

	shard->nr_taken = shard->nr;
	shard->spare = shard->blocks;
	shard->blocks = empty;
	shard->nr = 0;
}

/* Frees some of what was taken from a shard. */
static void drain_taken(struct zs_deferred *deferred, struct zs_deferred_shard *shard)
{
	uint32_t left = shard->nr_taken - zs_min(shard->nr_taken, (uint32_t)ZS_SLOTS_PER_PAGE);

	while (shard->nr_taken > left) {
		struct zs_deferred_block block = shard->spare[--shard->nr_taken];

		free_handle(deferred, atomic_load(&deferred->store->devices[block.device]),
			    (struct zs_handle){block.handle});
	}
}

/* From the next shard that has something; false: there is none. */
static bool drain_shards(struct zs_deferred *deferred)
{
	for (unsigned int i = 0; i < deferred->nr_shards; i++, deferred->next_shard++) {
		struct zs_deferred_shard *shard = &deferred->shards[deferred->next_shard % deferred->nr_shards];

		if (!shard->nr_taken)
			swap_shard(shard);
		if (!shard->nr_taken)
			continue;
		drain_taken(deferred, shard);
		/* Another one's turn: the owner of this one may fill it as fast as it is emptied. */
		deferred->next_shard++;
		return true;
	}
	return false;
}

struct zs_deferred_batch *zs_deferred_take_batch(struct zs_deferred *deferred, const struct zs_budget *budget)
{
	struct zs_deferred_batch *batch, *found = NULL;

	pthread_mutex_lock(&deferred->mutex);
	/* pushed at the front: the oldest is the last */
	for (struct zs_list *link = deferred->batches.previous; !found && link != &deferred->batches;
	     link = link->previous) {
		batch = zs_list_entry(link, struct zs_deferred_batch, link);
		found = zs_charge_is_shared(batch->device, budget) ? batch : NULL;
	}
	if (found)
		zs_list_unlink(&found->link);
	pthread_mutex_unlock(&deferred->mutex);
	return found;
}

static bool drain_batch(struct zs_deferred *deferred, const struct zs_budget *budget)
{
	struct zs_deferred_batch *batch = zs_deferred_take_batch(deferred, budget);

	if (!batch)
		return false;
	for (unsigned int i = 0; i < batch->nr; i++) {
		zs_handles_prefetch(batch->device->pool, batch->handles, batch->nr, i);
		free_handle(deferred, batch->device, batch->handles[i]);
	}
	atomic_fetch_sub_explicit(&deferred->list_bytes, zs_deferred_batch_bytes(batch->nr), memory_order_relaxed);
	free(batch);
	return true;
}

/* Its slots are all free, but not what its borrowers handed over. */
static bool waits_for_blocks(const struct zs_device *device)
{
	return device->removed_blocks >= device->table.nr_blocks &&
	       atomic_load_explicit(&device->budget.nr_waiting, memory_order_acquire);
}

/* A removed device that is charged to the budget and can be gone on with, or NULL. It stays on the list. */
static struct zs_device *find_removed(struct zs_deferred *deferred, const struct zs_budget *budget)
{
	struct zs_device *device, *found = NULL;

	pthread_mutex_lock(&deferred->mutex);
	for (struct zs_list *link = deferred->removed.previous; !found && link != &deferred->removed;
	     link = link->previous) {
		device = zs_list_entry(link, struct zs_device, removed);
		found = zs_charge_is_shared(device, budget) && zs_device_is_drained(device) && !waits_for_blocks(device)
				? device
				: NULL;
	}
	pthread_mutex_unlock(&deferred->mutex);
	return found;
}

/* A page of a removed device, or its end. */
static bool drain_removed(struct zs_deferred *deferred, const struct zs_budget *budget)
{
	struct zs_device *device = find_removed(deferred, budget);

	if (!device)
		return false;
	if (zs_device_free_page(device))
		return true;
	if (atomic_load_explicit(&device->budget.nr_waiting, memory_order_acquire))
		return false;
	pthread_mutex_lock(&deferred->mutex);
	zs_list_unlink(&device->removed);
	pthread_mutex_unlock(&deferred->mutex);
	zs_device_finish(device);
	atomic_fetch_sub(&deferred->waiting_devices, 1);
	return true;
}

bool zs_deferred_drain_piece(struct zs_deferred *deferred, const struct zs_budget *budget)
{
	bool any = false;
	ZS_LOCK_SCOPE(&deferred->drain);

	if (atomic_load_explicit(&deferred->pending, memory_order_acquire)) {
		any = drain_shards(deferred);
		any |= drain_batch(deferred, budget);
	}
	if (atomic_load(&deferred->waiting_devices))
		any |= drain_removed(deferred, budget);
	return any;
}

bool zs_deferred_is_waited_for(struct zs_deferred *deferred, const struct zs_budget *budget)
{
	if (budget)
		return atomic_load_explicit(&budget->nr_waiting, memory_order_acquire);
	return atomic_load_explicit(&deferred->pending, memory_order_acquire) ||
	       atomic_load(&deferred->waiting_devices);
}

bool zs_deferred_help(struct zs_deferred *deferred, const struct zs_budget *budget)
{
	bool any;

	if (!zs_deferred_is_waited_for(deferred, budget))
		return false;
	pthread_mutex_lock(&deferred->mutex);
	deferred->nr_helpers++;
	pthread_mutex_unlock(&deferred->mutex);
	any = zs_deferred_drain_piece(deferred, budget);
	pthread_mutex_lock(&deferred->mutex);
	if (!--deferred->nr_helpers)
		pthread_cond_signal(&deferred->helped);
	pthread_mutex_unlock(&deferred->mutex);
	return any;
}

bool zs_deferred_flush(struct zs_deferred *deferred)
{
	uint64_t end;

	if (!zs_deferred_is_waited_for(deferred, NULL))
		return false;
	/* Blocks that others hand over from now on aren't waited for, unless a removed device is. */
	zs_lock(&deferred->drain);
	end = atomic_load(&deferred->drained) + atomic_load(&deferred->pending);
	zs_unlock(&deferred->drain);
	zs_heap_bulk_begin(deferred->store->heap);
	while ((atomic_load(&deferred->drained) < end || atomic_load(&deferred->waiting_devices)) &&
	       zs_deferred_help(deferred, NULL))
		continue;
	zs_heap_bulk_end(deferred->store->heap);
	/* Also if another thread was faster while this one waited for the lock: memory has come back. */
	return true;
}

bool zs_deferred_can_finish_devices(struct zs_deferred *deferred)
{
	unsigned int nr_used = 0;
	bool found;

	if (!atomic_load(&deferred->waiting_devices))
		return false;
	pthread_mutex_lock(&deferred->mutex);
	for (struct zs_list *link = deferred->removed.next; link != &deferred->removed; link = link->next)
		nr_used += !zs_device_is_drained(zs_list_entry(link, struct zs_device, removed));
	/* One that is not on the list any more is just being finished. */
	found = atomic_load(&deferred->waiting_devices) > nr_used;
	pthread_mutex_unlock(&deferred->mutex);
	return found;
}
