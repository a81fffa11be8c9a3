/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads for requests that have to wait: as many as are needed, and none when none is. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/bits.h"
#include "frontend.h"
#include "waiters.h"

#define NR_ITEMS 200

struct item {
	struct zsd_waiter_item waiter;
	unsigned int nr_served, nr_dropped;
};

static struct zsd_waiters *waiters;
static struct item items[NR_ITEMS];
static sem_t gate;
static _Atomic unsigned int nr_serving, nr_served, nr_begun, nr_ended, nr_allowed;
static _Atomic bool thread_fails;

static int begin_thread(void *frontend, unsigned int index, void **ret_thread)
{
	cr_assert(index >= 7 && index < 7 + ZSD_WAITERS_MAX);
	if (thread_fails)
		return -ENOMEM;
	*ret_thread = NULL;
	atomic_fetch_add(&nr_begun, 1);
	return 0;
}

static void end_thread(void *frontend, void *thread)
{
	atomic_fetch_add(&nr_ended, 1);
}

static void allow_wait(void *frontend, void *thread, bool may_wait)
{
	atomic_fetch_add(&nr_allowed, may_wait);
}

static const struct zsd_frontend_ops ops = {
	.thread_begin = begin_thread,
	.thread_end = end_thread,
	.thread_allow_wait = allow_wait,
};

static void serve(void *context, const struct zsd_fuse_server *server, struct zsd_waiter_item *waiter)
{
	struct item *item = zs_container_of(waiter, struct item, waiter);

	atomic_fetch_add(&nr_serving, 1);
	sem_wait(&gate);
	item->nr_served++;
	atomic_fetch_add(&nr_served, 1);
}

static void drop(void *context, struct zsd_waiter_item *waiter)
{
	zs_container_of(waiter, struct item, waiter)->nr_dropped++;
}

static void set_up(void)
{
	const struct zsd_waiters_options options = {.server.ops = &ops, .first_index = 7, .serve = serve, .drop = drop};

	sem_init(&gate, 0, 0);
	cr_assert_eq(zsd_waiters_create(&options, &waiters), 0);
}

static void tear_down(void)
{
	zsd_waiters_destroy(waiters);
	cr_assert_eq(nr_begun, nr_ended);
	cr_assert_eq(nr_begun, nr_allowed);
}

TestSuite(waiters, .init = set_up, .fini = tear_down, .timeout = 200);

static void wait_until(_Atomic unsigned int *counter, unsigned int nr)
{
	for (unsigned int i = 0; i < 60000 && *counter != nr; i++)
		usleep(1000);
	cr_assert_eq(*counter, nr);
}

static void add(unsigned int first, unsigned int end)
{
	for (unsigned int i = first; i < end; i++)
		cr_assert_eq(zsd_waiters_add(waiters, &items[i].waiter), 0);
}

static void post(unsigned int nr)
{
	while (nr--)
		sem_post(&gate);
}

Test(waiters, there_are_as_many_threads_as_requests_up_to_a_limit)
{
	cr_assert_eq(zsd_waiters_nr_threads(waiters), 0);
	for (unsigned int i = 0; i < ZSD_WAITERS_MAX; i++) {
		add(i, i + 1);
		cr_assert_eq(zsd_waiters_nr_threads(waiters), i + 1);
	}
	add(ZSD_WAITERS_MAX, NR_ITEMS);
	cr_assert_eq(zsd_waiters_nr_threads(waiters), ZSD_WAITERS_MAX);
	wait_until(&nr_serving, ZSD_WAITERS_MAX);
	post(NR_ITEMS);
	wait_until(&nr_served, NR_ITEMS);
	zsd_waiters_stop(waiters);
	for (unsigned int i = 0; i < NR_ITEMS; i++)
		cr_assert(items[i].nr_served == 1 && !items[i].nr_dropped);
}

Test(waiters, threads_end_when_there_is_nothing_to_wait_for_and_come_again)
{
	zsd_waiters_idle_msec = 1;
	for (unsigned int turn = 0; turn < 20; turn++) {
		add(0, 5);
		post(5);
		wait_until(&nr_served, 5 * (turn + 1));
		for (unsigned int i = 0; i < 60000 && zsd_waiters_nr_threads(waiters); i++)
			usleep(1000);
		cr_assert_eq(zsd_waiters_nr_threads(waiters), 0);
	}
}

static void *run_stop(void *argument)
{
	zsd_waiters_stop(waiters);
	return NULL;
}

Test(waiters, requests_that_were_not_begun_are_dropped_at_the_stop)
{
	static struct item more[NR_ITEMS];
	unsigned int nr = 0;
	pthread_t stopper;

	add(0, NR_ITEMS);
	wait_until(&nr_serving, ZSD_WAITERS_MAX);
	cr_assert_eq(pthread_create(&stopper, NULL, run_stop, NULL), 0);
	while (nr < NR_ITEMS && !zsd_waiters_add(waiters, &more[nr].waiter)) {
		nr++;
		usleep(10000);
	}
	cr_assert_eq(zsd_waiters_add(waiters, &items[0].waiter), -ESHUTDOWN);
	/* The requests at hand are finished, and no thread takes another one. */
	post(2 * NR_ITEMS);
	cr_assert_eq(pthread_join(stopper, NULL), 0);
	cr_assert_eq(nr_served, ZSD_WAITERS_MAX);
	for (unsigned int i = 0; i < NR_ITEMS; i++)
		cr_assert_eq(items[i].nr_served + items[i].nr_dropped, 1, "request %u", i);
	for (unsigned int i = 0; i < nr; i++)
		cr_assert_eq(more[i].nr_dropped, 1);
}

Test(waiters, who_can_not_be_given_a_thread_keeps_the_request)
{
	thread_fails = true;
	cr_assert_eq(zsd_waiters_add(waiters, &items[0].waiter), -ENOMEM);
	thread_fails = false;
	add(0, 1);
	/* One thread is enough for all. */
	thread_fails = true;
	add(1, 5);
	cr_assert_eq(zsd_waiters_nr_threads(waiters), 1);
	post(5);
	wait_until(&nr_served, 5);
}
