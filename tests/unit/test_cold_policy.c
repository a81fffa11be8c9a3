/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done near the limits and when memory is short, in which order, and who does not wait for whom. */

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/log.h"
#include "cold_policy_internal.h"
#include "frontend.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/group.h"
#include "store/slot.h"
#include "support/cold_store.h"
#include "support/random.h"
#include "support/store_fixture.h"
#include "support/tasks_fixture.h"

#define BLOCK  ((size_t)4096)
#define BLOCKS ((size_t)512)
#define BYTES  (BLOCKS * BLOCK)
#define LOOKS  12 /* more than anything here needs */

/* Of a limit: above StartAt, and where there is no time for recompression if anything can be written. */
#define NEAR	 70
#define PRESSING 95

static const struct zsd_cold_options cold_options = {.start_percent = 60, .stop_percent = 50, .compacts = true};

static sd_event *event;
static struct zsd_frontend *frontend;
static struct zsd_tasks *tasks;
static struct zsd_cold_policy *policy;
static char path[TEST_PATH_BYTES];

static void setup(void)
{
	test_store_set_up();
	test_backing_create(path);
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_eq(zsd_frontend_create(store, &frontend), 0);
	cr_assert_eq(zsd_tasks_create(store, &tasks), 0);
	cr_assert_eq(zsd_cold_policy_create(event, store, frontend, tasks, &cold_options, &policy), 0);
}

static void teardown(void)
{
	zsd_tasks_stop(tasks);
	zsd_cold_policy_destroy(policy);
	zsd_tasks_destroy(tasks);
	zsd_frontend_destroy(frontend);
	sd_event_unref(event);
	test_store_tear_down();
	unlink(path);
}

TestSuite(cold_policy, .init = setup, .fini = teardown, .timeout = 300);

/*
 * Compression that waits as long as we like.
 */

static _Atomic bool holds, is_held;

size_t ZSTD_compress2(ZSTD_CCtx *context, void *destination, size_t capacity, const void *source, size_t size)
{
	size_t (*real)(ZSTD_CCtx *, void *, size_t, const void *, size_t);

	*(void **)&real = dlsym(RTLD_NEXT, "ZSTD_compress2");
	while (atomic_load(&holds)) {
		atomic_store(&is_held, true);
		/* A slice of 2 ms is over by then: whoever cancels meanwhile is not too late. */
		usleep(10000);
	}
	return real(context, destination, capacity, source, size);
}

static void wait_until_held(void)
{
	while (!atomic_load(&is_held))
		usleep(1000);
}

/*
 * devices
 */

/* Half of it is superfluous, which lz4 doesn't see: raw at first. */
static void write_digits(uint64_t id, size_t bytes)
{
	static struct test_random random = {.state = 7};
	struct zs_device *device = zs_device_get(store, id, stream);
	char block[BLOCK];
	size_t done;

	for (size_t at = 0; at < bytes; at += BLOCK) {
		for (size_t i = 0; i < BLOCK; i++)
			block[i] = "0123456789abcdef"[test_random_below(&random, 16)];
		cr_assert_eq(zs_device_write(device, stream, at, block, BLOCK, &done), 0);
	}
	zs_device_put(device, stream);
}

/* percent: of its limit that is in use when it is full; 0: it has none. */
static uint64_t add(const char *name, unsigned int percent, const char *group, bool recompresses)
{
	const struct zs_device_options options = {
		.name = name,
		.size_bytes = BYTES,
		.codec = {ZS_CODEC_LZ4, 1},
		.nr_recompress = recompresses,
		.recompress = {{ZS_CODEC_ZSTD, 1}},
		.memory_limit_bytes = percent ? BLOCKS * zs_pool_cost(BLOCK) * 100 / percent : 0,
		.group = group,
	};
	uint64_t id;

	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	return id;
}

static uint64_t add_full(const char *name, unsigned int percent, bool recompresses)
{
	uint64_t id = add(name, percent, NULL, recompresses);

	write_digits(id, BYTES);
	return id;
}

static struct zs_device_stats stats_of(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	zs_device_put(device, stream);
	return stats;
}

/* All of the device's objects are in use, or not any more. */
static void pin_all(uint64_t id, struct zs_object *objects, bool pins)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	for (size_t i = 0; i < BLOCKS; i++) {
		struct zs_handle handle = zs_slot_handle(zs_table_load(&device->table, i));

		if (pins)
			cr_assert_eq(zs_obj_read_begin(device->pool, handle, &objects[i]), 0);
		else
			zs_obj_read_end(device->pool, &objects[i]);
	}
	zs_device_put(device, stream);
}

static void set_budget(uint64_t remaining_bytes)
{
	struct zs_writeback_budget budget;

	cr_assert_eq(zs_store_writeback_budget(store, &budget), 0);
	budget.has_remaining = true;
	budget.remaining_bytes = remaining_bytes;
	cr_assert_eq(zs_store_set_writeback_budget(store, &budget), 0);
}

/*
 * looks
 */

/* The last task is over. */
static void wait_for_tasks(void)
{
	struct zsd_task_info info;
	uint64_t cursor = 0;

	while (zsd_tasks_next(tasks, &cursor, &info))
		test_task_wait(tasks, info.number, ZSD_TASK_DONE);
}

static void look(void)
{
	zsd_cold_look_at_limits(policy);
	zsd_cold_look_at_pressure(policy);
}

static void look_on(void)
{
	for (unsigned int i = 0; i < LOOKS; i++) {
		look();
		wait_for_tasks();
	}
}

/* "R one, W all, ": recompressed and written back, in the order in which it was asked for. */
static const char *story(void)
{
	static char text[4096];
	struct zsd_task_info info;
	uint64_t cursor = 0;
	size_t at = 0;

	for (*text = 0; zsd_tasks_next(tasks, &cursor, &info);)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%c %s%s, ",
				       info.kind == ZSD_TASK_RECOMPRESS ? 'R' : 'W', *info.device ? info.device : "all",
				       info.state == ZSD_TASK_CANCELLED ? " cancelled" : "");
	return text;
}

static bool is_denser(uint64_t id)
{
	return stats_of(id).recompressed > 0;
}

/*
 * the file
 */

Test(cold_policy, a_budget_that_is_used_up_leaves_recompression)
{
	uint64_t ids[] = {add_full("one", PRESSING, true), add_full("two", PRESSING, true)};

	test_backing_attach(store, path, 0);
	set_budget(0);
	look_on();
	cr_assert(is_denser(ids[0]) && is_denser(ids[1]), "%s", story());
	cr_assert_null(strchr(story(), 'W'), "%s", story());
}

Test(cold_policy, a_full_file_leaves_recompression)
{
	uint64_t one = add_full("one", PRESSING, false), two, used;

	test_backing_attach(store, path, 4 * ZS_SEGMENT_MIN_BYTES);
	/* All that the file takes, or so. */
	test_writeback_all(store, &(struct zs_writeback_progress){0});
	used = stats_of(one).backed_blocks;
	cr_assert_lt(used, BLOCKS);
	write_digits(add("more", 0, NULL, false), BYTES);
	test_writeback_all(store, &(struct zs_writeback_progress){0});
	two = add_full("two", PRESSING, true);
	look_on();
	cr_assert(is_denser(two), "%s", story());
}

Test(cold_policy, a_file_that_is_no_use_any_more_is_not_tried_at_each_look)
{
	unsigned int nr = 0;

	add_full("one", PRESSING, false);
	test_backing_attach(store, path, 4 * ZS_SEGMENT_MIN_BYTES);
	write_digits(add("more", 0, NULL, false), BYTES);
	for (unsigned int i = 0; i < 2; i++)
		test_writeback_all(store, &(struct zs_writeback_progress){0});
	write_digits(add_full("two", PRESSING, false), BYTES);
	look_on();
	for (const char *at = story(); (at = strchr(at, 'W')); at++)
		nr++;
	cr_assert_leq(nr, 2, "%s", story());
}

/*
 * devices and groups
 */

Test(cold_policy, one_that_can_write_nothing_back_does_not_pause_others)
{
	static struct zs_object objects[BLOCKS];
	uint64_t one = add_full("one", PRESSING, false), two = add_full("two", PRESSING, false);

	test_backing_attach(store, path, 0);
	pin_all(one, objects, true);
	look_on();
	cr_assert_eq(stats_of(one).backed_blocks, 0);
	cr_assert_gt(stats_of(two).backed_blocks, 0, "%s", story());
	/* And it isn't tried at each look. */
	cr_assert_str_eq(story(), "W one, W two, ");
	pin_all(one, objects, false);
}

Test(cold_policy, one_that_can_write_nothing_back_does_not_cancel_recompression_of_others)
{
	static struct zs_object objects[BLOCKS];
	uint64_t one = add_full("one", PRESSING, false);

	test_backing_attach(store, path, 0);
	pin_all(one, objects, true);
	look_on();
	add_full("two", NEAR, true);
	atomic_store(&holds, true);
	look();
	wait_until_held();
	look();
	atomic_store(&holds, false);
	look_on();
	cr_assert_str_eq(story(), "W one, R two, ");
	pin_all(one, objects, false);
}

Test(cold_policy, all_devices_of_a_group_are_recompressed_if_nothing_can_be_written)
{
	static const char *const names[] = {"one", "two", "three", "four"};
	uint64_t ids[4];

	cr_assert_eq(zs_store_add_group(store, "g", 4 * BLOCKS * zs_pool_cost(BLOCK) * 100 / PRESSING), 0);
	for (unsigned int i = 0; i < 4; i++) {
		/* One is of no group, and one can't be recompressed. */
		ids[i] = add(names[i], 0, i == 1 ? NULL : "g", i != 2);
		write_digits(ids[i], BYTES);
	}
	write_digits(add("five", 0, "g", true), BYTES);
	look_on();
	cr_assert(is_denser(ids[0]) && is_denser(ids[3]), "%s", story());
	cr_assert(!is_denser(ids[1]) && !is_denser(ids[2]), "%s", story());
	cr_assert_not_null(strstr(story(), "R five"), "%s", story());
}

/*
 * the order
 */

Test(cold_policy, near_a_limit_a_device_is_recompressed_and_then_written_back)
{
	uint64_t id = add_full("one", 80, true);

	test_backing_attach(store, path, 0);
	cr_assert_eq(stats_of(id).recompressed, 0);
	/* In vain: what comes after it is dense already. */
	for (unsigned int i = 0; i < BLOCKS; i++) {
		struct zs_device *device = zs_device_get(store, id, stream);
		uint64_t slot = zs_table_load(&device->table, i);

		cr_assert(zs_table_replace(&device->table, i, &slot, zs_slot_with(slot, ZS_SLOT_DENSE)));
		zs_device_put(device, stream);
	}
	look_on();
	cr_assert_str_eq(story(), "R one, W one, ");
	cr_assert_gt(stats_of(id).backed_blocks, 0);
}

Test(cold_policy, recompression_ends_when_there_is_no_time_for_it_any_more)
{
	uint64_t id = add("one", PRESSING, NULL, true);

	test_backing_attach(store, path, 0);
	write_digits(id, BYTES * NEAR / PRESSING);
	atomic_store(&holds, true);
	look();
	wait_until_held();
	write_digits(id, BYTES);
	look();
	atomic_store(&holds, false);
	look_on();
	cr_assert_eq(strncmp(story(), "R one cancelled, W one, ", 24), 0, "%s", story());
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
	uint64_t holes = add("holes", 0, NULL, false), one = add("one", 0, NULL, true);

	fragment(holes);
	write_digits(one, 8 * BLOCK);
	for (unsigned int i = 0; i < 8; i++)
		add_full((char[]){(char)('a' + i), 0}, 0, false);
	test_backing_attach(store, path, 0);
	cr_assert(zsd_cold_pressed(policy));
	look();
	cr_assert_gt(compacted_pages(), 0);
	cr_assert_str_eq(story(), "R one, ");
	wait_for_tasks();
	look();
	cr_assert_str_eq(story(), "R one, W all, ");
	wait_for_tasks();
	cr_assert_gt(test_task_look(tasks, 2).freed_bytes, 0);
	/* That's all for a while. */
	cr_assert_not(zsd_cold_pressed(policy));
	look_on();
	cr_assert_str_eq(story(), "R one, W all, ");
}

static char said[512];

static void keep_line(enum zs_log_level level, const char *line)
{
	snprintf(said, sizeof(said), "%s", line);
}

Test(cold_policy, what_compaction_frees_is_enough_if_it_is_enough_and_is_logged)
{
	fragment(add("holes", 0, NULL, false));
	add_full("one", 0, true);
	test_backing_attach(store, path, 0);
	cr_assert(zsd_cold_pressed(policy));
	zs_log_set_sink(keep_line, ZS_LOG_INFO);
	look_on();
	zs_log_set_sink(NULL, ZS_LOG_ERR);
	cr_assert_gt(compacted_pages(), 0);
	cr_assert_str_eq(story(), "");
	cr_assert_not_null(strstr(said, "compacted: reason=pressure freed="), "%s", said);
}

Test(cold_policy, recompression_ends_when_memory_is_short_again)
{
	uint64_t id = add_full("one", 0, true);

	test_backing_attach(store, path, 0);
	atomic_store(&holds, true);
	cr_assert(zsd_cold_pressed(policy));
	look();
	wait_until_held();
	look();
	cr_assert_not(zsd_cold_pressed(policy));
	look();
	atomic_store(&holds, false);
	wait_for_tasks();
	look();
	cr_assert_str_eq(story(), "R one cancelled, W all, ");
	wait_for_tasks();
	cr_assert_gt(stats_of(id).backed_blocks, 0);
}

Test(cold_policy, without_a_file_short_memory_is_recompressed_device_by_device)
{
	uint64_t one = add("one", 0, NULL, true), two;

	write_digits(one, 8 * BLOCK);
	add_full("raw", 0, false);
	two = add_full("two", 0, true);
	cr_assert(zsd_cold_pressed(policy));
	look();
	cr_assert_not(zsd_cold_pressed(policy));
	look_on();
	cr_assert_str_eq(story(), "R one, R two, ");
	cr_assert(is_denser(one) && is_denser(two));
}
