/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads of a frontend under test. */

#include "support/frontend_threads.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"

_Atomic unsigned int test_nr_threads;
_Atomic unsigned int test_threads_max = UINT32_MAX;

int test_thread_begin(void *frontend, unsigned int index, void **ret_thread)
{
	if (atomic_load(&test_nr_threads) == atomic_load(&test_threads_max))
		return -EAGAIN;
	*ret_thread = calloc(1, sizeof(struct test_frontend_thread));
	zs_assert(*ret_thread);
	atomic_fetch_add(&test_nr_threads, 1);
	return 0;
}

void test_thread_end(void *frontend, void *thread)
{
	free(thread);
	atomic_fetch_sub(&test_nr_threads, 1);
}

void test_thread_allow_wait(void *frontend, void *thread, bool may_wait)
{
	struct test_frontend_thread *own = thread;

	own->may_wait = may_wait;
}
