/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the marks of a limit: what has passed the upper one goes on to the lower one, and nobody else does. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "store/device_internal.h"
#include "store/entry.h"
#include "store/group.h"
#include "store/slot.h"
#include "support/cold_policy_fixture.h"
#include "support/random.h"
#include "support/store_fixture.h"
#include "zsmalloc/pool_internal.h"

TestSuite(cold_marks, .init = test_policy_set_up, .fini = test_policy_tear_down, .timeout = 300);

/* Percents of a limit: as the fixture has them, and one in between. */
#define START	60
#define STOP	50
#define BETWEEN 55

/* Whose limit. There is one device, full, with what the limit is in use by; of a group of its own, perhaps. */
enum whose { POOL, DEVICE, GROUP };

#define FULL_BYTES (BLOCKS * zs_pool_cost(BLOCK))

static struct zs_store_stats store_stats(void)
{
	struct zs_store_stats stats;

	zs_store_stats(store, &stats);
	return stats;
}

static void set_limit(enum whose whose, uint64_t id, unsigned int percent)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	if (whose == POOL)
		zs_store_set_limit(store, store_stats().heap.used_bytes * 100 / percent);
	else if (whose == GROUP)
		cr_assert_eq(zs_store_set_group_limit(store, "g", FULL_BYTES * 100 / percent), 0);
	else
		cr_assert_eq(zs_device_set_limit(device, FULL_BYTES * 100 / percent), 0);
	zs_device_put(device, stream);
}

static uint64_t add(enum whose whose, bool recompresses)
{
	uint64_t id;

	if (whose == GROUP)
		cr_assert_eq(zs_store_add_group(store, "g", FULL_BYTES * 100 / NEAR), 0);
	id = test_policy_add("one", whose == DEVICE ? NEAR : 0, whose == GROUP ? "g" : NULL, recompresses);
	test_policy_write(id, BYTES);
	if (whose == POOL)
		set_limit(whose, id, NEAR);
	return id;
}

/* What is in use, and of how much. */
static struct zs_group_use use_of(enum whose whose, uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	struct zs_device_info info;
	struct zs_group_use use = {.charged_bytes = store_stats().heap.used_bytes,
				   .memory_limit_bytes = store_stats().heap.limit_bytes};
	unsigned int cursor = 0;

	if (whose == GROUP)
		cr_assert(zs_store_next_limited_group(store, &cursor, &use));
	if (whose == DEVICE) {
		zs_device_info(device, &info);
		use.memory_limit_bytes = info.memory_limit_bytes;
		use.charged_bytes = test_policy_stats(id).memory_bytes;
	}
	zs_device_put(device, stream);
	return use;
}

static double used_percent(enum whose whose, uint64_t id)
{
	struct zs_group_use use = use_of(whose, id);

	return 100.0 * (double)use.charged_bytes / (double)use.memory_limit_bytes;
}

/* So many blocks are a part of the limit. */
static size_t blocks_of(enum whose whose, uint64_t id, unsigned int percent)
{
	return use_of(whose, id).memory_limit_bytes / 100 * percent / zs_pool_cost(BLOCK);
}

/* From the device's beginning, until no more than that is in use; of the pool, with many blocks in a zspage, less. */
static void discard_to(enum whose whose, uint64_t id, unsigned int percent)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	for (size_t at = 0; used_percent(whose, id) > percent; at += BLOCK) {
		cr_assert_eq(zs_device_discard(device, stream, at, BLOCK), 0);
		pool_reclaim_kept(device->pool, UINT64_MAX, NULL); /* else compaction would, and free pages */
	}
	zs_device_put(device, stream);
	policy->active_usec = ++policy->now_usec;
}

static void check_between(enum whose whose, uint64_t id)
{
	double percent = used_percent(whose, id);

	cr_assert(percent > STOP + 1 && percent < START - 1, "%.1f %%: %s", percent, test_policy_story());
}

/* That was done first, and nothing is done any more. */
static void check_rest_after(const char *beginning)
{
	cr_assert_eq(strncmp(test_policy_story(), beginning, strlen(beginning)), 0, "%s", test_policy_story());
	cr_assert_eq(policy->pool.task + policy->device.task + policy->group.task, 0, "ticks");
}

static void check_at_rest(const char *story)
{
	cr_assert_str_eq(test_policy_story(), story);
	check_rest_after(story);
}

/* Has passed the upper mark, when nothing could be done, and is below it. */
static uint64_t add_between(enum whose whose)
{
	uint64_t id = add(whose, false);

	test_policy_look_on();
	discard_to(whose, id, BETWEEN);
	check_between(whose, id);
	return id;
}

/*
 * what goes on
 */

static void check_budget(enum whose whose)
{
	uint64_t id = add(whose, false);

	test_backing_attach(store, test_policy_path, 0);
	test_policy_set_budget(blocks_of(whose, id, NEAR - STOP - 2) * BLOCK);
	test_policy_look_on();
	check_between(whose, id);
	check_at_rest(whose == POOL ? "W all, " : "W one, ");
	test_policy_set_budget(BYTES);
	policy->active_usec = ++policy->now_usec;
	test_policy_look_on();
	cr_assert_leq(used_percent(whose, id), STOP, "%s", test_policy_story());
	check_rest_after(whose == POOL ? "W all, W all, " : "W one, W one, ");
}

Test(cold_marks, a_pool_for_which_the_budget_was_not_enough_goes_on)
{
	check_budget(POOL);
}

Test(cold_marks, a_device_for_which_the_budget_was_not_enough_goes_on)
{
	check_budget(DEVICE);
}

Test(cold_marks, a_group_for_which_the_budget_was_not_enough_goes_on)
{
	check_budget(GROUP);
}

static void check_time(enum whose whose)
{
	uint64_t id = add(whose, true);

	test_backing_attach(store, test_policy_path, 0);
	test_policy_hold(true);
	test_policy_look();
	test_policy_wait_until_held();
	policy->now_usec += 10 * USEC_PER_SEC;
	test_policy_look();
	test_policy_hold(false);
	test_policy_wait();
	discard_to(whose, id, BETWEEN);
	check_between(whose, id);
	test_policy_look_on();
	cr_assert_leq(used_percent(whose, id), STOP, "%s", test_policy_story());
	check_rest_after(whose == POOL ? "R one cancelled, W all, " : "R one cancelled, W one, ");
}

Test(cold_marks, a_pool_goes_on_after_recompression_that_took_too_long)
{
	check_time(POOL);
}

Test(cold_marks, a_device_goes_on_after_recompression_that_took_too_long)
{
	check_time(DEVICE);
}

Test(cold_marks, a_group_goes_on_after_recompression_that_took_too_long)
{
	check_time(GROUP);
}

static void check_lower_stop(enum whose whose)
{
	uint64_t id = add_between(whose);

	policy->options.stop_percent = 40;
	test_backing_attach(store, test_policy_path, 0);
	test_policy_look_on();
	cr_assert_leq(used_percent(whose, id), 40, "%s", test_policy_story());
}

Test(cold_marks, a_pool_goes_on_to_the_lower_mark_of_now)
{
	check_lower_stop(POOL);
}

Test(cold_marks, a_device_goes_on_to_the_lower_mark_of_now)
{
	check_lower_stop(DEVICE);
}

Test(cold_marks, a_group_goes_on_to_the_lower_mark_of_now)
{
	check_lower_stop(GROUP);
}

/* All that is left of the device is in use, or not any more. */
static void pin_rest(uint64_t id, bool pins)
{
	static struct zs_object objects[BLOCKS];
	struct zs_device *device = zs_device_get(store, id, stream);

	for (size_t i = 0; i < BLOCKS; i++) {
		uint64_t slot = zs_table_load(&device->table, i);

		if (slot && pins)
			cr_assert_eq(zs_obj_read_begin(device->pool, zs_slot_handle(slot), &objects[i]), 0);
		else if (slot)
			zs_obj_read_end(device->pool, &objects[i]);
	}
	zs_device_put(device, stream);
}

static void check_rest(enum whose whose)
{
	uint64_t id = add_between(whose);

	test_backing_attach(store, test_policy_path, 0);
	pin_rest(id, true);
	/* For more than a minute, after which it would be tried again if data were used. */
	for (unsigned int i = 0; i < 10; i++)
		test_policy_look_on();
	check_at_rest(whose == POOL ? "W all, " : "W one, ");
	pin_rest(id, false);
}

Test(cold_marks, a_pool_of_which_nothing_can_be_written_back_rests_between_them)
{
	check_rest(POOL);
}

Test(cold_marks, a_device_of_which_nothing_can_be_written_back_rests_between_them)
{
	check_rest(DEVICE);
}

Test(cold_marks, a_group_of_which_nothing_can_be_written_back_rests_between_them)
{
	check_rest(GROUP);
}

/*
 * what doesn't begin
 */

static void check_that_nothing_begins(void)
{
	if (!zs_store_backing(store))
		test_backing_attach(store, test_policy_path, 0);
	test_policy_look_on();
	check_at_rest("");
}

static void check_never_above(enum whose whose)
{
	uint64_t id = add(whose, false);

	discard_to(whose, id, BETWEEN);
	check_between(whose, id);
	check_that_nothing_begins();
}

Test(cold_marks, a_pool_that_was_not_above_the_upper_one_is_left_alone)
{
	check_never_above(POOL);
}

Test(cold_marks, a_device_that_was_not_above_the_upper_one_is_left_alone)
{
	check_never_above(DEVICE);
}

Test(cold_marks, a_group_that_was_not_above_the_upper_one_is_left_alone)
{
	check_never_above(GROUP);
}

static void check_below(enum whose whose)
{
	uint64_t id = add(whose, false);

	test_policy_look_on();
	discard_to(whose, id, STOP - 5);
	test_policy_look();
	for (size_t nr = 1; used_percent(whose, id) < STOP + 2; nr++)
		test_policy_write(id, nr * BLOCK);
	check_between(whose, id);
	check_that_nothing_begins();
}

Test(cold_marks, a_pool_that_was_below_the_lower_one_begins_anew)
{
	check_below(POOL);
}

Test(cold_marks, a_device_that_was_below_the_lower_one_begins_anew)
{
	check_below(DEVICE);
}

Test(cold_marks, a_group_that_was_below_the_lower_one_begins_anew)
{
	check_below(GROUP);
}

/* However it is later on: the mark of that time was not passed. */
static void check_raised(enum whose whose)
{
	uint64_t id = add(whose, false);

	test_policy_look_on();
	set_limit(whose, id, BETWEEN);
	check_between(whose, id);
	check_that_nothing_begins();
	set_limit(whose, id, START - 2);
	check_that_nothing_begins();
	set_limit(whose, id, NEAR);
	test_policy_look_on();
	cr_assert_leq(used_percent(whose, id), STOP, "%s", test_policy_story());
}

Test(cold_marks, a_pool_whose_limit_is_raised_begins_anew)
{
	check_raised(POOL);
}

Test(cold_marks, a_device_whose_limit_is_raised_begins_anew)
{
	check_raised(DEVICE);
}

Test(cold_marks, a_group_whose_limit_is_raised_begins_anew)
{
	check_raised(GROUP);
}

static void check_higher_start(enum whose whose)
{
	uint64_t id = add(whose, false);

	test_policy_look_on();
	policy->options.start_percent = NEAR + 5;
	check_that_nothing_begins();
	policy->options.start_percent = START;
	test_policy_look_on();
	cr_assert_leq(used_percent(whose, id), STOP, "%s", test_policy_story());
}

Test(cold_marks, a_pool_whose_upper_one_is_raised_begins_anew)
{
	check_higher_start(POOL);
}

Test(cold_marks, a_device_whose_upper_one_is_raised_begins_anew)
{
	check_higher_start(DEVICE);
}

Test(cold_marks, a_group_whose_upper_one_is_raised_begins_anew)
{
	check_higher_start(GROUP);
}

/*
 * who comes after
 */

Test(cold_marks, a_device_in_the_place_of_another_one_is_not_written_back_for_that_one)
{
	uint64_t old = add_between(DEVICE), id;

	cr_assert_eq(zs_store_remove(store, old), 0);
	id = add(DEVICE, false);
	cr_assert_neq(id, old);
	cr_assert_eq(zs_device_index(id), zs_device_index(old));
	discard_to(DEVICE, id, BETWEEN);
	check_that_nothing_begins();
}

Test(cold_marks, a_group_in_the_place_of_another_one_is_not_written_back_for_that_one)
{
	uint64_t id = add_between(GROUP);

	cr_assert_eq(zs_store_remove(store, id), 0);
	cr_assert_eq(zs_store_set_group_limit(store, "g", 0), 0);
	cr_assert_eq(zs_store_set_group_limit(store, "g", 0), -ENOENT);
	discard_to(GROUP, add(GROUP, false), BETWEEN);
	check_that_nothing_begins();
}

Test(cold_marks, a_group_without_a_limit_for_a_while_begins_anew)
{
	uint64_t id = add_between(GROUP);

	cr_assert_eq(zs_store_set_group_limit(store, "g", 0), 0);
	test_policy_look_on();
	set_limit(GROUP, id, NEAR);
	check_between(GROUP, id);
	check_that_nothing_begins();
}

/*
 * compaction
 */

#define HOLED 20

static void write_third(uint64_t id)
{
	static struct test_random random = {.state = 9};
	struct zs_device *device = zs_device_get(store, id, stream);
	char block[BLOCK] = {0};
	size_t done;

	for (size_t at = 0; at < BYTES; at += BLOCK) {
		test_random_fill(&random, block, BLOCK / 3);
		cr_assert_eq(zs_device_write(device, stream, at, block, BLOCK, &done), 0);
	}
	zs_device_put(device, stream);
}

static void discard_most(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	for (size_t i = 0; i < BLOCKS; i++) {
		if (i % 3)
			cr_assert_eq(zs_device_discard(device, stream, i * BLOCK, BLOCK), 0);
	}
	zs_device_put(device, stream);
}

/* Three blocks in a page at first, and then one. */
static void add_holed(void)
{
	uint64_t ids[HOLED];

	for (unsigned int i = 0; i < HOLED; i++) {
		ids[i] = test_policy_add((char[]){(char)('a' + i), 0}, 0, NULL, false);
		write_third(ids[i]);
	}
	for (unsigned int i = 0; i < HOLED; i++)
		discard_most(ids[i]);
}

/* There is time for it: what is superfluous need not be written. */
Test(cold_marks, below_the_upper_one_compaction_goes_first_as_long_as_it_frees_much)
{
	uint64_t used;

	add_holed();
	used = store_stats().heap.used_bytes;
	zs_store_set_limit(store, used * 100 / (START + 2));
	policy->options.stop_percent = 10;
	test_backing_attach(store, test_policy_path, 0);
	test_policy_look();
	cr_assert_lt(store_stats().heap.used_bytes, used);
	check_at_rest("");
	cr_assert_gt(policy->pool.compacted_pages, 0, "it doesn't go on");
	test_policy_look_on();
	check_rest_after("W all, ");
	cr_assert_eq(policy->pool.compacted_pages, 0, "ticks");
}
