/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random operations on a backing file against a table of what should be in it: append, free, read, pin, collect, punch,
 * with writes that fail in any way or come late. Now and then it is closed, or dropped as by a kill, and opened again.
 * All records are read again and again.
 *
 * ZSD_TEST_BACKING: the file or device to use; else one is made. ZSD_TEST_ENCRYPT: it is encrypted. ZSD_TEST_FULL: no
 * write fails on purpose, and some have to fail since the file system is full.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "support/cold.h"
#include "support/options.h"
#include "support/random.h"

#define DEFAULT_OPERATIONS 60000
#define NR_OBJECTS	   1024
/* What is live is half of it at most, but for some large ones: it gets full now and then. */
#define FILE_SEGMENTS	24
#define CHECK_INTERVAL	2000
#define REOPEN_INTERVAL 5000
#define FAULT_INTERVAL	700
/* A reader doesn't take long. */
#define UNPIN_INTERVAL 200

struct world {
	struct test_random random;
	struct test_cold *cold;
	uint64_t nr_full, nr_paused, nr_moved, nr_reopened, nr_punched;
};

static uint64_t below(struct world *world, uint64_t limit)
{
	return test_random_below(&world->random, limit);
}

static uint32_t random_size(struct world *world)
{
	if (test_random_chance(&world->random, 1))
		return 1 + (uint32_t)below(world, 65536);
	if (test_random_chance(&world->random, 10))
		return 1 + (uint32_t)below(world, 64);
	return 500 + (uint32_t)below(world, 3600);
}

static void do_collect(struct world *world)
{
	int nr = test_cold_collect(world->cold, (unsigned int)below(world, 90), 1 + (unsigned int)below(world, 4));

	zs_assert(nr >= 0 || nr == -ENOSPC || nr == -EIO);
}

static void do_append(struct world *world, uint32_t handle)
{
	int error = test_cold_append(world->cold, handle, random_size(world));

	zs_assert(!error || error == -ENOSPC || error == -EIO);
	world->nr_full += error == -ENOSPC;
	world->nr_paused += error == -EIO;
	/* Time passes only where it has to. */
	if (error && below(world, 4) == 0)
		world->cold->now_ns += UINT64_C(10000000000);
	if (error == -ENOSPC && below(world, 20) == 0)
		do_collect(world);
}

/* A free one is appended; else it is read, pinned, or freed. */
static void use_object(struct world *world)
{
	uint32_t handle = 1 + (uint32_t)below(world, NR_OBJECTS);
	struct test_cold_object *object = &world->cold->objects[handle];

	if (!object->is_used) {
		if (!object->is_pending)
			do_append(world, handle);
		return;
	}
	/* Its write has failed: it is in memory only, and is written again or goes away. */
	if (!object->is_pending && !object->place.units) {
		object->is_used = false;
		return;
	}
	if (object->place.units && test_random_chance(&world->random, 30))
		zs_assert(!test_cold_read(world->cold, handle));
	else if (test_random_chance(&world->random, 10))
		object->is_pinned = !object->is_pinned;
	else if (!object->is_pinned)
		test_cold_free(world->cold, handle);
}

static void one_operation(struct world *world)
{
	uint64_t what = below(world, 1000);

	if (what < 5)
		do_collect(world);
	else if (what < 10)
		world->nr_punched += zs_backing_punch(world->cold->backing);
	else if (what < 20)
		zs_backing_submit(world->cold->backing);
	else if (what < 40)
		zs_backing_reap(world->cold->backing, what < 25);
	else
		use_object(world);
}

/* One of the next writes fails, or comes late. */
static void plan_fault(struct world *world)
{
	static const int faults[] = {-EIO, -ENOSPC, -EAGAIN, -ECANCELED, 0, 4096, -EINPROGRESS};

	if (getenv("ZSD_TEST_FULL"))
		return;
	world->cold->fault = faults[below(world, ZS_ARRAY_SIZE(faults))];
	world->cold->fail_at = world->cold->nr_writes + 1 + below(world, 3);
	world->cold->fail_more = below(world, 4);
}

static void reopen(struct world *world)
{
	struct zs_backing_stats stats = test_cold_stats(world->cold);

	world->nr_moved += stats.collected_records;
	world->nr_reopened++;
	if (below(world, 3)) {
		test_cold_reopen(world->cold);
	} else {
		test_cold_close(world->cold);
		zs_assert(!test_cold_open(world->cold));
	}
	test_cold_check(world->cold);
}

static void unpin_all(struct world *world)
{
	for (uint32_t i = 1; i <= NR_OBJECTS; i++)
		world->cold->objects[i].is_pinned = false;
}

static void run(struct world *world, uint64_t operations)
{
	for (uint64_t i = 1; i <= operations; i++) {
		one_operation(world);
		if (i % CHECK_INTERVAL == 0)
			test_cold_check(world->cold);
		if (i % UNPIN_INTERVAL == 0)
			unpin_all(world);
		if (i % FAULT_INTERVAL == 0)
			plan_fault(world);
		if (i % REOPEN_INTERVAL == 0)
			reopen(world);
	}
}

/* Whatever was done, nothing is left when all is freed. */
static void free_all(struct world *world)
{
	world->cold->fail_at = 0;
	test_cold_flush(world->cold);
	test_cold_check(world->cold);
	for (uint32_t i = 1; i <= NR_OBJECTS; i++) {
		if (world->cold->objects[i].is_used)
			test_cold_free(world->cold, i);
	}
	test_cold_reopen(world->cold);
	world->cold->now_ns = UINT64_MAX;
	zs_backing_punch(world->cold->backing);
	test_cold_check(world->cold);
	zs_assert(test_cold_stats(world->cold).free_segments == FILE_SEGMENTS - 1);
}

int main(int argc, char **argv)
{
	struct test_options options = {.operations = DEFAULT_OPERATIONS};
	static struct world world;
	int error;

	test_options_parse(&options, argc, argv);
	world.random.state = options.seed;
	world.cold = test_cold_create(0);
	world.cold->options.size_bytes = (uint64_t)FILE_SEGMENTS * ZS_SEGMENT_MIN_BYTES;
	world.cold->options.encrypt = getenv("ZSD_TEST_ENCRYPT");
	if (getenv("ZSD_TEST_BACKING"))
		world.cold->options.path = getenv("ZSD_TEST_BACKING");
	error = test_cold_open(world.cold);
	if (error) {
		fprintf(stderr, "%s: %s\n", world.cold->options.path, strerror(-error));
		return 1;
	}
	run(&world, options.operations);
	free_all(&world);
	printf("%" PRIu64 " operations, %" PRIu64 " records appended, %" PRIu64 " failed\n", options.operations,
	       world.cold->nr_done, world.cold->nr_failed);
	printf("%" PRIu64 " moved, %" PRIu64 " restored, %" PRIu64 " segments punched, %" PRIu64 " times reopened\n",
	       world.nr_moved, world.cold->nr_restored, world.nr_punched, world.nr_reopened);
	printf("%" PRIu64 " times full, %" PRIu64 " paused\n", world.nr_full, world.nr_paused);
	/* In a short run none of them has to happen, but on a disk that is full. */
	zs_assert(options.operations <= DEFAULT_OPERATIONS / 12 || (world.nr_moved && world.nr_punched));
	zs_assert((options.operations <= DEFAULT_OPERATIONS / 12 && !getenv("ZSD_TEST_FULL")) || world.cold->nr_failed);
	test_cold_destroy(world.cold);
	return 0;
}
