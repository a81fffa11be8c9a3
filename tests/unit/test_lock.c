/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks, and in debug builds their order. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/lock.h"

static struct zs_lock low, high;

static void locks_init(void)
{
	zs_lock_init(&low, ZS_LOCK_CLASS);
	zs_lock_init(&high, ZS_LOCK_PAGES);
}

static void locks_deinit(void)
{
	zs_lock_deinit(&low);
	zs_lock_deinit(&high);
}

TestSuite(lock, .init = locks_init, .fini = locks_deinit);

static void *try_it(void *argument)
{
	bool *taken = argument;

	*taken = zs_trylock(&low);
	if (*taken)
		zs_unlock(&low);
	return NULL;
}

static bool taken_by_another_thread(void)
{
	pthread_t thread;
	bool taken;

	cr_assert_eq(pthread_create(&thread, NULL, try_it, &taken), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	return taken;
}

Test(lock, holding_excludes_others)
{
	cr_assert(taken_by_another_thread());
	zs_lock(&low);
	cr_assert_not(taken_by_another_thread());
	zs_unlock(&low);
	cr_assert(taken_by_another_thread());
}

Test(lock, a_scope_lets_go_at_its_end)
{
	{
		ZS_LOCK_SCOPE(&low);
		ZS_LOCK_SCOPE(&high);
		cr_assert_not(taken_by_another_thread());
	}
	cr_assert(taken_by_another_thread());
}

Test(lock, rising_ranks_are_allowed)
{
	zs_lock(&low);
	zs_lock(&high);
	zs_lock_assert_held(&low);
	zs_lock_assert_held(&high);
	zs_unlock(&low);
	zs_unlock(&high);
	cr_assert(zs_trylock(&low));
	zs_unlock(&low);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct zs_lock_waits waits_of(const struct zs_lock *lock)
{
	struct zs_lock_waits waits = {0};

	zs_lock_add_waits(lock, &waits);
	return waits;
}

Test(lock, a_lock_that_is_free_counts_no_wait)
{
	for (unsigned int i = 0; i < 1000; i++) {
		zs_lock(&low);
		/* Who only tries does not wait. */
		cr_assert(i >= 3 || !taken_by_another_thread());
		zs_unlock(&low);
		cr_assert(zs_trylock(&low));
		zs_unlock(&low);
	}
	cr_assert_eq(waits_of(&low).nr, 0);
	cr_assert_eq(waits_of(&low).ns, 0);
}

static atomic_bool about_to_wait;

/* Answers how long the lock took at most. */
static void *wait_for_low(void *argument)
{
	uint64_t *took_ns = argument, start = now_ns();

	about_to_wait = true;
	zs_lock(&low);
	zs_unlock(&low);
	*took_ns = now_ns() - start;
	return NULL;
}

/* Holds the lock while another thread comes for it; answers how long that one took. */
static uint64_t hold_low(long hold_ns)
{
	uint64_t took_ns;
	pthread_t thread;

	about_to_wait = false;
	zs_lock(&low);
	cr_assert_eq(pthread_create(&thread, NULL, wait_for_low, &took_ns), 0);
	while (!about_to_wait)
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	nanosleep(&(struct timespec){.tv_nsec = hold_ns}, NULL);
	zs_unlock(&low);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	return took_ns;
}

Test(lock, a_wait_is_counted_with_its_time)
{
	const long hold_ns = 20000000;
	struct zs_lock_waits before, after = {0};
	unsigned int rounds = 0;

	/* On a busy machine the other thread may come late, and then it waits for less, or not at all. */
	do {
		uint64_t took_ns;

		cr_assert(rounds++ < 100, "nobody ever waited for long");
		before = after;
		took_ns = hold_low(hold_ns);
		after = waits_of(&low);
		cr_assert_leq(after.nr - before.nr, 1);
		cr_assert_leq(after.ns - before.ns, took_ns);
		cr_assert(after.nr > before.nr || after.ns == before.ns);
	} while (after.ns - before.ns < (uint64_t)hold_ns / 2);
	cr_assert_eq(waits_of(&high).nr, 0);
}

#define CROWD 8
#define TURNS 2000

static unsigned int turns, inside, overlaps; /* under low */

/* Some hold it for longer than anybody spins, so that the others sleep, and several at a time. */
static void *take_turns(void *argument)
{
	for (unsigned int i = 0; i < TURNS; i++) {
		ZS_LOCK_SCOPE(&low);
		overlaps += inside++ > 0;
		turns++;
		if (i % 16 == 0)
			nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
		inside--;
	}
	return NULL;
}

Test(lock, nobody_is_let_in_beside_another_or_forgotten_asleep)
{
	pthread_t threads[CROWD];

	for (unsigned int i = 0; i < CROWD; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, take_turns, NULL), 0);
	for (unsigned int i = 0; i < CROWD; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(turns, CROWD * TURNS);
	cr_assert_eq(overlaps, 0);
}

Test(lock, a_lock_that_is_held_is_not_destroyed, .signal = SIGABRT)
{
	zs_lock(&low);
	zs_lock_deinit(&low);
}

#ifdef ZS_DEBUG
Test(lock, falling_ranks_stop_the_program, .signal = SIGABRT)
{
	zs_lock(&high);
	zs_lock(&low);
}

Test(lock, two_of_one_rank_stop_the_program, .signal = SIGABRT)
{
	struct zs_lock other;

	zs_lock_init(&other, ZS_LOCK_CLASS);
	zs_lock(&low);
	zs_lock(&other);
}

Test(lock, a_lock_that_is_not_held_is_noticed, .signal = SIGABRT)
{
	zs_lock_assert_held(&low);
}
#endif
