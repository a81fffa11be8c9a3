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

#include "base/check.h"
#include "frontend.h"
#include "fuse_abi.h"
#include "transport_classic.h"

#define LONG ((uint64_t)1 << 40)

static struct zsd_classic *classic;
static int kernel_fd, fuse_fd, ended_fd;
static sem_t gate;
static _Atomic unsigned int nr_discarding, nr_threads;

/* A frontend whose long discards wait for the test. */

static int begin_thread(void *frontend, unsigned int index, void **ret_thread)
{
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
	memset(buffer, 'r', length);
	*ret_done = length;
	return 0;
}

static int discard_data(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	atomic_fetch_add(&nr_discarding, 1);
	if (length >= LONG)
		sem_wait(&gate);
	return 0;
}

static const struct zsd_frontend_ops ops = {
	.thread_begin = begin_thread,
	.thread_end = end_thread,
	.read = read_data,
	.discard = discard_data,
};

static void begin(bool has_lane, uint64_t poll_max_nsec)
{
	const struct timeval patience = {.tv_sec = 60};
	int fds[2];
	struct zsd_classic_options options = {
		.ops = &ops, .nr_threads = 1, .has_lane = has_lane, .poll_max_nsec = poll_max_nsec};

	sem_init(&gate, 0, 0);
	nr_discarding = 0;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	kernel_fd = fds[0];
	fuse_fd = options.fuse_fd = fds[1];
	ended_fd = options.ended_fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(setsockopt(kernel_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	cr_assert_eq(zsd_classic_create(&options, &classic), 0);
	cr_assert_eq(nr_threads, 1 + has_lane);
}

static void end(void)
{
	zsd_classic_destroy(classic);
	cr_assert_eq(nr_threads, 0);
	close(kernel_fd);
	close(fuse_fd);
	close(ended_fd);
}

static void ask(uint64_t unique, uint32_t opcode, const void *argument, size_t length)
{
	char bytes[200];
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

static void ask_read(uint64_t unique)
{
	const struct zsd_fuse_read_in in = {.size = 100};

	ask(unique, ZSD_FUSE_READ, &in, sizeof(in));
}

/* The next answer must be this one. */
static void expect(uint64_t unique)
{
	_Alignas(8) char bytes[4096];
	struct zsd_fuse_out_header out;

	cr_assert_geq(recv(kernel_fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(out), "no answer");
	memcpy(&out, bytes, sizeof(out));
	cr_assert_eq(out.unique, unique);
	cr_assert_eq(out.error, 0);
}

static void wait_until_discarding(unsigned int nr)
{
	for (unsigned int i = 0; i < 60000 && nr_discarding < nr; i++)
		usleep(1000);
	cr_assert_eq(nr_discarding, nr);
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
	cr_assert_eq(nr_threads, 0);
}
