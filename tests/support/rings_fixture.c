/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads over io_uring, under test. */

#include "support/rings_fixture.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "support/fake_rings.h"
#include "support/frontend_threads.h"
#include "support/ring_client.h"

struct test_rings rings;

void test_rings_set_up(void)
{
	rings.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sem_init(&rings.gate, 0, 0);
	for (size_t i = 0; i < sizeof(rings.data); i++)
		rings.data[i] = (char)(i * 31 >> 3);
	fake_rings_begin(1);
}

void test_rings_tear_down(void)
{
	close(rings.ended_fd);
}

int test_rings_create(const struct zsd_frontend_ops *ops, unsigned int nr_queues, unsigned int max_threads,
		      bool may_wait)
{
	/* Not pinned: not all of these CPUs are there. */
	zsd_placement_make(nr_queues, NULL, max_threads, &rings.placement);
	return test_rings_create_placed(ops, may_wait);
}

int test_rings_create_placed(const struct zsd_frontend_ops *ops, bool may_wait)
{
	const struct zsd_uring_options options = {
		.fuse_fd = fake_rings_fuse_fd(),
		.ended_fd = rings.ended_fd,
		.ops = ops,
		.placement = &rings.placement,
		.may_wait = may_wait,
	};

	return zsd_uring_create(&options, &rings.uring);
}

void test_rings_begin(const struct zsd_frontend_ops *ops, unsigned int nr_queues, unsigned int nr_rings, bool may_wait)
{
	fake_rings_begin(nr_queues);
	zs_assert(!test_rings_create(ops, nr_queues, nr_rings, may_wait));
	zs_assert(!zsd_uring_start(rings.uring));
}

void test_rings_end(void)
{
	zsd_uring_destroy(rings.uring);
	rings.uring = NULL;
	fake_rings_abort();
	zs_assert(!test_nr_threads);
}

void *test_rings_destroy(void *argument)
{
	zsd_uring_destroy(rings.uring);
	return NULL;
}

void test_rings_check_read(unsigned int queue, uint64_t offset, uint32_t size)
{
	ring_client_check_read(queue, offset, size, rings.data + offset);
}
