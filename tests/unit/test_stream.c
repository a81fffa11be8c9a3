/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams: what a thread keeps ready to move blocks. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "codec/times.h"
#include "support/data.h"

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};
static const struct zs_codec_params zstd = {ZS_CODEC_ZSTD, 3};

static char block[ZS_BLOCK_MAX_BYTES];
static char result[ZS_BLOCK_MAX_BYTES];

static struct zs_stream *stream_create(void)
{
	struct zs_stream *stream;

	cr_assert_eq(zs_stream_create(0, &stream), 0);
	return stream;
}

static void check_round_trip(struct zs_stream *stream, const struct zs_codec_params *params, size_t size, uint64_t seed)
{
	struct test_random random = {.state = seed};
	const void *payload;
	size_t length;

	test_data_make(TEST_DATA_TEXT, &random, block, size);
	cr_assert_eq(zs_stream_compress(stream, params, block, size, &payload, &length), 0);
	cr_assert_lt(length, size);
	memset(result, 0x55, size);
	cr_assert_eq(zs_stream_decompress(stream, params->codec, payload, length, result, size), 0);
	cr_assert_eq(memcmp(block, result, size), 0);
}

Test(stream, shard_is_kept)
{
	struct zs_stream *stream;

	cr_assert_eq(zs_stream_create(4711, &stream), 0);
	cr_assert_eq(zs_stream_shard(stream), 4711);
	zs_stream_destroy(stream);
	zs_stream_destroy(NULL);
}

Test(stream, more_levels_than_places_all_come_back)
{
	struct zs_stream *stream = stream_create();

	for (unsigned int round = 0; round < 3; round++) {
		for (int level = 1; level <= 22; level++) {
			struct zs_codec_params params = {level % 2 ? ZS_CODEC_ZSTD : ZS_CODEC_LZ4, level};

			check_round_trip(stream, &params, (size_t)4096 << level % 5, (uint64_t)level);
		}
	}
	zs_stream_destroy(stream);
}

Test(stream, block_sizes_take_turns)
{
	struct zs_stream *stream = stream_create();

	for (unsigned int i = 0; i < 600; i++)
		check_round_trip(stream, i % 3 ? &zstd : &lz4, (size_t)4096 << i % 5, i);
	zs_stream_destroy(stream);
}

/* Blocks that are replaced are decompressed into this memory and compressed again from it. */
Test(stream, compressing_leaves_the_scratch_block_alone)
{
	struct zs_stream *stream = stream_create();
	struct test_random random = {.state = 3};
	char *scratch = zs_stream_block(stream);
	const void *payload;
	size_t length;

	test_data_make(TEST_DATA_MIXED, &random, block, ZS_BLOCK_MAX_BYTES);
	memcpy(scratch, block, ZS_BLOCK_MAX_BYTES);
	for (size_t size = 4096; size <= ZS_BLOCK_MAX_BYTES; size *= 2) {
		cr_assert_eq(zs_stream_compress(stream, &zstd, scratch, size, &payload, &length), 0);
		cr_assert_eq(zs_stream_compress(stream, &lz4, scratch, size, &payload, &length), 0);
		cr_assert_eq(memcmp(scratch, block, ZS_BLOCK_MAX_BYTES), 0);
		cr_assert_eq(zs_stream_decompress(stream, ZS_CODEC_LZ4, payload, length, scratch, size), 0);
	}
	cr_assert_eq(memcmp(scratch, block, ZS_BLOCK_MAX_BYTES), 0);
	zs_stream_destroy(stream);
}

Test(stream, a_block_that_saves_nothing_is_refused)
{
	struct zs_stream *stream = stream_create();
	struct test_random random = {.state = 5};
	const void *payload = &payload;
	size_t length = 4711;

	test_random_fill(&random, block, sizeof(block));
	for (size_t size = 4096; size <= ZS_BLOCK_MAX_BYTES; size *= 2) {
		cr_assert_eq(zs_stream_compress(stream, &lz4, block, size, &payload, &length), -ENOSPC);
		cr_assert_eq(zs_stream_compress(stream, &zstd, block, size, &payload, &length), -ENOSPC);
	}
	cr_assert_eq(payload, &payload);
	cr_assert_eq(length, 4711);
	zs_stream_destroy(stream);
}

Test(stream, unknown_codecs_and_impossible_lengths_are_damage)
{
	struct zs_stream *stream = stream_create();

	memset(block, 0, sizeof(block));
	cr_assert_eq(zs_stream_decompress(stream, ZS_CODEC_RAW, block, 100, result, 4096), -EBADMSG);
	cr_assert_eq(zs_stream_decompress(stream, ZS_CODEC_FILL, block, 8, result, 4096), -EBADMSG);
	cr_assert_eq(zs_stream_decompress(stream, ZS_CODEC_NR, block, 100, result, 4096), -EBADMSG);
	cr_assert_eq(zs_stream_decompress(stream, (enum zs_codec_id)15, block, 100, result, 4096), -EBADMSG);
	for (enum zs_codec_id id = ZS_CODEC_LZ4; id <= ZS_CODEC_ZSTD; id++) {
		cr_assert_eq(zs_stream_decompress(stream, id, block, 0, result, 4096), -EBADMSG);
		cr_assert_eq(zs_stream_decompress(stream, id, block, 4096, result, 4096), -EBADMSG);
		cr_assert_eq(zs_stream_decompress(stream, id, block, SIZE_MAX, result, 4096), -EBADMSG);
	}
	zs_stream_destroy(stream);
}

Test(stream, a_failed_allocation_is_enomem_and_can_be_tried_again)
{
	const void *payload;
	size_t length;
	uint64_t nth;
	int error;

	test_data_make(TEST_DATA_TEXT, &(struct test_random){.state = 1}, block, 4096);
	for (nth = 1;; nth++) {
		struct zs_stream *stream;
		bool failed;

		zs_fault_arm(nth);
		error = zs_stream_create(0, &stream);
		if (error) {
			cr_assert_eq(error, -ENOMEM);
			continue;
		}
		error = zs_stream_compress(stream, &zstd, block, 4096, &payload, &length);
		if (!error)
			error = zs_stream_decompress(stream, ZS_CODEC_ZSTD, payload, length, result, 4096);
		failed = zs_fault_passed() >= nth;
		zs_fault_arm(0);
		cr_assert_eq(error, failed ? -ENOMEM : 0);
		check_round_trip(stream, &zstd, 4096, nth);
		check_round_trip(stream, &lz4, 4096, nth);
		zs_stream_destroy(stream);
		if (!failed)
			break;
	}
	/* The stream, the compressor and its first block, the decompressor. */
	cr_assert_geq(nth, 5);
}

Test(stream, no_compressor_is_lost_when_a_new_one_can_not_be_made)
{
	struct zs_stream *stream = stream_create();
	const void *payload;
	size_t length;

	memset(block, 1, sizeof(block));
	for (int level = 1; level <= 8; level++)
		check_round_trip(stream, &(struct zs_codec_params){ZS_CODEC_LZ4, level}, 4096, 1);
	zs_fault_arm(1);
	cr_assert_eq(zs_stream_compress(stream, &zstd, block, 4096, &payload, &length), -ENOMEM);
	zs_fault_arm(1);
	for (int level = 1; level <= 8; level++)
		cr_assert_eq(zs_stream_compress(stream, &(struct zs_codec_params){ZS_CODEC_LZ4, level}, block, 4096,
						&payload, &length),
			     0);
	cr_assert_eq(zs_fault_passed(), 0);
	zs_fault_arm(0);
	zs_stream_destroy(stream);
}

/* A call that is timed stands for those before it that were not: none is lost, none counts twice. */
Test(stream, timed_calls_stand_for_all_calls)
{
	struct zs_sampler sampler;
	unsigned int nr_timed = 0;
	uint64_t stands_for = 0;

	zs_sampler_init(&sampler, 7);
	for (unsigned int call = 1; call <= 100000; call++) {
		unsigned int weight = zs_sampler_next(&sampler);

		nr_timed += weight > 0;
		stands_for += weight;
		cr_assert(!weight || stands_for == call);
		cr_assert_lt(call - stands_for, ZS_SAMPLER_GAP);
	}
	cr_assert_gt(nr_timed, 100000 / 17);
	cr_assert_lt(nr_timed, 100000 / 16);
}

static void spend(struct zs_stream *stream, const struct zs_codec_params *params)
{
	for (unsigned int i = 0; i < ZS_SAMPLER_GAP; i++)
		check_round_trip(stream, params, 4096, i);
}

/* Each sampler times one call of a gap at least, and none takes no time at all. */
Test(stream, time_is_counted_for_the_codec_that_took_it)
{
	struct zs_stream *stream = stream_create();
	uint64_t lz4_nsec;

	spend(stream, &lz4);
	lz4_nsec = zs_codec_nsec(ZS_CODEC_LZ4, ZS_CODEC_COMPRESS);
	cr_assert_gt(lz4_nsec, 0);
	cr_assert_gt(zs_codec_nsec(ZS_CODEC_LZ4, ZS_CODEC_DECOMPRESS), 0);
	cr_assert_eq(zs_codec_nsec(ZS_CODEC_ZSTD, ZS_CODEC_COMPRESS), 0);
	spend(stream, &zstd);
	cr_assert_gt(zs_codec_nsec(ZS_CODEC_ZSTD, ZS_CODEC_COMPRESS), 0);
	cr_assert_gt(zs_codec_nsec(ZS_CODEC_ZSTD, ZS_CODEC_DECOMPRESS), 0);
	cr_assert_eq(zs_codec_nsec(ZS_CODEC_LZ4, ZS_CODEC_COMPRESS), lz4_nsec);
	zs_stream_destroy(stream);
}
