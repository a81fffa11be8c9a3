/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/thread.h"

#define NR_THREADS (ZS_THREADS_MAX + 8)
#define ADDS	   10000

static pthread_barrier_t barrier;
static unsigned int numbers[NR_THREADS];
static _Atomic uint64_t counters[ZS_THREADS_MAX];

static void *count(void *argument)
{
	unsigned int *number = argument;

	*number = zs_thread_number();
	/* All have their numbers at the same time. */
	pthread_barrier_wait(&barrier);
	for (unsigned int i = 0; i < ADDS; i++)
		zs_thread_add(&counters[zs_thread_number()], zs_thread_number(), 1);
	return NULL;
}

static void run(unsigned int nr_threads)
{
	pthread_t threads[NR_THREADS];

	pthread_barrier_init(&barrier, NULL, nr_threads);
	for (unsigned int i = 0; i < nr_threads; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, count, &numbers[i]), 0);
	for (unsigned int i = 0; i < nr_threads; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	pthread_barrier_destroy(&barrier);
}

static uint64_t sum(void)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < zs_thread_numbers(); i++)
		total += counters[i];
	return total;
}

Test(thread, a_number_is_one_threads_own_while_it_lives)
{
	unsigned int holders[ZS_THREADS_MAX] = {0};

	run(NR_THREADS);
	for (unsigned int i = 0; i < NR_THREADS; i++)
		holders[numbers[i]]++;
	for (unsigned int number = 0; number < ZS_THREAD_SHARED; number++)
		cr_assert_eq(holders[number], 1, "number %u", number);
	cr_assert_eq(holders[ZS_THREAD_SHARED], NR_THREADS - ZS_THREAD_SHARED);
}

Test(thread, no_addition_is_lost_however_many_threads_there_are)
{
	run(NR_THREADS);
	cr_assert_eq(sum(), (uint64_t)NR_THREADS * ADDS);
}

Test(thread, numbers_are_used_again_and_their_counters_go_on)
{
	for (unsigned int round = 0; round < 20; round++)
		run(3);
	cr_assert_leq(zs_thread_numbers(), 4);
	cr_assert_eq(sum(), 20 * 3 * ADDS);
}

Test(thread, a_thread_keeps_its_number)
{
	unsigned int number = zs_thread_number();

	run(5);
	cr_assert_eq(zs_thread_number(), number);
	for (unsigned int i = 0; i < 5; i++)
		cr_assert_neq(numbers[i], number);
}
