#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that do the same thing again and again for some seconds. */

#include <stdbool.h>
#include <stdint.h>

#include "support/random.h"

struct test_thread {
	unsigned int number; /* 0, 1, ... */
	struct test_random random;
	void *context;
	void *local; /* the thread's own, if it wants something */
	uint64_t steps;
};

typedef void test_thread_step(struct test_thread *thread);

struct test_thread_role {
	const char *name;
	unsigned int nr_threads;
	test_thread_step *begin; /* may be NULL */
	test_thread_step *step;
	test_thread_step *end; /* may be NULL */
};

/* Runs all threads of all roles, and prints how many steps each role made: one without any fails the test. */
void test_threads_run(const struct test_thread_role *roles, unsigned int nr_roles, uint64_t seed, uint64_t seconds,
		      void *context);
