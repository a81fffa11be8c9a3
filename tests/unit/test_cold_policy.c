/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done near the limits and when memory is short, in which order, and who does not wait for whom. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "store/device_internal.h"
#include "store/group.h"
#include "store/slot.h"
#include "support/cold_policy_fixture.h"
#include "support/random.h"
#include "support/store_fixture.h"
#include "support/tasks_fixture.h"

TestSuite(cold_policy, .init = test_policy_set_up, .fini = test_policy_tear_down, .timeout = 300);

static unsigned int nr_of(char kind)
{
	unsigned int nr = 0;

	for (const char *at = test_policy_story(); (at = strchr(at, kind)); at++)
		nr++;
	return nr;
}

/*
 * the file
 */

Test(cold_policy, a_budget_that_is_used_up_leaves_recompression)
{
	uint64_t ids[] = {test_policy_add_full("one", PRESSING, true), test_policy_add_full("two", PRESSING, true)};

	test_backing_attach(store, test_policy_path, 0);
	test_policy_set_budget(0);
	test_policy_look_on();
	cr_assert(test_policy_is_denser(ids[0]) && test_policy_is_denser(ids[1]), "%s", test_policy_story());
	cr_assert_null(strchr(test_policy_story(), 'W'), "%s", test_policy_story());
}

Test(cold_policy, a_full_file_leaves_recompression)
{
	uint64_t one = test_policy_add_full("one", PRESSING, false), two, used;

	test_backing_attach(store, test_policy_path, 4 * ZS_SEGMENT_MIN_BYTES);
	/* All that the file takes, or so. */
	test_writeback_all(store, &(struct zs_writeback_progress){0});
	used = test_policy_stats(one).backed_blocks;
	cr_assert_lt(used, BLOCKS);
	test_policy_write(test_policy_add("more", 0, NULL, false), BYTES);
	test_writeback_all(store, &(struct zs_writeback_progress){0});
	two = test_policy_add_full("two", PRESSING, true);
	test_policy_look_on();
	cr_assert(test_policy_is_denser(two), "%s", test_policy_story());
}

Test(cold_policy, a_file_that_is_no_use_any_more_is_not_tried_at_each_look)
{
	test_policy_add_full("one", PRESSING, false);
	test_backing_attach(store, test_policy_path, 4 * ZS_SEGMENT_MIN_BYTES);
	test_policy_write(test_policy_add("more", 0, NULL, false), BYTES);
	for (unsigned int i = 0; i < 2; i++)
		test_writeback_all(store, &(struct zs_writeback_progress){0});
	test_policy_write(test_policy_add_full("two", PRESSING, false), BYTES);
	test_policy_look_on();
	cr_assert_leq(nr_of('W'), 2, "%s", test_policy_story());
}

/*
 * devices and groups
 */

Test(cold_policy, one_that_can_write_nothing_back_does_not_pause_others)
{
	static struct zs_object objects[BLOCKS];
	uint64_t one = test_policy_add_full("one", PRESSING, false), two = test_policy_add_full("two", PRESSING, false);

	test_backing_attach(store, test_policy_path, 0);
	test_policy_pin(one, objects, true);
	test_policy_look_on();
	cr_assert_eq(test_policy_stats(one).backed_blocks, 0);
	cr_assert_gt(test_policy_stats(two).backed_blocks, 0, "%s", test_policy_story());
	/* And it isn't tried at each look. */
	cr_assert_str_eq(test_policy_story(), "W one, W two, ");
	test_policy_pin(one, objects, false);
}

Test(cold_policy, one_that_can_write_nothing_back_does_not_cancel_recompression_of_others)
{
	static struct zs_object objects[BLOCKS];
	uint64_t one = test_policy_add_full("one", PRESSING, false);

	test_backing_attach(store, test_policy_path, 0);
	test_policy_pin(one, objects, true);
	test_policy_look_on();
	test_policy_add_full("two", NEAR, true);
	test_policy_look_on_held();
	cr_assert_str_eq(test_policy_story(), "W one, R two, ");
	test_policy_pin(one, objects, false);
}

Test(cold_policy, all_devices_of_a_group_are_recompressed_if_nothing_can_be_written)
{
	static const char *const names[] = {"one", "two", "three", "four"};
	uint64_t ids[4];

	cr_assert_eq(zs_store_add_group(store, "g", 4 * BLOCKS * zs_pool_cost(BLOCK) * 100 / PRESSING), 0);
	for (unsigned int i = 0; i < 4; i++) {
		/* One is of no group, and one can't be recompressed. */
		ids[i] = test_policy_add(names[i], 0, i == 1 ? NULL : "g", i != 2);
		test_policy_write(ids[i], BYTES);
	}
	test_policy_write(test_policy_add("five", 0, "g", true), BYTES);
	test_policy_look_on();
	cr_assert(test_policy_is_denser(ids[0]) && test_policy_is_denser(ids[3]), "%s", test_policy_story());
	cr_assert(!test_policy_is_denser(ids[1]) && !test_policy_is_denser(ids[2]), "%s", test_policy_story());
	cr_assert_not_null(strstr(test_policy_story(), "R five"), "%s", test_policy_story());
}

/*
 * the order
 */

Test(cold_policy, near_a_limit_a_device_is_recompressed_and_then_written_back)
{
	uint64_t id = test_policy_add_full("one", 80, true);

	test_backing_attach(store, test_policy_path, 0);
	cr_assert_eq(test_policy_stats(id).recompressed, 0);
	/* In vain: what comes after it is dense already. */
	for (unsigned int i = 0; i < BLOCKS; i++) {
		struct zs_device *device = zs_device_get(store, id, stream);
		uint64_t slot = zs_table_load(&device->table, i);

		cr_assert(zs_table_replace(&device->table, i, &slot, zs_slot_with(slot, ZS_SLOT_DENSE)));
		zs_device_put(device, stream);
	}
	test_policy_look_on();
	cr_assert_str_eq(test_policy_story(), "R one, W one, ");
	cr_assert_gt(test_policy_stats(id).backed_blocks, 0);
}

Test(cold_policy, recompression_ends_when_there_is_no_time_for_it_any_more)
{
	uint64_t id = test_policy_add("one", PRESSING, NULL, true);

	test_backing_attach(store, test_policy_path, 0);
	test_policy_write(id, BYTES * NEAR / PRESSING);
	test_policy_hold(true);
	test_policy_look();
	test_policy_wait_until_held();
	test_policy_write(id, BYTES);
	test_policy_look();
	test_policy_hold(false);
	test_policy_look_on();
	cr_assert_eq(strncmp(test_policy_story(), "R one cancelled, W one, ", 24), 0, "%s", test_policy_story());
}

/*
 * shortness of memory
 */

static void fragment(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	char block[BLOCK];
	struct test_random random = {.state = 9};
	size_t done;

	/* A third of each block is noise; two of three are gone. */
	for (size_t i = 0; i < BLOCKS; i++) {
		memset(block, 0, BLOCK);
		test_random_fill(&random, block, 1300);
		cr_assert_eq(zs_device_write(device, stream, i * BLOCK, block, BLOCK, &done), 0);
	}
	for (size_t i = 0; i < BLOCKS; i++) {
		if (i % 3)
			cr_assert_eq(zs_device_discard(device, stream, i * BLOCK, BLOCK), 0);
	}
	zs_device_put(device, stream);
}

static uint64_t compacted_pages(void)
{
	struct zs_store_stats stats;

	zs_store_stats(store, &stats);
	return stats.pool.compacted_pages;
}

Test(cold_policy, short_memory_is_compacted_recompressed_and_written_back_in_this_order)
{
	/* A twentieth of all is more than can be saved by either of the first two. */
	uint64_t holes = test_policy_add("holes", 0, NULL, false), one = test_policy_add("one", 0, NULL, true);

	fragment(holes);
	test_policy_write(one, 8 * BLOCK);
	for (unsigned int i = 0; i < 8; i++)
		test_policy_add_full((char[]){(char)('a' + i), 0}, 0, false);
	test_backing_attach(store, test_policy_path, 0);
	cr_assert(zsd_cold_pressed(policy));
	test_policy_look();
	cr_assert_gt(compacted_pages(), 0);
	cr_assert_str_eq(test_policy_story(), "R one, ");
	test_policy_wait();
	test_policy_look();
	cr_assert_str_eq(test_policy_story(), "R one, W all, ");
	test_policy_wait();
	cr_assert_gt(test_task_look(tasks, 2).freed_bytes, 0);
	/* That's all for a while. */
	cr_assert_not(zsd_cold_pressed(policy));
	test_policy_look_on();
	cr_assert_str_eq(test_policy_story(), "R one, W all, ");
}

static uint64_t compacted_for(enum zsd_task_reason reason)
{
	struct zsd_task_sums sums;

	zsd_tasks_sums(tasks, reason, &sums);
	return sums.compacted_bytes;
}

static char said[512];

static void keep_line(enum zs_log_level level, const char *line)
{
	snprintf(said, sizeof(said), "%s", line);
}

/* After a start that failed it is put off for a minute, not for the ten seconds after which it may begin anew. */
Test(cold_policy, short_memory_is_not_looked_at_again_before_a_start_that_failed_may_be_tried)
{
	test_policy_add_full("one", 0, false);
	test_backing_attach(store, test_policy_path, 0);
	cr_assert(zsd_cold_pressed(policy));
	/* The stream of the thread that writes back. */
	zs_fault_arm(1);
	test_policy_look();
	cr_assert_gt(zs_fault_passed(), 0);
	zs_fault_arm(0);
	cr_assert_str_eq(test_policy_story(), "");
	policy->now_usec += RETRY_USEC - 2 * USEC_PER_SEC;
	cr_assert_not(zsd_cold_pressed(policy));
	policy->now_usec += 2 * USEC_PER_SEC;
	cr_assert(zsd_cold_pressed(policy));
	test_policy_look_on();
	cr_assert_str_eq(test_policy_story(), "W all, ");
}

Test(cold_policy, what_compaction_frees_is_enough_if_it_is_enough_and_is_logged)
{
	fragment(test_policy_add("holes", 0, NULL, false));
	test_policy_add_full("one", 0, true);
	test_backing_attach(store, test_policy_path, 0);
	cr_assert(zsd_cold_pressed(policy));
	zs_log_set_sink(keep_line, ZS_LOG_INFO);
	test_policy_look_on();
	zs_log_set_sink(NULL, ZS_LOG_ERR);
	cr_assert_gt(compacted_pages(), 0);
	cr_assert_eq(compacted_for(ZSD_REASON_PRESSURE), compacted_pages() * ZS_PAGE_SIZE);
	cr_assert_eq(compacted_for(ZSD_REASON_POOL_LIMIT), 0);
	cr_assert_str_eq(test_policy_story(), "");
	cr_assert_not_null(strstr(said, "compacted: reason=pressure freed="), "%s", said);
}

Test(cold_policy, what_is_compacted_near_the_limit_is_counted_and_logged)
{
	struct zs_store_stats stats;

	fragment(test_policy_add("holes", 0, NULL, false));
	zs_store_stats(store, &stats);
	zs_store_set_limit(store, stats.heap.used_bytes * 100 / NEAR);
	zs_log_set_sink(keep_line, ZS_LOG_INFO);
	test_policy_look_on();
	zs_log_set_sink(NULL, ZS_LOG_ERR);
	cr_assert_gt(compacted_pages(), 0);
	cr_assert_eq(compacted_for(ZSD_REASON_POOL_LIMIT), compacted_pages() * ZS_PAGE_SIZE);
	cr_assert_eq(compacted_for(ZSD_REASON_PRESSURE), 0);
	cr_assert_not_null(strstr(said, "compacted: reason=pool-limit freed="), "%s", said);
}

Test(cold_policy, recompression_ends_when_memory_is_short_again)
{
	uint64_t id = test_policy_add_full("one", 0, true);

	test_backing_attach(store, test_policy_path, 0);
	test_policy_hold(true);
	cr_assert(zsd_cold_pressed(policy));
	test_policy_look();
	test_policy_wait_until_held();
	test_policy_look();
	cr_assert_not(zsd_cold_pressed(policy));
	test_policy_look();
	test_policy_hold(false);
	test_policy_wait();
	test_policy_look();
	cr_assert_str_eq(test_policy_story(), "R one cancelled, W all, ");
	test_policy_wait();
	cr_assert_gt(test_policy_stats(id).backed_blocks, 0);
}

Test(cold_policy, without_a_file_short_memory_is_recompressed_device_by_device)
{
	uint64_t one = test_policy_add("one", 0, NULL, true), two;

	test_policy_write(one, 8 * BLOCK);
	test_policy_add_full("raw", 0, false);
	two = test_policy_add_full("two", 0, true);
	cr_assert(zsd_cold_pressed(policy));
	test_policy_look();
	cr_assert_not(zsd_cold_pressed(policy));
	test_policy_look_on();
	/* Once more, as long as it isn't enough. */
	cr_assert_eq(strncmp(test_policy_story(), "R one, R two, ", 14), 0, "%s", test_policy_story());
	cr_assert(test_policy_is_denser(one) && test_policy_is_denser(two));
}

/*
 * when it looks
 */

#define HOUR_USEC (3600 * USEC_PER_SEC)
#define LOOKS_MAX 10

static void check_that_looks_end(void)
{
	unsigned int nr = 0;

	for (test_policy_wait(); test_policy_look_now() < HOUR_USEC; test_policy_wait())
		cr_assert_lt(nr++, LOOKS_MAX, "%s", test_policy_story());
}

/* A device is being recompressed then, and that isn't over yet. */
static void check_that_looks_go_on(void)
{
	test_policy_hold(true);
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_eq(test_policy_look_now(), USEC_PER_SEC);
	cr_assert_str_eq(test_policy_story(), "R one, ");
	test_policy_hold(false);
	check_that_looks_end();
}

Test(cold_policy, a_device_is_looked_at_as_long_as_something_is_done_for_its_limit)
{
	check_that_looks_end();
	test_policy_add_full("one", NEAR, true);
	check_that_looks_go_on();
}

Test(cold_policy, a_group_is_looked_at_as_long_as_something_is_done_for_its_limit)
{
	cr_assert_eq(zs_store_add_group(store, "g", BLOCKS * zs_pool_cost(BLOCK) * 100 / NEAR), 0);
	test_policy_write(test_policy_add("one", 0, "g", true), BYTES);
	check_that_looks_go_on();
}

Test(cold_policy, the_pool_is_looked_at_as_long_as_something_is_done_for_its_limit)
{
	struct zs_store_stats stats;

	test_policy_add_full("one", 0, true);
	zs_store_stats(store, &stats);
	zs_store_set_limit(store, stats.heap.used_bytes * 100 / NEAR);
	check_that_looks_go_on();
}

Test(cold_policy, the_pool_is_looked_at_as_long_as_it_is_compacted)
{
	struct zs_store_stats stats;

	fragment(test_policy_add("holes", 0, NULL, false));
	zs_store_stats(store, &stats);
	zs_store_set_limit(store, stats.heap.used_bytes * 100 / NEAR);
	cr_assert_eq(test_policy_look_now(), USEC_PER_SEC);
	cr_assert_gt(compacted_pages(), 0);
	check_that_looks_end();
	cr_assert_str_eq(test_policy_story(), "");
}

Test(cold_policy, short_memory_is_looked_at_until_there_is_enough)
{
	test_policy_add_full("one", 0, true);
	cr_assert(zsd_cold_pressed(policy));
	check_that_looks_go_on();
}
