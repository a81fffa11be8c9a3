/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * compact: a device is filled, 60 % of its blocks are discarded at random, and the rest is compacted in slices while
 * two threads read and write single blocks. Each operation's latency goes into the histogram of the phase in which it
 * began.
 *
 *   phase    what
 *   ramp     not counted
 *   quiet    the threads alone, for as long as QUIET_NS
 *   compact  until compaction finds nothing more to do
 *
 * variant  paced   a pause after each slice, as the daemon's policy makes
 *          whole   slice upon slice, as `zsctl compact` asks for
 *
 * Writes replace live blocks and are one operation in ten: many more of them would put the pool in order by themselves,
 * since a new object goes to the fullest zspage with room.
 */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "arena_store.h"
#include "codec/stream.h"
#include "histogram.h"
#include "support/random.h"

#define FREED_PERCENT 60
#define WRITE_PERCENT 10
#define RAMP_NS	      50000000
#define QUIET_NS      400000000
/* Of pages freed, and of one processor, in percent: daemon/policy.c's slice and its default quota. */
#define SLICE_PAGES 64
#define QUOTA	    10

enum phase { PHASE_RAMP, PHASE_QUIET, PHASE_COMPACT, PHASE_END };

struct compact {
	struct bench_store store;
	uint32_t *live; /* numbers of blocks that have data */
	uint32_t nr_live;
	_Atomic enum phase phase;
	struct histogram reads[BENCH_THREADS_MAX][PHASE_END];
	struct histogram writes[BENCH_THREADS_MAX][PHASE_END];
};

static void discard(struct compact *compact, struct test_random *random)
{
	uint32_t nr = (uint32_t)(compact->store.device_bytes / BENCH_BLOCK_BYTES);
	struct zs_stream *stream;
	struct zs_device *device;

	bench_check(zs_stream_create(0, &stream), "zs_stream_create");
	device = zs_device_get(compact->store.store, compact->store.ids[0], stream);
	compact->live = bench_memory(nr * sizeof(*compact->live));
	for (uint32_t i = 0; i < nr; i++) {
		if (!test_random_chance(random, FREED_PERCENT))
			compact->live[compact->nr_live++] = i;
		else
			bench_check(zs_device_discard(device, stream, i * BENCH_BLOCK_BYTES, BENCH_BLOCK_BYTES),
				    "zs_device_discard");
	}
	zs_device_put(device, stream);
	zs_stream_destroy(stream);
}

static void operation(struct compact *compact, struct zs_device *device, struct zs_stream *stream,
		      struct test_random *random, bool write)
{
	uint64_t block = compact->live[test_random_below(random, compact->nr_live)];
	uint64_t offset = block * BENCH_BLOCK_BYTES;
	char buffer[BENCH_BLOCK_BYTES];
	size_t done;

	if (!write)
		bench_check(zs_device_read(device, stream, offset, buffer, sizeof(buffer)), "zs_device_read");
	else
		/* The block's own data: what is stored, and how much of it, stays the same. */
		bench_check(zs_device_write(device, stream, offset, bench_store_block(&compact->store, block),
					    BENCH_BLOCK_BYTES, &done),
			    "zs_device_write");
}

static void worker(struct bench_thread *thread)
{
	struct compact *compact = thread->context;
	struct test_random random = {thread->random};
	struct zs_stream *stream;
	struct zs_device *device;
	enum phase phase;

	bench_check(zs_stream_create(thread->number, &stream), "zs_stream_create");
	device = zs_device_get(compact->store.store, compact->store.ids[0], stream);
	while ((phase = atomic_load_explicit(&compact->phase, memory_order_relaxed)) != PHASE_END) {
		bool write = test_random_chance(&random, WRITE_PERCENT);
		uint64_t start = bench_now_ns();

		operation(compact, device, stream, &random, write);
		histogram_add(write ? &compact->writes[thread->number][phase] : &compact->reads[thread->number][phase],
			      bench_now_ns() - start);
	}
	zs_device_put(device, stream);
	zs_stream_destroy(stream);
}

static double pages_over_payload(struct compact *compact)
{
	struct zs_device *device = zs_device_get(compact->store.store, compact->store.ids[0], NULL);
	struct zs_device_stats device_stats;
	struct zs_store_stats stats;

	zs_store_stats(compact->store.store, &stats);
	zs_device_stats(device, &device_stats);
	zs_device_put(device, NULL);
	return (double)(stats.heap.zspage_pages * BENCH_BLOCK_BYTES) / (double)device_stats.compressed_bytes;
}

static void print_phase(struct histogram (*histograms)[PHASE_END], unsigned int nr_threads, enum phase phase,
			const char *name)
{
	static struct histogram sum;

	sum = histograms[0][phase];
	for (unsigned int i = 1; i < nr_threads; i++)
		histogram_merge(&sum, &histograms[i][phase]);
	printf("\"%s_n\": %" PRIu64 ", \"%s_p50_ns\": %" PRIu64 ", \"%s_p99_ns\": %" PRIu64 ", ", name, sum.count, name,
	       histogram_percentile(&sum, 50), name, histogram_percentile(&sum, 99));
}

static void sleep_ns(uint64_t ns)
{
	nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

void bench_compact(const struct bench_options *options)
{
	static struct compact compact;
	static struct histogram slices;
	bool paced = bench_is(options, "paced");
	struct bench_thread threads[BENCH_THREADS_MAX];
	unsigned int nr_threads = options->nr_threads ? options->nr_threads : 2;
	struct test_random random = {options->seed};
	double before, quiet, after;
	uint64_t start, freed, freed_all = 0, worked = 0;
	struct zs_store_stats stats;

	if (!paced && !bench_is(options, "whole"))
		bench_die(0, "compact: no variant '%s'", options->variant);
	bench_store_create(&compact.store, options, options->size_bytes, false);
	bench_store_fill(&compact.store, 2);
	discard(&compact, &random);
	before = pages_over_payload(&compact);

	bench_threads_start(threads, nr_threads, options->seed, worker, &compact);
	sleep_ns(RAMP_NS);
	compact.phase = PHASE_QUIET;
	sleep_ns(QUIET_NS);
	quiet = pages_over_payload(&compact);
	compact.phase = PHASE_COMPACT;
	start = bench_now_ns();
	do {
		uint64_t slice = bench_now_ns();

		freed = zs_store_compact(compact.store.store, SLICE_PAGES);
		freed_all += freed;
		slice = bench_now_ns() - slice;
		worked += slice;
		histogram_add(&slices, slice);
		if (paced)
			sleep_ns(slice * (100 - QUOTA) / QUOTA);
	} while (freed);
	start = bench_now_ns() - start;
	compact.phase = PHASE_END;
	after = pages_over_payload(&compact);
	bench_threads_join(threads, nr_threads);

	zs_store_stats(compact.store.store, &stats);
	putchar('{');
	print_phase(compact.reads, nr_threads, PHASE_QUIET, "read_quiet");
	print_phase(compact.reads, nr_threads, PHASE_COMPACT, "read_compact");
	print_phase(compact.writes, nr_threads, PHASE_QUIET, "write_quiet");
	print_phase(compact.writes, nr_threads, PHASE_COMPACT, "write_compact");
	printf("\"slice_p50_ns\": %" PRIu64 ", \"slice_p99_ns\": %" PRIu64 ", ", histogram_percentile(&slices, 50),
	       histogram_percentile(&slices, 99));
	printf("\"before\": %.5f, \"quiet\": %.5f, \"after\": %.5f, \"compact_ns\": %" PRIu64
	       ", \"worked_ns\": %" PRIu64 ", \"freed_pages\": %" PRIu64 ", \"moved\": %" PRIu64 "}\n",
	       before, quiet, after, start, worked, freed_all, stats.pool.moved_objects);
}
