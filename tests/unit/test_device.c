/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices: ranges of bytes, limits, what is sparse. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define BLOCKS 64
#define BYTES  (BLOCKS * (size_t)4096)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct zs_device *device;
static struct test_random random_state = {.state = 1};
static char content[BYTES], result[BYTES];

static void device_create(void)
{
	test_store_set_up();
	device = zs_device_get(store, test_device_add(store, "device", BYTES, 4096, lz4), stream);
	test_data_make(TEST_DATA_MIXED, &random_state, content, BYTES);
}

static void device_destroy(void)
{
	zs_device_put(device, stream);
	test_store_tear_down();
}

TestSuite(device, .init = device_create, .fini = device_destroy);

static void write_all(struct zs_device *to)
{
	size_t done;

	cr_assert_eq(zs_device_write(to, stream, 0, content, BYTES, &done), 0);
	cr_assert_eq(done, BYTES);
}

static struct zs_device_stats stats_of(struct zs_device *of)
{
	struct zs_device_stats stats;

	zs_device_stats(of, &stats);
	return stats;
}

Test(device, ranges_at_every_odd_border_come_back)
{
	static const size_t points[] = {0, 1, 4095, 4096, 4097, 8191, 8192, 10000, BYTES - 4096, BYTES - 1, BYTES};
	size_t done;

	write_all(device);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(points); i++) {
		for (unsigned int j = i; j < ZS_ARRAY_SIZE(points); j++) {
			size_t start = points[i], length = points[j] - start;

			test_random_fill(&random_state, content + start, length);
			cr_assert_eq(zs_device_write(device, stream, start, content + start, length, &done), 0);
			cr_assert_eq(done, length);
			cr_assert_eq(zs_device_read(device, stream, start, result, length), 0);
			cr_assert_eq(memcmp(result, content + start, length), 0);
			cr_assert_eq(zs_device_read(device, stream, 0, result, BYTES), 0);
			cr_assert_eq(memcmp(result, content, BYTES), 0);
		}
	}
}

/* The counters of two threads go apart: what one adds the other takes off. Nobody looks before all is gone again. */
Test(device, peak_is_what_was_in_use_at_most)
{
	struct zs_device *big = zs_device_get(store, test_device_add(store, "big", 16 * BYTES, 4096, lz4), stream);
	struct zs_stream *other;
	uint64_t peak;
	size_t done;

	cr_assert_eq(zs_stream_create(1, &other), 0);
	test_data_make(TEST_DATA_NOISE, &random_state, content, BYTES);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < (round == 2 ? 15 : 8); i++)
			cr_assert_eq(
				zs_device_write(big, round == 2 ? other : stream, i * BYTES, content, BYTES, &done), 0);
		cr_assert_eq(zs_device_discard(big, other, 0, UINT64_MAX), 0);
	}
	peak = stats_of(big).peak_bytes;
	cr_assert_lt(stats_of(big).memory_bytes, BYTES);
	cr_assert_geq(peak, 15 * BYTES - 4 * (uint64_t)ZS_PEAK_STEP);
	cr_assert_lt(peak, 16 * BYTES);
	cr_assert_eq(stats_of(big).peak_bytes, peak);
	zs_stream_destroy(other);
	zs_device_put(big, stream);
}

Test(device, whoever_looks_sees_a_small_peak)
{
	uint64_t peak;

	write_all(device);
	peak = stats_of(device).peak_bytes;
	cr_assert_eq(peak, stats_of(device).memory_bytes);
	cr_assert_eq(zs_device_discard(device, stream, 0, UINT64_MAX), 0);
	cr_assert_lt(stats_of(device).memory_bytes, peak);
	cr_assert_eq(stats_of(device).peak_bytes, peak);
}

Test(device, nothing_lies_beyond_the_end)
{
	size_t done = 4711;

	cr_assert_eq(zs_device_read(device, stream, BYTES, result, 1), -EINVAL);
	cr_assert_eq(zs_device_read(device, stream, BYTES - 1, result, 2), -EINVAL);
	cr_assert_eq(zs_device_read(device, stream, UINT64_MAX, result, 2), -EINVAL);
	cr_assert_eq(zs_device_write(device, stream, BYTES, content, 1, &done), -ENOSPC);
	cr_assert_eq(zs_device_write(device, stream, BYTES - 1, content, 2, &done), -ENOSPC);
	cr_assert_eq(zs_device_write(device, stream, UINT64_MAX, content, 2, &done), -ENOSPC);
	cr_assert_eq(done, 4711);
	cr_assert_eq(zs_device_discard(device, stream, BYTES, 1), 0);
	cr_assert_eq(zs_device_discard(device, stream, UINT64_MAX, UINT64_MAX), 0);
	cr_assert_eq(stats_of(device).data_bytes, 0);
}

Test(device, a_discard_past_the_end_ends_there)
{
	write_all(device);
	cr_assert_eq(zs_device_discard(device, stream, 4096, UINT64_MAX), 0);
	cr_assert_eq(stats_of(device).data_bytes, 4096);
	cr_assert_eq(zs_device_discard(device, stream, 0, UINT64_MAX), 0);
	cr_assert_eq(stats_of(device).data_bytes, 0);
}

Test(device, discarded_ranges_read_as_zeros_and_no_more)
{
	static const size_t points[] = {0, 1, 4095, 4096, 4097, 8192, 12289, BYTES - 1, BYTES};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(points); i++) {
		for (unsigned int j = i; j < ZS_ARRAY_SIZE(points); j++) {
			size_t start = points[i], length = points[j] - start;

			test_data_make(TEST_DATA_NOISE, &random_state, content, BYTES);
			write_all(device);
			cr_assert_eq(zs_device_discard(device, stream, start, length), 0);
			memset(content + start, 0, length);
			cr_assert_eq(zs_device_read(device, stream, 0, result, BYTES), 0);
			cr_assert_eq(memcmp(result, content, BYTES), 0);
		}
	}
}

Test(device, counters_tell_what_was_done)
{
	struct zs_device_stats stats;

	write_all(device);
	cr_assert_eq(zs_device_read(device, stream, 10, result, 100), 0);
	cr_assert_eq(zs_device_discard(device, stream, 0, 8192), 0);
	stats = stats_of(device);
	cr_assert_eq(stats.writes, 1);
	cr_assert_eq(stats.written_bytes, BYTES);
	cr_assert_eq(stats.reads, 1);
	cr_assert_eq(stats.read_bytes, 100);
	cr_assert_eq(stats.discards, 1);
	cr_assert_eq(stats.discarded_bytes, 8192);
	cr_assert_eq(stats.data_bytes, BYTES - 8192);
	cr_assert_gt(stats.modified_nsec, 0);
	cr_assert_eq(stats.no_space, 0);
	cr_assert_eq(stats.corrupt, 0);
}

Test(device, seeking_tells_data_from_holes)
{
	uint64_t at = 4711;
	size_t done;

	cr_assert_eq(zs_device_seek(device, 0, true, &at), -ENXIO);
	cr_assert_eq(at, 4711);
	cr_assert_eq(zs_device_seek(device, 5, false, &at), 0);
	cr_assert_eq(at, 5);
	cr_assert_eq(zs_device_write(device, stream, 8192, content, 4096, &done), 0);
	cr_assert_eq(zs_device_write(device, stream, BYTES - 1, content, 1, &done), 0);
	cr_assert_eq(zs_device_seek(device, 0, true, &at), 0);
	cr_assert_eq(at, 8192);
	cr_assert_eq(zs_device_seek(device, 9000, true, &at), 0);
	cr_assert_eq(at, 9000);
	cr_assert_eq(zs_device_seek(device, 9000, false, &at), 0);
	cr_assert_eq(at, 12288);
	cr_assert_eq(zs_device_seek(device, 12288, true, &at), 0);
	cr_assert_eq(at, BYTES - 4096);
	cr_assert_eq(zs_device_seek(device, BYTES - 1, false, &at), 0);
	cr_assert_eq(at, BYTES);
	cr_assert_eq(zs_device_seek(device, BYTES, true, &at), -ENXIO);
	cr_assert_eq(zs_device_seek(device, BYTES, false, &at), -ENXIO);
	cr_assert_eq(zs_device_seek(device, UINT64_MAX, false, &at), -ENXIO);
}

/* Fills a device with noise until it is refused; answers how many blocks went in. */
static unsigned int fill_up(struct zs_device *to, unsigned int nr)
{
	char block[4096];
	size_t done;

	for (unsigned int i = 0; i < nr; i++) {
		struct test_random random = {.state = i};
		int error;

		test_random_fill(&random, block, sizeof(block));
		error = zs_device_write(to, stream, i * sizeof(block), block, sizeof(block), &done);
		if (error == -ENOSPC)
			return i;
		cr_assert_eq(error, 0);
	}
	return nr;
}

/* Asserts that block i still has what fill_up() wrote. */
static void check_filled(struct zs_device *of, unsigned int nr)
{
	char block[4096];

	for (unsigned int i = 0; i < nr; i++) {
		struct test_random random = {.state = i};

		test_random_fill(&random, block, sizeof(block));
		cr_assert_eq(zs_device_read(of, stream, i * sizeof(block), result, sizeof(block)), 0);
		cr_assert_eq(memcmp(result, block, sizeof(block)), 0);
	}
}

/*
 * At a limit: all old blocks are readable and can be written again and again; new ones are refused as soon as the
 * zspage is full that the overwrites may have made.
 */
static void check_full(struct zs_device *full, unsigned int nr)
{
	unsigned int more = 0;
	char block[4096];
	size_t done;

	check_filled(full, nr);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < nr; i++) {
			struct test_random random = {.state = i};

			test_random_fill(&random, block, sizeof(block));
			cr_assert_eq(zs_device_write(full, stream, i * sizeof(block), block, sizeof(block), &done), 0,
				     "overwriting block %u of %u", i, nr);
		}
	}
	test_data_make(TEST_DATA_NOISE, &random_state, block, sizeof(block));
	while (!zs_device_write(full, stream, (nr + more) * sizeof(block), block, sizeof(block), &done))
		more++;
	cr_assert_leq(more, 64);
	done = 4711;
	cr_assert_eq(zs_device_write(full, stream, (nr + more) * sizeof(block), block, sizeof(block), &done), -ENOSPC);
	cr_assert_eq(done, 4711);
	check_filled(full, nr);
}

Test(device, at_the_pool_limit_old_data_is_safe_and_overwrites_succeed)
{
	struct zs_device *big = zs_device_get(store, test_device_add(store, "big", 64 << 20, 4096, lz4), stream);
	struct zs_store_stats stats;
	unsigned int nr;
	size_t done;

	zs_store_set_limit(store, 4 << 20);
	nr = fill_up(big, 2000);
	cr_assert(nr > 900 && nr < 1024, "%u", nr);
	check_full(big, nr);
	cr_assert_geq(stats_of(big).no_space, 2);
	zs_store_stats(store, &stats);
	cr_assert_leq(stats.heap.used_bytes, stats.heap.limit_bytes + 65 * ZS_PAGE_SIZE);
	cr_assert_gt(stats.heap.limit_hits, 0);
	/* What is freed can be used. */
	cr_assert_eq(zs_device_discard(big, stream, 0, (nr / 2) * 4096), 0);
	cr_assert_eq(zs_device_write(big, stream, 0, content, 40960, &done), 0);
	cr_assert_eq(done, 40960);
	zs_device_put(big, stream);
}

/* The limit counts pages: 63 of 64 blocks of each zspage become smaller, and the rest keeps all of them. */
Test(device, overwriting_with_smaller_data_does_not_pass_the_pool_limit)
{
	struct zs_device *big = zs_device_get(store, test_device_add(store, "big", 64 << 20, 4096, lz4), stream);
	struct test_random random = {.state = 5};
	struct zs_store_stats stats;
	char small[4096] = {0};
	unsigned int nr;
	size_t done;

	zs_store_set_limit(store, 8 << 20);
	nr = fill_up(big, 3000);
	test_random_fill(&random, small, sizeof(small) / 2);
	for (unsigned int i = 0; i < nr; i++) {
		memcpy(small, &i, sizeof(i));
		if (i % 64)
			cr_assert_eq(zs_device_write(big, stream, (uint64_t)i * 4096, small, 4096, &done), 0);
		zs_store_stats(store, &stats);
		cr_assert_leq(stats.heap.used_bytes, stats.heap.limit_bytes + 65 * ZS_PAGE_SIZE, "block %u of %u", i,
			      nr);
	}
	zs_device_put(big, stream);
}

Test(device, at_its_own_limit_others_are_not_concerned)
{
	struct zs_device_options options = {
		.name = "limited", .size_bytes = 64 << 20, .codec = lz4, .memory_limit_bytes = 1 << 20};
	struct zs_device *limited;
	unsigned int nr;
	uint64_t id;

	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	limited = zs_device_get(store, id, stream);
	nr = fill_up(limited, 2000);
	cr_assert(nr > 220 && nr < 256, "%u", nr);
	check_full(limited, nr);
	write_all(device);
	cr_assert_leq(stats_of(limited).memory_bytes, (1 << 20) + 2 * ZS_PAGE_SIZE);
	zs_device_put(limited, stream);
}

Test(device, when_room_runs_out_half_way_the_write_is_short)
{
	struct zs_device *big = zs_device_get(store, test_device_add(store, "big", 64 << 20, 4096, lz4), stream);
	size_t size = (size_t)2 << 20, done = 0;
	char *noise = malloc(size);

	zs_store_set_limit(store, 1 << 20);
	test_random_fill(&random_state, noise, size);
	cr_assert_eq(zs_device_write(big, stream, 0, noise, size, &done), 0);
	cr_assert(done > size / 4 && done < size / 2 && done % 4096 == 0, "%zu", done);
	for (size_t at = 0; at < done; at += 4096) {
		cr_assert_eq(zs_device_read(big, stream, at, result, 4096), 0);
		cr_assert_eq(memcmp(result, noise + at, 4096), 0);
	}
	cr_assert_eq(zs_device_read(big, stream, done, result, 4096), 0);
	cr_assert(!result[0] && !memcmp(result, result + 1, 4095));
	free(noise);
	zs_device_put(big, stream);
}

Test(device, a_tebibyte_costs_nothing_until_it_is_written)
{
	struct zs_store_options options = {0};
	struct zs_store_stats before, after;
	struct zs_store *large;
	struct zs_device *sparse;
	uint64_t size = (uint64_t)1 << 40, at;
	size_t done;

	zs_arena_options_default(&options.arena, 0);
	cr_assert_eq(zs_store_create(&options, &large), 0);
	sparse = zs_device_get(large, test_device_add(large, "sparse", size, 4096, lz4), stream);
	zs_store_stats(large, &before);
	/* A read in every page of the table, then the last block. */
	for (at = 0; at < size; at += 2 << 20)
		cr_assert_eq(zs_device_read(sparse, stream, at, result, 4096), 0);
	cr_assert_eq(zs_device_read(sparse, stream, size - 4096, result, 4096), 0);
	cr_assert_eq(zs_device_seek(sparse, 0, true, &at), -ENXIO);
	cr_assert_eq(zs_device_discard(sparse, stream, 0, size), 0);
	zs_store_stats(large, &after);
	cr_assert_eq(after.resident_bytes, before.resident_bytes);
	cr_assert_lt(after.resident_bytes, 1 << 20);
	for (at = 0; at < size; at += size / 16)
		cr_assert_eq(zs_device_write(sparse, stream, at, content, 4096, &done), 0);
	zs_store_stats(large, &after);
	cr_assert_lt(after.resident_bytes, 1 << 20);
	cr_assert_eq(zs_device_seek(sparse, 4096, true, &at), 0);
	cr_assert_eq(at, size / 16);
	zs_device_put(sparse, stream);
	zs_store_check(large);
	zs_store_close(large);
}

Test(device, attributes_are_kept)
{
	struct zs_device_info info;

	zs_device_info(device, &info);
	cr_assert_eq(info.mode, 0600);
	zs_device_set_mode(device, 0100664);
	zs_device_set_owner(device, 1000, UINT32_MAX);
	zs_device_info(device, &info);
	cr_assert_eq(info.mode, 0664);
	cr_assert_not(info.page_cache);
	cr_assert_eq(info.uid, 1000);
	cr_assert_eq(info.gid, UINT32_MAX);
	cr_assert_eq(info.size_bytes, BYTES);
	cr_assert_eq(info.block_size, 4096);
	cr_assert_str_eq(info.name, "device");
	cr_assert_eq(info.id, zs_device_id(device));
	cr_assert_eq(zs_device_size(device), BYTES);
}

Test(device, a_limit_can_change_if_there_was_one)
{
	const struct zs_device_options options = {
		.name = "limited", .size_bytes = 64 << 20, .codec = lz4, .memory_limit_bytes = 1 << 20};
	struct zs_device_info info;
	struct zs_device *limited;
	uint64_t id;
	size_t done;

	cr_expect_eq(zs_device_set_limit(device, 1 << 20), -EOPNOTSUPP);
	cr_expect_eq(zs_device_set_limit(device, 0), 0);
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	limited = zs_device_get(store, id, stream);
	cr_assert_eq(zs_device_set_limit(limited, 64 << 10), 0);
	cr_expect(zs_device_write(limited, stream, 0, content, BYTES, &done) || done < BYTES);
	/* None: all is counted still, so that there can be one again. */
	cr_assert_eq(zs_device_set_limit(limited, 0), 0);
	write_all(limited);
	zs_device_info(limited, &info);
	cr_expect_eq(info.memory_limit_bytes, 0);
	cr_assert_eq(zs_device_set_limit(limited, 64 << 10), 0);
	test_data_make(TEST_DATA_NOISE, &random_state, content, BYTES);
	cr_expect_eq(zs_device_write(limited, stream, BYTES, content, BYTES, &done), -ENOSPC);
	zs_device_info(limited, &info);
	cr_expect_eq(info.memory_limit_bytes, 64 << 10);
	zs_device_put(limited, stream);
}
