/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One block: what it is stored as, and what that counts for. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/block.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

static const uint32_t block_sizes[] = {4096, 8192, 16384, 32768, 65536};
static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct test_random random_state = {.state = 1};
static char content[ZS_BLOCK_MAX_BYTES], result[ZS_BLOCK_MAX_BYTES];

TestSuite(block, .init = test_store_set_up, .fini = test_store_tear_down);

static struct zs_device *add(uint32_t block_size)
{
	static unsigned int number;
	char name[16];

	snprintf(name, sizeof(name), "device-%u", number++);
	return zs_device_get(store, test_device_add(store, name, 100 * (uint64_t)block_size, block_size, lz4), stream);
}

static struct zs_device_stats stats_of(struct zs_device *device)
{
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	return stats;
}

static void make(struct zs_device *device, enum test_data kind)
{
	test_data_make(kind, &random_state, content, device->block_size);
}

static void check_content(struct zs_device *device, uint64_t block)
{
	uint64_t nr = 0;

	memset(result, 0x55, sizeof(result));
	cr_assert_eq(zs_block_load(device, stream, block, 1, result, &nr), 0);
	cr_assert_eq(nr, 1);
	cr_assert_eq(memcmp(result, content, device->block_size), 0);
}

Test(block, every_content_comes_back_in_every_size)
{
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(block_sizes); i++) {
		struct zs_device *device = add(block_sizes[i]);

		memset(content, 0, sizeof(content));
		check_content(device, 0);
		for (enum test_data kind = 0; kind < TEST_DATA_NR; kind++) {
			make(device, kind);
			cr_assert_eq(zs_block_store(device, stream, kind, 0, content), 0);
			check_content(device, kind);
		}
		zs_device_put(device, stream);
	}
}

Test(block, same_filled_blocks_take_no_object)
{
	struct zs_device *device = add(4096);
	struct zs_device_stats stats;

	for (uint64_t block = 0; block < 10; block++) {
		make(device, block % 2 ? TEST_DATA_FILL32 : TEST_DATA_ZERO);
		cr_assert_eq(zs_block_store(device, stream, block, 0, content), 0);
	}
	stats = stats_of(device);
	cr_assert_eq(stats.same_blocks, 10);
	cr_assert_eq(stats.object_blocks, 0);
	cr_assert_eq(stats.compressed_bytes, 0);
	cr_assert_eq(stats.memory_bytes, ZS_PAGE_SIZE, "one page of slots");
	cr_assert_eq(stats.data_bytes, 10 * 4096);
	zs_device_put(device, stream);
}

/* As zram counts: same-filled is a machine word repeated. */
Test(block, a_word_of_two_halves_is_same_filled_too)
{
	struct zs_device *device = add(4096);
	struct zs_device_stats stats;

	make(device, TEST_DATA_FILL);
	cr_assert_eq(zs_block_store(device, stream, 0, 0, content), 0);
	check_content(device, 0);
	stats = stats_of(device);
	cr_assert_eq(stats.same_blocks, 1);
	cr_assert_eq(stats.object_blocks, 0);
	cr_assert_leq(stats.memory_bytes, ZS_PAGE_SIZE + 64);
	zs_device_put(device, stream);
}

Test(block, one_different_byte_anywhere_is_not_same_filled)
{
	struct zs_device *device = add(4096);

	for (size_t at = 0; at < 4096; at += at < 32 || at >= 4064 ? 1 : 61) {
		memset(content, 0x41, 4096);
		content[at] = 0x42;
		cr_assert_eq(zs_block_store(device, stream, 0, 0, content), 0);
		check_content(device, 0);
		cr_assert_eq(stats_of(device).same_blocks, 0, "byte %zu", at);
		cr_assert_eq(stats_of(device).object_blocks, 1);
	}
	zs_device_put(device, stream);
}

Test(block, incompressible_blocks_are_stored_raw)
{
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(block_sizes); i++) {
		struct zs_device *device = add(block_sizes[i]);
		struct zs_device_stats stats;

		make(device, TEST_DATA_NOISE);
		cr_assert_eq(zs_block_store(device, stream, 3, 0, content), 0);
		check_content(device, 3);
		stats = stats_of(device);
		cr_assert_eq(stats.huge_blocks, 1);
		cr_assert_eq(stats.object_blocks, 1);
		cr_assert_eq(stats.compressed_bytes, block_sizes[i]);
		cr_assert_leq(stats.memory_bytes, ZS_PAGE_SIZE + block_sizes[i] * 103 / 100);
		cr_assert(zs_table_load(&device->table, 3) & ZS_SLOT_INCOMPRESSIBLE);
		zs_device_put(device, stream);
	}
}

Test(block, what_is_replaced_or_discarded_is_freed)
{
	struct zs_device *device = add(4096);

	for (enum test_data from = 0; from < TEST_DATA_NR; from++) {
		for (enum test_data to = 0; to < TEST_DATA_NR; to++) {
			make(device, from);
			cr_assert_eq(zs_block_store(device, stream, 0, 0, content), 0);
			make(device, to);
			cr_assert_eq(zs_block_store(device, stream, 0, 0, content), 0);
			check_content(device, 0);
			zs_store_check(store);
		}
	}
	zs_block_discard(device, stream, 0);
	zs_block_discard(device, stream, 0);
	zs_block_discard(device, stream, 99);
	memset(content, 0, sizeof(content));
	check_content(device, 0);
	cr_assert_eq(stats_of(device).data_bytes, 0);
	cr_assert_eq(stats_of(device).memory_bytes, ZS_PAGE_SIZE);
	zs_device_put(device, stream);
}

Test(block, a_part_is_replaced_and_the_rest_stays)
{
	static const struct {
		size_t offset, length;
	} parts[] = {{0, 1}, {0, 4095}, {1, 4095}, {4095, 1}, {511, 2}, {1000, 2000}, {0, 4096}};
	struct zs_device *device = add(4096);
	char part[4096];

	for (enum test_data kind = 0; kind < TEST_DATA_NR; kind++) {
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(parts); i++) {
			size_t offset = parts[i].offset, length = parts[i].length;

			make(device, kind);
			cr_assert_eq(zs_block_store(device, stream, 0, 0, content), 0);
			test_random_fill(&random_state, part, length);
			cr_assert_eq(zs_block_modify(device, stream, 0, offset, part, length), 0);
			memcpy(content + offset, part, length);
			check_content(device, 0);
			cr_assert_eq(zs_block_modify(device, stream, 0, offset, NULL, length), 0);
			memset(content + offset, 0, length);
			check_content(device, 0);
		}
	}
	zs_device_put(device, stream);
}

Test(block, zeros_into_a_part_of_nothing_stay_nothing)
{
	struct zs_device *device = add(4096);

	cr_assert_eq(zs_block_modify(device, stream, 7, 100, NULL, 200), 0);
	cr_assert_eq(zs_table_load(&device->table, 7), ZS_SLOT_NONE);
	cr_assert_eq(stats_of(device).data_bytes, 0);
	cr_assert_eq(stats_of(device).memory_bytes, 0);
	cr_assert_eq(zs_block_modify(device, stream, 7, 100, "x", 1), 0);
	cr_assert_eq(stats_of(device).data_bytes, 4096);
	zs_device_put(device, stream);
}

Test(block, a_codec_that_was_changed_leaves_old_blocks_readable)
{
	struct zs_device *device = add(4096);

	make(device, TEST_DATA_TEXT);
	cr_assert_eq(zs_block_store(device, stream, 0, 0, content), 0);
	cr_assert_eq(zs_device_set_codec(device, &(struct zs_codec_params){ZS_CODEC_ZSTD, 5}), 0);
	cr_assert_eq(zs_block_store(device, stream, 1, 0, content), 0);
	check_content(device, 0);
	check_content(device, 1);
	zs_device_put(device, stream);
}
