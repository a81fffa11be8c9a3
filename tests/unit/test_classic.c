/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads of the classic transport, over a socket instead of /dev/fuse. */

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "frontend.h"
#include "fuse_abi.h"
#include "support/frontend_threads.h"
#include "transport_classic.h"
#include "transport_classic_wait.h"
#include "waiters.h"

#define LONG ((uint64_t)1 << 40)
/* Reads and writes from here on have to wait. */
#define COLD ((uint64_t)1 << 30)

static struct zsd_classic *classic;
static int kernel_fd, fuse_fd, ended_fd;
static sem_t gate;
static _Atomic unsigned int nr_discarding, nr_waiting;

/* A frontend whose long discards wait for the test, and so do reads and writes of what is cold, by who may. */

/* Half of it is done at once, the rest by who may wait. Answers what the call does. */
static int go_on(const struct test_frontend_thread *thread, uint64_t offset, size_t length, size_t *done)
{
	if (offset >= COLD && !thread->may_wait) {
		cr_assert_eq(*done, 0);
		*done = length / 2;
		return -EINPROGRESS;
	}
	if (offset >= COLD) {
		cr_assert_eq(*done, length / 2);
		atomic_fetch_add(&nr_waiting, 1);
		sem_wait(&gate);
	}
	*done = length;
	return 0;
}

static int read_data(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *done)
{
	size_t before = *done;
	int r = go_on(thread, offset, length, done);

	memset((char *)buffer + before, before ? 's' : 'r', *done - before);
	return r;
}

static int write_data(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *done)
{
	for (size_t i = 0; i < length; i++)
		cr_assert_eq(((const char *)buffer)[i], 'w');
	return go_on(thread, offset, length, done);
}

static int discard_data(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	atomic_fetch_add(&nr_discarding, 1);
	if (length >= LONG)
		sem_wait(&gate);
	return 0;
}

static const struct zsd_frontend_ops ops = {
	.thread_begin = test_thread_begin,
	.thread_end = test_thread_end,
	.thread_allow_wait = test_thread_allow_wait,
	.read = read_data,
	.write = write_data,
	.discard = discard_data,
};

static void begin(bool has_lane, uint64_t poll_max_nsec)
{
	const struct timeval patience = {.tv_sec = 60};
	int fds[2];
	struct zsd_classic_options options = {
		.ops = &ops, .nr_threads = 1, .has_lane = has_lane, .poll_max_nsec = poll_max_nsec};

	sem_init(&gate, 0, 0);
	nr_discarding = nr_waiting = 0;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	kernel_fd = fds[0];
	fuse_fd = options.fuse_fd = fds[1];
	ended_fd = options.ended_fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(setsockopt(kernel_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	cr_assert_eq(zsd_classic_create(&options, &classic), 0);
	cr_assert_eq(test_nr_threads, 1 + has_lane);
}

static void end(void)
{
	zsd_classic_destroy(classic);
	cr_assert_eq(test_nr_threads, 0);
	close(kernel_fd);
	close(fuse_fd);
	close(ended_fd);
}

static void ask(uint64_t unique, uint32_t opcode, const void *argument, size_t length)
{
	char bytes[300];
	const struct zsd_fuse_in_header header = {
		.length = (uint32_t)(sizeof(header) + length), .opcode = opcode, .unique = unique, .node = 5, .pid = 1};

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), argument, length);
	cr_assert_eq(send(kernel_fd, bytes, header.length, 0), header.length);
}

static void ask_discard(uint64_t unique, uint64_t length)
{
	const struct zsd_fuse_fallocate_in in = {.length = length, .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};

	ask(unique, ZSD_FUSE_FALLOCATE, &in, sizeof(in));
}

static void ask_read_at(uint64_t unique, uint64_t offset)
{
	const struct zsd_fuse_read_in in = {.offset = offset, .size = 100};

	ask(unique, ZSD_FUSE_READ, &in, sizeof(in));
}

static void ask_read(uint64_t unique)
{
	ask_read_at(unique, 0);
}

static void ask_write_at(uint64_t unique, uint64_t offset)
{
	struct {
		struct zsd_fuse_write_in in;
		char data[100];
	} request = {.in = {.offset = offset, .size = 100}};

	memset(request.data, 'w', sizeof(request.data));
	ask(unique, ZSD_FUSE_WRITE, &request, sizeof(request.in) + 100);
}

/* The next answer must be this one. */
static void expect_error(uint64_t unique, int error)
{
	_Alignas(8) char bytes[4096];
	struct zsd_fuse_out_header out;

	cr_assert_geq(recv(kernel_fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(out), "no answer");
	memcpy(&out, bytes, sizeof(out));
	cr_assert_eq(out.unique, unique);
	cr_assert_eq(out.error, error);
}

static void expect(uint64_t unique)
{
	expect_error(unique, 0);
}

static void wait_until(_Atomic unsigned int *counter, unsigned int nr)
{
	for (unsigned int i = 0; i < 60000 && *counter != nr; i++)
		usleep(1000);
	cr_assert_eq(*counter, nr);
}

static void wait_until_discarding(unsigned int nr)
{
	wait_until(&nr_discarding, nr);
}

Test(classic, small_requests_do_not_wait_for_long_discards, .timeout = 200)
{
	static const uint64_t poll_max_nsec[] = {0, 20000};

	for (unsigned int i = 0; i < 2; i++) {
		begin(true, poll_max_nsec[i]);
		for (uint64_t unique = 1; unique <= 3; unique++)
			ask_discard(unique, LONG);
		for (uint64_t unique = 10; unique < 100; unique++) {
			ask_read(unique);
			expect(unique);
		}
		ask_discard(100, 4096);
		expect(100);
		wait_until_discarding(2);
		for (uint64_t unique = 1; unique <= 3; unique++) {
			sem_post(&gate);
			expect(unique);
		}
		end();
	}
}

Test(classic, without_a_lane_or_memory_a_long_discard_is_served_all_the_same, .timeout = 200)
{
	begin(false, 0);
	ask_discard(1, LONG / 2);
	expect(1);
	end();

	begin(true, 0);
	zs_fault_arm(1);
	ask_discard(2, LONG / 2);
	expect(2);
	zs_fault_arm(0);
	end();
}

/* With a header of this length, which is not its own. */
static void ask_unsound(uint64_t unique, uint32_t opcode, uint32_t length)
{
	const struct zsd_fuse_in_header header = {.length = length, .opcode = opcode, .unique = unique, .node = 5};

	cr_assert_eq(send(kernel_fd, &header, sizeof(header), 0), sizeof(header));
}

Test(classic, who_asks_with_an_unsound_header_is_told_unless_no_answer_is_expected, .timeout = 200)
{
	static const uint32_t silent[] = {ZSD_FUSE_FORGET, ZSD_FUSE_BATCH_FORGET, ZSD_FUSE_INTERRUPT};
	static const uint32_t lengths[] = {0, 39, 41, UINT32_MAX};

	begin(true, 0);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(lengths); i++) {
		ask_unsound(1, ZSD_FUSE_READ, lengths[i]);
		expect_error(1, -EIO);
		ask_unsound(2, 99, lengths[i]);
		expect_error(2, -EIO);
		for (size_t j = 0; j < ZS_ARRAY_SIZE(silent); j++)
			ask_unsound(3, silent[j], lengths[i]);
		/* Less than a header says nothing of who asked. */
		cr_assert_eq(send(kernel_fd, "x", 1, 0), 1);
		ask_read(4);
		expect(4);
	}
	cr_assert_eq(zsd_classic_nr_refused(classic), ZS_ARRAY_SIZE(lengths) * (2 + ZS_ARRAY_SIZE(silent) + 1));
	end();
}

static void *run_stop(void *argument)
{
	zsd_classic_wait_stop(argument);
	return NULL;
}

static void *run_destroy(void *argument)
{
	zsd_classic_destroy(classic);
	return NULL;
}

Test(classic, requests_that_are_not_begun_are_dropped_at_the_stop, .timeout = 200)
{
	pthread_t stopper;
	int r;

	begin(true, 0);
	for (uint64_t unique = 1; unique <= 1000; unique++)
		ask_discard(unique, LONG);
	wait_until_discarding(1);
	cr_assert_eq(pthread_create(&stopper, NULL, run_destroy, NULL), 0);
	/* Some may be begun until it has come to the lane. */
	do {
		usleep(20000);
		sem_post(&gate);
		r = pthread_tryjoin_np(stopper, NULL);
	} while (r == EBUSY && nr_discarding < 1000);
	cr_assert_eq(r, 0);
	cr_assert_lt(nr_discarding, 1000);
	cr_assert_eq(test_nr_threads, 0);
}

/*
 * what has to wait
 */

/* The next answer is of any of the requests up to last; answers which. Reads were gone on with, not begun again. */
static uint64_t expect_any(uint64_t last)
{
	_Alignas(8) char bytes[4096];
	struct zsd_fuse_out_header out;
	ssize_t length = recv(kernel_fd, bytes, sizeof(bytes), 0);

	cr_assert_geq(length, (ssize_t)sizeof(out), "no answer");
	memcpy(&out, bytes, sizeof(out));
	cr_assert_eq(out.error, 0);
	cr_assert(out.unique >= 1 && out.unique <= last);
	if (length == sizeof(out) + 100) {
		cr_assert_eq(bytes[sizeof(out) + 49], 'r');
		cr_assert_eq(bytes[sizeof(out) + 50], 's');
	}
	return out.unique;
}

Test(classic, small_requests_do_not_wait_for_those_that_have_to, .timeout = 200)
{
	static const uint64_t poll_max_nsec[] = {0, 20000};
	const unsigned int nr = ZSD_WAITERS_MAX + 8;
	bool seen[ZSD_WAITERS_MAX + 9];

	for (unsigned int i = 0; i < 2; i++) {
		begin(true, poll_max_nsec[i]);
		for (uint64_t unique = 1; unique <= nr; unique++)
			unique % 2 ? ask_read_at(unique, COLD) : ask_write_at(unique, COLD);
		wait_until(&nr_waiting, ZSD_WAITERS_MAX);
		for (uint64_t unique = 100; unique < 200; unique++) {
			ask_read(unique);
			expect(unique);
		}
		memset(seen, 0, sizeof(seen));
		for (unsigned int j = 0; j < nr; j++) {
			uint64_t unique;

			sem_post(&gate);
			unique = expect_any(nr);
			cr_assert_not(seen[unique]);
			seen[unique] = true;
		}
		cr_assert_eq(nr_waiting, nr);
		end();
	}
}

Test(classic, without_memory_or_waiters_a_request_waits_where_it_is, .timeout = 200)
{
	begin(false, 0);
	ask_read_at(1, COLD);
	wait_until(&nr_waiting, 1);
	sem_post(&gate);
	cr_assert_eq(expect_any(1), 1);
	/* The thread may not wait with what comes then. */
	ask_write_at(2, COLD);
	wait_until(&nr_waiting, 2);
	sem_post(&gate);
	cr_assert_eq(expect_any(2), 2);
	end();

	begin(true, 0);
	zs_fault_arm(1);
	ask_read_at(1, COLD);
	wait_until(&nr_waiting, 1);
	cr_assert_eq(test_nr_threads, 2);
	zs_fault_arm(0);
	sem_post(&gate);
	cr_assert_eq(expect_any(1), 1);
	end();
}

Test(classic, more_than_64_mib_do_not_wait, .timeout = 200)
{
	const struct zsd_fuse_server server = {.ops = &ops};
	const struct zsd_fuse_in_header header = {.opcode = ZSD_FUSE_READ};
	const struct zsd_fuse_read_in in = {.offset = COLD, .size = 1 << 20};
	static char half[1 << 19];
	const struct zsd_fuse_request request = {
		.header = &header,
		.argument = &in,
		.argument_length = sizeof(in),
		.output = half,
		.done = sizeof(half),
	};
	struct zsd_classic_wait *wait;
	pthread_t stopper;

	begin(false, 0);
	cr_assert_eq(zsd_classic_wait_create(&server, 0, &wait), 0);
	for (unsigned int i = 0; i < 64; i++)
		cr_assert_eq(zsd_classic_wait_add(wait, &request, -1), 0);
	cr_assert_eq(zsd_classic_wait_add(wait, &request, -1), -ENOMEM);
	cr_assert_eq(pthread_create(&stopper, NULL, run_stop, wait), 0);
	for (unsigned int i = 0; i < 64; i++)
		sem_post(&gate);
	cr_assert_eq(pthread_join(stopper, NULL), 0);
	cr_assert_eq(zsd_classic_wait_add(wait, &request, -1), -ESHUTDOWN);
	zsd_classic_wait_destroy(wait);
	end();
}

Test(classic, requests_that_wait_and_are_not_begun_are_dropped_at_the_stop, .timeout = 200)
{
	pthread_t stopper;

	begin(true, 0);
	for (uint64_t unique = 1; unique <= ZSD_WAITERS_MAX + 20; unique++)
		ask_read_at(unique, COLD);
	ask_read(100);
	wait_until(&nr_waiting, ZSD_WAITERS_MAX);
	expect(100);
	cr_assert_eq(pthread_create(&stopper, NULL, run_destroy, NULL), 0);
	/* Until it has come to them. */
	usleep(50000);
	for (unsigned int i = 0; i < ZSD_WAITERS_MAX + 20; i++)
		sem_post(&gate);
	cr_assert_eq(pthread_join(stopper, NULL), 0);
	cr_assert_eq(test_nr_threads, 0);
}
