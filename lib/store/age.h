#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ages: how long ago a block with an object was read or written. What the store does with cold blocks begins here.
 *
 * A slot keeps the tick of the last access in 16 bits: CLOCK_MONOTONIC in units of 8 seconds, modulo 65535, plus 1. So
 * 0 is free to say "long ago", and a tick means one moment of the last six days. Before it could mean a later one,
 * zs_store_age() makes it 0: whoever runs the store has that walk over all blocks every two days at the latest.
 *
 * An access stores the slot anew, at most once in a tick, and clears the idle mark. It is a compare-and-swap that may
 * fail: then somebody else has accessed the block. Blocks without an object have no age, as there is nothing to save.
 *
 * The idle mark is zram's: set by hand on all blocks, or on those of some age, and gone with the next access.
 *
 * Context: any thread; the device is borrowed. A walk over all blocks takes some 1 ns a block, and none for a part of
 * the device that was never written.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "store/slot.h"

struct zs_device;
struct zs_store;

#define ZS_TICK_SEC  8
#define ZS_TICK_LONG 0 /* longer ago than ticks can say */

/* The bounds of a histogram's buckets, seconds: an age belongs to the first that is greater. The last has none. */
#define ZS_AGE_BUCKETS 9
extern const uint64_t zs_age_bounds_sec[ZS_AGE_BUCKETS - 1];

struct zs_ages {
	uint64_t blocks[ZS_AGE_BUCKETS];
	uint64_t idle_blocks; /* marked */
};

/* Seconds that tests have let pass. */
extern _Atomic uint64_t zs_age_skew_sec;

/* The clock of the ticks, seconds. */
static inline uint64_t zs_age_clock_sec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec + atomic_load_explicit(&zs_age_skew_sec, memory_order_relaxed);
}

/* The tick of a moment of that clock, never ZS_TICK_LONG. */
static inline uint16_t zs_age_tick(uint64_t sec)
{
	return (uint16_t)(sec / ZS_TICK_SEC % UINT16_MAX + 1);
}

static inline uint16_t zs_age_now(void)
{
	return zs_age_tick(zs_age_clock_sec());
}

/* Seconds from one tick to another, exact to a tick; UINT64_MAX if then is ZS_TICK_LONG. */
uint64_t zs_age_between(uint16_t then, uint16_t now);

/* The slot of a block whose object was accessed just now; the same one if there is nothing to change. */
static inline uint64_t zs_age_touched(uint64_t slot, uint16_t now)
{
	if (zs_slot_tick(slot) == now && !(slot & ZS_SLOT_IDLE))
		return slot;
	return zs_slot_retick(slot, now, 0);
}

/* True if the block is marked idle, or was not accessed for age_sec; 0: only if it is marked. */
static inline bool zs_age_is_idle(uint64_t slot, uint64_t age_sec, uint16_t now)
{
	return slot & ZS_SLOT_IDLE || (age_sec && zs_age_between(zs_slot_tick(slot), now) >= age_sec);
}

/* Adds the ages of the blocks from first on, before end, that have an object. */
void zs_device_ages(struct zs_device *device, uint64_t first, uint64_t end, struct zs_ages *ages);

/*
 * Marks the blocks first to last that were not accessed for at least so many seconds (0: all). Returns how many were
 * marked. -ERANGE: last is before first, or beyond the end.
 */
int zs_device_mark_idle(struct zs_device *device, uint64_t first, uint64_t last, uint64_t age_sec,
			uint64_t *ret_marked);

/*
 * Where a walk in steps goes on after those before block: what was never written costs no steps. The number of blocks:
 * it is over.
 */
uint64_t zs_device_walk_on(const struct zs_device *device, uint64_t block);

/* Where a walk over all devices is; all 0 at its beginning, and after its end. */
struct zs_age_walk {
	unsigned int cursor; /* of devices */
	uint64_t device_id;
	uint64_t block;
};

/*
 * Notes for ever what is older than three days, while that can be told: of so many blocks more. True if the walk goes
 * on.
 */
bool zs_store_age(struct zs_store *store, struct zs_age_walk *walk, uint64_t nr_blocks);
