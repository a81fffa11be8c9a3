/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pool for each device. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/data.h"
#include "support/small_store.h"
#include "zsmalloc/report.h"

#define BLOCK	  4096
#define NR_BLOCKS 300

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct zs_store *store;
static struct zs_stream *stream;
static char text[NR_BLOCKS][BLOCK];

static void pools_create(void)
{
	struct zs_store_options options = {0};
	struct test_random random = {.state = 3};

	test_arena_options(&options.arena);
	options.arena.pool_per_device = true;
	cr_assert_eq(zs_store_create(&options, &store), 0);
	cr_assert_eq(zs_stream_create(0, &stream), 0);
	for (unsigned int i = 0; i < NR_BLOCKS; i++)
		test_data_make(TEST_DATA_TEXT, &random, text[i], BLOCK);
}

static void pools_destroy(void)
{
	zs_store_check(store);
	zs_store_close(store);
	zs_stream_destroy(stream);
}

TestSuite(pools, .init = pools_create, .fini = pools_destroy);

static uint64_t add_full(const char *name)
{
	uint64_t id = test_device_add(store, name, (uint64_t)NR_BLOCKS * BLOCK, BLOCK, lz4);
	struct zs_device *device = zs_device_get(store, id, stream);
	size_t done;

	cr_assert_eq(zs_device_write(device, stream, 0, text, sizeof(text), &done), 0);
	zs_device_put(device, stream);
	return id;
}

static void check_full(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	char found[BLOCK];

	cr_assert_not_null(device);
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		cr_assert_eq(zs_device_read(device, stream, (uint64_t)i * BLOCK, found, BLOCK), 0);
		cr_assert_eq(memcmp(found, text[i], BLOCK), 0);
	}
	zs_device_put(device, stream);
}

Test(pools, a_device_that_gets_no_pool_leaves_nothing_behind)
{
	struct zs_device_options options = {.name = "one", .size_bytes = BLOCK, .codec = lz4};
	uint64_t id;
	int error = -ENOMEM;

	for (uint64_t nth = 1; error; nth++) {
		zs_fault_arm(nth);
		error = zs_store_add(store, &options, NULL, &id);
		zs_fault_arm(0);
		cr_assert(!error || error == -ENOMEM);
		zs_store_close(store);
		store = NULL;
		if (error) {
			struct zs_store_options anew = {0};

			test_arena_options(&anew.arena);
			anew.arena.pool_per_device = true;
			cr_assert_eq(zs_store_create(&anew, &store), 0);
		}
	}
	zs_stream_destroy(stream);
	pools_create();
}

Test(pools, devices_share_no_zspage)
{
	struct zs_device *one = zs_device_get(store, add_full("one"), stream);
	struct zs_device *two = zs_device_get(store, add_full("two"), stream);
	struct zs_pool_stats first, second;
	struct zs_store_stats all;

	cr_assert_neq(one->pool, two->pool);
	zs_pool_stats(one->pool, &first);
	zs_pool_stats(two->pool, &second);
	zs_store_stats(store, &all);
	cr_assert_eq(first.objects, NR_BLOCKS);
	cr_assert_eq(first.objects + second.objects, all.pool.objects);
	cr_assert_eq(first.pages + second.pages, all.heap.zspage_pages);
	zs_device_put(one, stream);
	zs_device_put(two, stream);
}

/* Holes in a pool: all objects are of one class, and one in ten is left, so that they fit into few zspages. */
static void make_holes(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	size_t done;

	for (unsigned int i = 0; i < NR_BLOCKS; i++)
		cr_assert_eq(zs_device_write(device, stream, (uint64_t)i * BLOCK, text[0], BLOCK, &done), 0);
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		if (i % 10)
			cr_assert_eq(zs_device_discard(device, stream, (uint64_t)i * BLOCK, BLOCK), 0);
	}
	zs_device_put(device, stream);
}

/* The limit is what is in use: there is room for nothing but what compaction finds. */
static void set_limit_to_use(void)
{
	struct zs_store_stats stats;

	zs_store_stats(store, &stats);
	zs_store_set_limit(store, stats.heap.used_bytes);
}

Test(pools, who_meets_the_limit_gets_room_from_the_holes_of_another_pool)
{
	static const char zeros[BLOCK];
	struct zs_device *two;
	uint64_t id;
	size_t done;

	make_holes(add_full("one"));
	id = test_device_add(store, "two", (uint64_t)NR_BLOCKS * BLOCK, BLOCK, lz4);
	two = zs_device_get(store, id, stream);
	/* No object, but the page of slots. */
	cr_assert_eq(zs_device_write(two, stream, 0, zeros, BLOCK, &done), 0);
	set_limit_to_use();
	cr_assert_eq(zs_device_write(two, stream, 0, text[0], BLOCK, &done), 0);
	zs_device_put(two, stream);
}

/* A word repeated needs no object: what is missing is the room of its slot. */
Test(pools, a_slot_gets_room_from_holes_as_an_object_does)
{
	struct zs_device *two;
	char word[BLOCK];
	uint64_t id;
	size_t done;

	memset(word, 7, sizeof(word));
	make_holes(add_full("one"));
	id = test_device_add(store, "two", (uint64_t)NR_BLOCKS * BLOCK, BLOCK, lz4);
	two = zs_device_get(store, id, stream);
	set_limit_to_use();
	cr_assert_eq(zs_device_write(two, stream, 0, word, BLOCK, &done), 0);
	cr_assert_eq(two->table.nr_present, 1);
	zs_device_put(two, stream);
}

/* Writes a block of noise of that length, and zeros: lz4 makes some 20 bytes more of it. */
static int write_noise(struct zs_device *device, uint64_t block, size_t nr_bytes)
{
	struct test_random random = {.state = block + 1};
	char data[BLOCK] = {0};
	size_t done;

	test_random_fill(&random, data, nr_bytes);
	return zs_device_write(device, stream, block * BLOCK, data, BLOCK, &done);
}

/* Room for objects of 1080 bytes of noise, whose class then has a zspage to spare. */
static void make_spare_room(struct zs_device *device)
{
	for (unsigned int i = 0; i < NR_BLOCKS; i++)
		cr_assert_eq(write_noise(device, i, 1080), 0);
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		if (i % 10)
			cr_assert_eq(zs_device_discard(device, stream, (uint64_t)i * BLOCK, BLOCK), 0);
	}
	zs_store_flush(store);
}

Test(pools, an_overwrite_that_grows_where_it_was_lent_room_meets_the_limit_of_its_device)
{
	struct zs_device_options options = {
		.name = "one", .size_bytes = 2 * NR_BLOCKS * BLOCK, .codec = lz4, .memory_limit_bytes = 64 << 20};
	struct zs_pool_stats stats;
	struct zs_device *device;
	uint64_t id, charged;

	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	device = zs_device_get(store, id, stream);
	make_spare_room(device);
	cr_assert_eq(write_noise(device, NR_BLOCKS, 1000), 0);
	zs_pool_stats(device->pool, &stats);
	cr_assert_eq(stats.lent_objects, 1);
	charged = atomic_load(&device->budget.charged_bytes);
	cr_assert_eq(zs_device_set_limit(device, charged), 0);
	cr_assert_eq(write_noise(device, NR_BLOCKS, 1075), -ENOSPC);
	cr_assert_eq(atomic_load(&device->budget.charged_bytes), charged);
	/* As large as it was is never refused. */
	cr_assert_eq(write_noise(device, NR_BLOCKS, 1000), 0);
	zs_device_put(device, stream);
}

Test(pools, size_classes_are_summed_over_all_pools)
{
	struct zs_device *one = zs_device_get(store, add_full("one"), stream);
	struct zs_device *two = zs_device_get(store, add_full("two"), stream);
	struct zs_class_stats sum[ZS_CLASSES_MAX], all[ZS_CLASSES_MAX];
	unsigned int nr = zs_classes_init(sum);
	uint64_t objects = 0;

	cr_assert_eq(zs_device_discard(two, stream, 0, 100 * BLOCK), 0);
	zs_pool_add_classes(one->pool, sum);
	zs_pool_add_classes(two->pool, sum);
	cr_assert_eq(zs_store_classes(store, all), nr);
	for (unsigned int i = 0; i < nr; i++) {
		cr_assert_eq(memcmp(&all[i], &sum[i], sizeof(all[i])), 0, "class %u", i);
		objects += all[i].objects;
	}
	cr_assert_eq(objects, 2 * NR_BLOCKS - 100);
	zs_device_put(one, stream);
	zs_device_put(two, stream);
}

Test(pools, an_arena_that_is_opened_again_keeps_the_mode)
{
	struct zs_store_options options = {0};
	uint64_t one = add_full("one"), two = add_full("two");
	int fd = dup(zs_store_fd(store));

	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	cr_assert(store->arena.pool_per_device);
	zs_store_check(store);
	check_full(one);
	check_full(two);
	cr_assert_eq(zs_store_remove(store, one), 0);
	check_full(two);
}

Test(pools, all_pools_are_compacted)
{
	uint64_t ids[] = {add_full("one"), add_full("two")};
	struct zs_store_stats stats;

	for (unsigned int i = 0; i < 2; i++) {
		struct zs_device *device = zs_device_get(store, ids[i], stream);

		for (unsigned int block = 0; block < NR_BLOCKS; block++)
			cr_assert(block % 4 == 0 || !zs_device_discard(device, stream, block * BLOCK, BLOCK));
		zs_device_put(device, stream);
	}
	zs_store_stats(store, &stats);
	cr_assert_gt(stats.pool.freeable_pages, 20);
	cr_assert_eq(zs_store_compact(store, UINT64_MAX), stats.pool.freeable_pages);
	zs_store_stats(store, &stats);
	cr_assert_eq(stats.pool.freeable_pages, 0);
}

Test(pools, compaction_in_slices_gets_to_all_pools)
{
	uint64_t ids[] = {add_full("one"), add_full("two"), add_full("three")};
	struct zs_store_stats stats;
	uint64_t freeable, freed = 0;

	for (unsigned int i = 0; i < 3; i++) {
		struct zs_device *device = zs_device_get(store, ids[i], stream);

		for (unsigned int block = 0; block < NR_BLOCKS; block++)
			cr_assert(block % 4 == 0 || !zs_device_discard(device, stream, block * BLOCK, BLOCK));
		zs_device_put(device, stream);
	}
	zs_store_stats(store, &stats);
	freeable = stats.pool.freeable_pages;
	for (uint64_t slice = 1; slice; freed += slice)
		slice = zs_store_compact(store, 1);
	cr_assert_eq(freed, freeable);
	/* Also if the pool where it stopped is gone. */
	cr_assert_eq(zs_store_remove(store, ids[2]), 0);
	cr_assert_eq(zs_store_remove(store, ids[1]), 0);
	cr_assert_eq(zs_store_compact(store, 1), 0);
}

Test(pools, a_device_with_a_damaged_slot_can_be_removed)
{
	uint64_t id = add_full("one");
	struct zs_device *device = zs_device_get(store, id, stream);

	atomic_fetch_xor(&device->table.slots[7], 1);
	zs_device_put(device, stream);
	cr_assert_eq(zs_store_remove(store, id), 0);
	cr_assert_null(zs_device_get(store, id, stream));
}
