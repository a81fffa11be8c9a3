/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store with devices full of the corpus. */

#include "arena_store.h"

#include <stdio.h>

#include "base/bits.h"
#include "codec/stream.h"

struct fill {
	struct bench_store *store;
	unsigned int nr_threads;
};

void bench_store_create(struct bench_store *store, const struct bench_options *options, uint64_t size_bytes,
			bool pool_per_device)
{
	struct zs_store_options store_options = {0};
	size_t bytes;

	store->corpus = bench_map(options->corpus_path, &bytes);
	if (options->nr_blocks)
		bytes = zs_min(bytes, options->nr_blocks * BENCH_BLOCK_BYTES);
	store->corpus_bytes = zs_align_down(bytes, BENCH_FILL_BYTES);
	store->nr_devices = options->nr_devices;
	if (!size_bytes)
		size_bytes = store->corpus_bytes;
	store->device_bytes = zs_align_down(size_bytes / store->nr_devices, BENCH_FILL_BYTES);
	if (!store->device_bytes)
		bench_die(0, "too many devices for so little data");

	store_options.account.nr_nodes = store->account;
	zs_arena_options_default(&store_options.arena, 0);
	store_options.arena.pool_per_device = pool_per_device;
	bench_check(zs_store_create(&store_options, &store->store), "zs_store_create");
	for (unsigned int i = 0; i < store->nr_devices; i++) {
		struct zs_device_options device = {
			.size_bytes = store->device_bytes,
			.block_size = options->block_bytes,
			.codec = {.codec = ZS_CODEC_LZ4, .level = zs_codec_lz4.level_default},
		};
		char name[16];

		snprintf(name, sizeof(name), "d%u", i);
		device.name = name;
		bench_check(zs_store_add(store->store, &device, NULL, &store->ids[i]), "zs_store_add");
	}
}

const char *bench_store_block(const struct bench_store *store, uint64_t block)
{
	return store->corpus + block * BENCH_BLOCK_BYTES % store->corpus_bytes;
}

/* The thread's share of each device. */
static void fill_device(const struct fill *fill, unsigned int number, struct zs_stream *stream, unsigned int index)
{
	const struct bench_store *store = fill->store;
	struct zs_device *device = zs_device_get(store->store, store->ids[index], stream);
	size_t done;

	for (uint64_t offset = number * BENCH_FILL_BYTES; offset < store->device_bytes;
	     offset += fill->nr_threads * BENCH_FILL_BYTES) {
		uint64_t from = (index * store->device_bytes + offset) % store->corpus_bytes;

		bench_check(zs_device_write(device, stream, offset, store->corpus + from, BENCH_FILL_BYTES, &done),
			    "zs_device_write");
		if (done != BENCH_FILL_BYTES)
			bench_die(0, "short write");
	}
	zs_device_put(device, stream);
}

static void fill_share(struct bench_thread *thread)
{
	const struct fill *fill = thread->context;
	struct zs_stream *stream;

	bench_check(zs_stream_create(thread->number, &stream), "zs_stream_create");
	for (unsigned int i = 0; i < fill->store->nr_devices; i++)
		fill_device(fill, thread->number, stream, i);
	zs_stream_destroy(stream);
}

void bench_store_fill(struct bench_store *store, unsigned int nr_threads)
{
	struct bench_thread threads[BENCH_THREADS_MAX];
	struct fill fill = {.store = store, .nr_threads = nr_threads};
	uint64_t start = bench_now_ns();

	bench_threads_start(threads, nr_threads, 0, fill_share, &fill);
	bench_threads_join(threads, nr_threads);
	store->fill_ns = bench_now_ns() - start;
}
