/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many threads on one store. Every reader can tell by the content alone whether a block is whole and in its place:
 *
 *   whole   threads write, read and discard whole blocks of one device; each block carries its number, a version and a
 *           checksum, so that a torn or foreign one is seen
 *   part    threads write single words into blocks that they share, a set of words each: an update that is lost by two
 *           threads modifying one block at a time is seen by its owner
 *   come    threads add a device to a group, use it, and remove it while others are using it
 *   compact a thread moves objects together all the time, and discards and removals are left to the maintenance thread
 *   cold    a thread writes back what it finds and collects the backing file, while all others read it back
 *   train   a thread makes dictionaries of the first device's blocks, and recompresses others with them; when it has
 *           all that it may have, it discards the blocks, and the thread that writes back gives the old ones back
 *   watch   a thread asks for names, lists, statistics and latencies all the time, and moves limits of pool and group
 *
 * At the end the store is checked, and opened again, with all blocks as they were.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/group.h"
#include "store/recompress.h"
#include "support/cold_store.h"
#include "support/data.h"
#include "support/options.h"
#include "support/small_store.h"
#include "support/threads.h"

#define DEFAULT_SECONDS	 12
#define BLOCK_SIZE	 4096
#define NR_WHOLE_THREADS 4
#define NR_PART_THREADS	 3
#define NR_COME_THREADS	 2
/* Few blocks, so that threads meet. */
#define NR_WHOLE_BLOCKS 600
#define NR_PART_BLOCKS	24
#define PART_BLOCK_SIZE 16384
#define NR_WORDS	(PART_BLOCK_SIZE / sizeof(uint64_t))
#define NR_COME_BLOCKS	64

struct world {
	struct zs_store *store;
	uint64_t whole_id, part_id;
	_Atomic uint64_t come_ids[NR_COME_THREADS];
	_Atomic uint64_t version, refused;
	_Atomic uint64_t compacted;		 /* pages */
	_Atomic uint64_t gone;			 /* borrowed too late: the device had been removed */
	char path[TEST_PATH_BYTES];		 /* of the backing file */
	uint64_t written_back, collected, kept;	 /* blocks, segments, free objects that threads had at hand */
	_Atomic bool full;			 /* of dictionaries: some are to become superfluous */
	uint64_t trained, retired, recompressed; /* dictionaries, and blocks */
};

/* A thread's own. */
struct local {
	struct zs_stream *stream;
	char block[BLOCK_SIZE];
	/* What was written to each of the thread's words. */
	uint32_t last[NR_PART_BLOCKS][NR_WORDS / NR_PART_THREADS + 1];
};

struct stamp {
	uint64_t device;
	uint64_t block;
	uint64_t version;
	uint64_t checksum; /* of all behind it, seeded with all before it */
};

/*
 * whole blocks
 */

static uint64_t block_checksum(const char *block)
{
	struct stamp stamp;

	memcpy(&stamp, block, sizeof(stamp));
	return XXH3_64bits_withSeed(block + sizeof(stamp), BLOCK_SIZE - sizeof(stamp),
				    stamp.device ^ stamp.block ^ stamp.version);
}

static void make_block(struct test_thread *thread, uint64_t device, uint64_t block)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	struct stamp stamp = {device, block, atomic_fetch_add(&world->version, 1) + 1, 0};

	test_data_make_any(&thread->random, local->block, BLOCK_SIZE);
	memcpy(local->block, &stamp, sizeof(stamp));
	stamp.checksum = block_checksum(local->block);
	memcpy(local->block, &stamp, sizeof(stamp));
}

/* Empty, or written as a whole for this place. */
static void check_block(const char *content, uint64_t device, uint64_t block)
{
	struct stamp stamp;

	memcpy(&stamp, content, sizeof(stamp));
	if (!stamp.version) {
		zs_assert(!content[0] && !memcmp(content, content + 1, BLOCK_SIZE - 1));
		return;
	}
	zs_assert_msg(stamp.device == device && stamp.block == block,
		      "block %" PRIu64 " of device %#" PRIx64 " has the content of %" PRIu64 " of %#" PRIx64, block,
		      device, stamp.block, stamp.device);
	zs_assert_msg(stamp.checksum == block_checksum(content), "block %" PRIu64 " is torn", block);
}

static void write_whole(struct test_thread *thread, struct zs_device *device, uint64_t id, uint64_t block)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	size_t done = 0;
	int error;

	make_block(thread, id, block);
	error = zs_device_write(device, local->stream, block * BLOCK_SIZE, local->block, BLOCK_SIZE, &done);
	zs_assert_msg(!error || error == -ENOSPC, "writing: %d", error);
	atomic_fetch_add(&world->refused, error != 0);
}

static void read_whole(struct test_thread *thread, struct zs_device *device, uint64_t id, uint64_t block)
{
	struct local *local = thread->local;
	int error = zs_device_read(device, local->stream, block * BLOCK_SIZE, local->block, BLOCK_SIZE);

	zs_assert_msg(!error, "reading block %" PRIu64 ": %d", block, error);
	check_block(local->block, id, block);
}

static void use_whole(struct test_thread *thread, struct zs_device *device, uint64_t id, uint64_t nr_blocks)
{
	unsigned int dice = (unsigned int)test_random_below(&thread->random, 100);
	uint64_t block = test_random_below(&thread->random, dice % 3 ? nr_blocks : 5);
	struct world *world = thread->context;
	struct local *local = thread->local;

	if (dice < 50)
		read_whole(thread, device, id, block);
	else if (dice < 90)
		write_whole(thread, device, id, block);
	else
		zs_assert(!zs_device_discard(device, local->stream, block * BLOCK_SIZE, BLOCK_SIZE));
	/* Any time will do: the version counts up. */
	zs_device_add_latency(device, local->stream, dice % ZS_OPERATION_NR, atomic_load(&world->version));
}

static void thread_begin(struct test_thread *thread)
{
	struct local *local = calloc(1, sizeof(*local));

	zs_assert(local && !zs_stream_create(thread->number, &local->stream));
	thread->local = local;
}

static void thread_end(struct test_thread *thread)
{
	struct local *local = thread->local;

	zs_stream_destroy(local->stream);
	free(local);
}

static void whole_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	uint64_t id = world->whole_id, nr_blocks = NR_WHOLE_BLOCKS;
	struct zs_device *device;

	/* Now and then a device that comes and goes. */
	if (test_random_chance(&thread->random, 20)) {
		id = atomic_load(&world->come_ids[test_random_below(&thread->random, NR_COME_THREADS)]);
		nr_blocks = NR_COME_BLOCKS;
	}
	device = zs_device_get(world->store, id, local->stream);
	if (!device) {
		zs_assert(id != world->whole_id);
		atomic_fetch_add(&world->gone, 1);
		return;
	}
	use_whole(thread, device, id, nr_blocks);
	zs_device_put(device, local->stream);
}

/*
 * parts
 */

/* A word says where it belongs and how often it was written. */
static uint64_t word_value(uint64_t block, uint64_t word, uint32_t count)
{
	return count ? block << 56 | word << 40 | count : 0;
}

static void check_word(struct test_thread *thread, struct zs_device *device, uint64_t block, uint64_t index)
{
	struct local *local = thread->local;
	uint64_t word = index * NR_PART_THREADS + thread->number;
	uint64_t expected = word_value(block, word, local->last[block][index]), found;

	zs_assert(!zs_device_read(device, local->stream, block * PART_BLOCK_SIZE + word * sizeof(found), &found,
				  sizeof(found)));
	zs_assert_msg(found == expected, "word %" PRIu64 " of block %" PRIu64 " is %#" PRIx64 " and not %#" PRIx64,
		      word, block, found, expected);
}

static void part_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	uint64_t block = test_random_below(&thread->random, NR_PART_BLOCKS);
	uint64_t index = test_random_below(&thread->random, NR_WORDS / NR_PART_THREADS);
	uint64_t word = index * NR_PART_THREADS + thread->number, value;
	struct zs_device *device = zs_device_get(world->store, world->part_id, local->stream);
	size_t done;
	int error;

	check_word(thread, device, block, index);
	value = word_value(block, word, local->last[block][index] + 1);
	error = zs_device_write(device, local->stream, block * PART_BLOCK_SIZE + word * sizeof(value), &value,
				sizeof(value), &done);
	zs_assert_msg(!error || error == -ENOSPC, "writing a word: %d", error);
	atomic_fetch_add(&world->refused, error != 0);
	local->last[block][index] += !error;
	check_word(thread, device, block, index);
	zs_device_put(device, local->stream);
}

static void part_end(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	struct zs_device *device = zs_device_get(world->store, world->part_id, local->stream);

	for (uint64_t block = 0; block < NR_PART_BLOCKS; block++) {
		for (uint64_t index = 0; index < NR_WORDS / NR_PART_THREADS; index++)
			check_word(thread, device, block, index);
	}
	zs_device_put(device, local->stream);
	thread_end(thread);
}

/*
 * coming and going
 */

static void come_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	struct zs_device_options options = {
		.size_bytes = NR_COME_BLOCKS * BLOCK_SIZE,
		.codec = {.codec = ZS_CODEC_LZ4, .level = 1},
		.group = "come",
	};
	struct zs_device *device;
	char name[16];
	uint64_t id;

	snprintf(name, sizeof(name), "come-%u", thread->number);
	options.name = name;
	zs_assert(!zs_store_add(world->store, &options, NULL, &id));
	device = zs_device_get(world->store, id, local->stream);
	zs_assert(device && zs_device_id(device) == id);
	for (uint64_t block = 0; block < NR_COME_BLOCKS; block += 4)
		write_whole(thread, device, id, block);
	atomic_store(&world->come_ids[thread->number], id);
	for (unsigned int i = 0; i < 50; i++)
		use_whole(thread, device, id, NR_COME_BLOCKS);
	zs_device_put(device, local->stream);
	zs_assert(!zs_store_remove(world->store, id));
	zs_assert(zs_store_remove(world->store, id) == -ENODEV);
	zs_assert(!zs_device_get(world->store, id, local->stream));
}

static void watch_latencies(struct zs_device *device)
{
	struct zs_latency latency;

	for (unsigned int operation = 0; operation < ZS_OPERATION_NR; operation++) {
		zs_device_latency(device, operation, &latency);
		zs_assert(latency.p50_nsec <= latency.p99_nsec && latency.p99_nsec <= latency.max_nsec);
		zs_assert(latency.count || !latency.p99_nsec);
	}
}

static void watch_device(struct zs_store *store, uint64_t id, struct zs_stream *stream)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	struct zs_device_stats stats;
	struct zs_device_info info;

	if (!device)
		return;
	zs_device_info(device, &info);
	zs_device_stats(device, &stats);
	watch_latencies(device);
	/* Its entry is given back before the last borrower is gone. */
	zs_assert(!info.id || info.id == id);
	zs_device_put(device, stream);
}

/* The group comes and goes with its devices, unless it has a limit at the moment. */
static void watch_groups(struct test_thread *thread, struct zs_store *store)
{
	static struct zs_group_stats groups[ZS_GROUPS_MAX];
	unsigned int nr;
	int error;

	error = zs_store_set_group_limit(store, "come", test_random_chance(&thread->random, 50) ? 64 << 10 : 0);
	zs_assert(!error || error == -ENOENT);
	nr = zs_store_groups(store, groups);
	zs_assert(!nr || (nr == 1 && !strcmp(groups[0].name, "come")));
}

static void watch_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	struct zs_store_stats stats;
	unsigned int cursor = 0;
	uint64_t id;

	zs_store_set_limit(world->store, test_random_chance(&thread->random, 30) ? (uint64_t)1 << 20 : 0);
	zs_store_stats(world->store, &stats);
	world->kept += test_count_kept(world->store);
	zs_assert(!zs_store_find(world->store, "whole", &id) && id == world->whole_id);
	while (zs_store_next(world->store, &cursor, &id))
		watch_device(world->store, id, local->stream);
	watch_groups(thread, world->store);
}

/*
 * the whole
 */

static void compact_step(struct test_thread *thread)
{
	struct world *world = thread->context;

	world->compacted += zs_store_compact(world->store, 1 + test_random_below(&thread->random, 1000));
}

static void cold_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct zs_writeback_progress progress = {0};
	struct zs_writeback_request request = {
		.order = (enum zs_writeback_order)test_random_below(&thread->random, 3),
		.limit_blocks = 1 + test_random_below(&thread->random, 300),
	};
	int nr = 0;

	if (atomic_load(&world->full)) {
		request.devices = &world->part_id;
		request.nr_devices = 1;
	}
	world->retired += zs_store_retire_dictionaries(world->store);
	zs_assert(!zs_store_writeback(world->store, &request, &progress));
	if (test_random_chance(&thread->random, 20))
		nr = zs_store_collect(world->store, 30, 2);
	zs_assert(nr >= 0);
	world->written_back += progress.finished_blocks;
	world->collected += (unsigned int)nr;
}

/* A dictionary that is a block of the device. */
static void make_dictionary(struct test_thread *thread, struct zs_device *device)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	struct zs_dictionary *dictionary;
	uint32_t version;
	int error;

	zs_assert(!zs_device_read(device, local->stream,
				  test_random_below(&thread->random, NR_WHOLE_BLOCKS) * BLOCK_SIZE, local->block,
				  BLOCK_SIZE));
	zs_assert(!zs_dictionary_create(zs_dictionary_new_id(world->store), local->block, BLOCK_SIZE, &dictionary));
	error = zs_dictionary_publish(device, dictionary, &version);
	zs_assert(!error || error == -EBUSY || error == -ENOSPC);
	world->trained += !error;
	atomic_store(&world->full, error == -EBUSY);
	if (error)
		zs_dictionary_destroy(dictionary);
	if (error == -EBUSY)
		zs_assert(!zs_device_discard(device, local->stream, 0, NR_WHOLE_BLOCKS * BLOCK_SIZE));
}

static void train_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	struct zs_device *device = zs_device_get(world->store, world->whole_id, local->stream);
	struct zs_recompress_request request = {
		.types = ZS_RECOMPRESS_ALL, .again = true, .nr_codecs = 1, .codecs = {{ZS_CODEC_ZSTD, 1}}};
	struct zs_recompress job;

	if (test_random_chance(&thread->random, 10))
		make_dictionary(thread, device);
	request.first = test_random_below(&thread->random, NR_WHOLE_BLOCKS);
	request.last = zs_min(request.first + 30, NR_WHOLE_BLOCKS - 1);
	zs_assert(!zs_recompress_begin(&job, device, &request, NULL));
	while (zs_recompress_slice(&job, device, local->stream, 1000000))
		continue;
	zs_recompress_end(&job);
	zs_assert(!atomic_load(&job.failed));
	world->recompressed += atomic_load(&job.recompressed);
	zs_device_put(device, local->stream);
}

static const struct test_thread_role roles[] = {
	{"whole", NR_WHOLE_THREADS, thread_begin, whole_step, thread_end},
	{"part", NR_PART_THREADS, thread_begin, part_step, part_end},
	{"come", NR_COME_THREADS, thread_begin, come_step, thread_end},
	{"compact", 1, NULL, compact_step, NULL},
	{"cold", 1, NULL, cold_step, NULL},
	{"train", 1, thread_begin, train_step, thread_end},
	{"watch", 1, thread_begin, watch_step, thread_end},
};

static void check_whole(struct world *world)
{
	struct zs_device *device = zs_device_get(world->store, world->whole_id, NULL);
	struct zs_stream *stream;
	char block[BLOCK_SIZE];

	zs_store_check(world->store);
	zs_assert(device && !zs_stream_create(0, &stream));
	for (uint64_t i = 0; i < NR_WHOLE_BLOCKS; i++) {
		zs_assert(!zs_device_read(device, stream, i * BLOCK_SIZE, block, BLOCK_SIZE));
		check_block(block, world->whole_id, i);
	}
	zs_stream_destroy(stream);
	zs_device_put(device, NULL);
}

static void reopen(struct world *world)
{
	struct zs_store_options options = {0};
	int fd = dup(zs_store_fd(world->store));

	zs_store_close(world->store);
	zs_assert(!zs_store_open(fd, &options, &world->store));
	test_backing_attach(world->store, world->path, 0);
	close(fd);
}

/* What is to be seen together has been seen. */
static bool has_met_all(const struct world *world)
{
	return world->refused && world->gone && world->compacted && world->kept && world->written_back &&
	       world->trained && world->retired && world->recompressed;
}

int main(int argc, char **argv)
{
	struct zs_codec_params lz4 = {.codec = ZS_CODEC_LZ4, .level = 1}, zstd = {.codec = ZS_CODEC_ZSTD, .level = 1};
	struct test_options options = {.seconds = DEFAULT_SECONDS};
	static struct world world;

	test_options_parse(&options, argc, argv);
	test_keep_of_few(true);
	world.store = test_store_create(0);
	test_backing_create(world.path);
	test_backing_attach(world.store, world.path, 0);
	zs_assert(!zs_store_start_maintenance(world.store));
	world.whole_id = test_device_add(world.store, "whole", (uint64_t)NR_WHOLE_BLOCKS * BLOCK_SIZE, BLOCK_SIZE,
					 zstd);
	world.part_id = test_device_add(world.store, "part", (uint64_t)NR_PART_BLOCKS * PART_BLOCK_SIZE,
					PART_BLOCK_SIZE, lz4);
	test_threads_run(roles, ZS_ARRAY_SIZE(roles), options.seed, options.seconds, &world);
	/* A slow machine takes longer. */
	while (!has_met_all(&world))
		test_threads_run(roles, ZS_ARRAY_SIZE(roles), ++options.seed, 1, &world);
	printf("%ju versions, %ju written back, %ju segments collected, %ju dictionaries\n", (uintmax_t)world.version,
	       (uintmax_t)world.written_back, (uintmax_t)world.collected, (uintmax_t)world.trained);
	check_whole(&world);
	reopen(&world);
	check_whole(&world);
	zs_store_close(world.store);
	unlink(world.path);
	return 0;
}
