/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads over io_uring, with a kernel that fails when the test wants it: nothing is lost, and nobody hangs. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "fuse_abi.h"
#include "placement.h"
#include "support/fake_rings.h"
#include "support/frontend_threads.h"
#include "support/ring_client.h"
#include "support/rings_fixture.h"
#include "transport_uring.h"
#include "transport_uring_internal.h"

#define BYTES 4096
#define LONG  ((uint64_t)1 << 40)

/* frontend: one file, which a discard of much waits for, and reads that wait where the test wants it */

static _Atomic bool read_waits, large_waits;
static _Atomic unsigned int nr_discarding, nr_reading;

static int read_data(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *ret_done)
{
	atomic_fetch_add(&nr_reading, 1);
	if (atomic_load(&read_waits) || (length > BYTES && atomic_load(&large_waits)))
		sem_wait(&rings.gate);
	memcpy(buffer, rings.data + offset, length);
	*ret_done = length;
	atomic_fetch_add(&rings.nr_served, 1);
	return 0;
}

static int write_data(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *ret_done)
{
	memcpy(rings.data + offset, buffer, length);
	*ret_done = length;
	atomic_fetch_add(&rings.nr_served, 1);
	return 0;
}

static int discard_data(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	atomic_fetch_add(&nr_discarding, 1);
	if (length >= LONG)
		sem_wait(&rings.gate);
	atomic_fetch_add(&rings.nr_served, 1);
	return 0;
}

static const struct zsd_frontend_ops ops = {
	.thread_begin = test_thread_begin,
	.thread_end = test_thread_end,
	.read = read_data,
	.write = write_data,
	.discard = discard_data,
};

/* life */

static int create(unsigned int nr_queues, unsigned int max_threads)
{
	return test_rings_create(&ops, nr_queues, max_threads, false);
}

static void begin(unsigned int nr_queues, unsigned int nr_rings)
{
	test_rings_begin(&ops, nr_queues, nr_rings, false);
}

TestSuite(rings, .init = test_rings_set_up, .fini = test_rings_tear_down, .timeout = 200);

/* placement */

Test(rings, each_queue_has_entries_whatever_is_possible_usable_and_wanted)
{
	for (unsigned int nr_queues = 1; nr_queues <= 64; nr_queues *= 2) {
		for (unsigned int nr = 1; nr <= 4; nr++) {
			fake_rings_begin(nr_queues);
			cr_assert_eq(create(nr_queues, nr), 0);
			cr_assert_eq(zsd_uring_start(rings.uring), 0);
			for (unsigned int queue = 0; queue < nr_queues; queue++) {
				cr_assert_eq(fake_rings_nr_entries(queue), zsd_ring_depth);
				test_rings_check_read(queue, queue * BYTES, BYTES);
			}
			test_rings_end();
		}
	}
}

Test(rings, a_queue_of_a_cpu_that_is_not_there_is_served)
{
	cpu_set_t usable;

	/* Pinning to CPUs 2 and 5 fails where there are fewer, which is no reason not to serve. */
	CPU_ZERO(&usable);
	CPU_SET(2, &usable);
	CPU_SET(5, &usable);
	zsd_placement_make(8, &usable, 256, &rings.placement);
	fake_rings_begin(8);
	cr_assert_eq(test_rings_create_placed(&ops, false), 0);
	cr_assert_eq(zsd_uring_start(rings.uring), 0);
	for (unsigned int i = 0; i < 1000; i++)
		test_rings_check_read(i % 8, 0, BYTES);
	test_rings_end();
}

/* errors */

Test(rings, an_error_that_will_not_pass_ends_the_transport)
{
	static const int errors[] = {EBADF, EBADFD, EINVAL, EFAULT, EOPNOTSUPP, ENXIO, EEXIST};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		static struct ring_client client;
		uint64_t value;

		begin(2, 2);
		test_rings_check_read(0, 0, BYTES);
		fake_rings_fail(FAKE_WAIT, -errors[i], 0, 1);
		/* It wakes up a thread; whether it is answered depends on whose it is. */
		ring_client_start(ring_client_prepare_read(&client, 0, 0, BYTES));
		cr_assert(ring_client_has_ended(rings.ended_fd, RING_CLIENT_PATIENCE_MSEC), "errno %d", errors[i]);
		cr_assert(zsd_uring_has_failed(rings.uring));
		test_rings_end();
		ring_client_join(&client);
		cr_assert(client.call.error == 0 || client.call.error == -ECONNABORTED);
		cr_assert_eq(read(rings.ended_fd, &value, sizeof(value)), sizeof(value));
	}
}

Test(rings, an_error_that_passes_is_passed)
{
	static const int errors[] = {EINTR, EAGAIN, EBUSY, ETIME, EBADR, ENOMEM};

	begin(2, 2);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		fake_rings_fail(FAKE_WAIT, -errors[i], 0, 5);
		for (unsigned int j = 0; j < RING_CLIENT_PATIENCE_MSEC && fake_rings_nr_failed(FAKE_WAIT) < 5; j++)
			test_rings_check_read(j % 2, j % 16 * BYTES, BYTES);
		cr_assert_eq(fake_rings_nr_failed(FAKE_WAIT), 5);
	}
	cr_assert_not(ring_client_has_ended(rings.ended_fd, 0));
	test_rings_end();
}

Test(rings, an_answer_that_is_not_taken_is_offered_again)
{
	static const int errors[] = {ENOMEM, EAGAIN, EINTR, EBUSY, EACCES, EPERM};

	begin(1, 1);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		fake_rings_fail(FAKE_COMMIT, -errors[i], i % 2, 4);
		for (unsigned int j = 0; j < 8; j++)
			test_rings_check_read(0, j * BYTES, (uint32_t)(j + 1) * BYTES);
		cr_assert_eq(fake_rings_nr_failed(FAKE_COMMIT), 4);
	}
	cr_assert_not(ring_client_has_ended(rings.ended_fd, 0));
	test_rings_end();
}

Test(rings, an_answer_that_is_never_taken_ends_the_transport)
{
	static const int errors[] = {EACCES, EINVAL};
	static struct ring_client client;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		uint64_t value;

		begin(1, 1);
		fake_rings_fail(FAKE_COMMIT, -errors[i], 1, UINT32_MAX);
		test_rings_check_read(0, 0, BYTES);
		ring_client_start(ring_client_prepare_read(&client, 0, 0, BYTES));
		cr_assert(ring_client_has_ended(rings.ended_fd, RING_CLIENT_PATIENCE_MSEC));
		cr_assert_eq(fake_rings_nr_failed(FAKE_COMMIT) > 1, errors[i] == EACCES);
		test_rings_end();
		cr_assert_eq(ring_client_join(&client), -ECONNABORTED);
		cr_assert_eq(read(rings.ended_fd, &value, sizeof(value)), sizeof(value));
	}
}

Test(rings, the_end_of_the_connection_is_no_failure)
{
	begin(4, 4);
	test_rings_check_read(3, 0, BYTES);
	fake_rings_abort();
	test_rings_end();
	cr_assert_not(ring_client_has_ended(rings.ended_fd, 0));
}

Test(rings, an_entry_that_can_not_be_registered_fails_the_start)
{
	fake_rings_begin(4);
	cr_assert_eq(create(4, 2), 0);
	fake_rings_fail(FAKE_REGISTER, -ENOMEM, 3, 1);
	cr_assert_eq(zsd_uring_start(rings.uring), -ENOMEM);
	test_rings_end();
}

/* Nothing has been told to the kernel then: there is another way to serve. */
Test(rings, a_lack_of_rings_or_threads_is_known_before_the_start)
{
	fake_rings_begin(4);
	for (unsigned int nr = 0; nr < 3; nr++) {
		fake_rings_fail(FAKE_SETUP, -ENOMEM, nr, 1);
		cr_assert_eq(create(4, 2), -ENOMEM);
		test_threads_max = nr;
		cr_assert_eq(create(4, 2), -EAGAIN);
		cr_assert_eq(test_nr_threads, 0);
		test_threads_max = UINT32_MAX;
	}
	test_threads_max = 3;
	cr_assert_eq(create(4, 2), 0);
	cr_assert_eq(fake_rings_nr_entries(0), 0);
	test_rings_end();
}

Test(rings, a_lack_of_memory_is_known_before_the_start)
{
	uint64_t nth;
	int r;

	fake_rings_begin(2);
	for (nth = 1;; nth++) {
		zs_fault_arm(nth);
		r = create(2, 2);
		zs_fault_arm(0);
		if (!r)
			break;
		cr_assert_eq(r, -ENOMEM);
	}
	cr_assert_gt(nth, 3);
	test_rings_end();
}

/* long ones */

Test(rings, small_requests_do_not_wait_for_long_discards_of_the_same_cpu)
{
	static struct ring_client clients[16];
	unsigned int nr = zsd_ring_depth - 1;

	begin(2, 1);
	for (unsigned int i = 0; i < nr; i++)
		ring_client_start_brought(ring_client_prepare_discard(&clients[i], 0, LONG));
	ring_client_wait_until(&nr_discarding, 1);
	for (unsigned int i = 0; i < 100; i++)
		test_rings_check_read(i % 2, i * BYTES, BYTES);
	/* One at a time: the others keep their entries. */
	cr_assert_eq(nr_discarding, 1);
	for (unsigned int i = 0; i < nr; i++)
		sem_post(&rings.gate);
	for (unsigned int i = 0; i < nr; i++)
		cr_assert_eq(ring_client_join(&clients[i]), 0);
	test_rings_end();
}

Test(rings, only_a_long_discard_goes_elsewhere)
{
	static struct ring_client client;

	begin(1, 1);
	fake_rings_call(&ring_client_prepare_discard(&client, 0, BYTES)->call);
	cr_assert_eq(fake_rings_nr_messages(), 0);
	fake_rings_call(&ring_client_prepare_discard(&client, 0, LONG / 2)->call);
	/* There and back. */
	cr_assert_eq(fake_rings_nr_messages(), 2);
	test_rings_end();
}

Test(rings, a_request_that_can_not_be_given_away_is_served)
{
	static struct ring_client client;

	begin(1, 1);
	for (unsigned int after = 0; after < 2; after++) {
		fake_rings_fail(FAKE_MESSAGE, -ENOMEM, after, UINT32_MAX);
		fake_rings_call(&ring_client_prepare_discard(&client, 0, LONG / 2)->call);
		cr_assert_eq(client.call.error, 0);
		for (unsigned int i = 0; i < 20; i++)
			test_rings_check_read(0, i * BYTES, BYTES);
	}
	test_rings_end();
}

Test(rings, a_small_answer_does_not_wait_for_a_large_request)
{
	static struct ring_client first, small, large;

	begin(1, 1);
	/* While it is served the others come, and are at hand together. */
	atomic_store(&read_waits, true);
	ring_client_start_brought(ring_client_prepare_read(&first, 0, 0, BYTES));
	ring_client_wait_until(&nr_reading, 1);
	ring_client_start_brought(ring_client_prepare_read(&small, 0, BYTES, BYTES));
	ring_client_start_brought(ring_client_prepare_read(&large, 0, 0, 64 * BYTES));
	atomic_store(&read_waits, false);
	atomic_store(&large_waits, true);
	sem_post(&rings.gate);
	cr_assert_eq(ring_client_join(&first), 0);
	ring_client_wait_until(&nr_reading, 3);
	ring_client_wait_for_answers(2);
	sem_post(&rings.gate);
	cr_assert_eq(ring_client_join(&small), 0);
	cr_assert_eq(ring_client_join(&large), 0);
	test_rings_end();
}

/* stop */

static void wait_for_the_end_of_another(void)
{
	/* In vain, unless one leaves that has still to hear from us. */
	for (unsigned int i = 0; i < 300 && test_nr_threads == 2; i++)
		usleep(1000);
}

Test(rings, an_answer_that_is_on_its_way_home_at_the_stop_arrives_and_no_long_one_is_begun)
{
	static struct ring_client clients[3];
	unsigned int nr_done = 0;
	pthread_t stopper;

	begin(1, 1);
	for (unsigned int i = 0; i < 3; i++)
		ring_client_start(ring_client_prepare_discard(&clients[i], 0, LONG));
	ring_client_wait_until(&nr_discarding, 1);
	fake_rings_before_message(wait_for_the_end_of_another);
	cr_assert_eq(pthread_create(&stopper, NULL, test_rings_destroy, NULL), 0);
	/* The slow lane is at work, and the one at home has nothing to do and could leave. */
	while (!atomic_load(&rings.uring->stopping))
		usleep(1000);
	usleep(20000);
	sem_post(&rings.gate);
	cr_assert_eq(pthread_join(stopper, NULL), 0);
	fake_rings_abort();
	for (unsigned int i = 0; i < 3; i++)
		nr_done += ring_client_join(&clients[i]) == 0;
	cr_assert_eq(nr_done, 1);
	cr_assert_eq(nr_discarding, 1);
	cr_assert_eq(fake_rings_nr_answers(), rings.nr_served);
}

Test(rings, what_was_served_was_answered_whenever_it_is_stopped)
{
	static struct ring_client clients[12];

	for (unsigned int turn = 0; turn < 100; turn++) {
		begin(3, 3);
		rings.nr_served = 0;
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(clients); i++)
			ring_client_start(
				i % 6 == 5 ? ring_client_prepare_discard(&clients[i], i % 3, LONG / 2)
					   : ring_client_prepare_read(&clients[i], i % 3, 0, i % 2 ? BYTES : 1 << 17));
		usleep(turn * 17 % 1000);
		zsd_uring_destroy(rings.uring);
		fake_rings_abort();
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(clients); i++) {
			int error = ring_client_join(&clients[i]);

			cr_assert(error == 0 || error == -ECONNABORTED, "error %d", error);
		}
		cr_assert_eq(fake_rings_nr_answers(), rings.nr_served);
	}
}
