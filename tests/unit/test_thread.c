/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

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

#define NICE_MAX 19

struct place {
	int policy;
	int nice;
};

static struct place place_of_this_thread(void)
{
	return (struct place){sched_getscheduler(0), getpriority(PRIO_PROCESS, 0)};
}

static void *look(void *argument)
{
	struct place *place = argument;

	*place = place_of_this_thread();
	return NULL;
}

static struct place place_of_a_new_thread(void)
{
	struct place place;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, look, &place), 0);
	pthread_join(thread, NULL);
	return place;
}

/* places: the thread's own, that of one which it makes, and its own when it has asked twice. */
static void *go_to_the_background(void *argument)
{
	struct place *places = argument;

	zs_thread_set_background();
	places[0] = place_of_this_thread();
	places[1] = place_of_a_new_thread();
	zs_thread_set_background();
	places[2] = place_of_this_thread();
	return NULL;
}

Test(thread, one_in_the_background_and_those_that_it_makes_are_nicer_than_the_others)
{
	struct place before = place_of_this_thread(), places[3];
	pthread_t thread;

	cr_assert_eq(before.policy, SCHED_OTHER, "run me with 'chrt --other 0'");
	cr_assert_eq(pthread_create(&thread, NULL, go_to_the_background, places), 0);
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		cr_assert_eq(places[i].policy, SCHED_BATCH, "%u", i);
		cr_assert_eq(places[i].nice, before.nice + 5 > NICE_MAX ? NICE_MAX : before.nice + 5, "%u", i);
	}
	cr_assert_eq(place_of_this_thread().policy, SCHED_OTHER);
	cr_assert_eq(place_of_this_thread().nice, before.nice);
	cr_assert_eq(place_of_a_new_thread().nice, before.nice);
}

Test(thread, a_policy_that_was_chosen_for_the_process_is_kept)
{
	const struct sched_param none = {0};
	int nice = getpriority(PRIO_PROCESS, 0);

	cr_assert_eq(sched_setscheduler(0, SCHED_IDLE, &none), 0);
	zs_thread_set_background();
	cr_assert_eq(place_of_this_thread().policy, SCHED_IDLE);
	cr_assert_eq(place_of_this_thread().nice, nice);
}
