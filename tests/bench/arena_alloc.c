/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * alloc: a table of objects, filled with the trace; then each step allocates the trace's next object in place of a
 * random one, in the order in which a store overwrites a block: allocate, copy the payload in, publish, free the old
 * one. So lifetimes are geometric, and all memory is as old as the steps make it. Each thread follows the trace from
 * another place on, from its end to its start.
 *
 * variant   zsd       a pool, which also computes each payload's checksum, and is compacted meanwhile
 *           malloc    malloc(3) of whatever library is preloaded
 * appended  -own      a thread frees only what it has allocated
 *           -shuffled sizes are drawn from the trace at random: neighbours are as alike as any two blocks, and the mix
 *                     of sizes is always the same. Files are not like that: next to a block of text is more text
 *           -uncompacted   zsd without compaction
 *
 * Which objects the next steps replace is known, as in a request of several blocks, and every allocator may ask for the
 * memory that freeing them needs: zsd for the handle's word two steps before, and a step before for the object that it
 * names (store/block.c does both one block before, the word before that is compressed); malloc for the object a step
 * before, for which two made no difference.
 *
 * The payload is copied from a buffer that is in the processor's cache, as one is that was compressed just before.
 * Memory is resident memory of the process above what it was before the allocator was used: whatever the allocator
 * needs besides the objects is in it. It is taken at the end of each round, and its mean over the second half of the
 * rounds is the result, since compaction comes and goes.
 *
 * Compaction is that of daemon/policy.c as it is by default, but by the workers, between their steps and
 * on their time, and not paced by the clock: a minute of a busy device passes here in a second.
 */

#include <dlfcn.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "arena_bench.h"
#include "support/random.h"
#include "zsmalloc/object.h"
#include "zsmalloc/pool_internal.h"

/* Replacements for each object: enough that fragmentation doesn't grow any more. */
#define ROUNDS	   6
#define SIZE_SHIFT 48

/* Steps between two looks at the pool, and between two slices; freeable pages, in percent; pages freed by a slice. */
#define LOOK_STEPS    16384
#define SLICE_STEPS   512
#define START_PERCENT 3.0
#define STOP_PERCENT  2.7
#define SLICE_PAGES   64

/* Steps of a round that a thread takes at a time: who has smaller files would have to wait at the end of the round. */
#define SHARE_STEPS 1024

/* Steps whose objects are known, this one among them. */
#define AHEAD 3

struct alloc {
	struct bench_trace trace;
	_Atomic uint64_t *objects; /* [trace.nr] size << SIZE_SHIFT | address or handle */
	unsigned int nr_threads;
	_Atomic int64_t steps_left; /* of this round */
	bool own, shuffled, compact;
	struct zs_heap *heap; /* NULL: malloc */
	struct zs_pool *pool; /* the same */
	pthread_barrier_t barrier;
	/* Compaction; all but busy belong to the worker who has set that. */
	_Atomic bool busy;
	bool running;
	uint64_t freeable_pages, stop_pages; /* of this run: left by what was freed, and where it ends */
	uint64_t compact_ns;		     /* processor time of it */
	uint64_t filled_pages;		     /* pages that were populated for the first round */
};

/* What a worker needs for its next step. */
struct churn {
	struct test_random random;
	char payload[BENCH_BLOCK_BYTES];
	uint32_t start, nr;   /* the part of the table that it replaces */
	uint32_t next[AHEAD]; /* whose turn it is in this step and those that follow */
	uint32_t cursor;      /* in the trace */
	uint32_t nr_steps;    /* done */
};

static uint64_t address_of(uint64_t object)
{
	return object & (((uint64_t)1 << SIZE_SHIFT) - 1);
}

static struct zs_handle handle_of(uint64_t object)
{
	return (struct zs_handle){(uint32_t)address_of(object)};
}

static uint64_t pool_new(struct zs_pool *pool, size_t size, const void *payload, uint64_t soon)
{
	struct zs_object_info info = {.size = (uint32_t)size, .codec = 2};
	struct zs_handle handle;

	bench_check(zs_pool_alloc(pool, size, ZS_URGENCY_NEW, &handle), "zs_pool_alloc");
	zs_obj_replace(pool, handle, &info, payload, handle_of(soon));
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

/* soon: what is going to be dropped in the next step, or 0. */
static uint64_t object_new(struct alloc *alloc, size_t size, const void *payload, uint64_t soon)
{
	return alloc->pool ? pool_new(alloc->pool, size, payload, soon) : malloc_new(size, payload);
}

static void object_drop(struct alloc *alloc, uint64_t object)
{
	struct zs_object_info info;

	if (alloc->pool)
		zs_pool_free(alloc->pool, handle_of(object), &info);
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

/* Looks whether the pool is fragmented. */
static void look(struct alloc *alloc)
{
	struct zs_pool_stats stats;

	zs_pool_stats(alloc->pool, &stats);
	alloc->freeable_pages = stats.freeable_pages;
	alloc->stop_pages = (uint64_t)((double)stats.pages * STOP_PERCENT / 100);
	alloc->running = (double)stats.freeable_pages * 100 > (double)stats.pages * START_PERCENT;
}

static void slice(struct alloc *alloc)
{
	uint64_t freed = zs_pool_compact(alloc->pool, SLICE_PAGES);

	alloc->freeable_pages -= freed < alloc->freeable_pages ? freed : alloc->freeable_pages;
	alloc->running = freed && alloc->freeable_pages > alloc->stop_pages;
}

/*
 * By each worker for its own steps: done by one of them, it would make the others wait for that one at the end of each
 * round, and in turn, it would wait for who is not running.
 */
static void maintain(struct alloc *alloc, uint32_t step)
{
	uint64_t start;

	/* acquire: pairs with the release below */
	if (step % (SLICE_STEPS * alloc->nr_threads) ||
	    atomic_exchange_explicit(&alloc->busy, true, memory_order_acquire))
		return;
	start = bench_thread_cpu_ns();
	if (alloc->running)
		slice(alloc);
	else if (!(step % (LOOK_STEPS * alloc->nr_threads)))
		look(alloc);
	alloc->compact_ns += bench_thread_cpu_ns() - start;
	atomic_store_explicit(&alloc->busy, false, memory_order_release);
}

static uint32_t any_index(struct churn *churn)
{
	return churn->start + (uint32_t)test_random_below(&churn->random, churn->nr);
}

static size_t next_size(const struct alloc *alloc, struct churn *churn)
{
	if (alloc->shuffled)
		return alloc->trace.sizes[test_random_below(&churn->random, alloc->trace.nr)];
	if (churn->cursor == alloc->trace.nr)
		churn->cursor = 0;
	return alloc->trace.sizes[churn->cursor++];
}

/* Asks for the memory that dropping the next steps' objects is going to need. */
static void prefetch_next(struct alloc *alloc, const uint32_t *next)
{
	const char *address = (const char *)(uintptr_t)address_of(alloc->objects[next[0]]);

	__builtin_prefetch(&alloc->objects[next[AHEAD - 1]], 1);
	if (alloc->pool) {
		zs_handle_prefetch(alloc->pool, handle_of(alloc->objects[next[1]]));
		return;
	}
	/* The line with glibc's header, and that in which others keep the link of a free object. */
	__builtin_prefetch(address - sizeof(size_t), 1);
	__builtin_prefetch(address, 1);
}

static void step(struct alloc *alloc, struct churn *churn)
{
	uint32_t *next = churn->next, index = next[0];
	uint64_t new = object_new(alloc, next_size(alloc, churn), churn->payload, alloc->objects[next[1]]);

	memmove(next, next + 1, (AHEAD - 1) * sizeof(*next));
	next[AHEAD - 1] = any_index(churn);
	prefetch_next(alloc, next);
	object_drop(alloc, atomic_exchange(&alloc->objects[index], new));
}

/* The thread's share of the table. */
static void fill(struct alloc *alloc, struct churn *churn)
{
	for (uint32_t i = churn->start; i < churn->start + churn->nr; i++)
		alloc->objects[i] = object_new(alloc, alloc->trace.sizes[i], churn->payload, 0);
}

static void prepare(struct alloc *alloc, struct churn *churn)
{
	churn->cursor = churn->start;
	if (!alloc->own) {
		churn->start = 0;
		churn->nr = alloc->trace.nr;
	}
	for (unsigned int i = 0; i < AHEAD; i++)
		churn->next[i] = any_index(churn);
}

/* A thread's part of a round, which is as large as it is fast. */
static void churn_round(struct alloc *alloc, struct churn *churn)
{
	int64_t left;

	while ((left = atomic_fetch_sub_explicit(&alloc->steps_left, SHARE_STEPS, memory_order_relaxed)) > 0) {
		for (int64_t i = 0; i < SHARE_STEPS && i < left; i++) {
			if (alloc->compact)
				maintain(alloc, churn->nr_steps++);
			step(alloc, churn);
		}
	}
}

static void worker(struct bench_thread *thread)
{
	struct alloc *alloc = thread->context;
	struct churn churn = {.random = {thread->random}};

	share(alloc, thread->number, &churn.start, &churn.nr);
	test_random_fill(&churn.random, churn.payload, sizeof(churn.payload));
	pthread_barrier_wait(&alloc->barrier);
	fill(alloc, &churn);
	pthread_barrier_wait(&alloc->barrier);
	prepare(alloc, &churn);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		/* The main thread has looked at the memory. */
		pthread_barrier_wait(&alloc->barrier);
		churn_round(alloc, &churn);
		pthread_barrier_wait(&alloc->barrier);
	}
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
	alloc->heap = bench_heap();
	bench_check(zs_pool_create(alloc->heap, &alloc->pool), "zs_pool_create");
}

/*
 * What the kernel keeps for the allocator. An arena's pages are counted by the file: some in use are not mapped at the
 * moment (lib/zsmalloc/pages_punch.c), and resident memory is without them.
 */
static uint64_t memory_bytes(const struct alloc *alloc)
{
	return bench_anonymous_bytes() + (alloc->heap ? zs_arena_resident_bytes(alloc->heap->arena) : 0);
}

static double memory_over_payload(const struct alloc *alloc, uint64_t before)
{
	return (double)(memory_bytes(alloc) - before) / (double)payload_bytes(alloc);
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

/* Gives back whatever the allocator can, as it does by itself or when it is told to. */
static void trim(struct alloc *alloc)
{
	int (*glibc)(size_t) = (int (*)(size_t))dlsym(RTLD_DEFAULT, "malloc_trim");
	int (*jemalloc)(const char *, void *, size_t *, void *, size_t) = (int (*)(
		const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
	void (*mimalloc)(bool) = (void (*)(bool))dlsym(RTLD_DEFAULT, "mi_collect");

	if (alloc->pool)
		zs_pool_compact(alloc->pool, UINT64_MAX);
	else if (jemalloc)
		bench_check(jemalloc("arena.4096.purge", NULL, NULL, NULL, 0), "mallctl"); /* 4096: all arenas */
	else if (mimalloc)
		mimalloc(true);
	else if (glibc)
		glibc(0);
}

static bool has_suffix(const struct bench_options *options, const char *suffix)
{
	return strstr(options->variant, suffix);
}

static void parse_variant(struct alloc *alloc, const struct bench_options *options)
{
	bool pool = !strncmp(options->variant, "zsd", 3);

	if (!pool && strncmp(options->variant, "malloc", 6) != 0)
		bench_die(0, "alloc: no variant '%s'", options->variant);
	alloc->own = has_suffix(options, "-own");
	alloc->shuffled = has_suffix(options, "-shuffled");
	alloc->compact = pool && !has_suffix(options, "-uncompacted");
	if (pool)
		make_pool(alloc);
}

/* All rounds. Answers the memory. */
static double churn_all(struct alloc *alloc, uint64_t before, uint64_t *ret_ns, uint64_t *ret_cpu_ns)
{
	double memory = 0;
	uint64_t cpu_ns;

	*ret_ns = *ret_cpu_ns = 0;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		atomic_store(&alloc->steps_left, alloc->trace.nr);
		*ret_ns += phase(alloc, &cpu_ns);
		*ret_cpu_ns += cpu_ns;
		if (round >= ROUNDS / 2)
			memory += memory_over_payload(alloc, before) / (ROUNDS - ROUNDS / 2);
	}
	return memory;
}

/* What the checksums of the trace's objects take by themselves; their payload is in the cache, as in a step. */
static double checksum_ns(const struct alloc *alloc)
{
	static char payload[BENCH_BLOCK_BYTES];
	uint64_t start = bench_thread_cpu_ns();
	volatile uint32_t sum = 0;

	for (uint32_t i = 0; i < alloc->trace.nr; i++)
		sum ^= zs_object_checksum(zs_object_meta(&(struct zs_object_info){.size = alloc->trace.sizes[i]}),
					  payload);
	return (double)(bench_thread_cpu_ns() - start) / alloc->trace.nr;
}

static void print_pool(struct alloc *alloc, double nr_ops)
{
	struct zs_pool_stats stats;
	struct zs_heap_stats heap;

	zs_pool_stats(alloc->pool, &stats);
	zs_heap_stats(alloc->heap, &heap);
	printf("\"populated_per_op\": %.4f, \"punched_per_op\": %.4f, \"freeable\": %.4f, \"reserve\": %.4f, ",
	       (double)(heap.populated_pages - alloc->filled_pages) / nr_ops, (double)heap.punched_pages / nr_ops,
	       (double)stats.freeable_pages / (double)stats.pages, (double)heap.reserve_pages / (double)stats.pages);
	printf("\"moved_per_op\": %.4f, \"compaction_ns_per_op\": %.2f, ", (double)stats.moved_objects / nr_ops,
	       (double)alloc->compact_ns / nr_ops);
	printf("\"checksum_ns_per_op\": %.2f, ", checksum_ns(alloc));
}

static void note_filled(struct alloc *alloc)
{
	struct zs_heap_stats heap;

	if (!alloc->pool)
		return;
	zs_heap_stats(alloc->heap, &heap);
	alloc->filled_pages = heap.populated_pages;
}

void bench_alloc(const struct bench_options *options)
{
	static struct alloc alloc;
	struct bench_thread threads[BENCH_THREADS_MAX];
	uint64_t before, fill_ns, churn_ns, fill_cpu_ns, churn_cpu_ns;
	double filled, churned, nr_ops;

	alloc.nr_threads = options->nr_threads ? options->nr_threads : 1;
	bench_trace_load(options, &alloc.trace);
	nr_ops = (double)alloc.trace.nr * ROUNDS;
	alloc.objects = bench_memory(alloc.trace.nr * sizeof(*alloc.objects));
	pthread_barrier_init(&alloc.barrier, NULL, alloc.nr_threads + 1);
	before = memory_bytes(&alloc);
	parse_variant(&alloc, options);
	bench_threads_start(threads, alloc.nr_threads, options->seed, worker, &alloc);

	fill_ns = phase(&alloc, &fill_cpu_ns);
	filled = memory_over_payload(&alloc, before);
	note_filled(&alloc);
	churned = churn_all(&alloc, before, &churn_ns, &churn_cpu_ns);
	printf("{\"malloc\": \"%s\", \"filled\": %.5f, \"churned\": %.5f, ", malloc_library(), filled, churned);
	if (alloc.pool)
		print_pool(&alloc, nr_ops);
	trim(&alloc);
	printf("\"trimmed\": %.5f, ", memory_over_payload(&alloc, before));
	printf("\"fill_ops_per_s\": %.0f, \"ops_per_s\": %.0f, \"cpu_ns_per_op\": %.2f}\n",
	       alloc.trace.nr * 1e9 / (double)fill_ns, nr_ops * 1e9 / (double)churn_ns, (double)churn_cpu_ns / nr_ops);
	pthread_barrier_wait(&alloc.barrier);
	bench_threads_join(threads, alloc.nr_threads);
}
