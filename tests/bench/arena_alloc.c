/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * alloc: a table of objects of real sizes; then each step replaces a random one by one of another random size, in the
 * order in which a store overwrites a block: allocate, copy the payload in, publish, free the old one. So lifetimes are
 * geometric, and all memory is as old as the steps make it.
 *
 * variant  zsd       a pool, which also computes each payload's checksum
 *          malloc    malloc(3) of whatever library is preloaded
 *          zsd-own, malloc-own   the same, but a thread frees only what it has allocated
 *
 * Which object a step replaces is known a step before, and every allocator may ask for the memory that freeing it
 * needs: a store compresses a block in between.
 *
 * The payload is copied from a buffer that is in the processor's cache, as one is that was compressed just before.
 * Memory is resident memory of the process above what it was before the allocator was used: whatever the allocator
 * needs besides the objects is in it.
 */

#include <dlfcn.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "arena_bench.h"
#include "support/random.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/pool.h"

/* Replacements for each object: enough that fragmentation doesn't grow any more. */
#define ROUNDS	   6
#define SIZE_SHIFT 48

struct alloc {
	struct bench_trace trace;
	_Atomic uint64_t *objects; /* [trace.nr] size << SIZE_SHIFT | address or handle */
	unsigned int nr_threads;
	bool own;
	struct zs_pool *pool; /* NULL: malloc */
	pthread_barrier_t barrier;
};

static uint64_t address_of(uint64_t object)
{
	return object & (((uint64_t)1 << SIZE_SHIFT) - 1);
}

static uint64_t pool_new(struct zs_pool *pool, size_t size, const void *payload, uint64_t old)
{
	struct zs_object_info info = {.size = (uint32_t)size, .codec = 2};
	struct zs_handle handle, old_handle = {(uint32_t)address_of(old)};

	bench_check(zs_pool_alloc(pool, size, ZS_URGENCY_NEW, &handle), "zs_pool_alloc");
	zs_obj_prefetch(pool, old_handle);
	zs_obj_write(pool, handle, &info, payload);
	return (uint64_t)size << SIZE_SHIFT | handle.index;
}

static uint64_t malloc_new(size_t size, const void *payload)
{
	void *memory = malloc(size);

	if (!memory)
		bench_die(0, "malloc");
	memcpy(memory, payload, size);
	return (uint64_t)size << SIZE_SHIFT | (uintptr_t)memory;
}

/* Asks for the memory that dropping an object is going to need. */
static void object_prefetch(struct alloc *alloc, uint64_t object)
{
	if (alloc->pool) {
		zs_handle_prefetch(alloc->pool, (struct zs_handle){(uint32_t)address_of(object)});
		return;
	}
	/* The line with glibc's header, and that in which others keep the link of a free object. */
	__builtin_prefetch((char *)(uintptr_t)address_of(object) - sizeof(size_t), 1);
	__builtin_prefetch((void *)(uintptr_t)address_of(object), 1);
}

/* old: what is going to be dropped next, or 0. */
static uint64_t object_new(struct alloc *alloc, size_t size, const void *payload, uint64_t old)
{
	return alloc->pool ? pool_new(alloc->pool, size, payload, old) : malloc_new(size, payload);
}

static void object_drop(struct alloc *alloc, uint64_t object)
{
	struct zs_object_info info;

	if (alloc->pool)
		zs_pool_free(alloc->pool, (struct zs_handle){(uint32_t)address_of(object)}, &info);
	else
		free((void *)(uintptr_t)address_of(object));
}

/* The objects that a thread fills, and with `own` the only ones that it replaces. */
static void share(const struct alloc *alloc, unsigned int number, uint32_t *ret_start, uint32_t *ret_nr)
{
	*ret_nr = alloc->trace.nr / alloc->nr_threads;
	*ret_start = *ret_nr * number;
	if (number == alloc->nr_threads - 1)
		*ret_nr = alloc->trace.nr - *ret_start;
}

static void worker(struct bench_thread *thread)
{
	struct alloc *alloc = thread->context;
	struct test_random random = {thread->random};
	char payload[BENCH_BLOCK_BYTES];
	uint32_t start, nr, steps, next, after;

	share(alloc, thread->number, &start, &nr);
	test_random_fill(&random, payload, sizeof(payload));
	pthread_barrier_wait(&alloc->barrier);
	for (uint32_t i = 0; i < nr; i++)
		alloc->objects[start + i] = object_new(alloc, alloc->trace.sizes[start + i], payload, 0);
	pthread_barrier_wait(&alloc->barrier);

	/* The main thread looks at the memory. */
	pthread_barrier_wait(&alloc->barrier);
	steps = nr * ROUNDS;
	if (!alloc->own) {
		start = 0;
		nr = alloc->trace.nr;
	}
	next = start + (uint32_t)test_random_below(&random, nr);
	after = start + (uint32_t)test_random_below(&random, nr);
	while (steps--) {
		uint32_t index = next;
		size_t size = alloc->trace.sizes[test_random_below(&random, alloc->trace.nr)];
		uint64_t new = object_new(alloc, size, payload, alloc->objects[index]);

		next = after;
		object_prefetch(alloc, alloc->objects[next]);
		after = start + (uint32_t)test_random_below(&random, nr);
		__builtin_prefetch(&alloc->objects[after], 1);
		object_drop(alloc, atomic_exchange(&alloc->objects[index], new));
	}
	pthread_barrier_wait(&alloc->barrier);
	/* Threads of a store don't end: what they have cached is part of the figure. */
	pthread_barrier_wait(&alloc->barrier);
}

static uint64_t payload_bytes(const struct alloc *alloc)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < alloc->trace.nr; i++)
		sum += alloc->objects[i] >> SIZE_SHIFT;
	return sum;
}

static void make_pool(struct alloc *alloc)
{
	static struct zs_arena arena;
	struct zs_arena_options options;
	struct zs_heap *heap;

	zs_arena_options_default(&options, 0);
	bench_check(zs_arena_create(&arena, &options), "zs_arena_create");
	bench_check(zs_heap_create(&arena, true, &heap), "zs_heap_create");
	bench_check(zs_pool_create(heap, &alloc->pool), "zs_pool_create");
}

static double memory_over_payload(const struct alloc *alloc, uint64_t before)
{
	return (double)(bench_resident_bytes() - before) / (double)payload_bytes(alloc);
}

/* Where malloc comes from: a library that could not be preloaded must not go unnoticed. */
static const char *malloc_library(void)
{
	void *symbol = dlsym(RTLD_DEFAULT, "malloc");
	Dl_info info;

	return symbol && dladdr(symbol, &info) ? info.dli_fname : "unknown";
}

/* Two barriers around a phase; answers its nanoseconds, and those of the processors. */
static uint64_t phase(struct alloc *alloc, uint64_t *ret_cpu_ns)
{
	uint64_t cpu = bench_cpu_ns(), start;

	pthread_barrier_wait(&alloc->barrier);
	start = bench_now_ns();
	pthread_barrier_wait(&alloc->barrier);
	*ret_cpu_ns = bench_cpu_ns() - cpu;
	return bench_now_ns() - start;
}

void bench_alloc(const struct bench_options *options)
{
	static struct alloc alloc;
	struct bench_thread threads[BENCH_THREADS_MAX];
	uint64_t before, fill_ns, churn_ns, fill_cpu_ns, churn_cpu_ns;
	double filled, churned;

	alloc.nr_threads = options->nr_threads ? options->nr_threads : 1;
	alloc.own = bench_is(options, "zsd-own") || bench_is(options, "malloc-own");
	bench_trace_load(options, &alloc.trace);
	alloc.objects = bench_memory(alloc.trace.nr * sizeof(*alloc.objects));
	pthread_barrier_init(&alloc.barrier, NULL, alloc.nr_threads + 1);
	bench_threads_start(threads, alloc.nr_threads, options->seed, worker, &alloc);

	before = bench_resident_bytes();
	if (bench_is(options, "zsd") || bench_is(options, "zsd-own"))
		make_pool(&alloc);
	else if (!bench_is(options, "malloc") && !bench_is(options, "malloc-own"))
		bench_die(0, "alloc: no variant '%s'", options->variant);
	fill_ns = phase(&alloc, &fill_cpu_ns);
	filled = memory_over_payload(&alloc, before);
	churn_ns = phase(&alloc, &churn_cpu_ns);
	churned = memory_over_payload(&alloc, before);
	printf("{\"malloc\": \"%s\", \"filled\": %.5f, \"churned\": %.5f, ", malloc_library(), filled, churned);
	if (alloc.pool) {
		zs_pool_compact(alloc.pool, UINT64_MAX);
		printf("\"compacted\": %.5f, ", memory_over_payload(&alloc, before));
	}
	printf("\"fill_ops_per_s\": %.0f, \"ops_per_s\": %.0f, \"cpu_ns_per_op\": %.2f}\n",
	       alloc.trace.nr * 1e9 / (double)fill_ns, (double)alloc.trace.nr * ROUNDS * 1e9 / (double)churn_ns,
	       (double)churn_cpu_ns / ((double)alloc.trace.nr * ROUNDS));
	pthread_barrier_wait(&alloc.barrier);
	bench_threads_join(threads, alloc.nr_threads);
}
