/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing back: which blocks a type means, and which are the coldest. */

#include <criterion/criterion.h>
#include <string.h>

#include "codec/stream.h"
#include "store/age.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/recompress.h"
#include "store/slot.h"
#include "support/cold_store.h"
#include "support/data.h"

#define NR_BLOCKS  200
#define BLOCK_SIZE 4096

static struct test_cold_world world;
static struct test_random random_state = {.state = 4711};
static struct zs_writeback_request request;

static void init(void)
{
	test_cold_world_open(&world, 0);
}

static void deinit(void)
{
	test_cold_world_close(&world);
}

TestSuite(writeback_select, .init = init, .fini = deinit);

static void write_block(size_t block, enum test_data kind)
{
	static char content[BLOCK_SIZE];
	size_t done;

	test_data_make(kind, &random_state, content, BLOCK_SIZE);
	cr_assert_eq(zs_device_write(world.device, world.stream, block * BLOCK_SIZE, content, BLOCK_SIZE, &done), 0);
}

static void write_back(void)
{
	struct zs_writeback_progress progress = {0};

	cr_assert_eq(zs_store_writeback(world.store, &request, &progress), 0);
}

static bool is_cold(size_t block)
{
	uint64_t slot = zs_table_load(&world.device->table, block);
	struct zs_place place;

	return zs_slot_state(slot) == ZS_SLOT_OBJECT && zs_obj_place(world.store->heap, zs_slot_handle(slot), &place);
}

Test(writeback_select, the_coldest_first)
{
	/* Not in the order of the device; ages that are about the same are one to it. */
	for (size_t i = 0; i < NR_BLOCKS; i++) {
		zs_age_skew_sec += i == NR_BLOCKS / 4 ? 1000 : 0;
		write_block(i * 77 % NR_BLOCKS, i % 2 ? TEST_DATA_TEXT : TEST_DATA_NOISE);
	}
	request = (struct zs_writeback_request){.order = ZS_WRITEBACK_COLDEST, .limit_blocks = NR_BLOCKS / 4};
	write_back();
	for (size_t i = 0; i < NR_BLOCKS; i++)
		cr_assert_eq(is_cold(i * 77 % NR_BLOCKS), i < NR_BLOCKS / 4, "written as number %zu", i);
}

/* Each third block is huge, and each second one idle. */
static void fill_marked(void)
{
	uint64_t nr;

	for (size_t block = 0; block < NR_BLOCKS; block++)
		write_block(block, block % 3 ? TEST_DATA_TEXT : TEST_DATA_NOISE);
	for (size_t block = 0; block < NR_BLOCKS; block += 2)
		cr_assert_eq(zs_device_mark_idle(world.device, block, block, 0, &nr), 0);
}

static void check_cold_every(size_t nr)
{
	for (size_t block = 0; block < NR_BLOCKS; block++)
		cr_assert_eq(is_cold(block), block % nr == 0, "block %zu", block);
}

Test(writeback_select, idle_blocks_only)
{
	request.type = ZS_WRITEBACK_IDLE;
	fill_marked();
	write_back();
	check_cold_every(2);
}

Test(writeback_select, huge_blocks_that_are_idle_only)
{
	request.type = ZS_WRITEBACK_HUGE_IDLE;
	fill_marked();
	write_back();
	check_cold_every(6);
}

static void recompress(uint64_t last, const struct zs_codec_params *codecs, unsigned int nr)
{
	struct zs_recompress_request wanted = {.types = ZS_RECOMPRESS_ALL, .last = last, .nr_codecs = nr};
	struct zs_recompress job;

	memcpy(wanted.codecs, codecs, nr * sizeof(*codecs));
	cr_assert_eq(zs_recompress_begin(&job, world.device, &wanted, NULL), 0);
	while (zs_recompress_slice(&job, world.device, world.stream, UINT64_MAX))
		;
	zs_recompress_end(&job);
}

Test(writeback_select, incompressible_blocks_are_those_that_no_codec_is_left_for)
{
	const struct zs_codec_params codecs[] = {{ZS_CODEC_ZSTD, 1}, {ZS_CODEC_ZSTD, 3}};

	request.type = ZS_WRITEBACK_INCOMPRESSIBLE;
	fill_marked();
	cr_assert_eq(zs_device_set_recompress(world.device, codecs, 2), 0);
	write_back();
	for (size_t block = 0; block < NR_BLOCKS; block++)
		cr_assert_not(is_cold(block));
	recompress(NR_BLOCKS / 2, codecs, 2);
	write_back();
	for (size_t block = 0; block < NR_BLOCKS; block++)
		cr_assert_eq(is_cold(block), block % 3 == 0 && block <= NR_BLOCKS / 2, "block %zu", block);
	/* Without codecs there is none left for any. */
	cr_assert_eq(zs_device_set_recompress(world.device, NULL, 0), 0);
	write_back();
	for (size_t block = 0; block < NR_BLOCKS; block++)
		cr_assert_eq(is_cold(block), block % 3 == 0, "block %zu", block);
}
