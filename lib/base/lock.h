#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mutexes with a rank, of one process. The enum below is the lock order of the whole program: a thread may take a lock
 * only if its rank is higher than that of every lock it holds. Debug builds (ZS_DEBUG) assert it; release builds do not
 * pay.
 *
 * Not locks, and free to be used under any of these: the pin and lock bits of a handle word (zsmalloc/handle.h) and
 * the compare-and-swap of a slot (store/slot.h). A thread never waits for a pin while it holds a lock of rank CLASS or
 * above; under MODIFY and DRAIN it may.
 *
 * Each lock counts how often zs_lock() found it taken, and how long it waited then. A lock that is free costs nothing
 * more for it: the clock is read only by those who wait.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/cleanup.h"

enum zs_lock_rank {
	ZS_LOCK_MODIFY,	  /* store/block.c: read-modify-write of one block (striped) */
	ZS_LOCK_DRAIN,	  /* store/deferred.c: one thread at a time frees what was deferred */
	ZS_LOCK_DEVICES,  /* store/store.c: the tables of devices and groups */
	ZS_LOCK_DICTS,	  /* store/dictionaries.c: making and retiring them */
	ZS_LOCK_DEFERRED, /* store/deferred.c: blocks of one shard that wait to be freed */
	ZS_LOCK_BACKING,  /* store/segments.c: segments of the backing file */
	ZS_LOCK_CLASS,	  /* zsmalloc/room.c: fullness lists and free lists of one size class */
	ZS_LOCK_KEPT,	  /* zsmalloc/kept.c: free objects of one size class that one thread has at hand */
	ZS_LOCK_SLAB,	  /* zsmalloc/slab.c: handles, zspage descriptors */
	ZS_LOCK_PUNCH,	  /* zsmalloc/pages_punch.c: one thread at a time gives memory back */
	ZS_LOCK_PAGES,	  /* zsmalloc/pages.c: free runs */
	ZS_LOCK_NR_RANKS,
};

enum zs_lock_state {
	ZS_LOCK_FREE,
	ZS_LOCK_HELD,
	ZS_LOCK_WANTED, /* held, and somebody sleeps until it is free, or is about to */
};

struct zs_lock {
	_Atomic uint32_t state;	   /* enum zs_lock_state; acquire when it is taken, release when it is let go */
	enum zs_lock_rank rank;	   /* immutable after init */
	_Atomic uint64_t nr_waits; /* written under the lock, read by anybody; relaxed, statistics, as the next */
	_Atomic uint64_t waited_ns;
};

/* What was waited for a lock, or for several. */
struct zs_lock_waits {
	uint64_t nr; /* zs_lock() found it taken: those that got it by spinning, too */
	uint64_t ns;
};

void zs_lock_init(struct zs_lock *lock, enum zs_lock_rank rank);
/* Asserts that nobody holds it. */
void zs_lock_deinit(struct zs_lock *lock);

/* What follows does these only where the lock is taken, or somebody sleeps. */
void zs_lock_wait(struct zs_lock *lock);
void zs_lock_wake(struct zs_lock *lock);

#ifdef ZS_DEBUG
/* Keep the locks of the calling thread; waited: it would have waited for this one. */
void zs_lock_note_locked(const struct zs_lock *lock, bool waited);
void zs_lock_note_unlocked(const struct zs_lock *lock);
#else
static inline void zs_lock_note_locked(const struct zs_lock *lock, bool waited)
{
	(void)lock;
	(void)waited;
}

static inline void zs_lock_note_unlocked(const struct zs_lock *lock)
{
	(void)lock;
}
#endif

static inline bool zs_lock_take_free(struct zs_lock *lock)
{
	uint32_t free = ZS_LOCK_FREE;

	return atomic_compare_exchange_strong_explicit(&lock->state, &free, ZS_LOCK_HELD, memory_order_acquire,
						       memory_order_relaxed);
}

static inline void zs_lock(struct zs_lock *lock)
{
	zs_lock_note_locked(lock, true);
	if (__builtin_expect(!zs_lock_take_free(lock), 0))
		zs_lock_wait(lock);
}

static inline bool zs_trylock(struct zs_lock *lock)
{
	if (!zs_lock_take_free(lock))
		return false;
	zs_lock_note_locked(lock, false);
	return true;
}

static inline void zs_unlock(struct zs_lock *lock)
{
	uint32_t state;

	zs_lock_note_unlocked(lock);
	state = atomic_exchange_explicit(&lock->state, ZS_LOCK_FREE, memory_order_release);
	zs_debug_assert(state != ZS_LOCK_FREE);
	if (__builtin_expect(state == ZS_LOCK_WANTED, 0))
		zs_lock_wake(lock);
}

/* Adds what was waited for this lock so far. */
void zs_lock_add_waits(const struct zs_lock *lock, struct zs_lock_waits *waits);

/* Asserts (debug builds only) that the calling thread holds a lock of this rank. */
void zs_lock_assert_held(const struct zs_lock *lock);

static inline void zs_unlockp(struct zs_lock **lock)
{
	if (*lock)
		zs_unlock(*lock);
}

/* Holds the lock until the end of the scope. */
#define ZS_LOCK_SCOPE(lock)		   ZS_LOCK_SCOPE_NAMED(lock, __COUNTER__)
#define ZS_LOCK_SCOPE_NAMED(lock, counter) ZS_LOCK_SCOPE_PASTE(lock, counter)
#define ZS_LOCK_SCOPE_PASTE(lock, counter)                                                                             \
	ZS_CLEANUP(zs_unlockp) __attribute__((unused)) struct zs_lock *zs_scope_##counter = (zs_lock(lock), (lock))
