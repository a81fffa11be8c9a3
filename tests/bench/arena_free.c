/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * punch, remove: a device full of data loses all of it, by one discard of its whole range, or by being removed.
 *
 * variant  deferred     the maintenance thread frees
 *          synchronous  there is none: the caller frees
 *
 * latency  until the call returns
 * back     until all zspages and slot tables are free and the kernel has the memory
 * cpu      of the whole process until then, without the looking whether they are
 */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "arena_store.h"
#include "codec/stream.h"

#define BACK_TIMEOUT_NS 30000000000
#define POLL_NS		2000000

/* What may stay: the reserve of free pages and the header. */
#define KEPT_BYTES ((uint64_t)8 << 20)

static bool memory_is_back(struct bench_store *store, bool removed)
{
	struct zs_store_stats stats;

	zs_store_stats(store->store, &stats);
	return !stats.deferred.pending && !stats.heap.zspage_pages && !stats.heap.handles.objects &&
	       (!removed || !stats.heap.slot_table_pages) &&
	       stats.resident_bytes <= KEPT_BYTES + stats.heap.slot_table_pages * BENCH_BLOCK_BYTES;
}

/* Answers the processor time that the waiting itself took. */
static uint64_t wait_until_back(struct bench_store *store, bool removed)
{
	uint64_t start = bench_now_ns(), cpu = bench_thread_cpu_ns();

	while (!memory_is_back(store, removed)) {
		if (bench_now_ns() - start > BACK_TIMEOUT_NS)
			bench_die(0, "the memory did not come back");
		nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
	}
	return bench_thread_cpu_ns() - cpu;
}

static void punch(struct bench_store *store)
{
	struct zs_stream *stream;
	struct zs_device *device;

	bench_check(zs_stream_create(0, &stream), "zs_stream_create");
	device = zs_device_get(store->store, store->ids[0], stream);
	bench_check(zs_device_discard(device, stream, 0, store->device_bytes), "zs_device_discard");
	zs_device_put(device, stream);
	zs_stream_destroy(stream);
}

static void remove_device(struct bench_store *store)
{
	bench_check(zs_store_remove(store->store, store->ids[0]), "zs_store_remove");
}

static void measure(const struct bench_options *options, void (*free_all)(struct bench_store *store), bool removed)
{
	static struct bench_store store;
	uint64_t cpu, start, latency, back, waiting;
	struct zs_store_stats stats;

	bench_store_create(&store, options, options->size_bytes, false);
	if (bench_is(options, "deferred"))
		bench_check(zs_store_start_maintenance(store.store), "zs_store_start_maintenance");
	else if (!bench_is(options, "synchronous"))
		bench_die(0, "no variant '%s'", options->variant);
	bench_store_fill(&store, 2);

	cpu = bench_cpu_ns();
	start = bench_now_ns();
	free_all(&store);
	latency = bench_now_ns() - start;
	waiting = wait_until_back(&store, removed);
	back = bench_now_ns() - start;
	cpu = bench_cpu_ns() - cpu - waiting;
	zs_store_stats(store.store, &stats);
	printf("{\"latency_ns\": %" PRIu64 ", \"back_ns\": %" PRIu64 ", \"cpu_ns\": %" PRIu64
	       ", \"fallbacks\": %" PRIu64 ", \"drained\": %" PRIu64 ", \"capacity\": %" PRIu64 "}\n",
	       latency, back, cpu, stats.deferred.fallbacks, stats.deferred.drained, stats.deferred.capacity);
}

void bench_punch(const struct bench_options *options)
{
	measure(options, punch, false);
}

void bench_remove(const struct bench_options *options)
{
	measure(options, remove_device, true);
}
