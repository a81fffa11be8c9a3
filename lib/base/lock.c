/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranked mutexes.
 *
 * The mutex is glibc's adaptive kind: it spins for a while before it sleeps, which suits critical sections of some
 * ten nanoseconds, and unlike a pure spin lock it does not burn a whole time slice when the holder's virtual CPU has
 * been descheduled.
 */

#include "base/lock.h"

#include <time.h>

#include "base/check.h"
#include "base/counter.h"

#ifdef ZS_DEBUG
/* Locks of each rank that the calling thread holds. */
static _Thread_local unsigned char held[ZS_LOCK_NR_RANKS];

static void note_locked(const struct zs_lock *lock, bool waited)
{
	for (unsigned int rank = lock->rank; waited && rank < ZS_LOCK_NR_RANKS; rank++)
		zs_assert_msg(!held[rank], "lock of rank %u taken while one of rank %u is held", lock->rank, rank);
	held[lock->rank]++;
}

static void note_unlocked(const struct zs_lock *lock)
{
	zs_assert(held[lock->rank]);
	held[lock->rank]--;
}
#else
static void note_locked(const struct zs_lock *lock, bool waited)
{
	(void)lock;
	(void)waited;
}

static void note_unlocked(const struct zs_lock *lock)
{
	(void)lock;
}
#endif

void zs_lock_init(struct zs_lock *lock, enum zs_lock_rank rank)
{
	pthread_mutexattr_t attributes;

	zs_assert(!pthread_mutexattr_init(&attributes));
	zs_assert(!pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP));
	zs_assert(!pthread_mutex_init(&lock->mutex, &attributes));
	zs_assert(!pthread_mutexattr_destroy(&attributes));
	lock->rank = rank;
	atomic_init(&lock->nr_waits, 0);
	atomic_init(&lock->waited_ns, 0);
}

void zs_lock_deinit(struct zs_lock *lock)
{
	zs_assert(!pthread_mutex_destroy(&lock->mutex));
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Out of the way of zs_lock(): its fast path shall stay short. */
static __attribute__((noinline)) void lock_taken(struct zs_lock *lock)
{
	uint64_t start = now_ns();

	zs_assert(!pthread_mutex_lock(&lock->mutex));
	zs_counter_add(&lock->nr_waits, 1);
	zs_counter_add(&lock->waited_ns, now_ns() - start);
}

void zs_lock(struct zs_lock *lock)
{
	note_locked(lock, true);
	if (pthread_mutex_trylock(&lock->mutex))
		lock_taken(lock);
}

bool zs_trylock(struct zs_lock *lock)
{
	if (pthread_mutex_trylock(&lock->mutex))
		return false;
	note_locked(lock, false);
	return true;
}

void zs_unlock(struct zs_lock *lock)
{
	note_unlocked(lock);
	zs_assert(!pthread_mutex_unlock(&lock->mutex));
}

void zs_lock_add_waits(const struct zs_lock *lock, struct zs_lock_waits *waits)
{
	waits->nr += atomic_load_explicit(&lock->nr_waits, memory_order_relaxed);
	waits->ns += atomic_load_explicit(&lock->waited_ns, memory_order_relaxed);
}

void zs_lock_assert_held(const struct zs_lock *lock)
{
#ifdef ZS_DEBUG
	zs_assert(held[lock->rank]);
#else
	(void)lock;
#endif
}
