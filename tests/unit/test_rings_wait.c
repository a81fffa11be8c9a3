/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Over io_uring, requests that have to wait: others don't wait with them, and their answers get home. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "fuse_abi.h"
#include "support/fake_rings.h"
#include "support/frontend_threads.h"
#include "support/ring_client.h"
#include "support/rings_fixture.h"
#include "transport_uring.h"
#include "transport_uring_internal.h"
#include "waiters.h"

#define BYTES 4096
/* Reads from here on have to wait. */
#define COLD ((uint64_t)512 << 10)

/* frontend: one file */

static _Atomic unsigned int nr_waiting;

/* Of a read of what is cold the first half is done at once, and the rest, which waits for the test, by who may wait. */
static int read_cold(const struct test_frontend_thread *thread, uint64_t offset, char *buffer, size_t length,
		     size_t *done)
{
	if (!thread->may_wait) {
		*done = length / 2;
		memcpy(buffer, rings.data + offset, *done);
		return -EINPROGRESS;
	}
	cr_assert_eq(*done, length / 2);
	atomic_fetch_add(&nr_waiting, 1);
	sem_wait(&rings.gate);
	memcpy(buffer + *done, rings.data + offset + *done, length - *done);
	*done = length;
	atomic_fetch_add(&rings.nr_served, 1);
	return 0;
}

static int read_data(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *done)
{
	if (offset >= COLD)
		return read_cold(thread, offset, buffer, length, done);
	memcpy(buffer, rings.data + offset, length);
	*done = length;
	atomic_fetch_add(&rings.nr_served, 1);
	return 0;
}

static const struct zsd_frontend_ops ops = {
	.thread_begin = test_thread_begin,
	.thread_end = test_thread_end,
	.thread_allow_wait = test_thread_allow_wait,
	.read = read_data,
};

/* life */

static void begin(unsigned int nr_queues, unsigned int nr_rings)
{
	test_rings_begin(&ops, nr_queues, nr_rings, true);
}

TestSuite(rings_wait, .init = test_rings_set_up, .fini = test_rings_tear_down, .timeout = 200);

/* As many as may wait in one queue: more than there are waiters. */
#define NR_WAITING ZSD_RING_WAITING_MAX

Test(rings_wait, small_requests_do_not_wait_for_those_that_have_to)
{
	static struct ring_client clients[NR_WAITING];

	begin(2, 1);
	for (unsigned int i = 0; i < NR_WAITING; i++)
		ring_client_start_brought(
			ring_client_prepare_read(&clients[i], 0, COLD + i * BYTES, i % 4 ? BYTES : 16 * BYTES));
	ring_client_wait_until(&nr_waiting, ZSD_WAITERS_MAX);
	for (unsigned int i = 0; i < 100; i++)
		test_rings_check_read(i % 2, i * BYTES, BYTES);
	for (unsigned int i = 0; i < NR_WAITING; i++)
		sem_post(&rings.gate);
	for (unsigned int i = 0; i < NR_WAITING; i++) {
		cr_assert_eq(ring_client_join(&clients[i]), 0);
		cr_assert_eq(memcmp(clients[i].buffer, rings.data + COLD + i * BYTES, BYTES), 0);
	}
	test_rings_end();
	cr_assert_not(ring_client_has_ended(rings.ended_fd, 0));
}

Test(rings_wait, without_waiters_a_request_waits_where_it_is)
{
	static struct ring_client client;

	begin(1, 1);
	test_threads_max = test_nr_threads;
	ring_client_start(ring_client_prepare_read(&client, 0, COLD, BYTES));
	ring_client_wait_until(&nr_waiting, 1);
	sem_post(&rings.gate);
	cr_assert_eq(ring_client_join(&client), 0);
	cr_assert_eq(memcmp(client.buffer, rings.data + COLD, BYTES), 0);
	test_rings_end();
}

Test(rings_wait, without_waiters_what_is_done_is_answered_before_a_request_waits)
{
	static struct ring_client cold, hot, second;

	begin(1, 1);
	test_threads_max = test_nr_threads;
	ring_client_start(ring_client_prepare_read(&cold, 0, COLD, BYTES));
	ring_client_wait_until(&nr_waiting, 1);
	/* They are at hand together when the first one is done. */
	ring_client_start_brought(ring_client_prepare_read(&hot, 0, 0, BYTES));
	ring_client_start_brought(ring_client_prepare_read(&second, 0, COLD + BYTES, BYTES));
	sem_post(&rings.gate);
	ring_client_wait_until(&nr_waiting, 2);
	ring_client_wait_for_answers(2);
	sem_post(&rings.gate);
	cr_assert_eq(ring_client_join(&cold), 0);
	cr_assert_eq(ring_client_join(&hot), 0);
	cr_assert_eq(ring_client_join(&second), 0);
	test_rings_end();
}

Test(rings_wait, an_answer_that_has_waited_gets_home_after_an_error_that_passes)
{
	static const int errors[] = {ENOMEM, EAGAIN, EINTR};
	static struct ring_client client;

	begin(1, 1);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		fake_rings_fail(FAKE_MESSAGE, -errors[i], 0, 3);
		sem_post(&rings.gate);
		fake_rings_call(&ring_client_prepare_read(&client, 0, COLD, BYTES)->call);
		cr_assert_eq(client.call.error, 0);
		cr_assert_eq(fake_rings_nr_failed(FAKE_MESSAGE), 3);
	}
	test_rings_end();
}

Test(rings_wait, an_answer_that_can_never_get_home_ends_the_transport)
{
	static struct ring_client client;

	begin(1, 1);
	fake_rings_fail(FAKE_MESSAGE, -EINVAL, 0, UINT32_MAX);
	sem_post(&rings.gate);
	ring_client_start(ring_client_prepare_read(&client, 0, COLD, BYTES));
	cr_assert(ring_client_has_ended(rings.ended_fd, RING_CLIENT_PATIENCE_MSEC));
	cr_assert(zsd_uring_has_failed(rings.uring));
	test_rings_end();
	cr_assert_eq(ring_client_join(&client), -ECONNABORTED);
}

Test(rings_wait, what_waits_is_answered_or_dropped_at_the_stop)
{
	static struct ring_client clients[ZSD_WAITERS_MAX + 4];
	pthread_t stopper;
	unsigned int nr = 0;

	begin(1, 1);
	for (unsigned int i = 0; i < ZSD_WAITERS_MAX + 4; i++)
		ring_client_start(ring_client_prepare_read(&clients[i], 0, COLD + i * BYTES, BYTES));
	ring_client_wait_until(&nr_waiting, ZSD_WAITERS_MAX);
	cr_assert_eq(pthread_create(&stopper, NULL, test_rings_destroy, NULL), 0);
	usleep(20000);
	/* Those that come too late for the waiters wait where they are. */
	for (unsigned int i = 0; i < 2 * ZSD_WAITERS_MAX; i++)
		sem_post(&rings.gate);
	cr_assert_eq(pthread_join(stopper, NULL), 0);
	fake_rings_abort();
	for (unsigned int i = 0; i < ZSD_WAITERS_MAX + 4; i++)
		nr += ring_client_join(&clients[i]) == 0;
	cr_assert_eq(nr, rings.nr_served);
	cr_assert_geq(nr, ZSD_WAITERS_MAX);
	cr_assert_eq(test_nr_threads, 0);
}
