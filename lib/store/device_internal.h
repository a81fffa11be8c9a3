#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The structures behind store/store.h and store/device.h; for this folder and for tests. */

#include <stdatomic.h>

#include "base/lock.h"
#include "store/charge.h"
#include "store/cold_internal.h"
#include "store/deferred.h"
#include "store/dictionaries_internal.h"
#include "store/entry.h"
#include "store/group_internal.h"
#include "store/latency.h"
#include "store/stats.h"
#include "store/table.h"

/* Read-modify-writes of one block exclude each other by a lock of this many; they never exclude anybody else. */
#define ZS_MODIFY_LOCKS 64

#define ZS_PEAK_STEP ((int64_t)128 << 10)

enum zs_device_state { ZS_DEVICE_FREE, ZS_DEVICE_ACTIVE, ZS_DEVICE_REMOVING };

/*
 * One per index of the device table, made when the index is first used and kept until the store is closed: so a thread
 * may look at one without knowing whether the device still exists, and zs_device_get() needs no lock.
 *
 *   state      id   in flight        entry in the arena
 *   FREE       0    any, all fail    free
 *   ACTIVE     id   any              taken
 *   REMOVING   0    draining         free; its objects and the slot table's place are still taken
 */
struct zs_device {
	struct zs_store *store; /* immutable, like index and entry */
	unsigned int index;
	struct zs_device_entry *entry;	    /* in the arena */
	enum zs_device_state state;	    /* guarded by store->lock */
	_Atomic uint64_t id;		    /* seq_cst with ZS_COUNT_INFLIGHT: see zs_device_get() */
	_Atomic uint32_t codecs[ZS_CODECS]; /* as in the entry; relaxed, each word stands by itself */
	_Atomic bool read_only;		    /* as in the entry; relaxed */
	_Atomic unsigned int dictionary;    /* number of the current one, 0 = none; see store/dictionaries.c */
	/* Constant while id is not 0. */
	uint64_t own_id; /* the same as id; stays when the device is being removed */
	uint64_t size_bytes;
	uint32_t block_size;
	unsigned int block_shift;
	struct zs_pool *pool;	 /* the store's, or its own (pool_per_device) */
	struct zs_table table;	 /* its place also guarded by store->lock while state is not FREE */
	struct zs_budget budget; /* its own limit; kept only while there is one */
	struct zs_group *group;	 /* or NULL; from before it is ACTIVE until it is FREE */
	struct zs_shards shards;
	_Atomic uint64_t peak_bytes;   /* the most that memory_bytes was seen to be; relaxed, only grows */
	struct zs_latencies latencies; /* only borrowers add; none are left when it is finished */
	struct zs_list removed;	       /* in deferred.removed while REMOVING, under deferred.mutex */
	uint64_t removed_blocks;       /* slots before this one are free; while REMOVING, under deferred.drain */
};

struct zs_store {
	struct zs_arena arena;
	struct zs_heap *heap;
	struct zs_pool *pool;		 /* of all devices; with pool_per_device, of none */
	struct zs_device_entry *entries; /* in the arena */
	unsigned int nr_entries;
	struct zs_group_entry *group_entries; /* in the arena */
	unsigned int nr_groups;		      /* room for groups; immutable */
	uint64_t last_limit_id;		      /* of a group; guarded by lock */
	struct zs_group groups[ZS_GROUPS_MAX];
	unsigned int nr_nodes; /* that accounts are kept for; 0 = none are. Immutable */
	struct zs_lock lock;   /* guards the device and group tables, device->state and entries' attributes */
	struct zs_lock modify[ZS_MODIFY_LOCKS];
	unsigned int nr_shards; /* of counters and of deferred frees; immutable */
	struct zs_deferred deferred;
	struct zs_cold cold;
	struct zs_dictionaries dictionaries;
	_Atomic unsigned int compact_device; /* relaxed, a hint: index of the pool that is compacted next */
	_Atomic(struct zs_device *) devices[ZS_DEVICES_MAX];
	_Atomic unsigned int end_devices; /* none has been here or behind; grows only, under lock */
};

/* What writes use from now on. */
static inline struct zs_codec_params zs_device_codec(const struct zs_device *device)
{
	return zs_codec_unpack(atomic_load_explicit(&device->codecs[0], memory_order_relaxed));
}

static inline bool zs_device_has_recompress(const struct zs_device *device)
{
	return atomic_load_explicit(&device->codecs[1], memory_order_relaxed) != 0;
}

/* Who is charged for a device's objects. */
static inline unsigned int zs_device_owner(const struct zs_device *device)
{
	return device->index + 1;
}

/* The device of an index, made if there was none; FREE. Under store->lock. Returns 0 or -ENOMEM. */
int zs_store_slot(struct zs_store *store, unsigned int index, struct zs_device **ret_device);
/* Sets up a FREE device, all but its id; the caller makes it ACTIVE. Returns 0 or -ENOMEM. */
int zs_device_start(struct zs_device *device, const struct zs_device_options *options, uint64_t table_offset);

/*
 * Adds to what the device costs, or takes off. Its peak is looked at when a shard has grown by ZS_PEAK_STEP since the
 * last look, so that a write costs two comparisons more. Between two looks at its statistics, which see it as well, the
 * peak may be missed by twice that for each shard.
 */
void zs_device_add_cost(struct zs_device *device, unsigned int shard, uint64_t cost);

/*
 * Removing, in two steps: from the first one on there is no such device. Under store->lock. Then it is freed, when
 * nobody uses it any more: by the maintenance thread, if there is one. Without the lock.
 */
void zs_device_remove(struct zs_device *device);
void zs_device_free(struct zs_device *device);

/* As zs_device_info(), under store->lock. */
void zs_device_read_info(struct zs_device *device, struct zs_device_info *ret_info);

/* True if nobody has borrowed it: of a REMOVING device nobody will. What was done with it can be seen then. */
bool zs_device_is_drained(const struct zs_device *device);
/*
 * Freeing a REMOVING device that nobody has borrowed, by one thread at a time: a page of its slots and what they name,
 * until it answers false; then the device, which is FREE afterwards. zs_device_finish() does the former, too, if
 * something is left. Nothing of it may wait in store/deferred.c by then. Locks: the store's, class and below.
 */
bool zs_device_free_page(struct zs_device *device);
void zs_device_finish(struct zs_device *device);
/* Frees an object that no slot names any more, and takes it off the device's counters. */
void zs_device_free_object(struct zs_device *device, unsigned int shard, struct zs_handle handle);

/* store/rebuild.c: checks the device table; starts and scans all devices. Errnos as zs_store_open(). */
int zs_store_check_entries(struct zs_store *store);
int zs_store_rebuild(struct zs_store *store);
