/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Long work in slices. */

#include <criterion/criterion.h>
#include <errno.h>

#include "store/device.h"
#include "support/store_fixture.h"
#include "support/tasks_fixture.h"
#include "tasks.h"

#define BLOCKS 2048
#define BYTES  (BLOCKS * (size_t)4096)

static struct zsd_tasks *tasks;
static uint64_t id;

static void setup(void)
{
	test_store_set_up();
	cr_assert_eq(zsd_tasks_create(store, &tasks), 0);
	id = test_tasks_add_device(store, stream, "device", BYTES);
}

static void teardown(void)
{
	zsd_tasks_destroy(tasks);
	test_store_tear_down();
}

TestSuite(tasks, .init = setup, .fini = teardown, .timeout = 120);

/* A level that takes long: some 2,000 blocks in seconds. */
static const struct zs_recompress_request slow = {
	.types = ZS_RECOMPRESS_ALL,
	.last = BLOCKS - 1,
	.nr_codecs = 1,
	.codecs = {{ZS_CODEC_ZSTD, 19}},
};

static const struct zs_recompress_request fast = {
	.types = ZS_RECOMPRESS_ALL,
	.last = BLOCKS - 1,
	.nr_codecs = 1,
	.codecs = {{ZS_CODEC_ZSTD, 1}},
};

static uint64_t start(uint64_t device, const struct zs_recompress_request *request, unsigned int share)
{
	enum zs_recompress_field field;
	uint64_t number;

	cr_assert_eq(zsd_tasks_recompress(tasks, device, request, share, ZSD_REASON_COMMAND, &field, &number), 0);
	return number;
}

Test(tasks, a_task_is_done_and_says_what_it_did)
{
	struct zsd_task_info info = test_task_wait(tasks, start(id, &fast, 100), ZSD_TASK_DONE);

	cr_assert_eq(info.state, ZSD_TASK_DONE);
	cr_assert_str_eq(info.device, "device");
	cr_assert_eq(info.reason, ZSD_REASON_COMMAND);
	cr_assert_eq(info.recompress.blocks_done, BLOCKS);
	cr_assert_gt(info.recompress.recompressed, 0);
	cr_assert_gt(info.recompress.saved_bytes, 0);
}

Test(tasks, they_run_in_the_order_in_which_they_were_added)
{
	uint64_t first = start(id, &slow, 100), second = start(id, &fast, 100);

	test_task_wait(tasks, first, ZSD_TASK_RUNNING);
	cr_assert_eq(test_task_look(tasks, second).state, ZSD_TASK_WAITING);
	cr_assert_eq(zsd_tasks_cancel(tasks, first), 0);
	cr_assert_eq(test_task_wait(tasks, first, ZSD_TASK_DONE).state, ZSD_TASK_CANCELLED);
	cr_assert_eq(test_task_wait(tasks, second, ZSD_TASK_DONE).state, ZSD_TASK_DONE);
}

Test(tasks, what_waits_can_be_cancelled)
{
	uint64_t first = start(id, &slow, 1), second = start(id, &fast, 100);

	cr_assert_eq(zsd_tasks_cancel(tasks, second), 0);
	cr_assert_eq(test_task_look(tasks, second).state, ZSD_TASK_CANCELLED);
	cr_assert_eq(zsd_tasks_cancel(tasks, second), -EALREADY);
	cr_assert_eq(zsd_tasks_cancel(tasks, first), 0);
	test_task_wait(tasks, first, ZSD_TASK_DONE);
	cr_assert_eq(test_task_look(tasks, second).recompress.tried, 0);
}

Test(tasks, a_device_that_goes_ends_its_task)
{
	uint64_t task = start(id, &slow, 100);

	test_task_wait(tasks, task, ZSD_TASK_RUNNING);
	cr_assert_eq(zs_store_remove(store, id), 0, "removal does not wait for a task");
	cr_assert_eq(test_task_wait(tasks, task, ZSD_TASK_DONE).state, ZSD_TASK_FAILED);
	cr_assert_eq(test_task_look(tasks, task).error, -ENODEV);
}

Test(tasks, there_is_room_for_so_many)
{
	enum zs_recompress_field field;
	uint64_t first = start(id, &slow, 1), number;

	for (unsigned int i = 1; i < ZSD_TASKS_MAX; i++)
		start(id, &fast, 100);
	cr_assert_eq(zsd_tasks_recompress(tasks, id, &fast, 100, ZSD_REASON_COMMAND, &field, &number), -EBUSY);
	/* The newest one is no help: the place that is needed is the oldest one's. */
	cr_assert_eq(zsd_tasks_cancel(tasks, first), 0);
	test_task_wait(tasks, first, ZSD_TASK_DONE);
	number = start(id, &fast, 100);
	cr_assert_eq(number, ZSD_TASKS_MAX + 1);
	cr_assert_eq(zsd_tasks_info(tasks, first, &(struct zsd_task_info){0}), -ENOENT);
	test_task_wait(tasks, number, ZSD_TASK_DONE);
}

Test(tasks, all_are_listed_once)
{
	struct zsd_task_info info;
	uint64_t cursor = 0, last = 0;

	cr_assert_not(zsd_tasks_next(tasks, &cursor, &info));
	for (unsigned int i = 0; i < 100; i++)
		last = test_task_wait(tasks, start(id, &fast, 100), ZSD_TASK_DONE).number;
	cursor = 0;
	for (uint64_t number = last - ZSD_TASKS_MAX + 1; number <= last; number++) {
		cr_assert(zsd_tasks_next(tasks, &cursor, &info));
		cr_assert_eq(info.number, number);
	}
	cr_assert_not(zsd_tasks_next(tasks, &cursor, &info));
}

Test(tasks, stopping_does_not_wait_for_the_end)
{
	test_task_wait(tasks, start(id, &slow, 1), ZSD_TASK_RUNNING);
	start(id, &slow, 100);
}

Test(tasks, bad_requests_leave_nothing_behind)
{
	struct zs_recompress_request bad = fast;
	enum zs_recompress_field field;
	struct zsd_task_info info;
	uint64_t number, cursor = 0;

	bad.last = BLOCKS;
	cr_assert_eq(zsd_tasks_recompress(tasks, id, &bad, 100, ZSD_REASON_COMMAND, &field, &number), -ERANGE);
	cr_assert_eq(field, ZS_RECOMPRESS_FIELD_RANGE);
	cr_assert_eq(zsd_tasks_recompress(tasks, 12345, &fast, 100, ZSD_REASON_COMMAND, &field, &number), -ENODEV);
	cr_assert_eq(zsd_tasks_cancel(tasks, 0), -ENOENT);
	cr_assert_eq(zsd_tasks_cancel(tasks, 1), -ENOENT);
	cr_assert_not(zsd_tasks_next(tasks, &cursor, &info));
}
