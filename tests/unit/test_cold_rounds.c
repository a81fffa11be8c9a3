/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is looked at after whom, and what rests, near the limits and when memory is short. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "store/device_internal.h"
#include "store/group.h"
#include "support/cold_policy_fixture.h"
#include "support/random.h"
#include "support/store_fixture.h"

TestSuite(cold_rounds, .init = test_policy_set_up, .fini = test_policy_tear_down, .timeout = 300);

/*
 * members
 */

/* What is in the group's way is not in the others'; and it isn't tried at each look. */
Test(cold_rounds, a_member_that_can_write_nothing_back_leaves_the_next_greedy_one)
{
	static struct zs_object objects[BLOCKS];
	uint64_t one, two;

	cr_assert_eq(zs_store_add_group(store, "g", BLOCKS * zs_pool_cost(BLOCK) * 150 / PRESSING), 0);
	one = test_policy_add("one", 0, "g", false);
	two = test_policy_add("two", 0, "g", false);
	test_policy_write(one, BYTES);
	test_policy_write(two, BYTES / 2);
	test_backing_attach(store, test_policy_path, 0);
	test_policy_pin(one, objects, true);
	test_policy_look_on();
	cr_assert_gt(test_policy_stats(two).backed_blocks, 0, "%s", test_policy_story());
	cr_assert_eq(strncmp(test_policy_story(), "W one, W two, ", 14), 0, "%s", test_policy_story());
	cr_assert_null(strstr(test_policy_story() + 6, "W one"), "%s", test_policy_story());
	test_policy_pin(one, objects, false);
}

Test(cold_rounds, members_are_recompressed_if_none_can_write_anything_back)
{
	static struct zs_object objects[BLOCKS];
	uint64_t one;

	cr_assert_eq(zs_store_add_group(store, "g", BLOCKS * zs_pool_cost(BLOCK) * 100 / PRESSING), 0);
	one = test_policy_add("one", 0, "g", false);
	/* It has nothing that could be written back. */
	test_policy_add("two", 0, "g", true);
	test_policy_write(one, BYTES);
	test_backing_attach(store, test_policy_path, 0);
	test_policy_pin(one, objects, true);
	test_policy_look_on();
	cr_assert_str_eq(test_policy_story(), "W one, R two, ");
	test_policy_pin(one, objects, false);
}

Test(cold_rounds, a_group_that_can_write_nothing_back_does_not_cancel_recompression_of_others)
{
	static struct zs_object objects[BLOCKS];
	uint64_t one, two;

	cr_assert_eq(zs_store_add_group(store, "g", BLOCKS * zs_pool_cost(BLOCK) * 100 / PRESSING), 0);
	cr_assert_eq(zs_store_add_group(store, "h", BLOCKS * zs_pool_cost(BLOCK) * 100 / NEAR), 0);
	one = test_policy_add("one", 0, "g", false);
	test_policy_write(one, BYTES);
	test_backing_attach(store, test_policy_path, 0);
	test_policy_pin(one, objects, true);
	test_policy_look_on();
	two = test_policy_add("two", 0, "h", true);
	test_policy_write(two, BYTES);
	test_policy_look_on_held();
	cr_assert_str_eq(test_policy_story(), "W one, R two, ");
	test_policy_pin(one, objects, false);
}

Test(cold_rounds, one_that_can_write_nothing_back_is_recompressed_however_near_the_limit_is)
{
	static struct zs_object objects[BLOCKS];
	uint64_t one = test_policy_add_full("one", PRESSING, true);

	test_backing_attach(store, test_policy_path, 0);
	test_policy_pin(one, objects, true);
	test_policy_look_on();
	cr_assert_eq(strncmp(test_policy_story(), "W one, R one, ", 14), 0, "%s", test_policy_story());
	test_policy_pin(one, objects, false);
}

/*
 * rounds
 */

static void write_noise(uint64_t id, size_t bytes)
{
	static struct test_random random = {.state = 8};
	struct zs_device *device = zs_device_get(store, id, stream);
	char block[BLOCK];
	size_t done;

	for (size_t at = 0; at < bytes; at += BLOCK) {
		test_random_fill(&random, block, BLOCK);
		cr_assert_eq(zs_device_write(device, stream, at, block, BLOCK, &done), 0);
	}
	zs_device_put(device, stream);
	policy->active_usec = ++policy->now_usec;
}

#define MANY (ZSD_RESTS + 10) /* more than are remembered that rest */

static uint64_t last_task(void)
{
	struct zsd_task_info info;
	uint64_t cursor = 0, last = 0;

	while (zsd_tasks_next(tasks, &cursor, &info))
		last = info.number;
	return last;
}

static void look_often(unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		test_policy_look();
		test_policy_wait();
	}
}

static void limit_to(uint64_t id, uint64_t bytes)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	cr_assert_eq(zs_device_set_limit(device, bytes), 0);
	zs_device_put(device, stream);
}

/* No codec saves anything. percent: of their limits that is in use; 0: they have none. */
static void add_many(unsigned int percent, const char *group)
{
	char name[16];

	for (unsigned int i = 0; i < MANY; i++) {
		uint64_t id;

		snprintf(name, sizeof(name), "many%u", i);
		id = test_policy_add(name, percent, group, true);
		write_noise(id, 4 * BLOCK);
		if (percent)
			limit_to(id, 4 * zs_pool_cost(BLOCK) * 100 / percent);
	}
}

static void check_that_a_round_in_vain_is_the_last_one(void)
{
	look_often(3 * MANY);
	cr_assert_eq(last_task(), MANY);
	cr_assert_eq(policy->pool.recompressed + policy->device.task + policy->group.task, 0, "ticks");
	/* A new one for who uses the data. */
	policy->active_usec = ++policy->now_usec;
	look_often(3 * MANY);
	cr_assert_eq(last_task(), 2 * MANY);
}

Test(cold_rounds, a_round_over_many_devices_in_vain_is_the_last_one_until_data_is_used)
{
	add_many(NEAR, NULL);
	check_that_a_round_in_vain_is_the_last_one();
}

Test(cold_rounds, a_round_over_the_pool_in_vain_is_the_last_one_until_data_is_used)
{
	struct zs_store_stats stats;

	add_many(0, NULL);
	zs_store_stats(store, &stats);
	zs_store_set_limit(store, stats.heap.used_bytes * 100 / NEAR);
	check_that_a_round_in_vain_is_the_last_one();
}

Test(cold_rounds, a_round_over_many_members_in_vain_is_the_last_one_until_data_is_used)
{
	cr_assert_eq(zs_store_add_group(store, "g", 4 * MANY * zs_pool_cost(BLOCK) * 100 / NEAR), 0);
	add_many(0, "g");
	check_that_a_round_in_vain_is_the_last_one();
}

Test(cold_rounds, a_task_that_nobody_knows_any_more_is_over)
{
	policy->device.task = 1000;
	test_policy_look();
	cr_assert_eq(policy->device.task, 0);
}

/*
 * shortness of memory
 */

Test(cold_rounds, short_memory_is_recompressed_each_time)
{
	uint64_t one = test_policy_add("one", 0, NULL, true);

	test_policy_write(one, 8 * BLOCK);
	for (unsigned int i = 0; i < 8; i++)
		test_policy_add_full((char[]){(char)('a' + i), 0}, 0, false);
	test_backing_attach(store, test_policy_path, 0);
	for (unsigned int i = 0; i < 2; i++) {
		test_policy_write(one, 8 * BLOCK);
		policy->now_usec += RETRY_USEC;
		cr_assert(zsd_cold_pressed(policy));
		test_policy_look_on();
	}
	cr_assert_str_eq(test_policy_story(), "R one, W all, R one, W all, ");
}

Test(cold_rounds, short_memory_of_which_nothing_can_be_written_back_does_not_end_recompression)
{
	static struct zs_object objects[BLOCKS];
	uint64_t raw = test_policy_add_full("raw", 0, false);

	test_backing_attach(store, test_policy_path, 0);
	test_policy_pin(raw, objects, true);
	cr_assert(zsd_cold_pressed(policy));
	test_policy_look_on();
	cr_assert_str_eq(test_policy_story(), "W all, ");
	test_policy_add_full("one", 0, true);
	policy->now_usec += 10 * USEC_PER_SEC;
	cr_assert(zsd_cold_pressed(policy));
	test_policy_hold(true);
	test_policy_look();
	test_policy_wait_until_held();
	cr_assert_not(zsd_cold_pressed(policy));
	test_policy_look();
	test_policy_hold(false);
	test_policy_wait();
	cr_assert_str_eq(test_policy_story(), "W all, R one, ");
	test_policy_pin(raw, objects, false);
}

Test(cold_rounds, short_memory_without_a_file_leaves_out_nobody_wherever_the_round_begins)
{
	uint64_t one = test_policy_add("one", 0, NULL, true);

	test_policy_write(one, 8 * BLOCK);
	test_policy_write(test_policy_add("two", 0, NULL, true), 8 * BLOCK);
	for (unsigned int i = 0; i < 8; i++)
		test_policy_add_full((char[]){(char)('a' + i), 0}, 0, false);
	policy->pressed.round.cursor = 1;
	cr_assert(zsd_cold_pressed(policy));
	test_policy_look_on();
	cr_assert_eq(strncmp(test_policy_story(), "R two, R one, ", 14), 0, "%s", test_policy_story());
	cr_assert_eq(policy->pressed_goal_bytes, 0, "it doesn't end");
}
