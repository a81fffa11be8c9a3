/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of the corpus, all of it idle, before and after it was recompressed to zstd:3. */

#include <inttypes.h>
#include <stdio.h>

#include "arena_store.h"
#include "codec/stream.h"
#include "store/age.h"
#include "store/recompress.h"

#define FILL_THREADS 2
#define SLICE_NSEC   UINT64_C(100000000)

static uint64_t memory(struct bench_store *store, const char *when)
{
	struct zs_store_stats stats;

	zs_store_flush(store->store);
	zs_store_stats(store->store, &stats);
	printf("\"%s_bytes\": %" PRIu64 ", ", when, stats.heap.used_bytes);
	return stats.heap.used_bytes;
}

static void recompress(struct bench_store *store, struct zs_device *device, struct zs_stream *stream)
{
	const struct zs_recompress_request request = {
		.types = ZS_RECOMPRESS_IDLE,
		.last = store->device_bytes / zs_device_block_size(device) - 1,
		.nr_codecs = 1,
		.codecs = {{.codec = ZS_CODEC_ZSTD, .level = 3}},
	};
	struct zs_recompress job;
	uint64_t marked;

	bench_check(zs_device_mark_idle(device, 0, request.last, 0, &marked), "zs_device_mark_idle");
	bench_check(zs_recompress_begin(&job, device, &request, NULL), "zs_recompress_begin");
	while (zs_recompress_slice(&job, device, stream, SLICE_NSEC))
		continue;
}

void bench_recompress(const struct bench_options *options)
{
	static struct bench_store store;
	struct zs_stream *stream;
	struct zs_device *device;
	uint64_t start;

	bench_store_create(&store, options, 0, false);
	bench_store_fill(&store, FILL_THREADS);
	bench_check(zs_stream_create(0, &stream), "zs_stream_create");
	device = zs_device_get(store.store, store.ids[0], stream);
	printf("{");
	memory(&store, "filled");
	start = bench_now_ns();
	recompress(&store, device, stream);
	start = bench_now_ns() - start;
	memory(&store, "recompressed");
	zs_store_compact(store.store, UINT64_MAX);
	memory(&store, "compacted");
	printf("\"data_bytes\": %" PRIu64 ", \"nsec\": %" PRIu64 "}\n", store.device_bytes, start);
	zs_device_put(device, stream);
	zs_stream_destroy(stream);
	zs_store_close(store.store);
}
