/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random operations on three devices against plain arrays.
 *
 * Each round makes a store with a device of 4, 16 and 64 KiB blocks, codecs at random, in some rounds with a limit that
 * is met all the time: the pool's, or a moving one of a group. Only a window of each device is used, at a random place,
 * so that slots lie anywhere. The store is closed and opened again at random points, from its own arena or from a copy.
 * After each round all content and all counters are compared, and after the removal of the devices nothing may be left.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "model/model_cold.h"
#include "store/device.h"
#include "store/group.h"
#include "support/data.h"
#include "support/options.h"
#include "support/small_store.h"

#define NR_DEVICES	   3
#define NR_NODES	   3
#define DEFAULT_OPERATIONS 1000000
#define ROUND_OPERATIONS   40000
#define DEVICE_BYTES	   ((uint64_t)4 << 30)
#define LENGTH_MAX	   ((size_t)128 << 10)

struct shape {
	const char *name;
	uint32_t block_size;
	unsigned int window_blocks;
	unsigned int percent; /* of the operations */
};

static const struct shape shapes[NR_DEVICES] = {
	{"small", 4096, 600, 64},
	{"medium", 16384, 100, 24},
	{"large", 65536, 24, 12},
};

static const struct zs_codec_params codecs[] = {
	{ZS_CODEC_LZ4, 1},  {ZS_CODEC_LZ4, 8},	 {ZS_CODEC_LZ4, 1},
	{ZS_CODEC_ZSTD, 1}, {ZS_CODEC_ZSTD, -5}, {ZS_CODEC_ZSTD, 3},
};

struct model {
	const struct shape *shape;
	uint64_t id;
	uint64_t base; /* where the window begins in the device */
	size_t bytes;  /* of the window */
	char *content;
	bool *written; /* by block: not empty */
};

struct world {
	struct test_random random;
	struct zs_store *store;
	struct zs_stream *stream;
	uint64_t limit;
	bool grouped; /* the limit is the group's, and the most that it is; accounts are kept */
	struct model models[NR_DEVICES];
	struct test_bank bank;
	struct model_cold cold;
	char *buffer;
	uint64_t stamp; /* makes data unique */
	uint64_t reads, writes, discards, seeks, reopens, refused;
};

struct range {
	size_t start; /* in the window */
	size_t length;
};

static uint64_t below(struct world *world, uint64_t limit)
{
	return test_random_below(&world->random, limit);
}

static bool chance(struct world *world, unsigned int percent)
{
	return test_random_chance(&world->random, percent);
}

static struct model *pick_model(struct world *world)
{
	unsigned int percent = (unsigned int)below(world, 100), i = 0;

	while (percent >= shapes[i].percent)
		percent -= shapes[i++].percent;
	return &world->models[i];
}

/* Whole blocks, or any bytes. */
static struct range pick_range(struct world *world, const struct model *model, bool aligned)
{
	size_t block_size = model->shape->block_size, nr = model->bytes / block_size, most, block, count;
	struct range range;

	if (!aligned) {
		range.start = below(world, model->bytes);
		range.length = 1 + below(world, chance(world, 50) ? 600 : 3 * block_size);
		range.length = zs_min(range.length, zs_min(LENGTH_MAX, model->bytes - range.start));
		return range;
	}
	most = chance(world, 75) ? 1 : zs_min(8, LENGTH_MAX / block_size);
	block = below(world, nr);
	count = zs_min(1 + below(world, most), nr - block);
	return (struct range){.start = block * block_size, .length = count * block_size};
}

static struct zs_device *get(struct world *world, const struct model *model)
{
	struct zs_device *device = zs_device_get(world->store, model->id, world->stream);

	zs_assert(device);
	return device;
}

/* Fills the buffer, each block with data of its own kind. */
static void make_data(struct world *world, size_t length, size_t block_size)
{
	for (size_t at = 0; at < length; at += block_size) {
		size_t piece = zs_min(block_size, length - at);
		enum test_data kind = (enum test_data)below(world, TEST_DATA_NR);

		test_bank_copy(&world->bank, kind, &world->random, world->buffer + at, piece);
		if (kind < TEST_DATA_ALMOST || piece < sizeof(world->stamp))
			continue;
		world->stamp++;
		memcpy(world->buffer + at + below(world, piece - sizeof(world->stamp) + 1), &world->stamp,
		       sizeof(world->stamp));
	}
}

/*
 * operations
 */

static void compare(struct world *world, const struct model *model, struct range range)
{
	struct zs_device *device = get(world, model);
	int error = zs_device_read(device, world->stream, model->base + range.start, world->buffer, range.length);

	zs_device_put(device, world->stream);
	zs_assert_msg(!error, "reading %zu bytes at %zu of %s: %d", range.length, range.start, model->shape->name,
		      error);
	zs_assert_msg(!memcmp(world->buffer, model->content + range.start, range.length), "%zu bytes at %zu of %s",
		      range.length, range.start, model->shape->name);
}

static void do_read(struct world *world, struct model *model)
{
	compare(world, model, pick_range(world, model, chance(world, 70)));
	world->reads++;
}

static void mark_written(struct model *model, struct range range)
{
	size_t block_size = model->shape->block_size;

	for (size_t block = range.start / block_size; block * block_size < range.start + range.length; block++)
		model->written[block] = true;
}

/* Writes the buffer and learns what was written. */
static int write_range(struct world *world, struct model *model, struct range range)
{
	struct zs_device *device = get(world, model);
	size_t done = SIZE_MAX;
	int error = zs_device_write(device, world->stream, model->base + range.start, world->buffer, range.length,
				    &done);

	zs_device_put(device, world->stream);
	world->writes++;
	if (error) {
		zs_assert_msg(error == -ENOSPC && world->limit && done == SIZE_MAX,
			      "writing %zu bytes at %zu of %s: %d", range.length, range.start, model->shape->name,
			      error);
		world->refused++;
		return error;
	}
	zs_assert(done == range.length || (done < range.length && world->limit));
	range.length = done;
	memcpy(model->content + range.start, world->buffer, done);
	mark_written(model, range);
	return 0;
}

static void do_write(struct world *world, struct model *model)
{
	struct range range = pick_range(world, model, chance(world, 70));

	make_data(world, range.length, model->shape->block_size);
	write_range(world, model, range);
}

/* What is there must always fit again; what is not in memory needs room as if new, what was recompressed may grow. */
static void do_rewrite(struct world *world, struct model *model)
{
	struct range range = pick_range(world, model, true);

	range.length = model->shape->block_size;
	if (!model->written[range.start / range.length])
		return;
	memcpy(world->buffer, model->content + range.start, range.length);
	zs_assert(!write_range(world, model, range) || world->cold.is_on || world->cold.dictionary.recompressed);
}

/* At a limit only within one block, so that a refusal has one meaning. */
static struct range pick_discard(struct world *world, const struct model *model)
{
	struct range range = pick_range(world, model, chance(world, 70));
	size_t block_size = model->shape->block_size;

	if (world->limit)
		range.length = zs_min(range.length, block_size - range.start % block_size);
	return range;
}

static void do_discard(struct world *world, struct model *model)
{
	struct range range = pick_discard(world, model);
	size_t block_size = model->shape->block_size, end = range.start + range.length;
	struct zs_device *device = get(world, model);
	int error = zs_device_discard(device, world->stream, model->base + range.start, range.length);

	zs_device_put(device, world->stream);
	world->discards++;
	if (error) {
		zs_assert(error == -ENOSPC && world->limit && range.length < block_size);
		world->refused++;
		return;
	}
	memset(model->content + range.start, 0, range.length);
	for (size_t block = zs_div_round_up(range.start, block_size); (block + 1) * block_size <= end; block++)
		model->written[block] = false;
}

/* Where the window says that data, or a hole, begins; SIZE_MAX: nowhere in the window. */
static size_t expected_seek(const struct model *model, size_t start, bool data)
{
	size_t block_size = model->shape->block_size, block = start / block_size;

	while (block < model->bytes / block_size && model->written[block] != data)
		block++;
	if (block == model->bytes / block_size)
		return SIZE_MAX;
	return zs_max(start, block * block_size);
}

static void do_seek(struct world *world, struct model *model)
{
	size_t start = below(world, model->bytes);
	bool data = chance(world, 50);
	size_t expected = expected_seek(model, start, data);
	struct zs_device *device = get(world, model);
	uint64_t found = 0;
	int error = zs_device_seek(device, model->base + start, data, &found);

	zs_device_put(device, world->stream);
	world->seeks++;
	if (expected == SIZE_MAX && data)
		zs_assert(error == -ENXIO);
	else
		zs_assert(!error && found == model->base + (expected == SIZE_MAX ? model->bytes : expected));
}

static void check_all(struct world *world);

static unsigned int node_of_page(void *context, uint32_t page)
{
	return page % NR_NODES;
}

static struct zs_store_options store_options(const struct world *world)
{
	struct zs_store_options options = {.memory_limit_bytes = world->grouped ? 0 : world->limit};

	if (world->grouped)
		options.account = (struct zs_account_options){.nr_nodes = NR_NODES, .node_of_page = node_of_page};
	test_arena_options(&options.arena);
	return options;
}

/* Also below the present use. */
static void do_move_limit(struct world *world)
{
	uint64_t limit = world->limit ? world->limit - below(world, world->limit / 2) : 0;

	zs_assert(!world->grouped || !zs_store_set_group_limit(world->store, "group", limit));
}

static void do_reopen(struct world *world)
{
	struct zs_store_options options = store_options(world);
	int fd = chance(world, 30) ? test_arena_copy(zs_store_fd(world->store)) : dup(zs_store_fd(world->store));
	int error;

	zs_store_close(world->store);
	world->store = NULL;
	error = zs_store_open(fd, &options, &world->store);
	zs_assert_msg(!error, "opening: %d", error);
	close(fd);
	model_cold_reopened(&world->cold, world->store);
	for (unsigned int i = 0; i < NR_DEVICES; i++) {
		uint64_t id;

		zs_assert(!zs_store_find(world->store, shapes[i].name, &id) && id == world->models[i].id);
	}
	world->reopens++;
	check_all(world);
}

/*
 * checks
 */

static bool is_same_filled(const char *block, size_t size)
{
	return !memcmp(block, block + 8, size - 8);
}

static void check_stats(struct world *world, const struct model *model)
{
	size_t block_size = model->shape->block_size;
	uint64_t same = 0, objects = 0;
	struct zs_device *device = get(world, model);
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	zs_device_put(device, world->stream);
	for (size_t block = 0; block < model->bytes / block_size; block++) {
		if (!model->written[block])
			continue;
		if (is_same_filled(model->content + block * block_size, block_size))
			same++;
		else
			objects++;
	}
	zs_assert_msg(stats.same_blocks == same && stats.object_blocks + stats.backed_blocks == objects,
		      "%s: %" PRIu64 " same of %" PRIu64 ", %" PRIu64 " objects of %" PRIu64, model->shape->name,
		      stats.same_blocks, same, stats.object_blocks + stats.backed_blocks, objects);
	zs_assert(stats.data_bytes == (same + objects) * block_size);
	zs_assert(stats.corrupt == 0);
}

static void check_group(struct world *world)
{
	static struct zs_group_stats groups[ZS_GROUPS_MAX];
	uint64_t sum = 0;

	zs_assert(zs_store_groups(world->store, groups) == world->grouped);
	for (unsigned int node = 0; node < NR_NODES; node++)
		sum += groups[0].nodes[node].payload_bytes;
	zs_assert(!world->grouped || sum == groups[0].compressed_bytes);
}

static void check_all(struct world *world)
{
	zs_store_check(world->store);
	check_group(world);
	for (unsigned int i = 0; i < NR_DEVICES; i++) {
		struct model *model = &world->models[i];

		check_stats(world, model);
		for (size_t start = 0, length; start < model->bytes; start += length) {
			length = zs_min(LENGTH_MAX, model->bytes - start);
			compare(world, model, (struct range){start, length});
		}
	}
}

static void check_nothing_left(struct world *world)
{
	struct zs_store_stats stats;

	for (unsigned int i = 0; i < NR_DEVICES; i++)
		zs_assert(!zs_store_remove(world->store, world->models[i].id));
	zs_assert(!zs_store_add_group(world->store, "group", 0));
	world->grouped = false;
	check_group(world);
	zs_store_check(world->store);
	zs_store_stats(world->store, &stats);
	zs_assert(!stats.nr_devices && !stats.pool.objects && !stats.heap.zspage_pages &&
		  !stats.heap.slot_table_pages && !stats.heap.handles.objects && !stats.heap.zspages.objects &&
		  !stats.heap.leaked_objects);
}

/*
 * rounds
 */

static void start_model(struct world *world, unsigned int index)
{
	struct model *model = &world->models[index];
	uint32_t block_size = shapes[index].block_size;
	struct zs_codec_params codec = codecs[below(world, ZS_ARRAY_SIZE(codecs))];
	struct zs_device_options options = {shapes[index].name, DEVICE_BYTES, block_size, .codec = codec};

	model->shape = &shapes[index];
	model->bytes = (size_t)model->shape->window_blocks * block_size;
	model->base = below(world, (DEVICE_BYTES - model->bytes) / block_size) * block_size;
	options.group = world->grouped ? "group" : NULL;
	zs_assert(!zs_store_add(world->store, &options, NULL, &model->id));
	model->content = calloc(1, model->bytes);
	model->written = calloc(model->shape->window_blocks, sizeof(bool));
	zs_assert(model->content && model->written);
}

static void one_operation(struct world *world)
{
	struct model *model = pick_model(world);
	unsigned int dice = (unsigned int)below(world, 1000);

	if (dice < 400)
		do_read(world, model);
	else if (dice < 800)
		do_write(world, model);
	else if (dice < 840)
		do_rewrite(world, model);
	else if (dice < 960)
		do_discard(world, model);
	else
		do_seek(world, model);
	if (!below(world, 400))
		model_cold_step(&world->cold, world->store);
	if (!below(world, 2000))
		(chance(world, 50) ? do_move_limit : do_reopen)(world);
}

static void one_round(struct world *world, uint64_t operations)
{
	struct zs_store_options options;

	/* The windows hold 5.6 MiB. */
	world->limit = chance(world, 40) ? ((uint64_t)1 << 20) + below(world, (uint64_t)3 << 20) : 0;
	world->grouped = chance(world, 50);
	options = store_options(world);
	zs_assert(!zs_store_create(&options, &world->store));
	model_cold_begin(&world->cold, world->store, &world->random);
	for (unsigned int i = 0; i < NR_DEVICES; i++)
		start_model(world, i);
	do_move_limit(world);
	for (uint64_t i = 0; i < operations; i++)
		one_operation(world);
	check_all(world);
	check_nothing_left(world);
	model_cold_end(&world->cold, world->store);
	for (unsigned int i = 0; i < NR_DEVICES; i++) {
		free(world->models[i].content);
		free(world->models[i].written);
	}
	zs_store_close(world->store);
}

static void world_init(struct world *world, uint64_t seed)
{
	world->random.state = seed;
	zs_assert(!zs_stream_create(0, &world->stream));
	world->buffer = malloc(LENGTH_MAX);
	zs_assert(world->buffer);
	test_bank_init(&world->bank, &world->random);
}

static void world_deinit(struct world *world)
{
	test_bank_deinit(&world->bank);
	free(world->buffer);
	zs_stream_destroy(world->stream);
}

int main(int argc, char **argv)
{
	struct test_options options = {.operations = DEFAULT_OPERATIONS};
	struct world world = {0};
	uint64_t left;

	test_options_parse(&options, argc, argv);
	world_init(&world, options.seed);
	for (left = options.operations; left;) {
		uint64_t operations = zs_min(left, ROUND_OPERATIONS);

		one_round(&world, operations);
		left -= operations;
	}
	printf("%" PRIu64 " operations: %" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64 " discards, %" PRIu64
	       " seeks; %" PRIu64 " reopened, %" PRIu64 " refused at the limit\n",
	       options.operations, world.reads, world.writes, world.discards, world.seeks, world.reopens,
	       world.refused);
	model_cold_print(&world.cold);
	world_deinit(&world);
	return 0;
}
