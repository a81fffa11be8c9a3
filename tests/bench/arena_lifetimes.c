/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lifetimes: would it save memory to keep the objects of a short-lived device apart from those of a long-lived one?
 * Each device has half of the trace. Two pools over the same pages are the same as two sets of fullness lists in each
 * class, so that the question can be answered without any code for it in the library.
 *
 * variant  SCENARIO/POOLS or SCENARIO/POOLS/compact, which also compacts every second step
 *   first  the long-lived device is written, then the other one, which is overwritten at random from then on
 *   mixed  the long-lived device is written in pieces between the overwrites
 *   files  as mixed, but the short-lived device holds files of 1 MiB: half of them are deleted, then written again
 *   empty  as files, but all of them are deleted
 *   shared, apart   the pools
 *
 * A round is as many overwrites as the short-lived device has blocks, in STEPS steps. One line of JSON for the rounds
 * since the last one, each time that their number has doubled: mean and maximum, over the steps, of pages / payload.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arena_bench.h"
#include "support/random.h"
#include "zsmalloc/pool.h"

#define ROUNDS	    8
#define STEPS	    8
#define FILE_BLOCKS 256
/* The first ones: in them the long-lived device is written. */
#define WRITE_ROUNDS 4

enum scenario { SCENARIO_FIRST, SCENARIO_MIXED, SCENARIO_FILES, SCENARIO_EMPTY, SCENARIO_NR };

static const char *const scenario_names[SCENARIO_NR] = {"first", "mixed", "files", "empty"};

struct device {
	struct zs_pool *pool;
	uint32_t *handles; /* [nr] 0 = none */
	uint16_t *sizes;
	uint32_t nr;
};

struct lifetimes {
	struct bench_trace trace;
	struct device long_lived, short_lived;
	struct test_random random;
	char payload[BENCH_BLOCK_BYTES];
	enum scenario scenario;
	bool compact;
	uint64_t live_bytes; /* payload */
};

static void put(struct lifetimes *lifetimes, struct device *device, uint32_t index, uint16_t size)
{
	struct zs_object_info info = {.size = size, .codec = 2};
	struct zs_handle handle, old = {device->handles[index]};

	if (size) {
		bench_check(zs_pool_alloc(device->pool, size, ZS_URGENCY_NEW, &handle), "zs_pool_alloc");
		zs_obj_write(device->pool, handle, &info, lifetimes->payload);
		device->handles[index] = handle.index;
	} else {
		device->handles[index] = 0;
	}
	if (old.index)
		zs_pool_free(device->pool, old, &info);
	lifetimes->live_bytes += size;
	lifetimes->live_bytes -= device->sizes[index];
	device->sizes[index] = size;
}

static uint16_t any_size(struct lifetimes *lifetimes)
{
	return lifetimes->trace.sizes[test_random_below(&lifetimes->random, lifetimes->trace.nr)];
}

static void fill(struct lifetimes *lifetimes, struct device *device, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		put(lifetimes, device, i,
		    lifetimes->trace.sizes[(device == &lifetimes->long_lived ? device->nr : 0) + i]);
}

static void overwrite(struct lifetimes *lifetimes)
{
	struct device *device = &lifetimes->short_lived;

	for (uint32_t i = 0; i < device->nr / STEPS; i++)
		put(lifetimes, device, (uint32_t)test_random_below(&lifetimes->random, device->nr),
		    any_size(lifetimes));
}

/* Deletes or writes a share of the files. */
static void change_files(struct lifetimes *lifetimes, bool write, uint32_t nr)
{
	struct device *device = &lifetimes->short_lived;
	uint32_t nr_files = device->nr / FILE_BLOCKS;

	while (nr--) {
		uint32_t file;

		do {
			file = (uint32_t)test_random_below(&lifetimes->random, nr_files);
		} while (!device->handles[file * FILE_BLOCKS] != write);
		for (uint32_t i = 0; i < FILE_BLOCKS; i++)
			put(lifetimes, device, file * FILE_BLOCKS + i, write ? any_size(lifetimes) : 0);
	}
}

static void step(struct lifetimes *lifetimes, unsigned int round, unsigned int number)
{
	struct device *device = &lifetimes->long_lived;
	uint32_t piece = device->nr / (WRITE_ROUNDS * STEPS);
	uint32_t nr_files = lifetimes->short_lived.nr / FILE_BLOCKS;

	if (lifetimes->scenario != SCENARIO_FIRST && round < WRITE_ROUNDS)
		fill(lifetimes, device, piece * (round * STEPS + number), piece * (round * STEPS + number + 1));
	if (lifetimes->scenario == SCENARIO_FILES)
		change_files(lifetimes, number >= STEPS / 2, nr_files / STEPS);
	else if (lifetimes->scenario == SCENARIO_EMPTY)
		change_files(lifetimes, number >= STEPS / 2, nr_files / (STEPS / 2));
	else
		overwrite(lifetimes);
	if (lifetimes->compact && number % 2 == 0) {
		zs_pool_compact(device->pool, UINT64_MAX);
		zs_pool_compact(lifetimes->short_lived.pool, UINT64_MAX);
	}
}

static double pages_over_payload(struct lifetimes *lifetimes, uint64_t *ret_moved)
{
	struct zs_pool_stats stats;
	uint64_t pages;

	zs_pool_stats(lifetimes->long_lived.pool, &stats);
	pages = stats.pages;
	*ret_moved = stats.moved_objects;
	if (lifetimes->short_lived.pool != lifetimes->long_lived.pool) {
		zs_pool_stats(lifetimes->short_lived.pool, &stats);
		pages += stats.pages;
		*ret_moved += stats.moved_objects;
	}
	return (double)(pages * BENCH_BLOCK_BYTES) / (double)lifetimes->live_bytes;
}

static void run_rounds(struct lifetimes *lifetimes)
{
	double sum = 0, max = 0;
	uint64_t moved = 0;
	unsigned int count = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < STEPS; i++, count++) {
			double value;

			step(lifetimes, round, i);
			value = pages_over_payload(lifetimes, &moved);
			sum += value;
			max = value > max ? value : max;
		}
		if ((round + 1) & round)
			continue;
		printf("{\"rounds\": %u, \"mean\": %.5f, \"max\": %.5f, \"moved\": %" PRIu64 "}\n", round + 1,
		       sum / count, max, moved);
		sum = max = count = 0;
	}
}

static void make_pools(struct lifetimes *lifetimes, bool apart)
{
	struct zs_heap *heap = bench_heap();

	bench_check(zs_pool_create(heap, &lifetimes->long_lived.pool), "zs_pool_create");
	lifetimes->short_lived.pool = lifetimes->long_lived.pool;
	if (apart)
		bench_check(zs_pool_create(heap, &lifetimes->short_lived.pool), "zs_pool_create");
}

static void make_device(struct device *device, uint32_t nr)
{
	device->nr = nr;
	device->handles = bench_memory(nr * sizeof(*device->handles));
	device->sizes = bench_memory(nr * sizeof(*device->sizes));
}

static void parse_variant(struct lifetimes *lifetimes, const char *variant, bool *ret_apart)
{
	char text[32];

	for (enum scenario i = 0; i < SCENARIO_NR; i++) {
		for (unsigned int flags = 0; flags < 4; flags++) {
			snprintf(text, sizeof(text), "%s/%s%s", scenario_names[i], flags & 1 ? "apart" : "shared",
				 flags & 2 ? "/compact" : "");
			if (strcmp(text, variant))
				continue;
			lifetimes->scenario = i;
			lifetimes->compact = flags & 2;
			*ret_apart = flags & 1;
			return;
		}
	}
	bench_die(0, "lifetimes: no variant '%s'", variant);
}

void bench_lifetimes(const struct bench_options *options)
{
	static struct lifetimes lifetimes;
	bool apart;

	parse_variant(&lifetimes, options->variant, &apart);
	bench_trace_load(options, &lifetimes.trace);
	lifetimes.random.state = options->seed;
	test_random_fill(&lifetimes.random, lifetimes.payload, sizeof(lifetimes.payload));
	make_pools(&lifetimes, apart);
	make_device(&lifetimes.long_lived, lifetimes.trace.nr / 2);
	make_device(&lifetimes.short_lived, lifetimes.trace.nr / 2 / FILE_BLOCKS * FILE_BLOCKS);
	if (lifetimes.scenario == SCENARIO_FIRST)
		fill(&lifetimes, &lifetimes.long_lived, 0, lifetimes.long_lived.nr);
	fill(&lifetimes, &lifetimes.short_lived, 0, lifetimes.short_lived.nr);
	run_rounds(&lifetimes);
}
