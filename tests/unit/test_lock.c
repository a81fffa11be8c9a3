/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks, and in debug builds their order. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

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
