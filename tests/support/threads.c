/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads for the stress tests. */

#include "support/threads.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"

#define THREADS_MAX 32

struct runner {
	struct test_thread thread;
	const struct test_thread_role *role;
	_Atomic bool *stop;
	pthread_t pthread;
};

static void *run(void *argument)
{
	struct runner *runner = argument;

	if (runner->role->begin)
		runner->role->begin(&runner->thread);
	while (!atomic_load_explicit(runner->stop, memory_order_relaxed)) {
		runner->role->step(&runner->thread);
		runner->thread.steps++;
	}
	if (runner->role->end)
		runner->role->end(&runner->thread);
	return NULL;
}

/* Prints and judges the steps of a role's threads, which are the first ones; answers the runner after them. */
static struct runner *report(struct runner *runner, const struct test_thread_role *role)
{
	uint64_t steps = 0;

	for (unsigned int i = 0; i < role->nr_threads; i++, runner++)
		steps += runner->thread.steps;
	printf("%-10s %2u threads, %10" PRIu64 " steps\n", role->name, role->nr_threads, steps);
	zs_assert(steps);
	return runner;
}

void test_threads_run(const struct test_thread_role *roles, unsigned int nr_roles, uint64_t seed, uint64_t seconds,
		      void *context)
{
	const struct timespec duration = {.tv_sec = (time_t)seconds};
	struct runner runners[THREADS_MAX], *next = runners;
	unsigned int nr = 0;
	_Atomic bool stop = false;

	for (unsigned int i = 0; i < nr_roles; i++) {
		for (unsigned int number = 0; number < roles[i].nr_threads; number++) {
			zs_assert(nr < THREADS_MAX);
			runners[nr] = (struct runner){
				.thread = {.number = number, .random.state = seed + nr, .context = context},
				.role = &roles[i],
				.stop = &stop,
			};
			zs_assert(!pthread_create(&runners[nr].pthread, NULL, run, &runners[nr]));
			nr++;
		}
	}
	nanosleep(&duration, NULL);
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < nr; i++)
		zs_assert(!pthread_join(runners[i].pthread, NULL));
	for (unsigned int i = 0; i < nr_roles; i++)
		next = report(next, &roles[i]);
}
