#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measuring windows: threads work on several subjects in one process, for a short while on each in turn, so that all of
 * them meet the same memory and the same neighbours on the machine.
 *
 * A thread's life:
 *   while ((subject = bench_windows_begin(&windows)) >= 0) {
 *           while (!bench_windows_is_over(&windows))
 *                   (some steps on the subject)
 *           bench_windows_end(&windows, steps done);
 *   }
 */

#include <stdatomic.h>

#include "arena_bench.h"

#define BENCH_SUBJECTS_MAX 4

/* What all windows of a subject came to. */
struct bench_window_sum {
	uint64_t ops, ns, cpu_ns;
};

struct bench_windows {
	unsigned int nr_subjects;
	unsigned int nr_windows; /* of each */
	struct bench_window_sum sums[BENCH_SUBJECTS_MAX];
	int subject; /* of this window; negative ends the threads. Written between two barriers */
	atomic_bool over;
	_Atomic uint64_t ops;
	pthread_barrier_t barrier;
};

/* Runs all windows with this many threads, each of which runs `run`; sums start at 0. */
void bench_windows_run(struct bench_windows *windows, unsigned int nr_threads, uint64_t seed,
		       void (*run)(struct bench_thread *thread), void *context);

/* For the threads. */
int bench_windows_begin(struct bench_windows *windows);
void bench_windows_end(struct bench_windows *windows, uint64_t ops);

static inline bool bench_windows_is_over(struct bench_windows *windows)
{
	return atomic_load_explicit(&windows->over, memory_order_relaxed);
}
