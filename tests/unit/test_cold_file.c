/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long policy leaves a backing file alone that takes nothing, or for which there is no budget. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <dlfcn.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "store/age.h"
#include "store/device_internal.h"
#include "support/cold_policy_fixture.h"
#include "support/store_fixture.h"
#include "support/tasks_fixture.h"

TestSuite(cold_file, .init = test_policy_set_up, .fini = test_policy_tear_down, .timeout = 300);

#define SEGMENT	      ((uint64_t)ZS_SEGMENT_MIN_BYTES)
#define FILE_SEGMENTS 6
#define DAY_USEC      (86400 * USEC_PER_SEC)

/* The clock that days are counted by: noon at first. */
#define DAY_SEC 86400
static time_t now_sec = 20000 * (time_t)DAY_SEC + DAY_SEC / 2;

time_t time(time_t *ret_sec)
{
	if (ret_sec)
		*ret_sec = now_sec;
	return now_sec;
}

/* What policy waits for by that clock. */
static struct {
	time_t sec; /* 0 = nothing */
	int flags;
	unsigned int nr_cancelled; /* the clock is set in the very moment, so often */
} midnight;

int timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *ret_before)
{
	int (*real)(int, int, const struct itimerspec *, struct itimerspec *);

	*(void **)&real = dlsym(RTLD_NEXT, "timerfd_settime");
	if (!policy || fd != policy->midnight_fd)
		return real(fd, flags, at, ret_before);
	midnight.sec = at->it_value.tv_sec;
	midnight.flags = flags;
	if (!midnight.nr_cancelled)
		return 0;
	midnight.nr_cancelled--;
	now_sec += DAY_SEC;
	errno = ECANCELED;
	return -1;
}

static bool clock_is_set;

/* As a timer answers that was to be cancelled when the clock is set. */
ssize_t read(int fd, void *buffer, size_t size)
{
	ssize_t (*real)(int, void *, size_t), length;

	*(void **)&real = dlsym(RTLD_NEXT, "read");
	length = real(fd, buffer, size);
	if (!clock_is_set || !policy || fd != policy->midnight_fd)
		return length;
	errno = ECANCELED;
	return -1;
}

/* Everything is idle; true if that is written back, or tried. */
static bool idle_is_tried(void)
{
	size_t length = strlen(test_policy_story());

	atomic_store(&zs_age_skew_sec, 1000);
	policy->options.idle_sec = 100;
	zsd_cold_look_at_idle(policy);
	test_policy_wait();
	/* What came of it is seen at the next look. */
	zsd_cold_is_due(policy, &policy->idle);
	return strlen(test_policy_story()) > length;
}

static void pass(uint64_t usec)
{
	policy->now_usec += usec;
	policy->idle.next_usec = policy->now_usec;
}

/* A file, and a device of which only a part has room there. All that has room is there. */
static uint64_t fill_file(unsigned int percent)
{
	uint64_t id = test_policy_add_full("one", percent, false);

	test_backing_attach(store, test_policy_path, FILE_SEGMENTS * SEGMENT);
	zs_store_set_promotion(store, 0);
	policy->idle.next_usec = 0;
	return id;
}

/* Two of three, so that no segment gets empty by itself. */
static void discard(uint64_t id, uint64_t nr_blocks)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	for (uint64_t block = 0; block < nr_blocks / 2 * 3; block++) {
		if (block % 3)
			cr_assert_eq(zs_device_discard(device, stream, block * BLOCK, BLOCK), 0);
	}
	zs_device_put(device, stream);
}

/*
 * the budget
 */

Test(cold_file, idle_blocks_wait_for_a_budget_that_is_used_up)
{
	test_policy_add_full("one", 0, false);
	test_backing_attach(store, test_policy_path, 0);
	test_policy_set_budget(0);
	policy->idle.next_usec = 0;
	cr_assert_not(idle_is_tried());
	cr_assert_eq(policy->idle.next_usec, UINT64_MAX);
	test_policy_set_budget(BYTES);
	zsd_cold_policy_changed(policy);
	policy->now_usec += 10 * USEC_PER_SEC;
	cr_assert(idle_is_tried());
}

/* Only midnight is waited for. */
static void check_that_midnight_is_awaited(void)
{
	pass(RETRY_USEC);
	cr_assert_not(idle_is_tried());
	cr_assert_eq(policy->idle.next_usec, UINT64_MAX);
	zsd_cold_await_refill(policy);
	cr_assert_eq(midnight.sec, (now_sec / DAY_SEC + 1) * DAY_SEC);
	/* However the clock gets there, and wherever it is set. */
	cr_assert_eq(midnight.flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
}

/* What happens at midnight, or when the clock is set. */
static void wake_at_midnight(void)
{
	const struct itimerspec past = {.it_value = {.tv_nsec = 1}};
	struct itimerspec before;
	int fd = dup(policy->midnight_fd);
	uint64_t usec;

	cr_assert_eq(timerfd_settime(fd, TFD_TIMER_ABSTIME, &past, &before), 0);
	close(fd);
	policy->idle.next_usec = UINT64_MAX;
	while (policy->idle.next_usec == UINT64_MAX)
		cr_assert_geq(sd_event_run(sd_event_source_get_event(policy->midnight), UINT64_MAX), 0);
	cr_assert_geq(sd_event_source_get_time(policy->timer, &usec), 0);
	cr_assert_leq(usec, policy->now_usec + USEC_PER_SEC);
	policy->now_usec = policy->idle.next_usec;
}

Test(cold_file, idle_blocks_wait_for_the_next_day_if_that_has_a_budget)
{
	uint64_t used;

	test_policy_add_full("one", 0, false);
	test_backing_attach(store, test_policy_path, 0);
	/* Some of it is left, but less than a block takes. */
	cr_assert_eq(zs_store_set_daily_limit(store, 60000, ZS_LIMIT_BY_COMMAND), 0);
	policy->idle.next_usec = 0;
	cr_assert(idle_is_tried());
	used = test_task_look(tasks, 1).written_bytes;
	cr_assert(used > 0 && used < 60000);
	check_that_midnight_is_awaited();
	/* The clock was set, but not to the next day. */
	clock_is_set = true;
	now_sec += 3600;
	wake_at_midnight();
	check_that_midnight_is_awaited();
	clock_is_set = false;
	now_sec += DAY_SEC / 2;
	wake_at_midnight();
	cr_assert(idle_is_tried());
	cr_assert_gt(test_task_look(tasks, 2).written_bytes, 0);
}

Test(cold_file, a_clock_that_is_set_while_midnight_is_looked_up_has_it_looked_up_again)
{
	test_policy_add_full("one", 0, false);
	test_backing_attach(store, test_policy_path, 0);
	cr_assert_eq(zs_store_set_daily_limit(store, 60000, ZS_LIMIT_BY_COMMAND), 0);
	policy->idle.next_usec = 0;
	cr_assert(idle_is_tried());
	check_that_midnight_is_awaited();
	midnight.nr_cancelled = 1;
	zsd_cold_await_refill(policy);
	/* There is a budget by now. */
	cr_assert_eq(midnight.sec, 0);
}

Test(cold_file, each_look_sees_to_it_that_midnight_is_waited_for)
{
	test_policy_add_full("one", 0, false);
	test_backing_attach(store, test_policy_path, 0);
	cr_assert_eq(zs_store_set_daily_limit(store, 60000, ZS_LIMIT_BY_COMMAND), 0);
	policy->idle.next_usec = 0;
	cr_assert(idle_is_tried());
	midnight.sec = 0;
	test_policy_look_now();
	cr_assert_eq(midnight.sec, (now_sec / DAY_SEC + 1) * DAY_SEC);
}

Test(cold_file, nobody_waits_for_midnight_as_long_as_there_is_a_budget)
{
	test_policy_add_full("one", 0, false);
	test_backing_attach(store, test_policy_path, 0);
	cr_assert_eq(zs_store_set_daily_limit(store, BYTES, ZS_LIMIT_BY_COMMAND), 0);
	midnight.sec = 1;
	zsd_cold_await_refill(policy);
	cr_assert_eq(midnight.sec, 0);
}

/* The next wake-up, from now. */
static uint64_t timer_usec(void)
{
	struct timespec now;
	uint64_t usec;

	cr_assert_geq(sd_event_source_get_time(policy->timer, &usec), 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	return usec - zs_min(usec, (uint64_t)now.tv_sec * USEC_PER_SEC);
}

Test(cold_file, nothing_ticks_while_the_budget_is_used_up)
{
	const struct zsd_cold_options options = {.idle_sec = 1, .start_percent = 90, .stop_percent = 80};
	sd_event *event = sd_event_source_get_event(policy->timer);

	test_policy_add_full("one", 0, false);
	test_backing_attach(store, test_policy_path, 0);
	test_policy_set_budget(0);
	policy->active_usec = 0;
	zsd_cold_policy_set_options(policy, &options);
	cr_assert_leq(timer_usec(), 10 * USEC_PER_SEC);
	/* Tidying up comes in between. */
	while (timer_usec() <= RETRY_USEC)
		cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
	cr_assert_gt(timer_usec(), DAY_USEC / 2);
}

Test(cold_file, changes_one_after_the_other_do_not_put_off_what_the_first_one_asks_for)
{
	uint64_t first, second, idle;

	zsd_cold_policy_changed(policy);
	idle = policy->idle.next_usec;
	cr_assert_geq(sd_event_source_get_time(policy->timer, &first), 0);
	usleep(2000);
	zsd_cold_policy_changed(policy);
	cr_assert_geq(sd_event_source_get_time(policy->timer, &second), 0);
	cr_assert_eq(second, first);
	cr_assert_eq(policy->idle.next_usec, idle);
}

/*
 * room
 */

Test(cold_file, idle_blocks_wait_until_there_is_room_in_a_full_file)
{
	uint64_t id = fill_file(0), before;

	cr_assert(idle_is_tried());
	cr_assert_eq(test_task_look(tasks, 1).error, -ENOSPC);
	before = test_policy_stats(id).backed_blocks;
	cr_assert(before > 0 && before < BLOCKS);
	pass(RETRY_USEC);
	cr_assert_not(idle_is_tried());
	cr_assert_eq(policy->idle.next_usec, UINT64_MAX);
	/* Less than a segment. */
	discard(id, 20);
	pass(RETRY_USEC);
	cr_assert_not(idle_is_tried());
	discard(id, 2 * SEGMENT / BLOCK);
	pass(RETRY_USEC);
	cr_assert(idle_is_tried());
	cr_assert_gt(test_policy_stats(id).backed_blocks, before - 2 * SEGMENT / BLOCK);
}

Test(cold_file, idle_blocks_wait_until_a_full_file_has_grown)
{
	uint64_t id = fill_file(0), before;

	cr_assert(idle_is_tried());
	before = test_policy_stats(id).backed_blocks;
	pass(RETRY_USEC);
	cr_assert_not(idle_is_tried());
	cr_assert_eq(zs_backing_set_size(zs_store_backing(store), 2 * FILE_SEGMENTS * SEGMENT), 0);
	zsd_cold_policy_changed(policy);
	policy->now_usec += 10 * USEC_PER_SEC;
	cr_assert(idle_is_tried());
	cr_assert_gt(test_policy_stats(id).backed_blocks, before);
}

Test(cold_file, what_is_freed_before_the_end_of_a_writeback_is_seen_is_room)
{
	uint64_t id = fill_file(0), before;

	atomic_store(&zs_age_skew_sec, 1000);
	policy->options.idle_sec = 100;
	zsd_cold_look_at_idle(policy);
	test_policy_wait();
	before = test_policy_stats(id).backed_blocks;
	discard(id, 2 * SEGMENT / BLOCK);
	cr_assert(zs_backing_is_full(zs_store_backing(store)));
	zsd_cold_is_due(policy, &policy->idle);
	pass(RETRY_USEC);
	cr_assert(idle_is_tried());
	cr_assert_gt(test_policy_stats(id).backed_blocks, before - 2 * SEGMENT / BLOCK);
}

/* Each try looks at all slots. */
Test(cold_file, a_full_file_is_not_tried_for_each_segment_that_becomes_free)
{
	uint64_t id = fill_file(0);

	cr_assert(idle_is_tried());
	discard(id, SEGMENT / BLOCK);
	for (unsigned int sec = 1; sec < 60; sec++) {
		pass(USEC_PER_SEC);
		cr_assert_not(idle_is_tried());
		/* There is a look then though nobody uses the data. */
		cr_assert_eq(policy->idle.next_usec, policy->full_usec + RETRY_USEC);
	}
	pass(USEC_PER_SEC);
	cr_assert(idle_is_tried());
}

Test(cold_file, a_full_file_is_tried_at_once_when_much_of_it_is_free)
{
	uint64_t first = test_policy_add_full("other", 0, false), id;

	id = test_policy_add_full("more", 0, false);
	test_policy_add_full("least", 0, false);
	test_backing_attach(store, test_policy_path, 5 * ZS_BATCH_MAX_BYTES / 4);
	zs_store_set_promotion(store, 0);
	policy->idle.next_usec = 0;
	cr_assert(idle_is_tried());
	discard(first, BLOCKS / 3 * 2);
	pass(USEC_PER_SEC);
	cr_assert_not(idle_is_tried());
	discard(id, BLOCKS / 3 * 2);
	test_policy_write(first, BYTES);
	test_policy_write(id, BYTES);
	pass(USEC_PER_SEC);
	cr_assert(idle_is_tried());
}

Test(cold_file, near_a_limit_a_full_file_is_tried_again_when_it_has_room)
{
	uint64_t id = fill_file(PRESSING);
	char *first;

	test_policy_look_on();
	first = strdup(test_policy_story());
	for (unsigned int i = 0; i < 5; i++) {
		policy->active_usec = policy->now_usec += 2 * RETRY_USEC;
		test_policy_look_on();
	}
	cr_assert_str_eq(test_policy_story(), first);
	discard(id, 2 * SEGMENT / BLOCK);
	test_policy_write(id, BYTES);
	test_policy_look_on();
	cr_assert_gt(strlen(test_policy_story()), strlen(first));
	free(first);
}

/*
 * errors
 */

static int write_error;

static int fail_write(void *context, int result)
{
	return write_error ?: result;
}

/* What is not the file's own fullness may pass by itself. */
static void check_that_it_is_tried_a_minute_after(int error, uint64_t more_usec)
{
	const struct zs_backing_faults faults = {.write = fail_write};
	uint64_t id = test_policy_add_full("one", 0, false);

	test_backing_attach(store, test_policy_path, 0);
	zs_backing_set_faults(zs_store_backing(store), &faults);
	write_error = error;
	policy->idle.next_usec = 0;
	cr_assert(idle_is_tried());
	cr_assert_eq(test_policy_stats(id).backed_blocks, 0);
	pass(RETRY_USEC - more_usec);
	cr_assert_not(idle_is_tried());
	cr_assert_eq(policy->idle.next_usec, policy->now_usec + more_usec);
	pass(more_usec);
	cr_assert(idle_is_tried());
	write_error = 0;
}

Test(cold_file, a_full_disk_is_tried_again_a_minute_later)
{
	check_that_it_is_tried_a_minute_after(-ENOSPC, USEC_PER_SEC);
}

Test(cold_file, a_file_that_fails_is_tried_again_a_minute_later)
{
	check_that_it_is_tried_a_minute_after(-EIO, USEC_PER_SEC);
}
