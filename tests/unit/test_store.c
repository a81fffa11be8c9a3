/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store: adding, finding, removing, opening again. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "store/device.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define MIB ((uint64_t)1 << 20)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

TestSuite(store, .init = test_store_set_up, .fini = test_store_tear_down);

static void check_at(uint64_t id, uint64_t offset, const void *data, size_t length)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	char *found = malloc(length);

	cr_assert(device && found);
	cr_assert_eq(zs_device_read(device, stream, offset, found, length), 0);
	cr_assert_eq(memcmp(found, data, length), 0);
	free(found);
	zs_device_put(device, stream);
}

static void reopen(bool from_copy)
{
	struct zs_store_options options = {0};
	int fd = from_copy ? test_arena_copy(zs_store_fd(store)) : dup(zs_store_fd(store));

	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	zs_store_check(store);
}

/*
 * adding
 */

static const struct {
	const char *name;
	uint64_t size_bytes;
	uint32_t block_size;
	struct zs_codec_params codec;
	int result;
	enum zs_device_field field;
} bad_options[] = {
	{NULL, MIB, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_NAME},
	{"", MIB, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_NAME},
	{"a/b", MIB, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_NAME},
	{"..", MIB, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_NAME},
	{"a\n", MIB, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_NAME},
	{"12345678901234567890123456789012345678901234567890123456789012345",
	 MIB,
	 0,
	 {ZS_CODEC_LZ4, 1},
	 -EINVAL,
	 ZS_FIELD_NAME},
	{"taken", MIB, 0, {ZS_CODEC_LZ4, 1}, -EEXIST, ZS_FIELD_NONE},
	{"a", 0, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_SIZE},
	{"a", 1, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_SIZE},
	{"a", 4095, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_SIZE},
	{"a", 4097, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_SIZE},
	{"a", 4096, 8192, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_SIZE},
	{"a", UINT64_MAX, 0, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_SIZE},
	{"a", MIB, 1, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_BLOCK_SIZE},
	{"a", MIB, 2048, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_BLOCK_SIZE},
	{"a", MIB, 4097, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_BLOCK_SIZE},
	{"a", MIB, 12288, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_BLOCK_SIZE},
	{"a", MIB, 131072, {ZS_CODEC_LZ4, 1}, -EINVAL, ZS_FIELD_BLOCK_SIZE},
	{"a", MIB, 0, {ZS_CODEC_RAW, 1}, -EINVAL, ZS_FIELD_CODEC},
	{"a", MIB, 0, {ZS_CODEC_FILL, 1}, -EINVAL, ZS_FIELD_CODEC},
	{"a", MIB, 0, {ZS_CODEC_NR, 1}, -EINVAL, ZS_FIELD_CODEC},
	{"a", MIB, 0, {255, 1}, -EINVAL, ZS_FIELD_CODEC},
	{"a", MIB, 0, {ZS_CODEC_LZ4, 0}, -EINVAL, ZS_FIELD_CODEC},
	{"a", MIB, 0, {ZS_CODEC_LZ4, 65538}, -EINVAL, ZS_FIELD_CODEC},
	{"a", MIB, 0, {ZS_CODEC_ZSTD, 0}, -EINVAL, ZS_FIELD_CODEC},
	{"a", MIB, 0, {ZS_CODEC_ZSTD, 23}, -EINVAL, ZS_FIELD_CODEC},
	{"a", MIB, 0, {ZS_CODEC_ZSTD, -8}, -EINVAL, ZS_FIELD_CODEC},
	/* 64 MiB of slots. */
	{"a", (uint64_t)32 << 30, 0, {ZS_CODEC_LZ4, 1}, -EFBIG, ZS_FIELD_NONE},
	{"a", UINT64_MAX - 4095, 0, {ZS_CODEC_LZ4, 1}, -EFBIG, ZS_FIELD_NONE},
	{"a", (uint64_t)1 << 63, 65536, {ZS_CODEC_LZ4, 1}, -EFBIG, ZS_FIELD_NONE},
};

Test(store, bad_options_are_refused_by_the_field_that_is_bad)
{
	uint64_t hash;

	test_device_add(store, "taken", MIB, 0, lz4);
	hash = test_arena_hash(zs_store_fd(store));
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(bad_options); i++) {
		struct zs_device_options options = {
			.name = bad_options[i].name,
			.size_bytes = bad_options[i].size_bytes,
			.block_size = bad_options[i].block_size,
			.codec = bad_options[i].codec,
		};
		enum zs_device_field field = ZS_FIELD_NONE;
		uint64_t id = 4711;

		cr_assert_eq(zs_store_add(store, &options, &field, &id), bad_options[i].result, "line %u", i);
		cr_assert_eq(field, bad_options[i].field, "line %u", i);
		cr_assert_eq(zs_store_add(store, &options, NULL, &id), bad_options[i].result);
		cr_assert_eq(id, 4711);
	}
	cr_assert_eq(test_store_nr_devices(), 1);
	cr_assert_eq(test_arena_hash(zs_store_fd(store)), hash, "a refusal changes nothing");
}

Test(store, the_largest_device_is_as_large_as_said)
{
	uint64_t max = zs_store_max_device_bytes(store, 65536), rest;
	struct zs_device_options options = {.name = "b", .size_bytes = max + 65536, .block_size = 65536, .codec = lz4};
	uint64_t id;

	cr_assert_eq(max, ((uint64_t)64 << 20) / 8 * 65536);
	cr_assert_eq(zs_store_max_device_bytes(store, 0), max / 16);
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), -EFBIG);
	options.size_bytes = max;
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	cr_assert_eq(zs_store_max_device_bytes(store, 4096), 0);
	cr_assert_eq(zs_store_remove(store, id), 0);
	/* In the gap between two others. */
	id = test_device_add(store, "first", (uint64_t)1 << 30, 4096, lz4);
	test_device_add(store, "second", (uint64_t)1 << 30, 4096, lz4);
	rest = zs_store_max_device_bytes(store, 4096);
	cr_assert_eq(zs_store_remove(store, id), 0);
	cr_assert_eq(zs_store_max_device_bytes(store, 4096), rest);
	test_device_add(store, "rest", rest, 4096, lz4);
	cr_assert_eq(zs_store_max_device_bytes(store, 4096), (uint64_t)1 << 30);
	test_device_add(store, "gap", (uint64_t)1 << 30, 4096, lz4);
	cr_assert_eq(zs_store_max_device_bytes(store, 4096), 0);
}

Test(store, a_thousand_devices_come_and_go_in_seconds_of_processor_time)
{
	struct timespec start, end;
	uint64_t ids[1000];
	char name[32];

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "device-%u", i);
		ids[i] = test_device_add(store, name, MIB, 0, lz4);
		test_store_write(ids[i], i % 256 * 4096, name, sizeof(name));
	}
	cr_assert_eq(test_store_nr_devices(), 1000);
	zs_store_check(store);
	for (unsigned int i = 0; i < 1000; i++)
		cr_assert_eq(zs_store_remove(store, ids[i]), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	cr_assert_eq(test_store_nr_devices(), 0);
	cr_assert_lt(end.tv_sec - start.tv_sec, 10);
}

Test(store, the_table_holds_as_many_as_it_says_and_no_more, .timeout = 120)
{
	struct zs_device_options options = {.name = "one-more", .size_bytes = 4096, .codec = lz4};
	unsigned int cursor = 0, nr = 0;
	uint64_t id, last = 0;
	char name[32];

	for (unsigned int i = 0; i < ZS_DEVICES_MAX; i++) {
		snprintf(name, sizeof(name), "device-%u", i);
		last = test_device_add(store, name, 4096, 0, lz4);
	}
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), -ENFILE);
	while (zs_store_next(store, &cursor, &id))
		nr++;
	cr_assert_eq(nr, ZS_DEVICES_MAX);
	test_store_write(last, 0, name, sizeof(name));
	reopen(false);
	cr_assert_eq(test_store_nr_devices(), ZS_DEVICES_MAX);
	check_at(last, 0, name, sizeof(name));
	cr_assert_eq(zs_store_remove(store, last), 0);
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	cr_assert_neq(id, last);
}

/*
 * finding and removing
 */

Test(store, names_and_ids_find_their_device)
{
	uint64_t a = test_device_add(store, "a", MIB, 0, lz4), b = test_device_add(store, "b", MIB, 0, lz4), id = 0;
	unsigned int cursor = 0;

	cr_assert_eq(zs_store_find(store, "a", &id), 0);
	cr_assert_eq(id, a);
	cr_assert_eq(zs_store_find(store, "b", &id), 0);
	cr_assert_eq(id, b);
	cr_assert_eq(zs_store_find(store, "c", &id), -ENODEV);
	cr_assert_eq(zs_store_find(store, "", &id), -ENODEV);
	cr_assert_eq(id, b);
	cr_assert(zs_store_next(store, &cursor, &id) && id == a);
	cr_assert(zs_store_next(store, &cursor, &id) && id == b);
	cr_assert_not(zs_store_next(store, &cursor, &id));
	cr_assert_null(zs_device_get(store, 0, stream));
	cr_assert_null(zs_device_get(store, a + 1000 * ZS_DEVICES_MAX, stream));
	cr_assert_null(zs_device_get(store, UINT64_MAX, stream));
}

Test(store, a_removed_device_is_gone_and_its_id_never_comes_back)
{
	uint64_t first = test_device_add(store, "a", MIB, 0, lz4), second, id;
	char data[4096];

	test_data_make(TEST_DATA_NOISE, &(struct test_random){1}, data, sizeof(data));
	test_store_write(first, 0, data, sizeof(data));
	cr_assert_eq(zs_store_remove(store, first), 0);
	cr_assert_eq(zs_store_remove(store, first), -ENODEV);
	cr_assert_eq(zs_store_remove(store, 0), -ENODEV);
	cr_assert_eq(zs_store_remove(store, UINT64_MAX), -ENODEV);
	cr_assert_null(zs_device_get(store, first, stream));
	cr_assert_eq(zs_store_find(store, "a", &id), -ENODEV);
	reopen(false);
	cr_assert_eq(test_store_nr_devices(), 0);
	second = test_device_add(store, "a", MIB, 0, lz4);
	cr_assert_neq(second, first);
	memset(data, 0, sizeof(data));
	check_at(second, 0, data, sizeof(data));
}

Test(store, removing_frees_all_memory)
{
	struct zs_store_stats stats;
	char *data = malloc(MIB);
	uint64_t id;

	for (enum test_data kind = 0; kind < TEST_DATA_NR; kind++) {
		id = test_device_add(store, "a", MIB, 0, lz4);
		test_data_make(kind, &(struct test_random){1}, data, MIB);
		test_store_write(id, 0, data, MIB);
		cr_assert_eq(zs_store_remove(store, id), 0);
		zs_store_stats(store, &stats);
		cr_assert_eq(stats.heap.zspage_pages, 0);
		cr_assert_eq(stats.heap.slot_table_pages, 0);
		cr_assert_eq(stats.heap.handles.objects, 0);
		cr_assert_eq(stats.pool.objects, 0);
	}
	free(data);
}

struct io_thread {
	pthread_t thread;
	uint64_t id;
	uint64_t done;
};

/* Reads and writes until the device is gone. */
static void *io_until_gone(void *argument)
{
	struct io_thread *io = argument;
	struct zs_device *device;
	struct zs_stream *own;
	char block[4096];
	size_t done;

	cr_assert_eq(zs_stream_create(1, &own), 0);
	while ((device = zs_device_get(store, io->id, own))) {
		uint64_t offset = io->done % 256 * 4096;

		memset(block, (int)io->done, sizeof(block));
		block[io->done % 4096] = 1;
		cr_assert_eq(zs_device_write(device, own, offset, block, sizeof(block), &done), 0);
		cr_assert_eq(zs_device_read(device, own, offset, block, sizeof(block)), 0);
		zs_device_put(device, own);
		__atomic_fetch_add(&io->done, 1, __ATOMIC_RELAXED);
	}
	zs_stream_destroy(own);
	return NULL;
}

Test(store, a_device_is_removed_under_io)
{
	struct io_thread threads[4];
	struct zs_store_stats stats;

	for (unsigned int round = 0; round < 20; round++) {
		uint64_t id = test_device_add(store, "busy", MIB, 0, lz4);

		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(threads); i++) {
			threads[i] = (struct io_thread){.id = id};
			cr_assert_eq(pthread_create(&threads[i].thread, NULL, io_until_gone, &threads[i]), 0);
		}
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(threads); i++) {
			while (__atomic_load_n(&threads[i].done, __ATOMIC_RELAXED) < 20)
				sched_yield();
		}
		cr_assert_eq(zs_store_remove(store, id), 0);
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(threads); i++)
			pthread_join(threads[i].thread, NULL);
		zs_store_check(store);
	}
	zs_store_stats(store, &stats);
	cr_assert_eq(stats.pool.objects, 0);
}

/*
 * opening again
 */

static void check_same_info(const struct zs_device_info *before, const struct zs_device_info *after)
{
	cr_assert_eq(after->id, before->id);
	cr_assert_str_eq(after->name, before->name);
	cr_assert_eq(after->size_bytes, before->size_bytes);
	cr_assert_eq(after->block_size, before->block_size);
	cr_assert_eq(after->codec.codec, before->codec.codec);
	cr_assert_eq(after->codec.level, before->codec.level);
	cr_assert_eq(after->nr_recompress, before->nr_recompress);
	for (unsigned int i = 0; i < before->nr_recompress; i++) {
		cr_assert_eq(after->recompress[i].codec, before->recompress[i].codec);
		cr_assert_eq(after->recompress[i].level, before->recompress[i].level);
	}
	cr_assert_eq(after->memory_limit_bytes, before->memory_limit_bytes);
	cr_assert_eq(after->mode, before->mode);
	cr_assert_eq(after->uid, before->uid);
	cr_assert_eq(after->gid, before->gid);
	cr_assert_eq(after->created_sec, before->created_sec);
}

Test(store, everything_is_there_again_after_a_restart)
{
	struct zs_device_options options = {
		.name = "all",
		.size_bytes = MIB,
		.block_size = 16384,
		.codec = {ZS_CODEC_ZSTD, 7},
		.nr_recompress = 1,
		.recompress = {{ZS_CODEC_ZSTD, 12}},
		.memory_limit_bytes = MIB / 2,
		.mode = 0640,
		.uid = 1,
		.gid = 2,
		.page_cache = true,
		.read_only = true,
	};
	static const struct zs_codec_params levels[] = {{ZS_CODEC_ZSTD, 3}, {ZS_CODEC_ZSTD, -5}};
	struct zs_device_info before, after;
	struct zs_device_stats stats_before, stats_after;
	struct zs_device *device;
	char data[100000];
	uint64_t id;

	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	test_data_make(TEST_DATA_TEXT, &(struct test_random){1}, data, sizeof(data));
	test_store_write(id, 5000, data, sizeof(data));
	device = zs_device_get(store, id, stream);
	zs_device_set_owner(device, 3, 4);
	cr_assert_eq(zs_device_set_codec(device, &(struct zs_codec_params){ZS_CODEC_LZ4, 3}), 0);
	cr_assert_eq(zs_device_set_recompress(device, levels, 2), 0);
	cr_assert_eq(zs_device_set_recompress(device, levels, 4), -EINVAL);
	cr_assert_eq(zs_device_set_codec(device, &(struct zs_codec_params){ZS_CODEC_RAW, 0}), -EINVAL);
	zs_device_info(device, &before);
	cr_assert_eq(before.codec.level, 3);
	cr_assert_eq(before.nr_recompress, 2);
	zs_device_stats(device, &stats_before);
	zs_device_put(device, stream);
	for (unsigned int round = 0; round < 4; round++) {
		reopen(round % 2);
		device = zs_device_get(store, id, stream);
		zs_device_info(device, &after);
		zs_device_stats(device, &stats_after);
		zs_device_put(device, stream);
		check_same_info(&before, &after);
		cr_assert_eq(after.uid, 3);
		cr_assert(after.page_cache);
		cr_assert(after.read_only);
		cr_assert_eq(stats_after.data_bytes, stats_before.data_bytes);
		cr_assert_eq(stats_after.compressed_bytes, stats_before.compressed_bytes);
		cr_assert_eq(stats_after.memory_bytes, stats_before.memory_bytes);
		check_at(id, 5000, data, sizeof(data));
	}
}

Test(store, what_is_no_arena_of_ours_is_refused_and_left_alone)
{
	struct zs_store_options options = {0};
	struct zs_store *none = (void *)&options;
	int empty = memfd_create("empty", 0), newer, truncated;
	uint32_t version = ZS_ARENA_LAYOUT_VERSION + 1;
	uint64_t hash;

	test_device_add(store, "a", MIB, 0, lz4);
	newer = test_arena_copy(zs_store_fd(store));
	truncated = test_arena_copy(zs_store_fd(store));
	cr_assert_eq(pwrite(newer, &version, sizeof(version), 8), sizeof(version));
	cr_assert_eq(ftruncate(truncated, 3 << 20), 0);
	hash = test_arena_hash(newer);
	cr_assert_eq(zs_store_open(empty, &options, &none), -EMEDIUMTYPE);
	cr_assert_eq(zs_store_open(newer, &options, &none), -EPROTONOSUPPORT);
	cr_assert_eq(zs_store_open(truncated, &options, &none), -EBADMSG);
	cr_assert_eq(zs_store_open(-1, &options, &none), -EBADF);
	cr_assert_eq((void *)none, (void *)&options);
	cr_assert_eq(test_arena_hash(newer), hash);
	close(empty);
	close(newer);
	close(truncated);
}

Test(store, a_limit_below_the_use_after_a_restart_loses_nothing)
{
	struct zs_store_options options = {.memory_limit_bytes = 64 << 10};
	uint64_t id = test_device_add(store, "a", MIB, 0, lz4);
	struct zs_device *device;
	char data[100000];
	size_t done;
	int fd;

	test_data_make(TEST_DATA_NOISE, &(struct test_random){1}, data, sizeof(data));
	test_store_write(id, 0, data, sizeof(data));
	fd = dup(zs_store_fd(store));
	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	check_at(id, 0, data, sizeof(data));
	device = zs_device_get(store, id, stream);
	cr_assert_eq(zs_device_write(device, stream, 0, data, 4096, &done), 0);
	zs_device_put(device, stream);
}
