/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measuring windows. */

#include "arena_windows.h"

#include <string.h>
#include <time.h>

#define WINDOW_NS 50000000

int bench_windows_begin(struct bench_windows *windows)
{
	pthread_barrier_wait(&windows->barrier);
	return windows->subject;
}

void bench_windows_end(struct bench_windows *windows, uint64_t ops)
{
	atomic_fetch_add(&windows->ops, ops);
	pthread_barrier_wait(&windows->barrier);
}

/* The main thread sleeps; the threads work. */
static void run_window(struct bench_windows *windows, unsigned int subject)
{
	struct bench_window_sum *sum = &windows->sums[subject];
	uint64_t start, cpu;

	windows->subject = (int)subject;
	windows->over = false;
	windows->ops = 0;
	pthread_barrier_wait(&windows->barrier);
	start = bench_now_ns();
	cpu = bench_cpu_ns();
	nanosleep(&(struct timespec){.tv_nsec = WINDOW_NS}, NULL);
	windows->over = true;
	pthread_barrier_wait(&windows->barrier);
	sum->ns += bench_now_ns() - start;
	sum->cpu_ns += bench_cpu_ns() - cpu;
	sum->ops += windows->ops;
}

void bench_windows_run(struct bench_windows *windows, unsigned int nr_threads, uint64_t seed,
		       void (*run)(struct bench_thread *thread), void *context)
{
	struct bench_thread threads[BENCH_THREADS_MAX];
	unsigned int nr = windows->nr_subjects;

	memset(windows->sums, 0, sizeof(windows->sums));
	pthread_barrier_init(&windows->barrier, NULL, nr_threads + 1);
	bench_threads_start(threads, nr_threads, seed, run, context);
	/* In each round another one is the first: 0 1 2, 1 2 0, ... */
	for (unsigned int i = 0; i < windows->nr_windows * nr; i++)
		run_window(windows, (i + i / nr) % nr);
	windows->subject = -1;
	pthread_barrier_wait(&windows->barrier);
	bench_threads_join(threads, nr_threads);
	pthread_barrier_destroy(&windows->barrier);
}
