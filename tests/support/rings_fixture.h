#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads over io_uring, in front of the fake kernel of fake_rings.h and a frontend of the test with one file. One
 * at a time; a failure of the machinery itself ends the test.
 */

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "frontend.h"
#include "placement.h"
#include "transport_uring.h"

struct test_rings {
	struct zsd_placement placement;
	struct zsd_uring *uring;
	int ended_fd;
	/* The frontend's: the file's content, what it waits for, and how many requests it has served. */
	char data[1 << 20];
	sem_t gate;
	_Atomic unsigned int nr_served;
};

extern struct test_rings rings;

/* Of a suite. */
void test_rings_set_up(void);
void test_rings_tear_down(void);

/* Places the threads, on no CPU in particular, and makes the transport. Returns as zsd_uring_create(). */
int test_rings_create(const struct zsd_frontend_ops *ops, unsigned int nr_queues, unsigned int max_threads,
		      bool may_wait);
/* The same with the placement as it is. */
int test_rings_create_placed(const struct zsd_frontend_ops *ops, bool may_wait);
/* A new kernel, the transport, and its start. */
void test_rings_begin(const struct zsd_frontend_ops *ops, unsigned int nr_queues, unsigned int nr_rings, bool may_wait);
/* Asserts that it leaves no thread. */
void test_rings_end(void);
/* Destroys the transport: for pthread_create(). */
void *test_rings_destroy(void *argument);

/* Reads, and asserts that it is what is in the file. */
void test_rings_check_read(unsigned int queue, uint64_t offset, uint32_t size);
