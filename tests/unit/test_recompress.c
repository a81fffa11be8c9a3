/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocks that get a denser codec. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "store/age.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/recompress.h"
#include "store/slot.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define BLOCKS 64
#define BYTES  (BLOCKS * (size_t)4096)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct zs_device *device;
static struct test_random random_state = {.state = 1};
static char content[BYTES], result[BYTES];

static void write_all(void)
{
	size_t done;

	cr_assert_eq(zs_device_write(device, stream, 0, content, BYTES, &done), 0);
	cr_assert_eq(done, BYTES);
}

/* Text but for the last quarter, which is noise. */
static void setup(void)
{
	test_store_set_up();
	device = zs_device_get(store, test_device_add(store, "device", BYTES, 4096, lz4), stream);
	for (unsigned int block = 0; block < BLOCKS; block++)
		test_data_make(block < BLOCKS * 3 / 4 ? TEST_DATA_TEXT : TEST_DATA_NOISE, &random_state,
			       content + block * 4096, 4096);
	write_all();
}

static void teardown(void)
{
	cr_assert_eq(zs_device_read(device, stream, 0, result, BYTES), 0);
	cr_assert_arr_eq(result, content, BYTES);
	zs_device_put(device, stream);
	test_store_tear_down();
	atomic_store(&zs_age_skew_sec, 0);
}

TestSuite(recompress, .init = setup, .fini = teardown);

static const struct zs_recompress_request all = {
	.types = ZS_RECOMPRESS_ALL,
	.last = BLOCKS - 1,
	.nr_codecs = 1,
	.codecs = {{ZS_CODEC_ZSTD, 3}},
};

static struct zs_recompress_progress run(const struct zs_recompress_request *request)
{
	struct zs_recompress_progress progress;
	struct zs_recompress job;

	cr_assert_eq(zs_recompress_begin(&job, device, request, NULL), 0);
	while (zs_recompress_slice(&job, device, stream, 0))
		;
	zs_recompress_end(&job);
	zs_recompress_progress(&job, &progress);
	if (!request->max_blocks && !request->max_saved_bytes)
		cr_assert_eq(progress.blocks_done, progress.blocks);
	return progress;
}

static struct zs_device_stats stats(void)
{
	struct zs_device_stats now;

	zs_device_stats(device, &now);
	return now;
}

Test(recompress, denser_objects_take_the_place_of_the_old)
{
	struct zs_device_stats before = stats(), after;
	struct zs_recompress_progress progress = run(&all);

	after = stats();
	cr_assert_eq(progress.recompressed, BLOCKS * 3 / 4);
	cr_assert_eq(progress.tried, BLOCKS);
	cr_assert_eq(before.memory_bytes - after.memory_bytes, progress.saved_bytes);
	cr_assert_eq(after.recompression_saved_bytes, progress.saved_bytes);
	cr_assert_eq(after.recompressed, progress.recompressed);
	cr_assert_lt(after.compressed_bytes, before.compressed_bytes);
	cr_assert_eq(after.huge_blocks, BLOCKS / 4);
}

Test(recompress, a_block_is_tried_once)
{
	struct zs_recompress_request again = all;

	again.again = true;
	cr_assert_eq(run(&again).tried, BLOCKS);
	cr_assert_eq(run(&all).tried, 0);
	cr_assert_eq(run(&again).tried, BLOCKS);
	cr_assert_eq(run(&again).recompressed, 0, "nothing gets denser by the same codec");
	write_all();
	cr_assert_eq(run(&all).recompressed, BLOCKS * 3 / 4, "written again, it is to be tried again");
}

Test(recompress, the_next_codec_has_its_turn_later)
{
	struct zs_recompress_request both = all;
	struct zs_recompress_progress progress;

	both.nr_codecs = 2;
	both.codecs[1] = (struct zs_codec_params){ZS_CODEC_ZSTD, 19};
	progress = run(&both);
	cr_assert_eq(progress.recompressed, BLOCKS * 3 / 4);
	cr_assert_eq(progress.tried, BLOCKS, "what is smaller now is not tried again");
	cr_assert_eq(run(&both).tried, BLOCKS * 3 / 4, "incompressible is what no codec could compress");
	cr_assert_eq(run(&both).tried, 0);
}

Test(recompress, only_what_is_idle)
{
	struct zs_recompress_request idle = all;
	uint64_t marked;

	idle.types = ZS_RECOMPRESS_IDLE;
	cr_assert_eq(run(&idle).tried, 0);
	cr_assert_eq(zs_device_mark_idle(device, 3, 5, 0, &marked), 0);
	cr_assert_eq(run(&idle).recompressed, 3);
	idle.age_sec = 1000;
	cr_assert_eq(run(&idle).tried, 0);
	atomic_fetch_add(&zs_age_skew_sec, 1000 + ZS_TICK_SEC);
	cr_assert_eq(zs_device_read(device, stream, 0, result, 4096), 0);
	cr_assert_eq(run(&idle).tried, BLOCKS - 4);
}

Test(recompress, age_and_idle_mark_stay)
{
	struct zs_ages ages = {0};
	uint64_t marked;

	atomic_fetch_add(&zs_age_skew_sec, 1000);
	cr_assert_eq(zs_device_mark_idle(device, 0, BLOCKS - 1, 0, &marked), 0);
	cr_assert_gt(run(&all).recompressed, 0);
	zs_device_ages(device, 0, UINT64_MAX, &ages);
	cr_assert_eq(ages.idle_blocks, BLOCKS);
	cr_assert_eq(ages.blocks[3], BLOCKS, "between 15 minutes and an hour");
}

Test(recompress, only_raw_blocks)
{
	struct zs_recompress_request huge = all;

	huge.types = ZS_RECOMPRESS_HUGE;
	cr_assert_eq(run(&huge).tried, BLOCKS / 4);
	cr_assert_eq(run(&huge).tried, 0, "incompressible");
}

Test(recompress, only_the_range)
{
	struct zs_recompress_request range = all;
	uint64_t before[BLOCKS];

	for (uint64_t block = 0; block < BLOCKS; block++)
		before[block] = zs_table_load(&device->table, block);
	range.first = 5;
	range.last = 20;
	cr_assert_eq(run(&range).tried, 16);
	for (uint64_t block = 0; block < BLOCKS; block++) {
		if (block < 5 || block > 20)
			cr_assert_eq(zs_table_load(&device->table, block), before[block]);
	}
	range.first = range.last = BLOCKS - 1;
	cr_assert_eq(run(&range).tried, 1);
}

Test(recompress, the_largest_come_first)
{
	struct zs_recompress_request few = all;
	uint64_t before;
	size_t done;

	test_data_make(TEST_DATA_MIXED, &random_state, content + (size_t)40 * 4096, 4096);
	cr_assert_eq(zs_device_write(device, stream, (uint64_t)40 * 4096, content + (size_t)40 * 4096, 4096, &done), 0);
	before = zs_table_load(&device->table, 40);
	few.max_blocks = 1;
	cr_assert_eq(run(&few).recompressed, 1);
	cr_assert_neq(zs_table_load(&device->table, 40), before, "it takes more than any other");
	few.max_blocks = BLOCKS;
	cr_assert_eq(run(&few).recompressed, BLOCKS * 3 / 4 - 1);
}

/* So much of each block is noise that the last one takes most memory. */
static void write_growing(void)
{
	for (unsigned int block = 0; block < BLOCKS; block++) {
		test_data_make(TEST_DATA_TEXT, &random_state, content + block * 4096, 4096);
		test_data_make(TEST_DATA_NOISE, &random_state, content + block * 4096, block * 64);
	}
	write_all();
}

/* The block whose slot was stored, other than it is in slots, or BLOCKS; slots is what they are then. */
static unsigned int find_changed(uint64_t slots[BLOCKS])
{
	unsigned int changed = BLOCKS;

	for (unsigned int block = 0; block < BLOCKS; block++) {
		uint64_t slot = zs_table_load(&device->table, block);

		if (slot != slots[block])
			changed = block;
		slots[block] = slot;
	}
	return changed;
}

static size_t eighths(uint64_t slot)
{
	return zs_obj_cost(device->pool, zs_slot_handle(slot)) * 8 / (zs_pool_cost(4096) + 1);
}

Test(recompress, the_largest_come_first_whatever_the_limit)
{
	struct zs_recompress_request limited = all;
	size_t sizes[BLOCKS], size = SIZE_MAX, nr_sizes = 0;
	uint64_t slots[BLOCKS] = {0};
	struct zs_recompress job;
	unsigned int nr = 0;
	bool more = true;

	limited.max_blocks = 2 * BLOCKS;
	write_growing();
	find_changed(slots);
	for (unsigned int block = 0; block < BLOCKS; block++)
		sizes[block] = eighths(slots[block]);
	cr_assert_eq(zs_recompress_begin(&job, device, &limited, NULL), 0);
	while (more) {
		unsigned int block;

		more = zs_recompress_slice(&job, device, stream, 0);
		block = find_changed(slots);
		if (block == BLOCKS)
			continue;
		nr++;
		nr_sizes += sizes[block] != size;
		cr_assert_leq(sizes[block], size, "block %u", block);
		size = sizes[block];
	}
	zs_recompress_end(&job);
	cr_assert_eq(nr, BLOCKS, "each once");
	cr_assert_geq(nr_sizes, 4);
}

/* Slices of nothing but the blocks that are passed by in one. */
static unsigned int count_slices(const struct zs_recompress_request *request, uint64_t *ret_tried)
{
	unsigned int nr = 1;
	struct zs_recompress job;

	cr_assert_eq(zs_recompress_begin(&job, device, request, NULL), 0);
	for (; zs_recompress_slice(&job, device, stream, 0); nr++)
		;
	*ret_tried = atomic_load(&job.tried);
	zs_recompress_end(&job);
	return nr;
}

Test(recompress, the_device_is_walked_over_once_and_once_for_each_size_that_is_found)
{
	enum { MANY = 16384, A_WALK = MANY / 1024 };
	struct zs_recompress_request many = all;
	struct zs_device *before = device;
	uint64_t word = 1, tried;
	size_t done;

	device = zs_device_get(store, test_device_add(store, "many", MANY * UINT64_C(4096), 4096, lz4), stream);
	many.last = MANY - 1;
	many.max_blocks = MANY;
	/* Slots, but nothing to do. */
	for (uint64_t block = 0; block < MANY; block += ZS_SLOTS_PER_PAGE, word++) {
		char same[4096];

		memset(same, (int)word, sizeof(same));
		cr_assert_eq(zs_device_write(device, stream, block * 4096, same, sizeof(same), &done), 0);
	}
	cr_assert_leq(count_slices(&many, &tried), A_WALK + 1);
	cr_assert_eq(tried, 0);
	/* Of one size, which is not that of the first walk. */
	for (uint64_t block = 1; block < 4; block++)
		cr_assert_eq(zs_device_write(device, stream, block * 4096, content, 4096, &done), 0);
	cr_assert_leq(count_slices(&many, &tried), 2 * A_WALK + 3 + 1);
	cr_assert_eq(tried, 3);
	cr_assert_leq(count_slices(&many, &tried), A_WALK + 1, "they are dense");
	zs_device_put(device, stream);
	device = before;
}

Test(recompress, a_job_can_be_ended_before_it_is_over)
{
	struct zs_recompress_request both = all;
	struct zs_recompress_progress progress;
	struct zs_recompress job;

	both.nr_codecs = 2;
	both.codecs[1] = (struct zs_codec_params){ZS_CODEC_ZSTD, 19};
	cr_assert_eq(zs_recompress_begin(&job, device, &both, NULL), 0);
	do {
		cr_assert(zs_recompress_slice(&job, device, stream, 0));
		zs_recompress_progress(&job, &progress);
	} while (!progress.recompressed);
	cr_assert(progress.blocks == BLOCKS && progress.blocks_done < BLOCKS);
	zs_recompress_end(&job);
	zs_recompress_end(&job);
	zs_recompress_progress(&job, &progress);
	cr_assert_eq(progress.recompressed, 1);
}

Test(recompress, it_ends_when_so_much_is_saved)
{
	struct zs_recompress_request some = all;
	struct zs_recompress_progress progress;

	some.max_saved_bytes = 5000;
	progress = run(&some);
	cr_assert(progress.saved_bytes >= 5000 && progress.saved_bytes < 5000 + 4096);
	cr_assert_lt(progress.recompressed, BLOCKS * 3 / 4);
	/* More than there is. */
	some.max_saved_bytes = BYTES;
	cr_assert_eq(run(&some).recompressed, BLOCKS * 3 / 4 - progress.recompressed);
}

Test(recompress, a_threshold_leaves_small_objects_alone)
{
	struct zs_recompress_request large = all;

	large.threshold_bytes = 4000;
	cr_assert_eq(run(&large).tried, BLOCKS / 4);
}

Test(recompress, a_full_pool_is_no_obstacle)
{
	struct zs_store_stats now;

	zs_store_stats(store, &now);
	zs_store_set_limit(store, now.heap.used_bytes);
	cr_assert_eq(run(&all).recompressed, BLOCKS * 3 / 4);
}

Test(recompress, bad_requests_are_named)
{
	static const struct {
		struct zs_recompress_request request;
		enum zs_recompress_field field;
		int error;
	} cases[] = {
		{{.types = 0}, ZS_RECOMPRESS_FIELD_TYPES, -EINVAL},
		{{.types = 8}, ZS_RECOMPRESS_FIELD_TYPES, -EINVAL},
		{{.types = 1, .first = 2, .last = 1}, ZS_RECOMPRESS_FIELD_RANGE, -ERANGE},
		{{.types = 1, .last = BLOCKS}, ZS_RECOMPRESS_FIELD_RANGE, -ERANGE},
		{{.types = 1, .threshold_bytes = 8192}, ZS_RECOMPRESS_FIELD_THRESHOLD, -ERANGE},
		{{.types = 1}, ZS_RECOMPRESS_FIELD_CODECS, -EINVAL},
		{{.types = 1, .nr_codecs = 4}, ZS_RECOMPRESS_FIELD_CODECS, -EINVAL},
		{{.types = 1, .nr_codecs = 1, .codecs = {{ZS_CODEC_RAW, 0}}}, ZS_RECOMPRESS_FIELD_CODECS, -EINVAL},
		{{.types = 1, .nr_codecs = 1, .codecs = {{ZS_CODEC_ZSTD, 99}}}, ZS_RECOMPRESS_FIELD_CODECS, -EINVAL},
	};
	enum zs_recompress_field field;
	struct zs_recompress job;

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		cr_assert_eq(zs_recompress_begin(&job, device, &cases[i].request, &field), cases[i].error, "%u", i);
		cr_assert_eq(field, cases[i].field, "%u", i);
	}
}
