/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads over io_uring, with a kernel that fails when the test wants it: nothing is lost, and nobody hangs. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "frontend.h"
#include "fuse_abi.h"
#include "placement.h"
#include "support/fake_rings.h"
#include "support/ring_client.h"
#include "transport_uring.h"
#include "transport_uring_internal.h"

#define BYTES 4096
#define LONG  ((uint64_t)1 << 40)

static struct zsd_placement placement;
static struct zsd_uring *uring;
static int ended_fd;

/* frontend: one file, which a discard of much waits for, and reads that wait where the test wants it */

static char data[1 << 20];
static sem_t gate;
static _Atomic bool read_waits, large_waits;
static _Atomic unsigned int nr_discarding, nr_reading, nr_served, nr_threads, threads_max;

static int begin_thread(void *frontend, unsigned int index, void **ret_thread)
{
	if (atomic_load(&nr_threads) == atomic_load(&threads_max))
		return -EAGAIN;
	atomic_fetch_add(&nr_threads, 1);
	*ret_thread = NULL;
	return 0;
}

static void end_thread(void *frontend, void *thread)
{
	atomic_fetch_sub(&nr_threads, 1);
}

static int read_data(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *ret_done)
{
	atomic_fetch_add(&nr_reading, 1);
	if (atomic_load(&read_waits) || (length > BYTES && atomic_load(&large_waits)))
		sem_wait(&gate);
	memcpy(buffer, data + offset, length);
	*ret_done = length;
	atomic_fetch_add(&nr_served, 1);
	return 0;
}

static int write_data(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *ret_done)
{
	memcpy(data + offset, buffer, length);
	*ret_done = length;
	atomic_fetch_add(&nr_served, 1);
	return 0;
}

static int discard_data(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	atomic_fetch_add(&nr_discarding, 1);
	if (length >= LONG)
		sem_wait(&gate);
	atomic_fetch_add(&nr_served, 1);
	return 0;
}

static const struct zsd_frontend_ops ops = {
	.thread_begin = begin_thread,
	.thread_end = end_thread,
	.read = read_data,
	.write = write_data,
	.discard = discard_data,
};

/* life */

static int create_placed(void)
{
	const struct zsd_uring_options options = {
		.fuse_fd = fake_rings_fuse_fd(), .ended_fd = ended_fd, .ops = &ops, .placement = &placement};

	return zsd_uring_create(&options, &uring);
}

static int create(unsigned int nr_queues, unsigned int max_threads)
{
	/* Not pinned: not all of these CPUs are there. */
	zsd_placement_make(nr_queues, NULL, max_threads, &placement);
	return create_placed();
}

static void begin(unsigned int nr_queues, unsigned int nr_rings)
{
	fake_rings_begin(nr_queues);
	cr_assert_eq(create(nr_queues, nr_rings), 0);
	cr_assert_eq(zsd_uring_start(uring), 0);
}

static void end(void)
{
	zsd_uring_destroy(uring);
	uring = NULL;
	fake_rings_abort();
	cr_assert_eq(nr_threads, 0);
}

static void set_up(void)
{
	ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sem_init(&gate, 0, 0);
	threads_max = UINT32_MAX;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 31 >> 3);
	fake_rings_begin(1);
}

static void tear_down(void)
{
	close(ended_fd);
}

TestSuite(rings, .init = set_up, .fini = tear_down, .timeout = 200);

static void check_read(unsigned int queue, uint64_t offset, uint32_t size)
{
	ring_client_check_read(queue, offset, size, data + offset);
}

/* placement */

Test(rings, each_queue_has_entries_whatever_is_possible_usable_and_wanted)
{
	for (unsigned int nr_queues = 1; nr_queues <= 64; nr_queues *= 2) {
		for (unsigned int nr = 1; nr <= 4; nr++) {
			fake_rings_begin(nr_queues);
			cr_assert_eq(create(nr_queues, nr), 0);
			cr_assert_eq(zsd_uring_start(uring), 0);
			for (unsigned int queue = 0; queue < nr_queues; queue++) {
				cr_assert_eq(fake_rings_nr_entries(queue), zsd_ring_depth + ZSD_RING_LONG_MAX);
				check_read(queue, queue * BYTES, BYTES);
			}
			end();
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
	zsd_placement_make(8, &usable, 256, &placement);
	fake_rings_begin(8);
	cr_assert_eq(create_placed(), 0);
	cr_assert_eq(zsd_uring_start(uring), 0);
	for (unsigned int i = 0; i < 1000; i++)
		check_read(i % 8, 0, BYTES);
	end();
}

/* errors */

Test(rings, an_error_that_will_not_pass_ends_the_transport)
{
	static const int errors[] = {EBADF, EBADFD, EINVAL, EFAULT, EOPNOTSUPP, ENXIO, EEXIST};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		static struct ring_client client;
		uint64_t value;

		begin(2, 2);
		check_read(0, 0, BYTES);
		fake_rings_fail(FAKE_WAIT, -errors[i], 0, 1);
		/* It wakes up a thread; whether it is answered depends on whose it is. */
		ring_client_start(ring_client_prepare_read(&client, 0, 0, BYTES));
		cr_assert(ring_client_has_ended(ended_fd, RING_CLIENT_PATIENCE_MSEC), "errno %d", errors[i]);
		cr_assert(zsd_uring_has_failed(uring));
		end();
		ring_client_join(&client);
		cr_assert(client.call.error == 0 || client.call.error == -ECONNABORTED);
		cr_assert_eq(read(ended_fd, &value, sizeof(value)), sizeof(value));
	}
}

Test(rings, an_error_that_passes_is_passed)
{
	static const int errors[] = {EINTR, EAGAIN, EBUSY, ETIME, EBADR, ENOMEM};

	begin(2, 2);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		fake_rings_fail(FAKE_WAIT, -errors[i], 0, 5);
		for (unsigned int j = 0; j < RING_CLIENT_PATIENCE_MSEC && fake_rings_nr_failed(FAKE_WAIT) < 5; j++)
			check_read(j % 2, j % 16 * BYTES, BYTES);
		cr_assert_eq(fake_rings_nr_failed(FAKE_WAIT), 5);
	}
	cr_assert_not(ring_client_has_ended(ended_fd, 0));
	end();
}

Test(rings, an_answer_that_is_not_taken_is_offered_again)
{
	static const int errors[] = {ENOMEM, EAGAIN, EINTR, EBUSY, EACCES, EPERM};

	begin(1, 1);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		fake_rings_fail(FAKE_COMMIT, -errors[i], i % 2, 4);
		for (unsigned int j = 0; j < 8; j++)
			check_read(0, j * BYTES, (uint32_t)(j + 1) * BYTES);
		cr_assert_eq(fake_rings_nr_failed(FAKE_COMMIT), 4);
	}
	cr_assert_not(ring_client_has_ended(ended_fd, 0));
	end();
}

Test(rings, an_answer_that_is_never_taken_ends_the_transport)
{
	static const int errors[] = {EACCES, EINVAL};
	static struct ring_client client;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		uint64_t value;

		begin(1, 1);
		fake_rings_fail(FAKE_COMMIT, -errors[i], 1, UINT32_MAX);
		check_read(0, 0, BYTES);
		ring_client_start(ring_client_prepare_read(&client, 0, 0, BYTES));
		cr_assert(ring_client_has_ended(ended_fd, RING_CLIENT_PATIENCE_MSEC));
		cr_assert_eq(fake_rings_nr_failed(FAKE_COMMIT) > 1, errors[i] == EACCES);
		end();
		cr_assert_eq(ring_client_join(&client), -ECONNABORTED);
		cr_assert_eq(read(ended_fd, &value, sizeof(value)), sizeof(value));
	}
}

Test(rings, the_end_of_the_connection_is_no_failure)
{
	begin(4, 4);
	check_read(3, 0, BYTES);
	fake_rings_abort();
	end();
	cr_assert_not(ring_client_has_ended(ended_fd, 0));
}

Test(rings, an_entry_that_can_not_be_registered_fails_the_start)
{
	fake_rings_begin(4);
	cr_assert_eq(create(4, 2), 0);
	fake_rings_fail(FAKE_REGISTER, -ENOMEM, 3, 1);
	cr_assert_eq(zsd_uring_start(uring), -ENOMEM);
	end();
}

/* Nothing has been told to the kernel then: there is another way to serve. */
Test(rings, a_lack_of_rings_or_threads_is_known_before_the_start)
{
	fake_rings_begin(4);
	for (unsigned int nr = 0; nr < 3; nr++) {
		fake_rings_fail(FAKE_SETUP, -ENOMEM, nr, 1);
		cr_assert_eq(create(4, 2), -ENOMEM);
		threads_max = nr;
		cr_assert_eq(create(4, 2), -EAGAIN);
		cr_assert_eq(nr_threads, 0);
		threads_max = UINT32_MAX;
	}
	threads_max = 3;
	cr_assert_eq(create(4, 2), 0);
	cr_assert_eq(fake_rings_nr_entries(0), 0);
	end();
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
	end();
}

/* long ones */

Test(rings, small_requests_do_not_wait_for_long_discards_of_the_same_cpu)
{
	static struct ring_client clients[ZSD_RING_LONG_MAX];

	begin(2, 1);
	for (unsigned int i = 0; i < ZSD_RING_LONG_MAX; i++)
		ring_client_start_brought(ring_client_prepare_discard(&clients[i], 0, LONG));
	ring_client_wait_until(&nr_discarding, 1);
	for (unsigned int i = 0; i < 100; i++)
		check_read(i % 2, i * BYTES, BYTES);
	/* One at a time: the others keep their entries. */
	cr_assert_eq(nr_discarding, 1);
	for (unsigned int i = 0; i < ZSD_RING_LONG_MAX; i++)
		sem_post(&gate);
	for (unsigned int i = 0; i < ZSD_RING_LONG_MAX; i++)
		cr_assert_eq(ring_client_join(&clients[i]), 0);
	end();
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
	end();
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
			check_read(0, i * BYTES, BYTES);
	}
	end();
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
	sem_post(&gate);
	cr_assert_eq(ring_client_join(&first), 0);
	ring_client_wait_until(&nr_reading, 3);
	ring_client_wait_for_answers(2);
	sem_post(&gate);
	cr_assert_eq(ring_client_join(&small), 0);
	cr_assert_eq(ring_client_join(&large), 0);
	end();
}

/* stop */

static void wait_for_the_end_of_another(void)
{
	/* In vain, unless one leaves that has still to hear from us. */
	for (unsigned int i = 0; i < 300 && nr_threads == 2; i++)
		usleep(1000);
}

static void *run_destroy(void *argument)
{
	zsd_uring_destroy(uring);
	return NULL;
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
	cr_assert_eq(pthread_create(&stopper, NULL, run_destroy, NULL), 0);
	/* The slow lane is at work, and the one at home has nothing to do and could leave. */
	while (!atomic_load(&uring->stopping))
		usleep(1000);
	usleep(20000);
	sem_post(&gate);
	cr_assert_eq(pthread_join(stopper, NULL), 0);
	fake_rings_abort();
	for (unsigned int i = 0; i < 3; i++)
		nr_done += ring_client_join(&clients[i]) == 0;
	cr_assert_eq(nr_done, 1);
	cr_assert_eq(nr_discarding, 1);
	cr_assert_eq(fake_rings_nr_answers(), nr_served);
}

Test(rings, what_was_served_was_answered_whenever_it_is_stopped)
{
	static struct ring_client clients[12];

	for (unsigned int turn = 0; turn < 100; turn++) {
		begin(3, 3);
		nr_served = 0;
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(clients); i++)
			ring_client_start(
				i % 6 == 5 ? ring_client_prepare_discard(&clients[i], i % 3, LONG / 2)
					   : ring_client_prepare_read(&clients[i], i % 3, 0, i % 2 ? BYTES : 1 << 17));
		usleep(turn * 17 % 1000);
		zsd_uring_destroy(uring);
		fake_rings_abort();
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(clients); i++) {
			int error = ring_client_join(&clients[i]);

			cr_assert(error == 0 || error == -ECONNABORTED, "error %d", error);
		}
		cr_assert_eq(fake_rings_nr_answers(), nr_served);
	}
}
