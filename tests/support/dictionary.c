/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data that dictionaries are made for, and training. */

#include "support/dictionary.h"

#include "base/bits.h"
#include "base/check.h"
#include "store/device.h"
#include "store/recompress.h"

#define COMMON_BYTES ((size_t)4 << 10)
#define PIECE_BYTES  ((size_t)96)
#define FRESH_BYTES  ((size_t)32)
#define SLICE_NSEC   1000000

void test_pattern_make(uint64_t kind, struct test_random *random, void *buffer, size_t size)
{
	struct test_random template = {.state = kind};
	char common[COMMON_BYTES], *at = buffer;
	size_t length;

	test_random_fill(&template, common, sizeof(common));
	for (bool fresh = false; size; size -= length, at += length, fresh = !fresh) {
		length = zs_min(fresh ? FRESH_BYTES : PIECE_BYTES, size);
		if (fresh)
			test_random_fill(random, at, length);
		else
			memcpy(at, common + test_random_below(random, COMMON_BYTES - PIECE_BYTES), length);
	}
}

int test_train(struct zs_store *store, uint64_t device_id, struct zs_stream *stream, uint32_t size_bytes,
	       struct zs_train_progress *ret_progress)
{
	const struct zs_train_request request = {device_id, size_bytes, {ZS_CODEC_ZSTD, 3}};
	struct zs_train job = {0};
	int result = zs_train_begin(&job, store, &request);

	if (!result) {
		do {
			result = zs_train_slice(&job, store, stream, SLICE_NSEC);
		} while (result > 0);
	}
	zs_train_progress(&job, ret_progress);
	zs_train_end(&job);
	return result;
}

uint64_t test_recompress(struct zs_device *device, struct zs_stream *stream)
{
	const struct zs_recompress_request request = {
		.types = ZS_RECOMPRESS_ALL,
		.last = zs_device_size(device) / zs_device_block_size(device) - 1,
		.again = true,
		.nr_codecs = 1,
		.codecs = {{ZS_CODEC_ZSTD, 3}},
	};
	struct zs_recompress_progress progress;
	struct zs_recompress job;

	zs_assert(!zs_recompress_begin(&job, device, &request, NULL));
	while (zs_recompress_slice(&job, device, stream, SLICE_NSEC))
		continue;
	zs_recompress_end(&job);
	zs_recompress_progress(&job, &progress);
	return progress.recompressed;
}
