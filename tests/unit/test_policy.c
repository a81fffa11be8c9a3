/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When the daemon compacts by itself. */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend.h"
#include "policy.h"
#include "store/device.h"
#include "support/data.h"
#include "support/small_store.h"

#define BLOCK	  ((size_t)4096)
#define NR_BLOCKS ((uint64_t)12 << 8) /* 12 MiB; in random data so many blocks are as many pages */
#define MSEC	  UINT64_C(1000)
/* For what must happen some time, on a machine that may have much else to do. */
#define PATIENCE (60000 * MSEC)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};
static const struct zsd_policy_options options = {.threshold_percent = 10, .quota_percent = 100};

static sd_event *event;
static struct zs_store *store;
static struct zsd_frontend *frontend;
static struct zsd_policy *policy;
static void *thread;
static uint64_t disk, node;

static void policy_create(void)
{
	cr_assert_geq(sd_event_new(&event), 0);
	store = test_store_create(0);
	cr_assert_eq(zsd_frontend_create(store, &frontend), 0);
	cr_assert_eq(zsd_store_frontend_ops.thread_begin(frontend, 0, &thread), 0);
	disk = test_device_add(store, "disk", 4 * NR_BLOCKS * BLOCK, BLOCK, lz4);
	node = zsd_frontend_node(disk);
	cr_assert_eq(zsd_policy_create(event, store, frontend, &options, &policy), 0);
}

static void policy_destroy(void)
{
	zsd_policy_destroy(policy);
	zs_store_check(store);
	zsd_store_frontend_ops.thread_end(frontend, thread);
	zsd_frontend_destroy(frontend);
	zs_store_close(store);
	sd_event_unref(event);
}

TestSuite(policy, .init = policy_create, .fini = policy_destroy);

static struct zsd_policy_stats stats(void)
{
	struct zsd_policy_stats result;

	zsd_policy_stats(policy, &result);
	return result;
}

static struct zs_pool_stats pool_stats(void)
{
	struct zs_store_stats result;

	zs_store_stats(store, &result);
	return result.pool;
}

static uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * MSEC + (uint64_t)now.tv_nsec / 1000;
}

/* Runs the loop for some time, or until the policy has begun that many runs and is in this state. */
static void loop(uint64_t usec, enum zsd_compaction_state state, uint64_t runs)
{
	uint64_t end = now_usec() + usec;

	while (now_usec() < end && (stats().runs < runs || stats().state != state))
		cr_assert_geq(sd_event_run(event, 10 * MSEC), 0);
}

/* Runs the loop until nothing is to be done for longer than it is before a look. */
static void calm_down(void)
{
	uint64_t end = now_usec() + PATIENCE;

	while (sd_event_run(event, 1500 * MSEC) > 0)
		cr_assert_lt(now_usec(), end, "it never calms down");
}

/* Blocks from first on get random content, which is stored raw. */
static void fill(uint64_t first, uint64_t nr)
{
	static struct test_random random = {.state = 5};
	char block[BLOCK];
	size_t done;

	for (uint64_t i = first; i < first + nr; i++) {
		test_data_make(TEST_DATA_NOISE, &random, block, BLOCK);
		done = 0;
		cr_assert_eq(zsd_store_frontend_ops.write(frontend, thread, node, i * BLOCK, block, BLOCK, &done), 0);
	}
}

/* Discards nr of each group of ten blocks. */
static void thin_out(uint64_t first, uint64_t nr_blocks, unsigned int nr)
{
	for (uint64_t i = first; i < first + nr_blocks; i++) {
		if (i % 10 < nr)
			cr_assert_eq(zsd_store_frontend_ops.discard(frontend, thread, node, i * BLOCK, BLOCK, true), 0);
	}
}

Test(policy, starts_above_the_threshold_and_stops_at_nine_tenths_of_it)
{
	struct zs_pool_stats pool = {.pages = 100000, .freeable_pages = 10000};

	cr_expect_not(zsd_policy_wants_start(&options, &pool));
	pool.freeable_pages++;
	cr_expect(zsd_policy_wants_start(&options, &pool));
	cr_expect_not(zsd_policy_wants_stop(&options, &pool));
	pool.freeable_pages = 9001;
	cr_expect_not(zsd_policy_wants_stop(&options, &pool));
	pool.freeable_pages = 9000;
	cr_expect(zsd_policy_wants_stop(&options, &pool));
	cr_expect_not(zsd_policy_wants_start(&options, &pool));
}

Test(policy, does_not_start_for_eight_mebibytes_of_a_small_pool)
{
	struct zs_pool_stats pool = {.pages = 4000, .freeable_pages = 2048};

	cr_expect_not(zsd_policy_wants_start(&options, &pool));
	pool.freeable_pages++;
	cr_expect(zsd_policy_wants_start(&options, &pool));
}

Test(policy, an_empty_pool_is_left_alone)
{
	struct zs_pool_stats pool = {0};

	cr_expect_not(zsd_policy_wants_start(&options, &pool));
	cr_expect(zsd_policy_wants_stop(&options, &pool));
}

Test(policy, the_log_tells_of_one_run_in_a_minute)
{
	const uint64_t minute = 60000 * MSEC;

	cr_expect(zsd_policy_is_news(1, 5, 0));
	cr_expect_not(zsd_policy_is_news(1000000, minute + 4, 5));
	cr_expect(zsd_policy_is_news(1, minute + 5, 5));
	cr_expect_not(zsd_policy_is_news(0, minute + 5, 0), "nothing was freed");
}

Test(policy, what_is_discarded_is_compacted_without_a_call)
{
	fill(0, 2 * NR_BLOCKS);
	thin_out(0, 2 * NR_BLOCKS, 6);
	cr_assert_gt(pool_stats().freeable_pages, NR_BLOCKS);
	loop(PATIENCE, ZSD_COMPACTION_IDLE, 1);
	cr_expect_eq(stats().runs, 1);
	cr_expect_eq(stats().last_end, ZSD_COMPACTION_DONE);
	cr_expect_eq(stats().freed_pages, pool_stats().compacted_pages);
	cr_expect_leq(pool_stats().freeable_pages * 1000, pool_stats().pages * 90);
}

Test(policy, it_works_in_slices)
{
	fill(0, 2 * NR_BLOCKS);
	thin_out(0, 2 * NR_BLOCKS, 6);
	loop(PATIENCE, ZSD_COMPACTION_RUNNING, 1);
	for (uint64_t freed = 0, before = 0; stats().state == ZSD_COMPACTION_RUNNING; before = freed) {
		cr_assert_geq(sd_event_run(event, 1000 * MSEC), 0);
		freed = stats().freed_pages;
		/* 64 pages, and the rest of the zspage that was emptied last. */
		cr_assert_leq(freed - before, 64 + 64);
	}
	cr_expect_gt(stats().freed_pages, NR_BLOCKS);
}

Test(policy, below_the_threshold_nothing_happens)
{
	fill(0, 4 * NR_BLOCKS);
	/* Of 48 MiB. */
	thin_out(0, 4 * NR_BLOCKS / 10 * 8, 1);
	cr_assert_gt(pool_stats().freeable_pages, 0);
	loop(1500 * MSEC, ZSD_COMPACTION_RUNNING, 1);
	cr_expect_eq(stats().runs, 0);
	cr_expect_eq(pool_stats().moved_objects, 0);
}

Test(policy, reading_wakes_nobody_up)
{
	char block[BLOCK];
	size_t done = 0;

	fill(0, 1);
	/* The look that the write led to, and then nothing any more. */
	calm_down();
	cr_assert_eq(zsd_store_frontend_ops.read(frontend, thread, node, 0, block, BLOCK, &done), 0);
	cr_expect_eq(sd_event_run(event, 1500 * MSEC), 0);
	fill(0, 1);
	cr_expect_gt(sd_event_run(event, PATIENCE), 0);
}

Test(policy, what_changes_during_a_run_is_looked_at_after_it)
{
	fill(0, 4 * NR_BLOCKS);
	thin_out(0, 2 * NR_BLOCKS, 6);
	loop(PATIENCE, ZSD_COMPACTION_RUNNING, 1);
	cr_assert_eq(stats().state, ZSD_COMPACTION_RUNNING);
	fill(0, 1);
	loop(PATIENCE, ZSD_COMPACTION_IDLE, 1);
	cr_assert_eq(stats().state, ZSD_COMPACTION_IDLE);
	/* Behind its back: only the write can have told. */
	for (uint64_t i = 2 * NR_BLOCKS; i < 4 * NR_BLOCKS; i++) {
		struct zs_device *device = zs_device_get(store, disk, thread);

		if (i % 10 < 6)
			cr_assert_eq(zs_device_discard(device, thread, i * BLOCK, BLOCK), 0);
		zs_device_put(device, thread);
	}
	loop(PATIENCE, ZSD_COMPACTION_IDLE, 2);
	cr_expect_eq(stats().runs, 2);
}

Test(policy, a_removed_device_counts_as_a_change)
{
	uint64_t other = test_device_add(store, "other", NR_BLOCKS * 2 * BLOCK, BLOCK, lz4);

	/* Blocks of the two in turn, in the same zspages. */
	for (uint64_t i = 0; i < 2 * NR_BLOCKS; i += 8) {
		node = zsd_frontend_node(disk);
		fill(i, 2);
		node = zsd_frontend_node(other);
		fill(i, 6);
	}
	calm_down();
	cr_assert_eq(zs_store_remove(store, other), 0);
	cr_expect_eq(sd_event_run(event, 1500 * MSEC), 0);
	zsd_policy_changed(policy);
	loop(PATIENCE, ZSD_COMPACTION_IDLE, 1);
	cr_expect_eq(stats().last_end, ZSD_COMPACTION_DONE);
}

Test(policy, what_is_in_use_ends_a_run_and_starts_no_other_one)
{
	static struct zs_handle handles[2 * NR_BLOCKS];
	static struct zs_object objects[2 * NR_BLOCKS];
	struct zs_pool *pool = zs_store_pool(store);
	struct zs_object_info info = {.size = BLOCK}, freed;
	static const char block[BLOCK];

	for (size_t i = 0; i < 2 * NR_BLOCKS; i++) {
		cr_assert_eq(zs_pool_alloc(pool, BLOCK, ZS_URGENCY_NEW, &handles[i]), 0);
		zs_obj_write(pool, handles[i], &info, block);
	}
	for (size_t i = 0; i < 2 * NR_BLOCKS; i++) {
		if (i % 10 < 6)
			zs_pool_free(pool, handles[i], &freed);
		else
			cr_assert_eq(zs_obj_read_begin(pool, handles[i], &objects[i]), 0);
	}
	zsd_policy_changed(policy);
	loop(PATIENCE, ZSD_COMPACTION_IDLE, 1);
	cr_expect_eq(stats().last_end, ZSD_COMPACTION_EXHAUSTED);
	cr_expect_eq(stats().freed_pages, 0);
	loop(6500 * MSEC, ZSD_COMPACTION_RUNNING, 2);
	cr_expect_eq(stats().runs, 1);
	for (size_t i = 0; i < 2 * NR_BLOCKS; i++) {
		if (i % 10 >= 6)
			zs_obj_read_end(pool, &objects[i]);
	}
	for (size_t i = 0; i < 2 * NR_BLOCKS; i++) {
		if (i % 10 >= 6)
			zs_pool_free(pool, handles[i], &freed);
	}
}

Test(policy, it_can_be_destroyed_in_the_middle_of_a_run)
{
	fill(0, 2 * NR_BLOCKS);
	thin_out(0, 2 * NR_BLOCKS, 6);
	loop(PATIENCE, ZSD_COMPACTION_RUNNING, 1);
	cr_assert_eq(stats().state, ZSD_COMPACTION_RUNNING);
}

Test(policy, without_one_it_is_off)
{
	struct zsd_policy_stats none;

	zsd_policy_stats(NULL, &none);
	cr_expect_eq(none.state, ZSD_COMPACTION_OFF);
	cr_expect_eq(none.runs, 0);
}
