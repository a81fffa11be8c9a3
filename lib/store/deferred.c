/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deferred free.
 *
 * Order matters in one place: a device's index may be used again only when no object of its waits any more. Blocks and
 * batches of a device are handed over by its borrowers. So a drain looks first which of the removed devices the last
 * borrower has left, then takes the batches, then the shards, and finishes those devices at the end: whatever belongs
 * to them has then been freed.
 */

#include "store/deferred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "store/device_internal.h"
#include "store/slot.h"

/* How often it is looked whether a removed device is still in use: a request takes a millisecond, or a disk's time. */
#define LOOK_NSEC 5000000

/* How long freed memory waits for more, which then costs less to give back. */
#define SHRINK_DELAY_NSEC 100000000

struct zs_deferred_block {
	uint32_t handle;
	uint32_t device; /* index */
};

/* Objects of one device. */
struct batch {
	struct zs_list link; /* deferred->batches */
	struct zs_device *device;
	unsigned int nr;
	struct zs_handle handles[];
};

void zs_deferred_init(struct zs_deferred *deferred, struct zs_store *store)
{
	pthread_condattr_t attributes;

	*deferred = (struct zs_deferred){.store = store};
	zs_list_init(&deferred->batches);
	zs_list_init(&deferred->removed);
	zs_lock_init(&deferred->drain, ZS_LOCK_DRAIN);
	pthread_mutex_init(&deferred->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&deferred->wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* Under deferred->mutex. One signal for any number of wishes: it may be a system call. */
static void wake_locked(struct zs_deferred *deferred)
{
	if (!deferred->wanted)
		pthread_cond_signal(&deferred->wake);
	deferred->wanted = true;
}

static void wake(struct zs_deferred *deferred)
{
	pthread_mutex_lock(&deferred->mutex);
	wake_locked(deferred);
	pthread_mutex_unlock(&deferred->mutex);
}

/*
 * draining, under deferred->drain
 */

static void free_handle(struct zs_deferred *deferred, struct zs_device *device, struct zs_handle handle)
{
	zs_device_free_object(device, 0, handle);
	atomic_fetch_sub_explicit(&deferred->pending, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&deferred->drained, 1, memory_order_relaxed);
}

/* Takes the shard's full array and leaves the empty one. */
static uint32_t swap_shard(struct zs_deferred_shard *shard, struct zs_deferred_block **ret_blocks)
{
	uint32_t nr;
	ZS_LOCK_SCOPE(&shard->lock);

	nr = shard->nr;
	*ret_blocks = shard->blocks;
	shard->blocks = shard->spare;
	shard->spare = *ret_blocks;
	shard->nr = 0;
	return nr;
}

static void drain_shard(struct zs_deferred *deferred, struct zs_deferred_shard *shard)
{
	struct zs_deferred_block *blocks;
	uint32_t nr = swap_shard(shard, &blocks);

	for (uint32_t i = 0; i < nr; i++)
		free_handle(deferred, atomic_load(&deferred->store->devices[blocks[i].device]),
			    (struct zs_handle){blocks[i].handle});
}

static void drain_batch(struct zs_deferred *deferred, struct batch *batch)
{
	for (unsigned int i = 0; i < batch->nr; i++) {
		zs_handles_prefetch(batch->device->pool, batch->handles, batch->nr, i);
		free_handle(deferred, batch->device, batch->handles[i]);
	}
	free(batch);
}

/* Moves the removed devices that nobody uses any more to a list of the caller's. */
static void take_removed(struct zs_deferred *deferred, struct zs_list *ret_list)
{
	struct zs_list *next;

	zs_list_init(ret_list);
	pthread_mutex_lock(&deferred->mutex);
	for (struct zs_list *link = deferred->removed.next; link != &deferred->removed; link = next) {
		next = link->next;
		if (!zs_device_is_drained(zs_list_entry(link, struct zs_device, removed)))
			continue;
		zs_list_unlink(link);
		zs_list_push(ret_list, link);
	}
	pthread_mutex_unlock(&deferred->mutex);
}

static void finish_removed(struct zs_deferred *deferred, struct zs_list *list)
{
	while (!zs_list_empty(list)) {
		struct zs_list *link = list->next;

		zs_list_unlink(link);
		zs_device_finish(zs_list_entry(link, struct zs_device, removed));
		atomic_fetch_sub(&deferred->waiting_devices, 1);
	}
}

/* Moves all batches to a list of the caller's, keeping their order. */
static void take_batches(struct zs_deferred *deferred, struct zs_list *ret_list)
{
	zs_list_init(ret_list);
	pthread_mutex_lock(&deferred->mutex);
	if (!zs_list_empty(&deferred->batches)) {
		*ret_list = deferred->batches;
		ret_list->next->previous = ret_list;
		ret_list->previous->next = ret_list;
		zs_list_init(&deferred->batches);
	}
	pthread_mutex_unlock(&deferred->mutex);
}

bool zs_deferred_flush(struct zs_deferred *deferred)
{
	struct zs_list batches, removed;

	if (!atomic_load(&deferred->pending) && !atomic_load(&deferred->waiting_devices))
		return false;
	ZS_LOCK_SCOPE(&deferred->drain);
	zs_heap_bulk_begin(deferred->store->heap);
	take_removed(deferred, &removed);
	take_batches(deferred, &batches);
	for (unsigned int i = 0; i < deferred->nr_shards; i++)
		drain_shard(deferred, &deferred->shards[i]);
	while (!zs_list_empty(&batches)) {
		/* pushed at the front: the oldest is the last */
		struct batch *batch = zs_list_entry(batches.previous, struct batch, link);

		zs_list_unlink(&batch->link);
		drain_batch(deferred, batch);
	}
	finish_removed(deferred, &removed);
	zs_heap_bulk_end(deferred->store->heap);
	/* Also if another thread was faster while this one waited for the lock: memory has come back. */
	return true;
}

static struct timespec time_after(long nsec)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_nsec += nsec;
	time.tv_sec += time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

static bool has_passed(struct timespec time)
{
	struct timespec now = time_after(0);

	return now.tv_sec != time.tv_sec ? now.tv_sec > time.tv_sec : now.tv_nsec >= time.tv_nsec;
}

/* Memory was freed, and is to be given back: see zs_heap_set_shrinker(). */
static void wish_shrink(void *context, bool urgent)
{
	struct zs_deferred *deferred = context;

	pthread_mutex_lock(&deferred->mutex);
	deferred->is_crowded = true;
	deferred->shrink_at = time_after(urgent ? 0 : SHRINK_DELAY_NSEC);
	pthread_cond_signal(&deferred->wake);
	pthread_mutex_unlock(&deferred->mutex);
}

/*
 * For work, until memory is to be given back, or for a while if devices are still in use: nobody tells when that is
 * over. Under deferred->mutex.
 */
static void wait_locked(struct zs_deferred *deferred)
{
	bool is_empty = zs_list_empty(&deferred->removed);
	struct timespec until;

	if (is_empty && !deferred->is_crowded) {
		pthread_cond_wait(&deferred->wake, &deferred->mutex);
		return;
	}
	until = is_empty ? deferred->shrink_at : time_after(LOOK_NSEC);
	if (pthread_cond_timedwait(&deferred->wake, &deferred->mutex, &until) == ETIMEDOUT && !is_empty)
		deferred->wanted = true;
}

static void *maintain(void *argument)
{
	struct zs_deferred *deferred = argument;

	pthread_mutex_lock(&deferred->mutex);
	while (atomic_load(&deferred->running)) {
		bool is_time = deferred->is_crowded && has_passed(deferred->shrink_at);

		if (!deferred->wanted && !is_time) {
			wait_locked(deferred);
			continue;
		}
		deferred->wanted = false;
		deferred->is_crowded &= !is_time;
		pthread_mutex_unlock(&deferred->mutex);
		zs_deferred_flush(deferred);
		if (is_time)
			zs_heap_shrink(deferred->store->heap);
		pthread_mutex_lock(&deferred->mutex);
	}
	pthread_mutex_unlock(&deferred->mutex);
	return NULL;
}

/*
 * life
 */

static void free_shards(struct zs_deferred *deferred)
{
	for (unsigned int i = 0; deferred->shards && i < deferred->nr_shards; i++) {
		free(deferred->shards[i].blocks);
		free(deferred->shards[i].spare);
		zs_lock_deinit(&deferred->shards[i].lock);
	}
	free(deferred->shards);
	deferred->shards = NULL;
}

/* As many shards as the devices' counters have; their arrays hold the budget together. */
static int make_shards(struct zs_deferred *deferred)
{
	unsigned int nr = deferred->store->nr_shards;
	uint32_t capacity = (uint32_t)(ZS_DEFERRED_BUDGET_BYTES / ZS_BLOCK_MIN_BYTES / nr);

	if (zs_fault())
		return -ENOMEM;
	deferred->shards = aligned_alloc(_Alignof(struct zs_deferred_shard), nr * sizeof(*deferred->shards));
	if (!deferred->shards)
		return -ENOMEM;
	memset(deferred->shards, 0, nr * sizeof(*deferred->shards));
	deferred->nr_shards = nr;
	deferred->shard_capacity = capacity;
	for (unsigned int i = 0; i < nr; i++) {
		zs_lock_init(&deferred->shards[i].lock, ZS_LOCK_DEFERRED);
		deferred->shards[i].blocks = zs_malloc(capacity * sizeof(struct zs_deferred_block));
		deferred->shards[i].spare = zs_malloc(capacity * sizeof(struct zs_deferred_block));
		if (!deferred->shards[i].blocks || !deferred->shards[i].spare)
			return -ENOMEM;
	}
	return 0;
}

int zs_deferred_start(struct zs_deferred *deferred)
{
	int error = make_shards(deferred);

	if (!error) {
		atomic_store(&deferred->running, true);
		error = -pthread_create(&deferred->thread, NULL, maintain, deferred);
	}
	if (!error)
		zs_heap_set_shrinker(deferred->store->heap, wish_shrink, deferred);
	if (error) {
		atomic_store(&deferred->running, false);
		free_shards(deferred);
	}
	return error;
}

void zs_deferred_deinit(struct zs_deferred *deferred)
{
	struct zs_list batches;

	if (atomic_exchange(&deferred->running, false)) {
		zs_heap_set_shrinker(deferred->store->heap, NULL, NULL);
		wake(deferred);
		pthread_join(deferred->thread, NULL);
	}
	take_batches(deferred, &batches);
	while (!zs_list_empty(&batches)) {
		struct batch *batch = zs_list_entry(batches.next, struct batch, link);

		zs_list_unlink(&batch->link);
		free(batch);
	}
	free_shards(deferred);
	pthread_cond_destroy(&deferred->wake);
	pthread_mutex_destroy(&deferred->mutex);
	zs_lock_deinit(&deferred->drain);
}

/*
 * handing over
 */

static bool fall_back(struct zs_deferred *deferred, uint64_t nr)
{
	atomic_fetch_add_explicit(&deferred->fallbacks, nr, memory_order_relaxed);
	return false;
}

bool zs_deferred_block(struct zs_deferred *deferred, unsigned int index, struct zs_device *device,
		       struct zs_handle handle)
{
	struct zs_deferred_shard *shard;
	bool half;

	if (!atomic_load_explicit(&deferred->running, memory_order_relaxed))
		return false;
	shard = &deferred->shards[index & (deferred->nr_shards - 1)];
	if (!zs_trylock(&shard->lock))
		return fall_back(deferred, 1);
	if (shard->nr == deferred->shard_capacity) {
		zs_unlock(&shard->lock);
		return fall_back(deferred, 1);
	}
	shard->blocks[shard->nr++] = (struct zs_deferred_block){.handle = handle.index, .device = device->index};
	/* The first one starts the clock, so that nothing waits for long; half full is when it gets urgent. */
	half = shard->nr == 1 || shard->nr == deferred->shard_capacity / 2;
	atomic_fetch_add_explicit(&deferred->pending, 1, memory_order_relaxed);
	zs_unlock(&shard->lock);
	if (half)
		wake(deferred);
	return true;
}

static void push_batch(struct zs_deferred *deferred, struct batch *batch)
{
	pthread_mutex_lock(&deferred->mutex);
	zs_list_push(&deferred->batches, &batch->link);
	wake_locked(deferred);
	pthread_mutex_unlock(&deferred->mutex);
}

bool zs_deferred_page(struct zs_deferred *deferred, struct zs_device *device, const uint64_t *slots, unsigned int nr)
{
	struct batch *batch;

	if (!atomic_load_explicit(&deferred->running, memory_order_relaxed))
		return false;
	if (!nr)
		return true;
	batch = zs_malloc(sizeof(*batch) + nr * sizeof(batch->handles[0]));
	if (!batch)
		return fall_back(deferred, nr);
	batch->device = device;
	batch->nr = nr;
	for (unsigned int i = 0; i < nr; i++)
		batch->handles[i] = zs_slot_handle(slots[i]);
	atomic_fetch_add_explicit(&deferred->pending, nr, memory_order_relaxed);
	push_batch(deferred, batch);
	return true;
}

bool zs_deferred_device(struct zs_deferred *deferred, struct zs_device *device)
{
	if (!atomic_load_explicit(&deferred->running, memory_order_relaxed))
		return false;
	atomic_fetch_add(&deferred->waiting_devices, 1);
	pthread_mutex_lock(&deferred->mutex);
	zs_list_push(&deferred->removed, &device->removed);
	wake_locked(deferred);
	pthread_mutex_unlock(&deferred->mutex);
	return true;
}

void zs_deferred_stats(struct zs_deferred *deferred, struct zs_deferred_stats *ret_stats)
{
	*ret_stats = (struct zs_deferred_stats){
		.pending = atomic_load_explicit(&deferred->pending, memory_order_relaxed),
		.devices = atomic_load(&deferred->waiting_devices),
		.capacity = (uint64_t)deferred->shard_capacity * deferred->nr_shards,
		.fallbacks = atomic_load_explicit(&deferred->fallbacks, memory_order_relaxed),
		.drained = atomic_load_explicit(&deferred->drained, memory_order_relaxed),
	};
}
