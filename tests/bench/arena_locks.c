/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * locks: threads read and replace random objects of real sizes, one to one, for as long as a window lasts.
 *
 * subject  class     one pool, a lock per size class: what zsd does
 *          pools32   32 pools over one heap; an object belongs to one by its number
 *          pool      one pool, and one lock for all of it, which look-ups take, too (ZS_LOCKING_POOL)
 *
 * All are filled before the first window and stay.
 * Waits are what the pools' locks have counted (base/lock.h); not those of the shared caches and the pages, which are
 * the same for all.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arena_windows.h"
#include "base/lock.h"
#include "support/random.h"
#include "zsmalloc/pool.h"

#define SUBJECTS 3
#define POOLS	 32
#define WINDOWS	 12
/* Steps between two looks at the clock's flag. */
#define STEPS 64

struct subject {
	const char *name;
	struct zs_pool **pools;
	unsigned int nr_pools;
	_Atomic uint32_t *handles; /* [trace.nr] */
	enum zs_locking locking;
	struct zs_lock_waits waits; /* in all its windows; before them: so far */
};

struct locks {
	struct bench_trace trace;
	struct subject subjects[SUBJECTS];
	struct bench_windows windows;
};

/* old: what is going to be replaced, or none; a store asks for its memory before it compresses, and so does this. */
static struct zs_handle object_new(struct zs_pool *pool, uint16_t size, const void *payload, struct zs_handle old)
{
	struct zs_object_info info = {.size = size, .codec = 2};
	struct zs_handle handle;

	zs_handle_prefetch(pool, old);
	bench_check(zs_pool_alloc(pool, size, ZS_URGENCY_NEW, &handle), "zs_pool_alloc");
	zs_obj_replace(pool, handle, &info, payload, old);
	return handle;
}

static void replace(struct subject *subject, uint32_t index, uint16_t size, const void *payload)
{
	struct zs_pool *pool = subject->pools[index % subject->nr_pools];
	struct zs_handle old = {atomic_load_explicit(&subject->handles[index], memory_order_relaxed)};
	struct zs_handle handle = object_new(pool, size, payload, old);
	struct zs_object_info info;

	handle.index = atomic_exchange(&subject->handles[index], handle.index);
	zs_pool_free(pool, handle, &info);
}

static void read_object(struct subject *subject, uint32_t index, void *buffer)
{
	struct zs_pool *pool = subject->pools[index % subject->nr_pools];
	struct zs_object object;
	int error;

	do {
		error = zs_obj_read_begin(pool, (struct zs_handle){subject->handles[index]}, &object);
	} while (error == -EAGAIN);
	bench_check(error, "zs_obj_read_begin");
	memcpy(buffer, object.payload, object.info.size);
	zs_obj_read_end(pool, &object);
}

static uint64_t window(struct locks *locks, struct subject *subject, struct test_random *random, char *payload)
{
	char buffer[BENCH_BLOCK_BYTES];
	uint64_t ops = 0;

	while (!bench_windows_is_over(&locks->windows)) {
		for (unsigned int i = 0; i < STEPS; i++) {
			uint32_t index = (uint32_t)test_random_below(random, locks->trace.nr);

			if (i % 2)
				read_object(subject, index, buffer);
			else
				replace(subject, index, locks->trace.sizes[test_random_below(random, locks->trace.nr)],
					payload);
		}
		ops += STEPS;
	}
	return ops;
}

static void worker(struct bench_thread *thread)
{
	struct locks *locks = thread->context;
	struct test_random random = {thread->random};
	char payload[BENCH_BLOCK_BYTES];
	int subject;

	test_random_fill(&random, payload, sizeof(payload));
	while ((subject = bench_windows_begin(&locks->windows)) >= 0)
		bench_windows_end(&locks->windows, window(locks, &locks->subjects[subject], &random, payload));
}

/* What has been waited for the subject's locks so far. */
static struct zs_lock_waits lock_waits(const struct subject *subject)
{
	struct zs_lock_waits waits = {0};

	for (unsigned int i = 0; i < subject->nr_pools; i++) {
		struct zs_pool_stats stats;

		zs_pool_stats(subject->pools[i], &stats);
		waits.nr += stats.lock_waits;
		waits.ns += stats.lock_wait_ns;
	}
	return waits;
}

static void print_subject(const struct subject *subject, const struct bench_window_sum *sum)
{
	double ops = (double)sum->ops;
	const char *name = subject->name;

	printf(", \"%s\": %.0f, \"%s_waits\": %.2f, \"%s_wait_ns\": %.2f, \"%s_cpu_ns\": %.2f", name,
	       ops * 1e9 / (double)sum->ns, name, (double)subject->waits.nr * 1e6 / ops, name,
	       (double)subject->waits.ns / ops, name, (double)sum->cpu_ns / ops);
}

/* Nobody touches a subject's pools outside of its windows: what they count meanwhile is from those. */
static void measure(struct locks *locks, unsigned int nr_threads, uint64_t seed)
{
	for (unsigned int i = 0; i < SUBJECTS; i++)
		locks->subjects[i].waits = lock_waits(&locks->subjects[i]);
	bench_windows_run(&locks->windows, nr_threads, seed, worker, locks);
	printf("{\"threads\": %u", nr_threads);
	for (unsigned int i = 0; i < SUBJECTS; i++) {
		struct subject *subject = &locks->subjects[i];
		struct zs_lock_waits after = lock_waits(subject);

		subject->waits.nr = after.nr - subject->waits.nr;
		subject->waits.ns = after.ns - subject->waits.ns;
		print_subject(subject, &locks->windows.sums[i]);
	}
	printf("}\n");
}

/* A heap with these pools. */
static void make_pools(struct subject *subject, uint32_t nr_objects)
{
	struct zs_heap *heap = bench_heap();

	for (unsigned int i = 0; i < subject->nr_pools; i++) {
		bench_check(zs_pool_create(heap, &subject->pools[i]), "zs_pool_create");
		zs_pool_set_locking(subject->pools[i], subject->locking);
	}
	subject->handles = bench_memory(nr_objects * sizeof(*subject->handles));
}

/*
 * Makes and fills the subjects, turn by turn: of two that were filled one after the other the first is up to 3 %
 * slower, whichever it is.
 */
static void fill(struct subject subjects[static SUBJECTS], const struct bench_trace *trace)
{
	static const char payload[BENCH_BLOCK_BYTES] = {1};

	for (unsigned int i = 0; i < SUBJECTS; i++)
		make_pools(&subjects[i], trace->nr);
	for (uint32_t i = 0; i < SUBJECTS * trace->nr; i++) {
		struct subject *subject = &subjects[i % SUBJECTS];
		uint32_t index = i / SUBJECTS;

		subject->handles[index] = object_new(subject->pools[index % subject->nr_pools], trace->sizes[index],
						     payload, ZS_NO_HANDLE)
						  .index;
	}
}

void bench_locks(const struct bench_options *options)
{
	static const unsigned int nr_threads[] = {1, 2, 4, 8};
	static struct zs_pool *one[1], *many[POOLS], *one_lock[1];
	static struct locks locks = {
		.subjects =
			{
				{.name = "class", .pools = one, .nr_pools = 1},
				{.name = "pools32", .pools = many, .nr_pools = POOLS},
				{.name = "pool", .pools = one_lock, .nr_pools = 1, .locking = ZS_LOCKING_POOL},
			},
		.windows = {.nr_subjects = SUBJECTS, .nr_windows = WINDOWS},
	};

	bench_trace_load(options, &locks.trace);
	fill(locks.subjects, &locks.trace);
	for (unsigned int i = 0; i < sizeof(nr_threads) / sizeof(nr_threads[0]); i++)
		measure(&locks, nr_threads[i], options->seed);
}
