/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory of the corpus, all of it idle, before and after it was recompressed to zstd:3; and after it was once more,
 * with a dictionary that was trained from it.
 */

#include <inttypes.h>
#include <stdio.h>

#include "arena_store.h"
#include "codec/stream.h"
#include "store/age.h"
#include "store/recompress.h"
#include "store/train.h"

#define FILL_THREADS 2
#define SLICE_NSEC   UINT64_C(100000000)

static const struct zs_codec_params zstd = {ZS_CODEC_ZSTD, 3};

static uint64_t memory(struct bench_store *store, const char *when)
{
	struct zs_store_stats stats;

	zs_store_flush(store->store);
	zs_store_stats(store->store, &stats);
	printf("\"%s_bytes\": %" PRIu64 ", ", when, stats.heap.used_bytes);
	return stats.heap.used_bytes;
}

/* Answers how long it took. */
static uint64_t recompress(struct bench_store *store, struct zs_device *device, struct zs_stream *stream)
{
	const struct zs_recompress_request request = {
		.types = ZS_RECOMPRESS_IDLE,
		.last = store->device_bytes / zs_device_block_size(device) - 1,
		.again = true,
		.nr_codecs = 1,
		.codecs = {zstd},
	};
	uint64_t marked, start = bench_now_ns();
	struct zs_recompress job;

	bench_check(zs_device_mark_idle(device, 0, request.last, 0, &marked), "zs_device_mark_idle");
	bench_check(zs_recompress_begin(&job, device, &request, NULL), "zs_recompress_begin");
	while (zs_recompress_slice(&job, device, stream, SLICE_NSEC))
		continue;
	zs_recompress_end(&job);
	return bench_now_ns() - start;
}

static void train(struct bench_store *store, struct zs_stream *stream)
{
	const struct zs_train_request request = {store->ids[0], ZS_TRAIN_SIZE_DEFAULT, zstd};
	struct zs_train_progress progress;
	uint64_t start = bench_now_ns();
	struct zs_train job = {0};

	bench_check(zs_train_begin(&job, store->store, &request), "zs_train_begin");
	while (zs_train_slice(&job, store->store, stream, SLICE_NSEC) > 0)
		continue;
	start = bench_now_ns() - start;
	zs_train_progress(&job, &progress);
	zs_train_end(&job);
	printf("\"train_nsec\": %" PRIu64 ", \"gain_bytes\": %" PRIu64 ", \"cost_bytes\": %" PRIu64
	       ", \"read_nsec\": %" PRIu64 ", \"trained_read_nsec\": %" PRIu64 ", \"version\": %u, ",
	       start, progress.gain_bytes, progress.cost_bytes, progress.read_before_nsec / progress.tried_blocks,
	       progress.read_after_nsec / progress.tried_blocks, progress.version);
}

void bench_recompress(const struct bench_options *options)
{
	static struct bench_store store;
	struct zs_stream *stream;
	struct zs_device *device;
	uint64_t plain_ns, trained_ns;

	bench_store_create(&store, options, 0, false);
	bench_store_fill(&store, FILL_THREADS);
	bench_check(zs_stream_create(0, &stream), "zs_stream_create");
	device = zs_device_get(store.store, store.ids[0], stream);
	printf("{");
	memory(&store, "filled");
	plain_ns = recompress(&store, device, stream);
	memory(&store, "recompressed");
	zs_store_compact(store.store, UINT64_MAX);
	memory(&store, "compacted");
	train(&store, stream);
	trained_ns = recompress(&store, device, stream);
	zs_store_compact(store.store, UINT64_MAX);
	memory(&store, "trained");
	printf("\"data_bytes\": %" PRIu64 ", \"nsec\": %" PRIu64 ", \"trained_nsec\": %" PRIu64 "}\n",
	       store.device_bytes, plain_ns, trained_ns);
	zs_device_put(device, stream);
	zs_stream_destroy(stream);
	zs_store_close(store.store);
}
