/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks that others have to wait for: what is urgent, what makes room, and the places of the ring. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#include <zdict.h>

#include "store/device.h"
#include "support/cold_store.h"
#include "support/store_fixture.h"
#include "support/tasks_fixture.h"
#include "tasks.h"

#define BLOCKS	    2048
#define BLOCK	    4096
#define BYTES	    (BLOCKS * (size_t)BLOCK)
#define PLACES_KEPT 8 /* of the ring, from what is idle */

static struct zsd_tasks *tasks;
static char path[TEST_PATH_BYTES];
static uint64_t id, other;

static void setup(void)
{
	test_backing_create(path);
	test_store_set_up();
	test_backing_attach(store, path, 0);
	cr_assert_eq(zsd_tasks_create(store, &tasks), 0);
	id = test_tasks_add_device(store, stream, "device", BYTES);
	other = test_tasks_add_device(store, stream, "other", BYTES);
}

static void teardown(void)
{
	zsd_tasks_destroy(tasks);
	test_store_tear_down();
	unlink(path);
}

TestSuite(tasks_room, .init = setup, .fini = teardown, .timeout = 300);

/* With a hundredth of a CPU: minutes. */
static int try_slow(enum zsd_task_reason reason, uint64_t *ret_number)
{
	const struct zs_recompress_request request = {
		.types = ZS_RECOMPRESS_ALL,
		.last = BLOCKS - 1,
		.nr_codecs = 1,
		.codecs = {{ZS_CODEC_ZSTD, 19}},
	};
	enum zs_recompress_field field;

	return zsd_tasks_recompress(tasks, id, &request, 1, reason, &field, ret_number);
}

static uint64_t start_slow(void)
{
	uint64_t number;

	cr_assert_eq(try_slow(ZSD_REASON_COMMAND, &number), 0);
	test_task_wait(tasks, number, ZSD_TASK_RUNNING);
	return number;
}

static uint64_t start_writeback(enum zsd_task_reason reason)
{
	const struct zsd_task_writeback wanted = {.device_id = other, .limit_blocks = 8};
	uint64_t number;

	cr_assert_eq(zsd_tasks_writeback(tasks, &wanted, reason, &number), 0);
	return number;
}

static uint64_t backed_blocks(uint64_t of)
{
	struct zs_device *device = zs_device_get(store, of, stream);
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	zs_device_put(device, stream);
	return stats.backed_blocks;
}

static uint64_t tasks_of(enum zsd_task_reason reason)
{
	struct zsd_task_sums sums;

	zsd_tasks_sums(tasks, reason, &sums);
	return sums.tasks;
}

Test(tasks_room, what_is_urgent_does_not_wait_for_a_recompression)
{
	uint64_t slow = start_slow(), asked = start_writeback(ZSD_REASON_COMMAND);
	uint64_t urgent = start_writeback(ZSD_REASON_POOL_LIMIT);

	cr_assert_eq(test_task_wait(tasks, urgent, ZSD_TASK_DONE).state, ZSD_TASK_DONE);
	cr_assert_eq(test_task_look(tasks, urgent).finished_blocks, 8);
	cr_assert_eq(test_task_look(tasks, slow).state, ZSD_TASK_RUNNING);
	cr_assert_eq(test_task_look(tasks, asked).state, ZSD_TASK_WAITING);
	cr_assert_eq(zsd_tasks_cancel(tasks, slow), 0);
	cr_assert_eq(test_task_wait(tasks, asked, ZSD_TASK_DONE).state, ZSD_TASK_DONE);
	cr_assert_eq(tasks_of(ZSD_REASON_POOL_LIMIT), 1);
}

Test(tasks_room, numbers_step_over_the_place_of_a_task_that_goes_on)
{
	uint64_t slow = start_slow(), before = slow, number;

	for (unsigned int i = 0; i < 2 * ZSD_TASKS_MAX; i++) {
		number = start_writeback(ZSD_REASON_DEVICE_LIMIT);
		cr_assert_eq(number, before + 1 + ((before + 1) % ZSD_TASKS_MAX == slow % ZSD_TASKS_MAX));
		test_task_wait(tasks, number, ZSD_TASK_DONE);
		cr_assert_eq(test_task_look(tasks, slow).state, ZSD_TASK_RUNNING);
		before = number;
	}
	cr_assert_eq(tasks_of(ZSD_REASON_DEVICE_LIMIT), 2 * ZSD_TASKS_MAX);
}

Test(tasks_room, what_is_idle_leaves_places_to_others)
{
	uint64_t number;
	unsigned int nr = 1;

	start_slow();
	while (!try_slow(ZSD_REASON_IDLE, &number))
		nr++;
	cr_assert_eq(nr, ZSD_TASKS_MAX - PLACES_KEPT + 1);
	test_task_wait(tasks, start_writeback(ZSD_REASON_PRESSURE), ZSD_TASK_DONE);
	for (; nr < ZSD_TASKS_MAX; nr++)
		cr_assert_eq(try_slow(ZSD_REASON_COMMAND, &number), 0);
	cr_assert_eq(try_slow(ZSD_REASON_COMMAND, &number), -EBUSY);
}

Test(tasks_room, room_is_made_of_the_device_that_needs_it)
{
	cr_assert_eq(zsd_tasks_make_room(tasks, other), 0);
	/* It waited for some room only. */
	test_task_wait(tasks, 1, ZSD_TASK_DONE);
	cr_assert_eq(backed_blocks(other), BLOCKS);
	cr_assert_eq(backed_blocks(id), 0);
	cr_assert_eq(zsd_tasks_make_room(tasks, 0), 0);
	test_task_wait(tasks, 2, ZSD_TASK_DONE);
	cr_assert_gt(backed_blocks(id), 0);
	cr_assert_eq(tasks_of(ZSD_REASON_FULL), 2);
}

Test(tasks_room, room_is_made_while_a_recompression_goes_on)
{
	uint64_t slow = start_slow();

	cr_assert_eq(zsd_tasks_make_room(tasks, other), 0);
	cr_assert_eq(test_task_look(tasks, slow).state, ZSD_TASK_RUNNING);
}

Test(tasks_room, without_anything_to_write_back_there_is_no_room)
{
	test_writeback(store);
	cr_assert_eq(zsd_tasks_make_room(tasks, other), -ENOSPC);
	cr_assert_eq(zsd_tasks_make_room(tasks, 0), -ENOSPC);
}

Test(tasks_room, a_budget_that_is_used_up_starts_no_task)
{
	cr_assert_eq(zs_store_set_total_limit(store, 0, ZS_LIMIT_BY_COMMAND), 0);
	cr_assert_eq(zsd_tasks_make_room(tasks, other), -EDQUOT);
	cr_assert_eq(tasks_of(ZSD_REASON_FULL), 0);
}

Test(tasks_room, nobody_waits_for_room_when_it_is_time_to_stop)
{
	zsd_tasks_stop(tasks);
	cr_assert_eq(zsd_tasks_make_room(tasks, other), -ECANCELED);
}

Test(tasks_room, there_is_none_for_a_device_that_is_gone)
{
	cr_assert_eq(zs_store_remove(store, other), 0);
	cr_assert_eq(zsd_tasks_make_room(tasks, other), -ENODEV);
}

/*
 * A training that learns for as long as we like: this is what libzstd would do for some seconds.
 */

static _Atomic bool is_learning, may_end;

size_t ZDICT_trainFromBuffer(void *content, size_t capacity, const void *samples, const size_t *sizes, unsigned int nr)
{
	atomic_store(&is_learning, true);
	while (!atomic_load(&may_end))
		usleep(1000);
	atomic_store(&is_learning, false);
	/* An error: nothing was learnt. */
	return (size_t)-1;
}

static uint64_t start_training(void)
{
	const struct zs_train_request request = {
		.device_id = id, .size_bytes = ZS_TRAIN_SIZE_DEFAULT, .codec = {ZS_CODEC_ZSTD, 3}};
	uint64_t number;

	atomic_store(&may_end, false);
	cr_assert_eq(zsd_tasks_train(tasks, &request, ZSD_REASON_COMMAND, &number), 0);
	while (!atomic_load(&is_learning))
		usleep(1000);
	return number;
}

/* Also if nobody waits for it any more; what it has is freed then. */
static void end_learning(void)
{
	atomic_store(&may_end, true);
	while (atomic_load(&is_learning))
		usleep(1000);
}

Test(tasks_room, what_is_urgent_does_not_wait_for_a_training)
{
	uint64_t training = start_training(), urgent = start_writeback(ZSD_REASON_POOL_LIMIT);

	cr_assert_eq(test_task_wait(tasks, urgent, ZSD_TASK_DONE).state, ZSD_TASK_DONE);
	cr_assert_eq(zsd_tasks_make_room(tasks, other), 0);
	cr_assert(atomic_load(&is_learning));
	cr_assert_eq(test_task_look(tasks, training).state, ZSD_TASK_RUNNING);
	end_learning();
	cr_assert_eq(test_task_wait(tasks, training, ZSD_TASK_DONE).state, ZSD_TASK_FAILED);
	cr_assert_eq(test_task_look(tasks, training).error, -ENODATA);
}

Test(tasks_room, a_training_that_learns_can_be_cancelled)
{
	uint64_t training = start_training();

	cr_assert_eq(zsd_tasks_cancel(tasks, training), 0);
	cr_assert_eq(test_task_wait(tasks, training, ZSD_TASK_DONE).state, ZSD_TASK_CANCELLED);
	cr_assert(atomic_load(&is_learning));
	end_learning();
}

Test(tasks_room, one_cancelled_training_learns_on_at_most)
{
	const struct zs_train_request request = {
		.device_id = other, .size_bytes = ZS_TRAIN_SIZE_DEFAULT, .codec = {ZS_CODEC_ZSTD, 3}};
	uint64_t training = start_training(), refused;

	cr_assert_eq(zsd_tasks_cancel(tasks, training), 0);
	test_task_wait(tasks, training, ZSD_TASK_DONE);
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert_eq(zsd_tasks_train(tasks, &request, ZSD_REASON_COMMAND, &refused), 0);
		cr_assert_eq(test_task_wait(tasks, refused, ZSD_TASK_DONE).state, ZSD_TASK_FAILED);
		cr_assert_eq(test_task_look(tasks, refused).error, -EALREADY);
	}
	end_learning();
	/* It ends a moment after libzstd has. */
	do {
		cr_assert_eq(zsd_tasks_train(tasks, &request, ZSD_REASON_COMMAND, &refused), 0);
	} while (test_task_wait(tasks, refused, ZSD_TASK_DONE).error == -EALREADY);
	cr_assert_eq(test_task_look(tasks, refused).error, -ENODATA);
}

Test(tasks_room, nobody_waits_for_learning_when_it_is_time_to_stop)
{
	start_training();
	zsd_tasks_destroy(tasks);
	tasks = NULL;
	cr_assert(atomic_load(&is_learning));
	end_learning();
}
