#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deferred free: who discards a block clears its slot, which is all that a reader can see, and leaves the object to the
 * maintenance thread. So a discard of a gigabyte is answered in the time that it takes to clear its slots, and removing
 * a device in the time of one store.
 *
 * Three sizes of work are handed over:
 *   one block      into the caller's shard: one of a pair of arrays; the maintenance thread takes the full one and
 *                  leaves the empty one, under the shard's lock, and frees outside of it
 *   a table page   as a batch of its own, up to 512 slots
 *   a device       as it is: nobody can reach its slots any more, but for I/O in flight, whose end is waited for
 *
 * Whoever finds no room, or the shard's lock taken, frees at once. Nothing is deferred before zs_deferred_start().
 *
 * It is freed in pieces, each of a page of slots at most from either of these three. What belongs together is not freed
 * at once, so that nobody waits for longer than a piece.
 *
 * The maintenance thread also gives the memory back that others have freed, a zspage at a time: within 100 ms, or as
 * soon as it is much (zs_heap_set_shrinker()). So who writes blocks back or overwrites them makes no system calls for
 * it, and those that are made are fewer.
 *
 * What waits is still counted as memory in use; who meets a limit frees a piece and tries again, until it has what it
 * needs or nothing waits any more that could help (zs_deferred_help()). The maintenance thread gives way to it.
 *
 * When the store is closed, or a pool destroyed by that, what waits is not freed: it is in the arena, where no slot
 * names it, and the next open reclaims it.
 *
 * Locks: drain -> (devices, dicts, class -> slab -> punch -> pages); shard and list locks are leaves of their own. Any
 * thread.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/list.h"
#include "base/lock.h"
#include "zsmalloc/pool.h"

struct zs_budget;
struct zs_device;
struct zs_store;

/* Blocks that wait one by one, in all shards together: 128 MiB of data in blocks of 4 KiB. */
#define ZS_DEFERRED_BUDGET_BYTES ((uint64_t)128 << 20)
/* Memory for the handles of pages of slots that wait: those of 64 GiB of data in blocks of 4 KiB. */
#define ZS_DEFERRED_LIST_BYTES ((uint64_t)64 << 20)

struct zs_deferred_stats {
	uint64_t pending;   /* blocks that wait now, those of removed devices not counted */
	uint64_t devices;   /* removed devices that wait now */
	uint64_t capacity;  /* of all shards */
	uint64_t fallbacks; /* blocks freed at once for lack of room or because of contention */
	uint64_t drained;   /* blocks freed later */
};

struct zs_deferred_shard {
	_Alignas(ZS_NO_SHARE) struct zs_lock lock; /* guards the three below */
	struct zs_deferred_block *blocks;	   /* [capacity] */
	struct zs_deferred_block *spare;
	uint32_t nr;
	uint32_t nr_taken; /* in spare, to be freed; guarded by drain, as is spare while it is not 0 */
};

struct zs_deferred {
	struct zs_store *store;
	struct zs_deferred_shard *shards; /* NULL until started */
	unsigned int nr_shards;
	uint32_t shard_capacity;
	_Atomic bool running;
	pthread_t thread;

	struct zs_lock drain;	 /* held by the one who frees, for one piece */
	unsigned int next_shard; /* guarded by drain */
	pthread_mutex_t mutex;	 /* guards the eight below; a leaf */
	pthread_cond_t wake;
	pthread_cond_t helped;	 /* nr_helpers is 0 again */
	unsigned int nr_helpers; /* threads that free, or wait for drain to do so; the maintenance thread is none */
	struct zs_list batches;	 /* struct batch, in the order of their arrival */
	struct zs_list removed;	 /* struct zs_device.removed, some of them still in use */
	bool wanted;		 /* there is work */
	bool is_crowded;	 /* there is memory to give back, at this time */
	struct timespec shrink_at;

	_Atomic uint64_t pending, fallbacks, drained; /* relaxed, statistics; pending also says whether a flush helps */
	_Atomic uint64_t waiting_devices;
	_Atomic uint64_t list_bytes; /* of batches; relaxed */
	uint64_t list_bytes_max;     /* immutable but for tests */
};

void zs_deferred_init(struct zs_deferred *deferred, struct zs_store *store);
/* Stops the thread, if there is one; what waits stays in the arena as garbage that the next open reclaims. */
void zs_deferred_deinit(struct zs_deferred *deferred);

/* Starts the maintenance thread. Returns 0, -ENOMEM or -EAGAIN (threads). */
int zs_deferred_start(struct zs_deferred *deferred);

/* Hands one object over; false: the caller frees it. */
bool zs_deferred_block(struct zs_deferred *deferred, unsigned int shard, struct zs_device *device,
		       struct zs_handle handle);
/* Hands over the objects of a page of slots; false: the caller frees them. slots is copied. */
bool zs_deferred_page(struct zs_deferred *deferred, struct zs_device *device, const uint64_t *slots, unsigned int nr);
/* Hands a REMOVING device over, which may be in use yet; false: the caller frees it. */
bool zs_deferred_device(struct zs_deferred *deferred, struct zs_device *device);

/*
 * Frees a piece of what waits, in the calling thread. With a budget only if something waits that is charged to it, and
 * no removed device or page of slots of others. False if there was nothing, but for removed devices that are in use.
 */
bool zs_deferred_help(struct zs_deferred *deferred, const struct zs_budget *budget);
/* The same until nothing is left; true if there was something. */
bool zs_deferred_flush(struct zs_deferred *deferred);
/* True if there is a removed device that nobody uses any more: its end comes, whatever others hand over. */
bool zs_deferred_can_finish_devices(struct zs_deferred *deferred);

void zs_deferred_stats(struct zs_deferred *deferred, struct zs_deferred_stats *ret_stats);
