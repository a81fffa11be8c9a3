/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a killed process leaves behind, at every instruction.
 *
 * For each scenario a child opens a prepared arena and makes one change, stopped after each of its instructions. Each
 * time the arena has changed, a copy of it is opened as after a crash, and must
 *   - open, and hold all invariants;
 *   - have the old state or the new one, and once the new one, never the old one again;
 *   - have every other block unharmed, and no damaged one;
 *   - be usable: a block is written to it and read back.
 *
 * At the end two writers that are wrong on purpose show that the method finds what it looks for.
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
#include "model/crash_cold.h"
#include "model/crash_dictionary.h"
#include "model/crash_objects.h"
#include "model/crash_scenarios.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/group.h"
#include "support/arena_shadow.h"
#include "support/data.h"
#include "support/objects.h"
#include "support/options.h"
#include "support/single_step.h"
#include "support/small_store.h"

#define POINTS_MIN    50000
#define DEVICE_BLOCKS 1024
/* The block that changes, and one in the same zspage and slot page that must not. */
#define TARGET	  7
#define NEIGHBOUR 8
/* Where a part of a block is written. */
#define PART_OFFSET 1000
#define PART_LENGTH 700
/* Of a group that had none; room for what is written after a crash. */
#define NEW_LIMIT_BYTES (1 << 20)

struct run {
	const struct scenario *scenario;
	struct arena_shadow shadow;
	struct zs_stream *stream;   /* the checking parent's */
	int fd;			    /* the arena */
	char path[TEST_PATH_BYTES]; /* of the backing file, if there is one */
	bool new_seen;
	uint64_t points;
	uint64_t changes, last_change; /* of the arena's content; at which point */
	uint64_t states;	       /* different contents that were opened */
	uint64_t violations;
	char old_block[ZS_BLOCK_MAX_BYTES];
	char new_block[ZS_BLOCK_MAX_BYTES];
	char neighbour[ZS_BLOCK_MAX_BYTES];
	char buffer[ZS_BLOCK_MAX_BYTES];
};

static struct zs_codec_params codec_of(const struct scenario *scenario)
{
	return (struct zs_codec_params){.codec = (uint8_t)scenario->codec, .level = 1};
}

static struct zs_device *get(struct zs_store *store, const char *name, struct zs_stream *stream)
{
	uint64_t id;

	return zs_store_find(store, name, &id) ? NULL : zs_device_get(store, id, stream);
}

static void write_block(struct zs_device *device, struct zs_stream *stream, uint64_t block, const char *data)
{
	size_t size = device->block_size, done;

	zs_assert(!zs_device_write(device, stream, block * size, data, size, &done) && done == size);
}

/*
 * preparing
 */

static void make_block(struct run *run, enum test_data kind, struct test_random *random, char *block)
{
	if (kind == NOTHING)
		memset(block, 0, run->scenario->block_size);
	else
		test_data_make(kind, random, block, run->scenario->block_size);
}

/* What the target is to be, from what it was. */
static void make_new_block(struct run *run, struct test_random *random)
{
	const struct scenario *scenario = run->scenario;

	memcpy(run->new_block, run->old_block, sizeof(run->new_block));
	switch (scenario->operation) {
	case OPERATION_WRITE_PART:
		test_data_make(scenario->new_data, random, run->new_block + PART_OFFSET, PART_LENGTH);
		break;
	case OPERATION_DISCARD_PART:
		memset(run->new_block + PART_OFFSET, 0, PART_LENGTH);
		break;
	case OPERATION_ADD:
	case OPERATION_REMOVE:
	case OPERATION_REMOVE_LATER:
	case OPERATION_SET_OWNER:
	case OPERATION_ADD_TO_NEW_GROUP:
	case OPERATION_SET_GROUP_LIMIT ... OPERATION_OPEN:
		break;
	default:
		make_block(run, scenario->new_data, random, run->new_block);
	}
}

static struct zs_store *create_store(void)
{
	/* Small, so that the shadow is. */
	struct zs_store_options options = {
		.arena.region_bytes = {64 << 10, 4 << 10, 256 << 10, 256 << 10, 8 << 10, 256 << 10, 16 << 20},
	};
	struct zs_store *store;

	zs_assert(!zs_store_create(&options, &store));
	return store;
}

/* The device that changes, the only one of a group without a limit. */
static void add_grouped(struct zs_store *store, const struct scenario *scenario)
{
	struct zs_device_options options = {
		.name = "device",
		.size_bytes = (uint64_t)DEVICE_BLOCKS * scenario->block_size,
		.block_size = scenario->block_size,
		.codec = codec_of(scenario),
		.group = "group",
	};
	uint64_t id;

	zs_assert(!zs_store_add(store, &options, NULL, &id));
}

static void prepare(struct run *run, const struct scenario *scenario, uint64_t seed)
{
	struct test_random random = {.state = seed};
	struct zs_store *store = create_store();
	struct zs_device *device;

	run->scenario = scenario;
	make_block(run, scenario->old_data, &random, run->old_block);
	make_block(run, TEST_DATA_TEXT, &random, run->neighbour);
	make_new_block(run, &random);
	add_grouped(store, scenario);
	test_device_add(store, "other", (uint64_t)DEVICE_BLOCKS * scenario->block_size, scenario->block_size,
			codec_of(scenario));
	device = get(store, "device", run->stream);
	if (scenario->old_data != NOTHING)
		write_block(device, run->stream, TARGET, run->old_block);
	write_block(device, run->stream, NEIGHBOUR, run->neighbour);
	crash_dictionary_prepare(scenario, device, run->neighbour);
	zs_device_put(device, run->stream);
	device = get(store, "other", run->stream);
	write_block(device, run->stream, TARGET, run->neighbour);
	zs_device_put(device, run->stream);
	crash_cold_prepare(scenario, store, run->path);
	test_objects_leave_garbage(store, run->neighbour, 300);
	run->fd = dup(zs_store_fd(store));
	zs_assert(run->fd >= 0);
	zs_store_close(store);
}

/*
 * the child
 */

static struct zs_device_options added_options(const struct scenario *scenario)
{
	return (struct zs_device_options){
		.name = "added",
		.size_bytes = (uint64_t)DEVICE_BLOCKS * scenario->block_size,
		.block_size = scenario->block_size,
		.codec = codec_of(scenario),
		.memory_limit_bytes = 4711,
		.mode = 0640,
		.group = scenario->operation == OPERATION_ADD_TO_NEW_GROUP ? "new" : NULL,
	};
}

static void change(struct run *run, struct zs_store *store, struct zs_device *device, struct zs_stream *stream)
{
	uint64_t start = (uint64_t)TARGET * device->block_size, id = zs_device_id(device);
	struct zs_device_options added = added_options(run->scenario);
	size_t done;

	switch (run->scenario->operation) {
	case OPERATION_WRITE:
		write_block(device, stream, TARGET, run->new_block);
		break;
	case OPERATION_WRITE_LENT:
		crash_objects_write_lent(device, stream, TARGET, run->new_block);
		break;
	case OPERATION_WRITE_KEPT:
		crash_objects_write_kept(device, stream, TARGET, run->new_block);
		break;
	case OPERATION_WRITE_PART:
		zs_assert(!zs_device_write(device, stream, start + PART_OFFSET, run->new_block + PART_OFFSET,
					   PART_LENGTH, &done));
		break;
	case OPERATION_DISCARD:
	case OPERATION_DISCARD_LATER:
		zs_assert(!zs_device_discard(device, stream, start, device->block_size));
		crash_objects_flush(run->scenario, device, stream);
		break;
	case OPERATION_DISCARD_PART:
		zs_assert(!zs_device_discard(device, stream, start + PART_OFFSET, PART_LENGTH));
		break;
	case OPERATION_ADD:
	case OPERATION_ADD_TO_NEW_GROUP:
		zs_assert(!zs_store_add(store, &added, NULL, &id));
		break;
	case OPERATION_SET_GROUP_LIMIT:
		zs_assert(!zs_store_set_group_limit(store, "group", NEW_LIMIT_BYTES));
		break;
	case OPERATION_REMOVE:
	case OPERATION_REMOVE_LATER:
		zs_device_put(device, stream);
		zs_assert(!zs_store_remove(store, id));
		zs_deferred_flush(&store->deferred);
		break;
	case OPERATION_SET_OWNER:
		zs_device_set_owner(device, 1000, 2000);
		break;
	case OPERATION_COMPACT:
		crash_objects_compact(store, device, TARGET);
		break;
	case OPERATION_PROMOTE:
		crash_cold_promote(device, stream, TARGET);
		break;
	case OPERATION_WRITE_BACK:
		crash_cold_write_back(store, id, TARGET);
		break;
	case OPERATION_COLLECT:
		crash_cold_collect(store);
		break;
	case OPERATION_OPEN:
		break;
	case OPERATION_PUBLISH_TOO_EARLY:
		crash_objects_write_too_early(store, device, TARGET, run->new_block);
		break;
	case OPERATION_FREE_TOO_EARLY:
		crash_objects_free_too_early(store, device, TARGET, run->new_block);
		break;
	default:
		crash_dictionary_change(run->scenario, device, stream, TARGET);
	}
}

static void child(void *context)
{
	struct zs_store_options options = {0};
	struct run *run = context;
	struct zs_codec_params codec = codec_of(run->scenario);
	struct zs_store *store;
	struct zs_stream *stream;
	struct zs_device *device;
	const void *payload;
	size_t length;

	zs_assert(!zs_stream_create(0, &stream));
	/* The making of the codec's context is not of interest. */
	zs_stream_compress(stream, &codec, run->neighbour, run->scenario->block_size, &payload, &length);
	if (run->scenario->operation == OPERATION_OPEN)
		single_step_begin();
	zs_assert(!zs_store_open(run->fd, &options, &store));
	crash_cold_attach(run->scenario, store, run->path);
	device = get(store, "device", stream);
	zs_assert(device);
	crash_dictionary_begin(run->scenario, device, stream, run->neighbour);
	crash_objects_begin(run->scenario, device, stream, TARGET, run->neighbour);
	if (run->scenario->operation != OPERATION_OPEN)
		single_step_begin();
	change(run, store, device, stream);
	single_step_end();
}

/*
 * checking
 */

static bool block_is(struct run *run, struct zs_device *device, uint64_t block, const char *content)
{
	size_t size = device->block_size;

	return !zs_device_read(device, run->stream, block * size, run->buffer, size) &&
	       !memcmp(run->buffer, content, size);
}

/* The group's limit; UINT64_MAX if there is no such group. */
static uint64_t group_limit(struct zs_store *store, const char *name)
{
	static struct zs_group_stats groups[ZS_GROUPS_MAX];
	unsigned int nr = zs_store_groups(store, groups);

	for (unsigned int i = 0; i < nr; i++) {
		if (!strcmp(groups[i].name, name))
			return groups[i].memory_limit_bytes;
	}
	return UINT64_MAX;
}

/* A group is there if its devices are, and not longer. */
static bool groups_are_sound(struct zs_store *store, struct zs_device *device, struct zs_device *added)
{
	struct zs_device_info info = {.group = "group"};

	if (device)
		zs_device_info(device, &info);
	return !strcmp(info.group, "group") && (group_limit(store, "group") != UINT64_MAX) == (device != NULL) &&
	       (group_limit(store, "new") == UINT64_MAX || added);
}

/* True if the state of what changes is the old one (*ret_old) or the new one; they may be the same. */
static bool judge_change(struct run *run, struct zs_store *store, struct zs_device *device, bool *ret_old,
			 bool *ret_new)
{
	struct zs_device *added = get(store, "added", run->stream);
	struct zs_device_info info = {0};

	if (device)
		zs_device_info(device, &info);
	switch (run->scenario->operation) {
	case OPERATION_ADD:
	case OPERATION_ADD_TO_NEW_GROUP:
		*ret_old = !added;
		*ret_new = added && block_is(run, added, TARGET, (char[ZS_BLOCK_MAX_BYTES]){0});
		if (added)
			zs_device_info(added, &info);
		*ret_new = *ret_new && info.memory_limit_bytes == 4711 && info.mode == 0640;
		*ret_new = *ret_new && !strcmp(info.group, added_options(run->scenario).group ?: "");
		break;
	case OPERATION_SET_GROUP_LIMIT:
		*ret_old = group_limit(store, "group") == 0;
		*ret_new = group_limit(store, "group") == NEW_LIMIT_BYTES;
		break;
	case OPERATION_REMOVE:
	case OPERATION_REMOVE_LATER:
		*ret_old = device && block_is(run, device, TARGET, run->old_block);
		*ret_new = !device;
		break;
	case OPERATION_SET_OWNER:
		*ret_old = device && info.uid == 0 && info.gid == 0;
		*ret_new = device && info.uid == 1000 && info.gid == 2000;
		break;
	default:
		*ret_old = device && block_is(run, device, TARGET, run->old_block);
		*ret_new = device && block_is(run, device, TARGET, run->new_block);
	}
	if (added)
		zs_device_put(added, run->stream);
	return (*ret_old || *ret_new) && groups_are_sound(store, device, added);
}

static bool is_undamaged(struct zs_device *device)
{
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	return !stats.corrupt && !stats.unreadable;
}

/* True if the store still works. */
static bool is_usable(struct run *run, struct zs_device *device)
{
	write_block(device, run->stream, TARGET + 2, run->new_block);
	write_block(device, run->stream, NEIGHBOUR, run->old_block);
	return block_is(run, device, TARGET + 2, run->new_block) && block_is(run, device, NEIGHBOUR, run->old_block) &&
	       block_is(run, device, TARGET, run->neighbour);
}

static bool judge(struct run *run, struct zs_store *store)
{
	struct zs_device *device = get(store, "device", run->stream), *other = get(store, "other", run->stream);
	bool is_old = false, is_new = false, sound;

	sound = judge_change(run, store, device, &is_old, &is_new) && (is_new || !run->new_seen);
	run->new_seen = run->new_seen || !is_old;
	if (device)
		sound = sound && is_undamaged(device) && block_is(run, device, NEIGHBOUR, run->neighbour);
	sound = sound && other && is_undamaged(other) && block_is(run, other, TARGET, run->neighbour);
	sound = sound && is_usable(run, other);
	if (device)
		zs_device_put(device, run->stream);
	if (other)
		zs_device_put(other, run->stream);
	return sound;
}

/* Copying a block makes thousands of states that nobody can tell apart; a sanitizer needs not see each of them. */
static bool is_opened(struct run *run)
{
	bool copies = run->points - run->last_change < 8;

	run->last_change = run->points;
	run->changes++;
	return !TEST_SANITIZED || !copies || run->changes <= 100 || run->changes % 16 == 0;
}

static void check_point(void *context)
{
	struct zs_store_options options = {0};
	struct run *run = context;
	char copy[TEST_PATH_BYTES];
	struct zs_store *store;
	int fd;

	run->points++;
	if (!arena_shadow_update(&run->shadow) || !is_opened(run))
		return;
	run->states++;
	fd = arena_shadow_copy(&run->shadow);
	zs_assert_msg(!zs_store_open(fd, &options, &store), "not opened after %" PRIu64 " instructions", run->points);
	crash_cold_attach_copy(run->scenario, store, run->path, copy);
	zs_store_check(store);
	if (!judge(run, store))
		run->violations++;
	zs_store_check(store);
	zs_store_close(store);
	crash_cold_remove(run->scenario, copy);
	close(fd);
}

static void run_scenario(struct run *run, const struct scenario *scenario, uint64_t seed)
{
	struct zs_stream *stream = run->stream;

	*run = (struct run){.stream = stream};
	prepare(run, scenario, seed);
	arena_shadow_init(&run->shadow, run->fd);
	single_step_run(child, check_point, run);
	arena_shadow_deinit(&run->shadow);
	crash_cold_remove(scenario, run->path);
	close(run->fd);
	printf("%-17s %5u-byte blocks: %8" PRIu64 " points, %6" PRIu64 " states, %6" PRIu64 " violations\n",
	       operation_names[scenario->operation], scenario->block_size, run->points, run->states, run->violations);
	fflush(stdout);
}

/*
 * Instrumented code makes two to three times as many steps; the longest ways, and the proof of the method, are left to
 * the plain build.
 */
static bool is_skipped(const struct scenario *scenario)
{
	return TEST_SANITIZED &&
	       (scenario->codec == ZS_CODEC_ZSTD || scenario->operation == OPERATION_OPEN ||
		scenario->operation == OPERATION_COLLECT || scenario->operation == OPERATION_RECOMPRESS);
}

/* False if all blocks are to stay as they are. */
static bool is_visible(enum operation operation)
{
	return operation < OPERATION_COMPACT || operation > OPERATION_OPEN;
}

int main(int argc, char **argv)
{
	struct test_options options = {0};
	struct run *run = calloc(1, sizeof(*run));
	uint64_t points = 0, states = 0;

	test_options_parse(&options, argc, argv);
	zs_assert(run && !zs_stream_create(0, &run->stream));
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(scenarios); i++) {
		if (is_skipped(&scenarios[i]))
			continue;
		run_scenario(run, &scenarios[i], options.seed + i);
		points += run->points;
		states += run->states;
		zs_assert(!run->violations);
		zs_assert_msg(run->new_seen || !is_visible(scenarios[i].operation), "the change never showed");
	}
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(wrong_scenarios) && !TEST_SANITIZED; i++) {
		run_scenario(run, &wrong_scenarios[i], options.seed + i);
		zs_assert_msg(run->violations, "a writer that is wrong was not found out");
	}
	printf("%" PRIu64 " points, %" PRIu64 " states opened\n", points, states);
	zs_assert(points >= POINTS_MIN);
	zs_stream_destroy(run->stream);
	free(run);
	return 0;
}
