/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The cold policy under test. */

#include "support/cold_policy_fixture.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "frontend.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/random.h"
#include "support/store_fixture.h"
#include "support/tasks_fixture.h"

#define LOOKS 12 /* more than most tests need */

static const struct zsd_cold_options cold_options = {.start_percent = 60, .stop_percent = 50, .compacts = true};

static sd_event *event;
static struct zsd_frontend *frontend;
struct zsd_tasks *tasks;
struct zsd_cold_policy *policy;
char test_policy_path[TEST_PATH_BYTES];

void test_policy_set_up(void)
{
	test_store_set_up();
	test_backing_create(test_policy_path);
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_eq(zsd_frontend_create(store, &frontend), 0);
	cr_assert_eq(zsd_tasks_create(store, &tasks), 0);
	cr_assert_eq(zsd_cold_policy_create(event, store, frontend, tasks, &cold_options, &policy), 0);
}

void test_policy_tear_down(void)
{
	zsd_tasks_stop(tasks);
	zsd_cold_policy_destroy(policy);
	zsd_tasks_destroy(tasks);
	zsd_frontend_destroy(frontend);
	sd_event_unref(event);
	test_store_tear_down();
	unlink(test_policy_path);
}

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

void test_policy_hold(bool wanted)
{
	atomic_store(&holds, wanted);
}

void test_policy_wait_until_held(void)
{
	while (!atomic_load(&is_held))
		usleep(1000);
}

/*
 * devices
 */

/* Half of it is superfluous, which lz4 doesn't see: raw at first. */
void test_policy_write(uint64_t id, size_t bytes)
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
	policy->active_usec = ++policy->now_usec;
}

/* percent: of its limit that is in use when it is full; 0: it has none. */
uint64_t test_policy_add(const char *name, unsigned int percent, const char *group, bool recompresses)
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

uint64_t test_policy_add_full(const char *name, unsigned int percent, bool recompresses)
{
	uint64_t id = test_policy_add(name, percent, NULL, recompresses);

	test_policy_write(id, BYTES);
	return id;
}

struct zs_device_stats test_policy_stats(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	zs_device_put(device, stream);
	return stats;
}

/* All of the device's objects are in use, or not any more. */
void test_policy_pin(uint64_t id, struct zs_object *objects, bool pins)
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

void test_policy_set_budget(uint64_t remaining_bytes)
{
	cr_assert_eq(zs_store_set_total_limit(store, remaining_bytes, ZS_LIMIT_BY_COMMAND), 0);
}

/*
 * looks
 */

/* The last task is over. */
void test_policy_wait(void)
{
	struct zsd_task_info info;
	uint64_t cursor = 0;

	while (zsd_tasks_next(tasks, &cursor, &info))
		test_task_wait(tasks, info.number, ZSD_TASK_DONE);
}

/* A second later. */
void test_policy_look(void)
{
	policy->now_usec += USEC_PER_SEC;
	zsd_cold_look_at_limits(policy);
	zsd_cold_look_at_pressure(policy);
}

uint64_t test_policy_look_now(void)
{
	uint64_t usec = 1;

	/* Of this machine. */
	if (policy->pressure)
		sd_event_source_set_enabled(policy->pressure, SD_EVENT_OFF);
	sd_event_source_set_time(policy->timer, usec);
	sd_event_source_set_enabled(policy->timer, SD_EVENT_ONESHOT);
	while (usec == 1) {
		cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
		cr_assert_geq(sd_event_source_get_time(policy->timer, &usec), 0);
	}
	return usec - policy->now_usec;
}

void test_policy_look_on(void)
{
	for (unsigned int i = 0; i < LOOKS; i++) {
		test_policy_look();
		test_policy_wait();
	}
}

void test_policy_look_on_held(void)
{
	test_policy_hold(true);
	test_policy_look();
	test_policy_wait_until_held();
	test_policy_look();
	test_policy_hold(false);
	test_policy_look_on();
}

/* "R one, W all, ": recompressed and written back, in the order in which it was asked for. */
const char *test_policy_story(void)
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

bool test_policy_is_denser(uint64_t id)
{
	return test_policy_stats(id).recompressed > 0;
}
