/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads of blocks that are in memory, by one thread without a pause, while the other devices are written back, and
 * while they are not. Both are measured in turn, a share of what there is to write at a time.
 */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "cold_store.h"
#include "codec/stream.h"
#include "histogram.h"
#include "store/cold.h"
#include "support/random.h"

#define ROUNDS 5

enum phase {
	PAUSED,
	QUIET,
	WRITING,
	OVER,
	NR_PHASES = PAUSED + OVER,
};

struct hot {
	struct bench_store store;
	_Atomic int phase;
	struct histogram histograms[NR_PHASES]; /* the reader's while the phase is not PAUSED */
};

static void read_hot(struct bench_thread *thread)
{
	struct hot *hot = thread->context;
	struct test_random random = {thread->random};
	uint64_t nr_blocks = hot->store.device_bytes / BENCH_BLOCK_BYTES;
	char buffer[BENCH_BLOCK_BYTES];
	struct zs_stream *stream;
	struct zs_device *device;
	int phase;

	bench_check(zs_stream_create(1, &stream), "zs_stream_create");
	device = zs_device_get(hot->store.store, hot->store.ids[0], stream);
	while ((phase = atomic_load_explicit(&hot->phase, memory_order_relaxed)) != OVER) {
		uint64_t block = test_random_below(&random, nr_blocks), start = bench_now_ns();

		bench_check(zs_device_read(device, stream, block * sizeof(buffer), buffer, sizeof(buffer)),
			    "zs_device_read");
		histogram_add(&hot->histograms[phase], bench_now_ns() - start);
		if (memcmp(buffer, bench_store_block(&hot->store, block), sizeof(buffer)))
			bench_die(0, "block %" PRIu64 " is not what was written", block);
	}
	zs_device_put(device, stream);
	zs_stream_destroy(stream);
}

/* Writes a share back, then is quiet for as long. */
static void measure_round(struct hot *hot, uint64_t bytes)
{
	struct zs_writeback_progress progress;
	uint64_t start = bench_now_ns(), nsec;
	struct timespec quiet;

	atomic_store(&hot->phase, WRITING);
	bench_cold_write(&hot->store, 1, bytes, &progress);
	nsec = bench_now_ns() - start;
	atomic_store(&hot->phase, QUIET);
	quiet = (struct timespec){.tv_sec = (time_t)(nsec / 1000000000U), .tv_nsec = (long)(nsec % 1000000000U)};
	nanosleep(&quiet, NULL);
	atomic_store(&hot->phase, PAUSED);
}

static void print(const struct hot *hot, uint64_t written_bytes)
{
	const struct histogram *quiet = &hot->histograms[QUIET], *writing = &hot->histograms[WRITING];

	printf("{\"quiet_p50_ns\": %" PRIu64 ", \"quiet_p99_ns\": %" PRIu64 ", \"quiet_reads\": %" PRIu64
	       ", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 ", \"reads\": %" PRIu64 ", \"written_bytes\": %" PRIu64
	       "}\n",
	       histogram_percentile(quiet, 50), histogram_percentile(quiet, 99), quiet->count,
	       histogram_percentile(writing, 50), histogram_percentile(writing, 99), writing->count, written_bytes);
}

/* The first of options->nr_devices devices is the hot one. */
void bench_hot(const struct bench_options *options)
{
	static struct hot hot;
	struct bench_thread reader;
	struct zs_store_stats stats;
	struct zs_backing_stats backing;
	uint64_t share;

	if (options->nr_devices < 2)
		bench_die(0, "hot: --devices 2 or more");
	bench_cold_create(&hot.store, options);
	zs_store_stats(hot.store.store, &stats);
	share = stats.heap.used_bytes / options->nr_devices * (options->nr_devices - 1) / ROUNDS;
	bench_threads_start(&reader, 1, options->seed, read_hot, &hot);
	/* As the daemon's thread that writes back; the reader is none of these. */
	zs_thread_set_background();
	for (unsigned int i = 0; i < ROUNDS; i++)
		measure_round(&hot, share);
	atomic_store(&hot.phase, OVER);
	bench_threads_join(&reader, 1);
	zs_backing_stats(zs_store_backing(hot.store.store), &backing);
	print(&hot, backing.written_bytes);
	zs_store_close(hot.store.store);
}
