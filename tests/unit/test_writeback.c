/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing back: what is selected, in which order, how much, and what a failing file does. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/cold_store.h"
#include "support/data.h"
#include "support/small_store.h"

#define NR_BLOCKS  200
#define BLOCK_SIZE 4096
#define LENGTH	   ((size_t)NR_BLOCKS * BLOCK_SIZE)
#define SEGMENT	   ((uint64_t)ZS_SEGMENT_MIN_BYTES)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct test_cold_world world;
static char content[LENGTH], found[LENGTH];
static struct test_random random_state = {.state = 4711};
static struct zs_writeback_progress progress;
static struct zs_writeback_request request;

static void init(void)
{
	test_cold_world_open(&world, 0);
}

static void deinit(void)
{
	test_cold_world_close(&world);
}

TestSuite(writeback, .init = init, .fini = deinit);

static void write_block(size_t block, enum test_data kind)
{
	size_t done;

	test_data_make(kind, &random_state, content + block * BLOCK_SIZE, BLOCK_SIZE);
	cr_assert_eq(zs_device_write(world.device, world.stream, block * BLOCK_SIZE, content + block * BLOCK_SIZE,
				     BLOCK_SIZE, &done),
		     0);
}

/* Each fourth block is noise; the rest are of several sizes, or same-filled. */
static void fill(void)
{
	static const enum test_data kinds[] = {TEST_DATA_NOISE, TEST_DATA_TEXT, TEST_DATA_MIXED, TEST_DATA_ALMOST,
					       TEST_DATA_NOISE, TEST_DATA_FILL, TEST_DATA_TEXT,	 TEST_DATA_FILL32};

	for (size_t block = 0; block < NR_BLOCKS; block++)
		write_block(block, kinds[block % ZS_ARRAY_SIZE(kinds)]);
}

static int writeback(void)
{
	progress = (struct zs_writeback_progress){0};
	return zs_store_writeback(world.store, &request, &progress);
}

static bool is_cold(size_t block)
{
	uint64_t slot = zs_table_load(&world.device->table, block);
	struct zs_place place;

	return zs_slot_state(slot) == ZS_SLOT_OBJECT && zs_obj_place(world.store->heap, zs_slot_handle(slot), &place);
}

static bool is_huge(size_t block)
{
	return zs_table_load(&world.device->table, block) & ZS_SLOT_INCOMPRESSIBLE;
}

static unsigned int nr_cold(void)
{
	unsigned int nr = 0;

	for (size_t block = 0; block < NR_BLOCKS; block++)
		nr += is_cold(block);
	return nr;
}

static void check_content(void)
{
	memset(found, 0x55, LENGTH);
	cr_assert_eq(zs_device_read(world.device, world.stream, 0, found, LENGTH), 0);
	cr_assert_eq(memcmp(found, content, LENGTH), 0);
}

/*
 * selection
 */

Test(writeback, same_filled_blocks_stay)
{
	fill();
	cr_assert_eq(writeback(), 0);
	cr_assert_eq(nr_cold(), NR_BLOCKS / 8 * 6);
	cr_assert_eq(progress.written_blocks, NR_BLOCKS / 8 * 6);
	cr_assert_eq(progress.finished_blocks, NR_BLOCKS / 8 * 6);
	cr_assert_eq(progress.written_bytes, test_cold_world_file_stats(&world).live_bytes);
	check_content();
}

Test(writeback, huge_blocks_only)
{
	request.type = ZS_WRITEBACK_HUGE;
	fill();
	cr_assert_eq(writeback(), 0);
	for (size_t block = 0; block < NR_BLOCKS; block++)
		cr_assert_eq(is_cold(block), is_huge(block), "block %zu", block);
	check_content();
}

Test(writeback, ranges_only)
{
	const struct zs_writeback_range ranges[] = {{3, 3}, {10, 20}, {NR_BLOCKS - 1, NR_BLOCKS - 1}};

	request = (struct zs_writeback_request){
		.ranges = ranges, .nr_ranges = 3, .devices = &world.id, .nr_devices = 1};
	for (size_t block = 0; block < NR_BLOCKS; block++)
		write_block(block, TEST_DATA_TEXT);
	cr_assert_eq(writeback(), 0);
	for (size_t block = 0; block < NR_BLOCKS; block++)
		cr_assert_eq(is_cold(block), block == 3 || (block >= 10 && block <= 20) || block == NR_BLOCKS - 1);
}

Test(writeback, one_device_of_several)
{
	uint64_t other = test_device_add(world.store, "other", LENGTH, BLOCK_SIZE, lz4);

	request = (struct zs_writeback_request){.devices = &other, .nr_devices = 1};
	fill();
	cr_assert_eq(writeback(), 0);
	cr_assert_eq(nr_cold(), 0);
	request.devices = &world.id;
	cr_assert_eq(writeback(), 0);
	cr_assert_gt(nr_cold(), 0);
}

Test(writeback, the_largest_first)
{
	fill();
	request = (struct zs_writeback_request){.order = ZS_WRITEBACK_LARGEST, .limit_blocks = NR_BLOCKS / 4};
	cr_assert_eq(writeback(), 0);
	cr_assert_eq(progress.written_blocks, NR_BLOCKS / 4);
	for (size_t block = 0; block < NR_BLOCKS; block++)
		cr_assert_eq(is_cold(block), is_huge(block), "block %zu", block);
	check_content();
}

Test(writeback, no_more_blocks_or_bytes_than_asked_for)
{
	fill();
	request.limit_blocks = 7;
	cr_assert_eq(writeback(), 0);
	cr_assert_eq(nr_cold(), 7);
	request = (struct zs_writeback_request){.limit_bytes = 30000};
	cr_assert_eq(writeback(), 0);
	cr_assert_leq(progress.written_bytes, 30000);
	cr_assert_gt(progress.written_bytes, 30000 - 4200);
}

Test(writeback, what_is_asked_wrongly_is_refused_and_nothing_is_written)
{
	struct zs_writeback_range range = {5, 4};

	fill();
	request = (struct zs_writeback_request){
		.ranges = &range, .nr_ranges = 1, .devices = &world.id, .nr_devices = 1};
	cr_assert_eq(writeback(), -EINVAL);
	range = (struct zs_writeback_range){0, ((uint64_t)1 << 30) / BLOCK_SIZE};
	cr_assert_eq(writeback(), -ERANGE);
	request.devices = &(uint64_t){world.id + 4096};
	cr_assert_eq(writeback(), -ENODEV);
	progress.cancel = true;
	request = (struct zs_writeback_request){0};
	cr_assert_eq(zs_store_writeback(world.store, &request, &progress), -ECANCELED);
	cr_assert_eq(nr_cold(), 0);
}

Test(writeback, without_a_backing_file_it_is_refused)
{
	struct zs_store *other = test_store_create(0);
	struct zs_writeback_budget budget;

	cr_assert_eq(zs_store_writeback(other, &request, &progress), -EOPNOTSUPP);
	cr_assert_eq(zs_store_writeback_budget(other, &budget), -EOPNOTSUPP);
	cr_assert_eq(zs_store_set_daily_limit(other, 0, ZS_LIMIT_BY_COMMAND), -EOPNOTSUPP);
	cr_assert_eq(zs_store_set_total_limit(other, 0, ZS_LIMIT_BY_COMMAND), -EOPNOTSUPP);
	cr_assert_eq(zs_store_collect(other, 50, 1), -EOPNOTSUPP);
	zs_store_close(other);
}

Test(writeback, what_is_damaged_is_not_written)
{
	struct zs_object object;

	fill();
	cr_assert_eq(
		zs_obj_read_begin(world.store->pool, zs_slot_handle(zs_table_load(&world.device->table, 1)), &object),
		0);
	((char *)(uintptr_t)object.payload)[3] ^= 1;
	zs_obj_read_end(world.store->pool, &object);
	cr_assert_eq(writeback(), 0);
	cr_assert_not(is_cold(1));
	cr_assert_eq(zs_device_read(world.device, world.stream, BLOCK_SIZE, found, BLOCK_SIZE), -EIO);
	write_block(1, TEST_DATA_TEXT);
	check_content();
}

Test(writeback, a_remaining_budget_is_used_up_and_outlives_the_process)
{
	struct zs_writeback_budget budget;

	fill();
	cr_assert_eq(zs_store_set_total_limit(world.store, 50000, ZS_LIMIT_BY_COMMAND), 0);
	request.limit_blocks = 5;
	cr_assert_eq(writeback(), 0);
	cr_assert_eq(zs_store_writeback_budget(world.store, &budget), 0);
	cr_assert_eq(budget.remaining_bytes, 50000 - progress.written_bytes);
	test_cold_world_reopen(&world, true);
	cr_assert_eq(zs_store_writeback_budget(world.store, &budget), 0);
	cr_assert_eq(budget.remaining_bytes, 50000 - progress.written_bytes);
	request.limit_blocks = 0;
	cr_assert_eq(writeback(), -EDQUOT);
	cr_assert_leq(progress.written_bytes, budget.remaining_bytes);
	cr_assert_gt(progress.written_bytes, budget.remaining_bytes - 4200);
	cr_assert_eq(zs_store_set_total_limit(world.store, ZS_NO_TOTAL_LIMIT, ZS_LIMIT_BY_COMMAND), 0);
	cr_assert_eq(writeback(), 0);
	check_content();
}

Test(writeback, what_is_left_of_a_budget_and_too_little_for_a_block_is_used_up)
{
	struct zs_writeback_budget budget;

	fill();
	cr_assert_eq(zs_store_set_total_limit(world.store, 50000, ZS_LIMIT_BY_COMMAND), 0);
	cr_assert(zs_store_has_writeback_budget(world.store));
	cr_assert_eq(writeback(), -EDQUOT);
	cr_assert_eq(zs_store_writeback_budget(world.store, &budget), 0);
	cr_assert_gt(budget.remaining_bytes, 0);
	cr_assert_not(zs_store_has_writeback_budget(world.store));
	/* The same again, from whoever may write. */
	cr_assert_eq(zs_store_set_total_limit(world.store, budget.remaining_bytes, ZS_LIMIT_BY_COMMAND), 0);
	cr_assert(zs_store_has_writeback_budget(world.store));
}

Test(writeback, a_day_s_budget_is_what_may_be_written_today)
{
	struct zs_writeback_budget budget;
	struct zs_backing_budget kept;

	/* Not across midnight. */
	while (time(NULL) % 86400 > 86380)
		sleep(1);
	fill();
	cr_assert_eq(zs_store_set_daily_limit(world.store, 60000, ZS_LIMIT_BY_COMMAND), 0);
	cr_assert_eq(writeback(), -EDQUOT);
	cr_assert_eq(zs_store_writeback_budget(world.store, &budget), 0);
	cr_assert_eq(budget.written_today_bytes, progress.written_bytes);
	cr_assert_leq(progress.written_bytes, 60000);
	cr_assert_eq(writeback(), -EDQUOT);
	/* It was yesterday. */
	zs_backing_get_budget(zs_store_backing(world.store), &kept);
	kept.day--;
	zs_backing_set_budget(zs_store_backing(world.store), &kept);
	cr_assert_eq(writeback(), -EDQUOT);
	cr_assert_gt(progress.written_bytes, 60000 - 4200);
	check_content();
}

/*
 * a file that fails
 */

static struct {
	unsigned int nr;      /* writes told of so far */
	unsigned int nth;     /* this one gets the answer; 0: none, UINT_MAX: all */
	int answer;	      /* 1: half of what was written */
	unsigned int delayed; /* this often first */
} fault;

static int answer_write(void *context, int result)
{
	if (fault.delayed) {
		fault.delayed--;
		return -EINPROGRESS;
	}
	fault.nr++;
	if (fault.nth != UINT32_MAX && fault.nr != fault.nth)
		return result;
	return fault.answer == 1 ? result / 2 : fault.answer;
}

static const struct zs_backing_faults faults = {.write = answer_write};

static void set_fault(unsigned int nth, int answer)
{
	fault.nr = 0;
	fault.nth = nth;
	fault.answer = answer;
	zs_backing_set_faults(zs_store_backing(world.store), &faults);
}

/* More than one write, so that there are several to fail. */
static void fill_long(void)
{
	for (size_t block = 0; block < NR_BLOCKS; block++)
		write_block(block, TEST_DATA_NOISE);
}

Test(writeback, each_write_in_turn_fails_in_each_way_and_nothing_is_lost)
{
	static const int answers[] = {-EIO, -ENOSPC, -EAGAIN, -ECANCELED, 1};

	zs_store_set_promotion(world.store, 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(answers); i++) {
		for (unsigned int nth = 1; nth < 100; nth++) {
			int error;

			fill_long();
			set_fault(nth, answers[i]);
			error = writeback();
			cr_assert_eq(nr_cold(), progress.finished_blocks);
			cr_assert_eq(progress.written_blocks, progress.finished_blocks + progress.failed_blocks);
			cr_assert_eq(!error, !progress.failed_blocks && nr_cold() == NR_BLOCKS, "%d", error);
			check_content();
			zs_store_check(world.store);
			zs_backing_set_faults(zs_store_backing(world.store), NULL);
			/* There was no such write: all have had their turn. */
			if (fault.nr < nth)
				break;
			cr_assert(error == -EIO || error == -ENOSPC, "%d", error);
			cr_assert_lt(nth, 99);
			/* A pause after an error is the file's business. */
			test_cold_world_reopen(&world, true);
			zs_store_set_promotion(world.store, 0);
		}
	}
}

Test(writeback, a_file_that_always_fails_leaves_all_in_memory)
{
	fill_long();
	set_fault(UINT32_MAX, -EIO);
	cr_assert_eq(writeback(), -EIO);
	cr_assert_eq(progress.finished_blocks, 0);
	cr_assert_gt(progress.failed_blocks, 0);
	cr_assert_eq(nr_cold(), 0);
	cr_assert_eq(test_cold_world_file_stats(&world).live_records, 0);
	check_content();
}

Test(writeback, writes_that_take_long_are_waited_for)
{
	fill_long();
	set_fault(0, 0);
	fault.delayed = 1000;
	cr_assert_eq(writeback(), 0);
	cr_assert_eq(nr_cold(), NR_BLOCKS);
	check_content();
}

Test(writeback, a_failed_write_is_not_charged)
{
	struct zs_writeback_budget budget;

	fill_long();
	cr_assert_eq(zs_store_set_total_limit(world.store, 10 * LENGTH, ZS_LIMIT_BY_COMMAND), 0);
	set_fault(UINT32_MAX, -EIO);
	cr_assert_eq(writeback(), -EIO);
	cr_assert_eq(zs_store_writeback_budget(world.store, &budget), 0);
	cr_assert_eq(budget.remaining_bytes, 10 * LENGTH);
}

/*
 * meanwhile
 */

/* Something happens to blocks while their records are on the way. */
static void (*meanwhile)(void);

static int answer_meanwhile(void *context, int result)
{
	if (meanwhile)
		meanwhile();
	meanwhile = NULL;
	return result;
}

static const struct zs_backing_faults nosy = {.write = answer_meanwhile};

static void overwrite_some(void)
{
	for (size_t block = 0; block < 10; block++)
		write_block(block, TEST_DATA_NOISE);
	cr_assert_eq(zs_device_discard(world.device, world.stream, 10 * BLOCK_SIZE, 10 * BLOCK_SIZE), 0);
	memset(content + 10 * BLOCK_SIZE, 0, 10 * BLOCK_SIZE);
}

Test(writeback, what_is_replaced_meanwhile_leaves_nothing_behind)
{
	fill_long();
	meanwhile = overwrite_some;
	zs_backing_set_faults(zs_store_backing(world.store), &nosy);
	cr_assert_eq(writeback(), 0);
	cr_assert_eq(progress.replaced_blocks, 20);
	cr_assert_eq(progress.finished_blocks + 20, progress.written_blocks);
	cr_assert_eq(test_cold_world_file_stats(&world).live_records, nr_cold());
	check_content();
}

Test(writeback, what_is_read_all_the_time_stays_in_memory)
{
	struct zs_object object;

	fill_long();
	cr_assert_eq(
		zs_obj_read_begin(world.store->pool, zs_slot_handle(zs_table_load(&world.device->table, 5)), &object),
		0);
	cr_assert_eq(writeback(), 0);
	cr_assert_eq(progress.busy_blocks, 1);
	cr_assert_eq(nr_cold(), NR_BLOCKS - 1);
	cr_assert_not(is_cold(5));
	zs_obj_read_end(world.store->pool, &object);
	cr_assert_eq(test_cold_world_file_stats(&world).live_records, NR_BLOCKS - 1);
	check_content();
}

/*
 * a file that is full
 */

TestSuite(full, .fini = deinit);

Test(full, a_full_file_is_an_error_and_the_rest_stays_in_memory)
{
	test_cold_world_open(&world, 4 * SEGMENT);
	fill_long();
	/* Three segments hold less than 200 raw blocks. */
	cr_assert_eq(writeback(), -ENOSPC);
	cr_assert_gt(nr_cold(), 0);
	cr_assert_lt(nr_cold(), NR_BLOCKS);
	check_content();
}

Test(full, segments_that_are_mostly_dead_are_collected_for_room)
{
	test_cold_world_open(&world, 8 * SEGMENT);
	zs_store_set_promotion(world.store, 0);
	for (unsigned int round = 0; round < 20; round++) {
		fill_long();
		cr_assert_eq(writeback(), 0, "round %u", round);
		cr_assert_eq(nr_cold(), NR_BLOCKS);
		check_content();
		/* One of four stays. */
		for (size_t block = 0; block < NR_BLOCKS; block++) {
			if (block % 4)
				write_block(block, TEST_DATA_NOISE);
		}
		cr_assert_eq(writeback(), 0, "round %u", round);
		check_content();
		zs_store_check(world.store);
	}
	cr_assert_gt(test_cold_world_file_stats(&world).collected_records, 0);
}
