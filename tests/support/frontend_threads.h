#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads of a frontend under test: they are counted, there are not more than the test allows, and each knows whether
 * it may wait. For struct zsd_frontend_ops.
 */

#include <stdatomic.h>
#include <stdbool.h>

struct test_frontend_thread {
	bool may_wait;
};

extern _Atomic unsigned int test_nr_threads;
/* The next one fails with -EAGAIN. At first there is no limit. */
extern _Atomic unsigned int test_threads_max;

int test_thread_begin(void *frontend, unsigned int index, void **ret_thread);
void test_thread_end(void *frontend, void *thread);
void test_thread_allow_wait(void *frontend, void *thread, bool may_wait);
