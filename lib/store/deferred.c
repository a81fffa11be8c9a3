/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deferred free: handing over, and the maintenance thread. */

#include "store/deferred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/thread.h"
#include "store/deferred_internal.h"
#include "store/device_internal.h"
#include "store/slot.h"

/* How often it is looked whether a removed device is still in use: a request takes a millisecond, or a disk's time. */
#define LOOK_NSEC 5000000

/* How long freed memory waits for more, which then costs less to give back. */
#define SHRINK_DELAY_NSEC 100000000

long zs_deferred_way_nsec = 10000000;

void zs_deferred_init(struct zs_deferred *deferred, struct zs_store *store)
{
	pthread_condattr_t attributes;

	*deferred = (struct zs_deferred){.store = store, .list_bytes_max = ZS_DEFERRED_LIST_BYTES};
	zs_list_init(&deferred->batches);
	zs_list_init(&deferred->removed);
	zs_lock_init(&deferred->drain, ZS_LOCK_DRAIN);
	pthread_mutex_init(&deferred->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&deferred->wake, &attributes);
	pthread_cond_init(&deferred->helped, &attributes);
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

/*
 * A mutex that is unlocked and locked again is not given to those who wait for it: they would wait until the end. Not
 * for ever: there may always be a helper, and they free only what counts against their own limits.
 */
static void give_way(struct zs_deferred *deferred)
{
	struct timespec until = time_after(zs_deferred_way_nsec);
	int error = 0;

	pthread_mutex_lock(&deferred->mutex);
	while (deferred->nr_helpers && !error)
		error = pthread_cond_timedwait(&deferred->helped, &deferred->mutex, &until);
	pthread_mutex_unlock(&deferred->mutex);
}

/* The maintenance thread's way of zs_deferred_flush(). */
static void drain_all(struct zs_deferred *deferred)
{
	zs_heap_bulk_begin(deferred->store->heap);
	do {
		give_way(deferred);
	} while (atomic_load(&deferred->running) && zs_deferred_drain_piece(deferred, NULL));
	/* With the lock, so that who has it knows that all is given back, too: zs_store_check(). */
	ZS_LOCK_SCOPE(&deferred->drain);
	zs_heap_bulk_end(deferred->store->heap);
}

static void *maintain(void *argument)
{
	struct zs_deferred *deferred = argument;

	zs_thread_set_background();
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
		if (zs_deferred_is_waited_for(deferred, NULL))
			drain_all(deferred);
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
		pthread_setname_np(deferred->thread, "zsd-maintain");
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
	if (atomic_exchange(&deferred->running, false)) {
		zs_heap_set_shrinker(deferred->store->heap, NULL, NULL);
		wake(deferred);
		pthread_join(deferred->thread, NULL);
	}
	for (struct zs_deferred_batch *batch = zs_deferred_take_batch(deferred, NULL); batch;
	     batch = zs_deferred_take_batch(deferred, NULL))
		free(batch);
	free_shards(deferred);
	pthread_cond_destroy(&deferred->helped);
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
	zs_charge_wait(device, 1);
	atomic_fetch_add_explicit(&deferred->pending, 1, memory_order_relaxed);
	zs_unlock(&shard->lock);
	if (half)
		wake(deferred);
	return true;
}

/* A batch with room for nr handles; NULL if there is no memory, or as much of it waits as may. */
static struct zs_deferred_batch *make_batch(struct zs_deferred *deferred, unsigned int nr)
{
	uint64_t bytes = zs_deferred_batch_bytes(nr), others;
	struct zs_deferred_batch *batch = NULL;

	others = atomic_fetch_add_explicit(&deferred->list_bytes, bytes, memory_order_relaxed);
	if (others + bytes <= deferred->list_bytes_max)
		batch = zs_malloc(bytes);
	if (!batch)
		atomic_fetch_sub_explicit(&deferred->list_bytes, bytes, memory_order_relaxed);
	return batch;
}

static void push_batch(struct zs_deferred *deferred, struct zs_deferred_batch *batch)
{
	pthread_mutex_lock(&deferred->mutex);
	zs_list_push(&deferred->batches, &batch->link);
	wake_locked(deferred);
	pthread_mutex_unlock(&deferred->mutex);
}

bool zs_deferred_page(struct zs_deferred *deferred, struct zs_device *device, const uint64_t *slots, unsigned int nr)
{
	struct zs_deferred_batch *batch;

	if (!atomic_load_explicit(&deferred->running, memory_order_relaxed))
		return false;
	if (!nr)
		return true;
	batch = make_batch(deferred, nr);
	if (!batch)
		return fall_back(deferred, nr);
	batch->device = device;
	batch->nr = nr;
	for (unsigned int i = 0; i < nr; i++)
		batch->handles[i] = zs_slot_handle(slots[i]);
	zs_charge_wait(device, nr);
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
