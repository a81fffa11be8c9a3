/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The codecs behind their table of functions. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "codec/codec.h"
#include "support/data.h"

#define BLOCK_MAX 65536

static const struct zs_codec *const codecs[] = {&zs_codec_lz4, &zs_codec_zstd};
static const size_t block_sizes[] = {4096, 8192, 16384, 32768, 65536};

/* One block on the heap, so that the address sanitizer sees a byte too many. */
struct trip {
	char *block;
	char *payload;
	char *result;
	size_t length;
};

static struct trip trip_create(size_t block_size)
{
	struct trip trip = {malloc(block_size), malloc(block_size), malloc(block_size), 0};

	cr_assert(trip.block && trip.payload && trip.result);
	return trip;
}

static void trip_destroy(struct trip *trip)
{
	free(trip->block);
	free(trip->payload);
	free(trip->result);
}

static int trip_compress(struct trip *trip, const struct zs_codec *codec, int level, size_t size, size_t capacity)
{
	void *compressor;
	int error;

	cr_assert_eq(codec->compressor_create(level, size, &compressor), 0);
	error = codec->compress(compressor, trip->block, size, trip->payload, capacity, &trip->length);
	codec->compressor_destroy(compressor);
	return error;
}

/* Decompresses length bytes of the payload, copied to memory of just that length. */
static int trip_decompress(struct trip *trip, const struct zs_codec *codec, size_t length, size_t size)
{
	void *decompressor = NULL;
	char *exact = malloc(length + !length);
	int error;

	cr_assert(exact);
	memcpy(exact, trip->payload, length);
	if (codec->decompressor_create)
		cr_assert_eq(codec->decompressor_create(&decompressor), 0);
	error = codec->decompress(decompressor, exact, length, trip->result, size);
	if (codec->decompressor_destroy)
		codec->decompressor_destroy(decompressor);
	free(exact);
	return error;
}

static void check_round_trip(const struct zs_codec *codec, int level, size_t size, enum test_data kind)
{
	struct test_random random = {.state = size + kind};
	struct trip trip = trip_create(size);

	test_data_make(kind, &random, trip.block, size);
	cr_assert_eq(trip_compress(&trip, codec, level, size, size - 1), 0, "%s:%d, %zu bytes of kind %d", codec->name,
		     level, size, kind);
	cr_assert_lt(trip.length, size);
	memset(trip.result, 0xaa, size);
	cr_assert_eq(trip_decompress(&trip, codec, trip.length, size), 0);
	cr_assert_eq(memcmp(trip.block, trip.result, size), 0);
	trip_destroy(&trip);
}

Test(codec, every_block_size_and_content_comes_back)
{
	for (size_t c = 0; c < ZS_ARRAY_SIZE(codecs); c++) {
		for (size_t s = 0; s < ZS_ARRAY_SIZE(block_sizes); s++) {
			for (enum test_data kind = 0; kind < TEST_DATA_NOISE; kind++)
				check_round_trip(codecs[c], codecs[c]->level_default, block_sizes[s], kind);
		}
	}
}

Test(codec, every_zstd_level_comes_back)
{
	for (int level = zs_codec_zstd.level_min; level <= zs_codec_zstd.level_max; level++) {
		if (!level)
			continue;
		check_round_trip(&zs_codec_zstd, level, 4096, TEST_DATA_TEXT);
		check_round_trip(&zs_codec_zstd, level, BLOCK_MAX, TEST_DATA_TEXT);
	}
}

Test(codec, low_lz4_accelerations_come_back)
{
	for (int level = 1; level <= 32; level++) {
		check_round_trip(&zs_codec_lz4, level, 4096, TEST_DATA_TEXT);
		check_round_trip(&zs_codec_lz4, level, BLOCK_MAX, TEST_DATA_TEXT);
	}
}

/* The strides are longer than the block then; that is of no use, and not an error. */
Test(codec, highest_lz4_accelerations_find_nothing_in_a_short_block)
{
	struct test_random random = {.state = 1};
	struct trip trip = trip_create(4096);

	test_data_make(TEST_DATA_TEXT, &random, trip.block, 4096);
	cr_assert_eq(trip_compress(&trip, &zs_codec_lz4, 65536, 4096, 4095), -ENOSPC);
	cr_assert_eq(trip_compress(&trip, &zs_codec_lz4, 65537, 4096, 4095), -ENOSPC);
	trip_destroy(&trip);
}

Test(codec, higher_levels_are_denser)
{
	struct test_random random = {.state = 1};
	struct trip trip = trip_create(BLOCK_MAX);
	size_t fast;

	test_data_make(TEST_DATA_MIXED, &random, trip.block, BLOCK_MAX);
	cr_assert_eq(trip_compress(&trip, &zs_codec_lz4, 65537, BLOCK_MAX, BLOCK_MAX - 1), -ENOSPC);
	cr_assert_eq(trip_compress(&trip, &zs_codec_lz4, 1, BLOCK_MAX, BLOCK_MAX - 1), 0);
	cr_assert_eq(trip_compress(&trip, &zs_codec_zstd, -7, BLOCK_MAX, BLOCK_MAX - 1), 0);
	fast = trip.length;
	cr_assert_eq(trip_compress(&trip, &zs_codec_zstd, 22, BLOCK_MAX, BLOCK_MAX - 1), 0);
	cr_assert_lt(trip.length, fast);
	trip_destroy(&trip);
}

Test(codec, incompressible_blocks_are_refused)
{
	struct test_random random = {.state = 7};

	for (size_t c = 0; c < ZS_ARRAY_SIZE(codecs); c++) {
		for (size_t s = 0; s < ZS_ARRAY_SIZE(block_sizes); s++) {
			size_t size = block_sizes[s];
			struct trip trip = trip_create(size);

			test_data_make(TEST_DATA_NOISE, &random, trip.block, size);
			cr_assert_eq(trip_compress(&trip, codecs[c], codecs[c]->level_default, size, size - 1),
				     -ENOSPC);
			trip_destroy(&trip);
		}
	}
}

Test(codec, a_payload_that_just_fits_is_accepted_and_one_byte_less_is_not)
{
	for (size_t c = 0; c < ZS_ARRAY_SIZE(codecs); c++) {
		const struct zs_codec *codec = codecs[c];
		struct test_random random = {.state = 9};
		struct trip trip = trip_create(4096);
		size_t length, capacity;

		test_data_make(TEST_DATA_TEXT, &random, trip.block, 4096);
		cr_assert_eq(trip_compress(&trip, codec, codec->level_default, 4096, 4095), 0);
		length = trip.length;
		/* A codec may want some room to work in beyond the result. */
		for (capacity = length; trip_compress(&trip, codec, codec->level_default, 4096, capacity); capacity++)
			cr_assert_lt(capacity, length + 64);
		cr_assert_leq(trip.length, capacity);
		for (capacity = 0; capacity < trip.length; capacity += 7)
			cr_assert_eq(trip_compress(&trip, codec, codec->level_default, 4096, capacity), -ENOSPC);
		trip_destroy(&trip);
	}
}

Test(codec, truncated_payloads_are_refused)
{
	for (size_t c = 0; c < ZS_ARRAY_SIZE(codecs); c++) {
		const struct zs_codec *codec = codecs[c];
		struct test_random random = {.state = 11};
		struct trip trip = trip_create(4096);

		test_data_make(TEST_DATA_MIXED, &random, trip.block, 4096);
		cr_assert_eq(trip_compress(&trip, codec, codec->level_default, 4096, 4095), 0);
		for (size_t length = 0; length < trip.length; length++)
			cr_assert_eq(trip_decompress(&trip, codec, length, 4096), -EBADMSG, "%s cut to %zu of %zu",
				     codec->name, length, trip.length);
		trip_destroy(&trip);
	}
}

Test(codec, a_payload_of_another_block_size_is_refused)
{
	for (size_t c = 0; c < ZS_ARRAY_SIZE(codecs); c++) {
		const struct zs_codec *codec = codecs[c];
		struct test_random random = {.state = 13};
		struct trip trip = trip_create(16384);

		test_data_make(TEST_DATA_TEXT, &random, trip.block, 8192);
		cr_assert_eq(trip_compress(&trip, codec, codec->level_default, 8192, 8191), 0);
		cr_assert_eq(trip_decompress(&trip, codec, trip.length, 4096), -EBADMSG);
		cr_assert_eq(trip_decompress(&trip, codec, trip.length, 8191), -EBADMSG);
		cr_assert_eq(trip_decompress(&trip, codec, trip.length, 8193), -EBADMSG);
		cr_assert_eq(trip_decompress(&trip, codec, trip.length, 16384), -EBADMSG);
		cr_assert_eq(trip_decompress(&trip, codec, trip.length, 8192), 0);
		trip_destroy(&trip);
	}
}

/* What the content is then is the checksum's business; here it must neither crash nor write too far. */
Test(codec, flipped_bits_do_no_harm)
{
	for (size_t c = 0; c < ZS_ARRAY_SIZE(codecs); c++) {
		const struct zs_codec *codec = codecs[c];
		struct test_random random = {.state = 17};
		struct trip trip = trip_create(4096);

		test_data_make(TEST_DATA_TEXT, &random, trip.block, 4096);
		cr_assert_eq(trip_compress(&trip, codec, codec->level_default, 4096, 4095), 0);
		for (size_t bit = 0; bit < trip.length * 8; bit++) {
			int error;

			trip.payload[bit / 8] ^= (char)(1 << bit % 8);
			error = trip_decompress(&trip, codec, trip.length, 4096);
			cr_assert(!error || error == -EBADMSG);
			trip.payload[bit / 8] ^= (char)(1 << bit % 8);
		}
		trip_destroy(&trip);
	}
}

Test(codec, noise_as_payload_does_no_harm)
{
	struct test_random random = {.state = 19};
	struct trip trip = trip_create(BLOCK_MAX);

	for (unsigned int i = 0; i < 2000; i++) {
		size_t length = test_random_below(&random, 2048);
		int error;

		test_random_fill(&random, trip.payload, length);
		error = trip_decompress(&trip, codecs[i % ZS_ARRAY_SIZE(codecs)], length, block_sizes[i % 5]);
		cr_assert(!error || error == -EBADMSG);
	}
	trip_destroy(&trip);
}

Test(codec, ids_find_their_codec)
{
	cr_assert_null(zs_codec_find(ZS_CODEC_RAW));
	cr_assert_null(zs_codec_find(ZS_CODEC_FILL));
	cr_assert_eq(zs_codec_find(ZS_CODEC_LZ4), &zs_codec_lz4);
	cr_assert_eq(zs_codec_find(ZS_CODEC_ZSTD), &zs_codec_zstd);
	cr_assert_null(zs_codec_find(ZS_CODEC_NR));
	cr_assert_null(zs_codec_find((enum zs_codec_id)255));
}

static const struct {
	const char *text;
	int result;
	uint8_t codec;
	int level;
} names[] = {
	{"lz4", 0, ZS_CODEC_LZ4, 1},
	{"lz4:1", 0, ZS_CODEC_LZ4, 1},
	{"lz4:0001", 0, ZS_CODEC_LZ4, 1},
	{"lz4:65537", 0, ZS_CODEC_LZ4, 65537},
	{"lz4:65538", -ERANGE},
	{"lz4:0", -ERANGE},
	{"lz4:-1", -ERANGE},
	{"lz4:99999999999999999999999", -ERANGE},
	{"lz4:", -EINVAL},
	{"lz4: 1", -EINVAL},
	{"lz4:+1", -EINVAL},
	{"lz4:1 ", -EINVAL},
	{"lz4:1x", -EINVAL},
	{"lz4:0x1", -EINVAL},
	{"lz4:1:1", -EINVAL},
	{"lz4:-", -EINVAL},
	{"lz4:--1", -EINVAL},
	{"zstd", 0, ZS_CODEC_ZSTD, 3},
	{"zstd:3", 0, ZS_CODEC_ZSTD, 3},
	{"zstd:1", 0, ZS_CODEC_ZSTD, 1},
	{"zstd:22", 0, ZS_CODEC_ZSTD, 22},
	{"zstd:-7", 0, ZS_CODEC_ZSTD, -7},
	{"zstd:-1", 0, ZS_CODEC_ZSTD, -1},
	{"zstd:23", -ERANGE},
	{"zstd:-8", -ERANGE},
	{"zstd:0", -ERANGE},
	{"zstd:-0", -ERANGE},
	{"zstd:-99999999999999999999999", -ERANGE},
	{"zstd:high", -EINVAL},
	{"", -ENOENT},
	{":", -ENOENT},
	{":1", -ENOENT},
	{"l", -ENOENT},
	{"lz", -ENOENT},
	{"lz44", -ENOENT},
	{"LZ4", -ENOENT},
	{"lz4hc", -ENOENT},
	{" lz4", -ENOENT},
	{"lz4 :1", -ENOENT},
	{"raw", -ENOENT},
	{"zst", -ENOENT},
	{"zstd1", -ENOENT},
};

Test(codec, names_are_parsed_by_table)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(names); i++) {
		struct zs_codec_params params = {.codec = 77, .level = 77};
		const struct zs_codec *codec = NULL;
		int result = zs_codec_parse(names[i].text, &params, &codec);

		cr_assert_eq(result, names[i].result, "\"%s\": %d", names[i].text, result);
		cr_assert_eq(params.codec, result ? 77 : names[i].codec, "\"%s\"", names[i].text);
		cr_assert_eq(params.level, result ? 77 : names[i].level, "\"%s\"", names[i].text);
		cr_assert_eq(codec != NULL, !result || result == -ERANGE, "\"%s\"", names[i].text);
		cr_assert_eq(zs_codec_parse(names[i].text, &params, NULL), names[i].result);
	}
}

Test(codec, formatted_params_are_parsed_back)
{
	static const struct {
		struct zs_codec_params params;
		const char *text;
	} table[] = {
		{{ZS_CODEC_LZ4, 1}, "lz4"},	  {{ZS_CODEC_LZ4, 65537}, "lz4:65537"}, {{ZS_CODEC_ZSTD, 3}, "zstd"},
		{{ZS_CODEC_ZSTD, 19}, "zstd:19"}, {{ZS_CODEC_ZSTD, -7}, "zstd:-7"},
	};
	char text[ZS_CODEC_TEXT_BYTES];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(table); i++) {
		struct zs_codec_params params;

		cr_assert_str_eq(zs_codec_format(&table[i].params, text), table[i].text);
		cr_assert_eq(zs_codec_parse(text, &params, NULL), 0);
		cr_assert_eq(params.codec, table[i].params.codec);
		cr_assert_eq(params.level, table[i].params.level);
	}
	cr_assert_lt(strlen(zs_codec_format(&(struct zs_codec_params){255, -2147483647 - 1}, text)), sizeof(text));
}

Test(codec, params_are_valid_only_with_a_codec_and_a_level_of_it)
{
	static const struct {
		struct zs_codec_params params;
		bool valid;
	} table[] = {
		{{ZS_CODEC_RAW, 1}, false},    {{ZS_CODEC_FILL, 1}, false},
		{{ZS_CODEC_NR, 1}, false},     {{255, 1}, false},
		{{ZS_CODEC_LZ4, 0}, false},    {{ZS_CODEC_LZ4, 1}, true},
		{{ZS_CODEC_LZ4, 65537}, true}, {{ZS_CODEC_LZ4, 65538}, false},
		{{ZS_CODEC_LZ4, -1}, false},   {{ZS_CODEC_ZSTD, -8}, false},
		{{ZS_CODEC_ZSTD, -7}, true},   {{ZS_CODEC_ZSTD, 0}, false},
		{{ZS_CODEC_ZSTD, 22}, true},   {{ZS_CODEC_ZSTD, 23}, false},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(table); i++)
		cr_assert_eq(zs_codec_params_are_valid(&table[i].params), table[i].valid, "%u:%d",
			     table[i].params.codec, table[i].params.level);
}
