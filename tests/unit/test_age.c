/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ages of blocks, and the idle mark. */

#include <criterion/criterion.h>
#include <errno.h>

#include "store/age.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define BLOCKS 8
#define BYTES  (BLOCKS * (size_t)4096)
#define DAY    UINT64_C(86400)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct zs_device *device;
static struct test_random random_state = {.state = 1};
static char content[BYTES], result[BYTES];

/* All blocks have objects. */
static void setup(void)
{
	size_t done;

	test_store_set_up();
	device = zs_device_get(store, test_device_add(store, "device", 2 * BYTES, 4096, lz4), stream);
	test_data_make(TEST_DATA_NOISE, &random_state, content, BYTES);
	cr_assert_eq(zs_device_write(device, stream, 0, content, BYTES, &done), 0);
}

static void teardown(void)
{
	zs_device_put(device, stream);
	test_store_tear_down();
	atomic_store(&zs_age_skew_sec, 0);
}

TestSuite(age, .init = setup, .fini = teardown);

static void pass(uint64_t seconds)
{
	atomic_fetch_add(&zs_age_skew_sec, seconds);
}

static void read_block(uint64_t block)
{
	cr_assert_eq(zs_device_read(device, stream, block * 4096, result, 4096), 0);
	cr_assert_arr_eq(result, content + block * 4096, 4096);
}

static struct zs_ages ages(void)
{
	struct zs_ages now = {0};

	zs_device_ages(device, 0, UINT64_MAX, &now);
	return now;
}

static uint64_t mark(uint64_t age_sec)
{
	uint64_t marked;

	cr_assert_eq(zs_device_mark_idle(device, 0, BLOCKS - 1, age_sec, &marked), 0);
	return marked;
}

Test(age, the_circle_of_ticks_closes)
{
	for (uint64_t i = 0; i < 3 * UINT16_MAX; i += 4099) {
		uint16_t then = zs_age_now(), now;

		cr_assert_neq(then, ZS_TICK_LONG);
		pass(DAY);
		now = zs_age_now();
		cr_assert_leq(zs_age_between(then, now), DAY + 2 * ZS_TICK_SEC);
		cr_assert_geq(zs_age_between(then, now), DAY - ZS_TICK_SEC);
		pass(4099 * ZS_TICK_SEC - DAY);
	}
	cr_assert_eq(zs_age_between(ZS_TICK_LONG, 1), UINT64_MAX);
}

Test(age, an_access_by_a_thread_ahead_is_no_old_one)
{
	for (unsigned int now = 1; now <= UINT16_MAX; now += 13) {
		uint16_t ahead = (uint16_t)(now % UINT16_MAX + 1);

		cr_assert_eq(zs_age_between(ahead, (uint16_t)now), 0);
		cr_assert_eq(zs_age_between((uint16_t)now, ahead), ZS_TICK_SEC);
	}
}

Test(age, reads_and_writes_make_a_block_young)
{
	size_t done;

	cr_assert_eq(ages().blocks[0], BLOCKS);
	pass(2 * DAY);
	cr_assert_eq(ages().blocks[0], 0);
	cr_assert_eq(ages().blocks[7], BLOCKS);
	read_block(3);
	cr_assert_eq(zs_device_write(device, stream, 5 * 4096, content, 4096, &done), 0);
	cr_assert_eq(zs_device_write(device, stream, 6 * 4096 + 100, content, 8, &done), 0);
	cr_assert_eq(ages().blocks[0], 3);
	cr_assert_eq(ages().blocks[7], BLOCKS - 3);
}

Test(age, empty_and_filled_blocks_have_none)
{
	static const char zeros[4096];
	struct zs_ages now = {0};
	size_t done;

	cr_assert_eq(zs_device_discard(device, stream, 0, 4096), 0);
	cr_assert_eq(zs_device_write(device, stream, 4096, zeros, 4096, &done), 0);
	now = ages();
	cr_assert_eq(now.blocks[0], BLOCKS - 2);
	cr_assert_eq(mark(0), BLOCKS - 2);
}

Test(age, a_walk_in_steps_takes_none_for_what_was_never_written)
{
	static const uint64_t blocks[] = {0, 5, 1000000, 1000001, 3 << 20};
	uint64_t id = test_device_add(store, "sparse", UINT64_C(16) << 30, 4096, lz4), next = 0;
	struct zs_device *sparse = zs_device_get(store, id, stream);
	struct zs_ages now = {0};
	unsigned int steps;
	size_t done;

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		cr_assert_eq(zs_device_write(sparse, stream, blocks[i] * 4096, content, 4096, &done), 0);
	for (steps = 0; next < UINT64_C(4) << 20; steps++) {
		zs_device_ages(sparse, next, next + 1024, &now);
		next = zs_device_walk_on(sparse, next + 1024);
	}
	cr_assert_eq(steps, 3);
	cr_assert_eq(next, UINT64_C(4) << 20);
	cr_assert_eq(now.blocks[0], 5);
	zs_device_put(sparse, stream);
}

Test(age, the_idle_mark_goes_with_the_next_access)
{
	size_t done;

	cr_assert_eq(mark(0), BLOCKS);
	cr_assert_eq(mark(0), 0, "marked twice");
	cr_assert_eq(ages().idle_blocks, BLOCKS);
	read_block(0);
	cr_assert_eq(zs_device_write(device, stream, 4096, content, 4096, &done), 0);
	cr_assert_eq(zs_device_write(device, stream, 2 * 4096, content, 1, &done), 0);
	cr_assert_eq(ages().idle_blocks, BLOCKS - 3);
}

Test(age, only_blocks_of_that_age_are_marked)
{
	pass(1000);
	read_block(1);
	pass(500);
	cr_assert_eq(mark(1400), BLOCKS - 1);
	cr_assert_eq(mark(400), 1);
	cr_assert_eq(ages().idle_blocks, BLOCKS);
}

Test(age, a_range_is_marked_to_its_last_block)
{
	uint64_t marked;

	cr_assert_eq(zs_device_mark_idle(device, 2, 4, 0, &marked), 0);
	cr_assert_eq(marked, 3);
	cr_assert_eq(zs_device_mark_idle(device, 0, 2 * BLOCKS - 1, 0, &marked), 0);
	cr_assert_eq(marked, BLOCKS - 3);
	cr_assert_eq(zs_device_mark_idle(device, 4, 2, 0, &marked), -ERANGE);
	cr_assert_eq(zs_device_mark_idle(device, 0, 2 * BLOCKS, 0, &marked), -ERANGE);
}

Test(age, what_is_older_than_ticks_can_say_stays_old)
{
	struct zs_age_walk walk = {0};

	for (unsigned int days = 0; days < 20; days += 2) {
		pass(2 * DAY);
		read_block(0);
		cr_assert_not(zs_store_age(store, &walk, UINT64_MAX));
	}
	cr_assert_eq(ages().blocks[ZS_AGE_BUCKETS - 1], BLOCKS - 1);
	cr_assert_eq(ages().blocks[0], 1);
	cr_assert_eq(mark(1000 * DAY), BLOCKS - 1);
}

/* How many steps a walk over all ages takes. */
static unsigned int age_in_steps(uint64_t nr_blocks)
{
	struct zs_age_walk walk = {0};
	unsigned int steps = 1;

	for (; zs_store_age(store, &walk, nr_blocks); steps++)
		cr_assert_lt(steps, 10000);
	return steps;
}

Test(age, a_walk_over_all_devices_takes_so_many_blocks_a_step)
{
	uint64_t other_id = test_device_add(store, "other", 16 * BYTES, 4096, lz4);
	struct zs_device *first = device, *other = zs_device_get(store, other_id, stream);
	uint64_t slots = 2 * BLOCKS + 16 * BLOCKS;
	size_t done;

	for (unsigned int i = 0; i < 16; i++)
		cr_assert_eq(zs_device_write(other, stream, i * BYTES, content, BYTES, &done), 0);
	pass(4 * DAY);
	/* A device takes one more; and the end is found in a step of its own. */
	cr_assert_geq(age_in_steps(5), slots / 5);
	cr_assert_leq(age_in_steps(5), slots / 5 + 3);
	pass(4 * DAY);
	cr_assert_eq(ages().blocks[ZS_AGE_BUCKETS - 1], BLOCKS);
	device = other;
	cr_assert_eq(ages().blocks[ZS_AGE_BUCKETS - 1], 16 * BLOCKS);
	device = first;
	zs_device_put(other, stream);
}

Test(age, a_walk_goes_on_behind_a_device_that_is_gone)
{
	uint64_t gone = test_device_add(store, "gone", BYTES, 4096, lz4);
	struct zs_device *last = zs_device_get(store, test_device_add(store, "last", BYTES, 4096, lz4), stream);
	struct zs_age_walk walk = {0};
	size_t done;

	cr_assert_eq(zs_device_write(last, stream, 0, content, BYTES, &done), 0);
	pass(4 * DAY);
	while (walk.device_id != gone)
		cr_assert(zs_store_age(store, &walk, 1));
	cr_assert_eq(zs_store_remove(store, gone), 0);
	while (zs_store_age(store, &walk, 1))
		continue;
	/* Without the walk they would seem to be of tomorrow. */
	pass(3 * DAY);
	for (uint64_t block = 0; block < BLOCKS; block++)
		cr_assert_eq(zs_slot_tick(zs_table_load(&last->table, block)), ZS_TICK_LONG);
	zs_device_put(last, stream);
}
