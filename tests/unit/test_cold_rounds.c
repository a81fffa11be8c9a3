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

#define MANY 266

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

/*
 * members that can write nothing back, more than are tried in a minute
 */

#define MEMBERS	  12
#define STEP_USEC (RETRY_USEC / 6)
#define NR_PINNED 4

/* All that they have written is in use, or not any more. */
static void pin_members(struct zs_object *objects, unsigned int nr, bool pins)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct zs_device *device;
		char name[24];
		uint64_t id;

		snprintf(name, sizeof(name), "member%u", i);
		cr_assert_eq(zs_store_find(store, name, &id), 0);
		device = zs_device_get(store, id, stream);
		for (unsigned int j = 0; j < NR_PINNED; j++) {
			struct zs_handle handle = zs_slot_handle(zs_table_load(&device->table, j));
			struct zs_object *object = &objects[i * NR_PINNED + j];

			if (pins)
				cr_assert_eq(zs_obj_read_begin(device->pool, handle, object), 0);
			else
				zs_obj_read_end(device->pool, object);
		}
		zs_device_put(device, stream);
	}
}

/* The group is near its limit, with room for one more, and they can write nothing back. */
static void add_members(struct zs_object *objects, const char *group, unsigned int nr)
{
	uint64_t bytes = (nr + 1) * NR_PINNED * zs_pool_cost(BLOCK);

	cr_assert_eq(zs_store_add_group(store, group, bytes * 100 / PRESSING), 0);
	for (unsigned int i = 0; i < nr; i++) {
		char name[24];

		snprintf(name, sizeof(name), "member%u", i);
		write_noise(test_policy_add(name, 0, group, false), NR_PINNED * BLOCK);
	}
	test_backing_attach(store, test_policy_path, 0);
	pin_members(objects, nr, true);
}

/* Data is used all the time. */
static void look_while_used(unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		policy->active_usec = policy->now_usec += STEP_USEC;
		look_often(1);
	}
}

Test(cold_rounds, a_member_has_its_turn_behind_any_number_that_can_write_nothing_back)
{
	static struct zs_object objects[NR_PINNED * MEMBERS];
	uint64_t last;

	add_members(objects, "g", MEMBERS);
	last = test_policy_add("last", 0, "g", false);
	write_noise(last, (NR_PINNED - 1) * BLOCK);
	/* All the others, being greedier, go before it; and one comes after another. */
	look_while_used(MEMBERS + 2);
	cr_assert_eq(test_policy_stats(last).backed_blocks, NR_PINNED - 1, "%s", test_policy_story());
	pin_members(objects, MEMBERS, false);
}

Test(cold_rounds, members_that_can_write_nothing_back_all_have_more_turns)
{
	static struct zs_object objects[NR_PINNED * MEMBERS];
	size_t middle;

	add_members(objects, "g", MEMBERS);
	look_while_used(MEMBERS + 1);
	middle = strlen(test_policy_story());
	look_while_used(MEMBERS + 1);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		char again[24];

		snprintf(again, sizeof(again), "W member%u,", i);
		cr_assert_not_null(strstr(test_policy_story() + middle, again), "%s", test_policy_story());
	}
	pin_members(objects, MEMBERS, false);
}

Test(cold_rounds, a_group_that_can_write_nothing_back_leaves_the_turn_to_the_next_one)
{
	static struct zs_object objects[NR_PINNED * MEMBERS];
	uint64_t last;

	add_members(objects, "g", MEMBERS);
	cr_assert_eq(zs_store_add_group(store, "h", NR_PINNED * zs_pool_cost(BLOCK) * 100 / PRESSING), 0);
	last = test_policy_add("last", 0, "h", false);
	write_noise(last, NR_PINNED * BLOCK);
	look_while_used(4);
	cr_assert_gt(test_policy_stats(last).backed_blocks, 0, "%s", test_policy_story());
	pin_members(objects, MEMBERS, false);
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
