/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading cold blocks at random. None is promoted, so that each read goes to the file. */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "cold_store.h"
#include "codec/stream.h"
#include "store/cold.h"
#include "support/random.h"

struct readback {
	struct bench_store *store;
	uint64_t *blocks; /* the cold ones, shuffled */
	uint64_t nr;	  /* of them that are read */
	_Atomic uint64_t next;
};

static void find_blocks(struct readback *readback, struct zs_device *device)
{
	uint64_t nr_blocks = zs_device_size(device) / BENCH_BLOCK_BYTES, nr = 0;
	struct zs_block_state state;

	readback->blocks = bench_memory(nr_blocks * sizeof(*readback->blocks));
	for (uint64_t block = 0; zs_device_next_block(device, &block, &state); block++) {
		if (state.kind != ZS_BLOCK_SAME)
			readback->blocks[nr++] = block;
	}
	if (nr < readback->nr)
		bench_die(0, "only %" PRIu64 " blocks have objects", nr);
	for (uint64_t i = 0; i + 1 < nr; i++) {
		struct test_random random = {i};
		uint64_t other = i + test_random_below(&random, nr - i);
		uint64_t block = readback->blocks[i];

		readback->blocks[i] = readback->blocks[other];
		readback->blocks[other] = block;
	}
}

static void read_share(struct bench_thread *thread)
{
	struct readback *readback = thread->context;
	struct bench_store *store = readback->store;
	char buffer[BENCH_BLOCK_BYTES];
	struct zs_stream *stream;
	struct zs_device *device;
	uint64_t i;

	bench_check(zs_stream_create(thread->number, &stream), "zs_stream_create");
	device = zs_device_get(store->store, store->ids[0], stream);
	while ((i = atomic_fetch_add_explicit(&readback->next, 1, memory_order_relaxed)) < readback->nr) {
		uint64_t block = readback->blocks[i];

		bench_check(zs_device_read(device, stream, block * sizeof(buffer), buffer, sizeof(buffer)),
			    "zs_device_read");
		if (memcmp(buffer, bench_store_block(store, block), sizeof(buffer)))
			bench_die(0, "block %" PRIu64 " is not what was written", block);
	}
	zs_device_put(device, stream);
	zs_stream_destroy(stream);
}

void bench_cold_read(struct bench_store *store, const struct bench_options *options, uint64_t nr)
{
	struct readback readback = {.store = store, .nr = nr};
	struct zs_device *device = zs_device_get(store->store, store->ids[0], NULL);
	struct bench_thread threads[BENCH_THREADS_MAX];
	struct zs_backing_stats stats;
	uint64_t start, cpu;

	find_blocks(&readback, device);
	zs_device_put(device, NULL);
	zs_store_set_promotion(store->store, 0);
	cpu = bench_cpu_ns();
	start = bench_now_ns();
	bench_threads_start(threads, options->nr_threads, options->seed, read_share, &readback);
	bench_threads_join(threads, options->nr_threads);
	start = bench_now_ns() - start;
	zs_backing_stats(zs_store_backing(store->store), &stats);
	if (stats.read_records < nr)
		bench_die(0, "only %" PRIu64 " of %" PRIu64 " reads went to the file", stats.read_records, nr);
	printf("{\"reads\": %" PRIu64 ", \"nsec\": %" PRIu64 ", \"cpu_nsec\": %" PRIu64 ", \"read_bytes\": %" PRIu64
	       ", \"file_reads\": %" PRIu64 "}\n",
	       nr, start, bench_cpu_ns() - cpu, stats.read_bytes, stats.reads);
}
