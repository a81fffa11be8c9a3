/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Training: what is refused, what must not stand in its way, and that of damage. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/data.h"
#include "support/dictionary.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define BYTES ((size_t)4 << 20)
#define SIZE  ((uint32_t)16 << 10)

static uint64_t id;
static struct test_random random_state = {.state = 1};
static struct zs_train_progress progress;
static char content[BYTES];

/* A device full of data that has much in common. */
static uint64_t add_device(const char *name, size_t block_size)
{
	uint64_t added = test_device_add(store, name, BYTES, block_size, (struct zs_codec_params){ZS_CODEC_LZ4, 1});
	struct zs_device *device = zs_device_get(store, added, stream);
	size_t done;

	for (size_t at = 0; at < BYTES; at += block_size)
		test_pattern_make(1, &random_state, content + at, block_size);
	cr_assert_eq(zs_device_write(device, stream, 0, content, BYTES, &done), 0);
	zs_device_put(device, stream);
	return added;
}

static void setup(void)
{
	test_store_set_up();
	id = add_device("device", 4096);
}

TestSuite(train, .init = setup, .fini = test_store_tear_down);

Test(train, too_few_blocks_teach_nothing)
{
	uint64_t empty = test_device_add(store, "empty", BYTES, 4096, (struct zs_codec_params){ZS_CODEC_LZ4, 1});

	cr_assert_eq(test_train(store, empty, stream, SIZE, &progress), -ENODATA);
	cr_assert_eq(test_train(store, empty + 4096, stream, SIZE, &progress), -ENODEV);
}

Test(train, bad_requests_are_refused)
{
	struct zs_train_request request = {id, SIZE, {ZS_CODEC_LZ4, 1}};
	struct zs_train job;

	cr_assert_eq(zs_train_begin(&job, store, &request), -EINVAL);
	request.codec = (struct zs_codec_params){ZS_CODEC_ZSTD, 99};
	cr_assert_eq(zs_train_begin(&job, store, &request), -EINVAL);
	cr_assert_eq(test_train(store, id, stream, ZS_DICTIONARY_MIN_BYTES - 1, &progress), -ERANGE);
	cr_assert_eq(test_train(store, id, stream, ZS_DICTIONARY_MAX_BYTES + 1, &progress), -ERANGE);
	cr_assert_eq(test_train(store, id, stream, ZS_DICTIONARY_MAX_BYTES, &progress), 0);
	cr_assert_eq(test_train(store, id, stream, ZS_DICTIONARY_MIN_BYTES, &progress), 0);
}

Test(train, large_blocks_are_enough_for_a_small_dictionary)
{
	uint64_t ids[] = {add_device("16K", 16384), add_device("64K", 65536)};

	for (unsigned int i = 0; i < 2; i++) {
		cr_assert_eq(test_train(store, ids[i], stream, ZS_DICTIONARY_MIN_BYTES, &progress), 0);
		cr_assert_geq(progress.learnt_blocks, 32);
		cr_assert_gt(progress.tried_blocks, 0);
	}
}

Test(train, versions_that_nothing_needs_make_room_for_a_new_one)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	struct zs_dictionary *dictionary;
	uint32_t version;

	test_random_fill(&random_state, content, SIZE);
	for (unsigned int i = 0; i < ZS_DICTIONARY_VERSIONS; i++) {
		cr_assert_eq(zs_dictionary_create(zs_dictionary_new_id(store), content, SIZE, &dictionary), 0);
		cr_assert_eq(zs_dictionary_publish(device, dictionary, &version), 0);
	}
	zs_device_put(device, stream);
	cr_assert_eq(test_train(store, id, stream, SIZE, &progress), 0);
	cr_assert_eq(progress.version, ZS_DICTIONARY_VERSIONS + 1);
}

static char said[512];
static unsigned int nr_said;

static void keep_line(enum zs_log_level level, const char *line)
{
	nr_said += level == ZS_LOG_ERR;
	snprintf(said, sizeof(said), "%s", line);
}

/* Flips a bit of the first dictionary's content; threads may have tables of it. */
static void damage_content(void)
{
	char *at = zs_arena_at(&store->arena, ZS_REGION_DICTIONARIES, sizeof(struct zs_dictionary_entry) + 5000);

	*at ^= 4;
}

/* No thread has its tables any more. */
static void damage_dictionary(void)
{
	damage_content();
	zs_stream_destroy(stream);
	cr_assert_eq(zs_stream_create(0, &stream), 0);
}

Test(train, recompression_goes_on_without_a_damaged_dictionary_and_says_so_once)
{
	struct zs_device *device = zs_device_get(store, id, NULL);
	static char result[BYTES];
	size_t done;

	cr_assert_eq(test_train(store, id, stream, SIZE, &progress), 0);
	cr_assert_eq(progress.version, 1);
	test_data_make(TEST_DATA_TEXT, &random_state, content, BYTES);
	cr_assert_eq(zs_device_write(device, stream, 0, content, BYTES, &done), 0);
	damage_dictionary();
	zs_log_set_sink(keep_line, ZS_LOG_ERR);
	cr_assert_gt(test_recompress(device, stream), 0);
	test_recompress(device, stream);
	zs_log_set_sink(NULL, ZS_LOG_ERR);
	cr_assert_eq(nr_said, 1);
	cr_assert_not_null(strstr(said, "device=device: its dictionary is damaged in the arena"), "%s", said);
	cr_assert_eq(zs_store_retire_dictionaries(store), 1);
	cr_assert_eq(zs_device_read(device, stream, 0, result, BYTES), 0);
	cr_assert_eq(memcmp(result, content, BYTES), 0);
	zs_device_put(device, NULL);
}

/* Blocks that need a dictionary of the device, as it says itself. */
static uint64_t blocks_with_dictionaries(struct zs_device *device)
{
	struct zs_dictionary_info infos[ZS_DICTIONARY_VERSIONS];
	unsigned int nr = zs_device_dictionaries(device, infos);
	uint64_t blocks = 0;

	for (unsigned int i = 0; i < nr; i++)
		blocks += infos[i].blocks;
	return blocks;
}

Test(train, tables_from_before_the_damage_are_not_used_any_more)
{
	struct zs_device *device = zs_device_get(store, id, NULL);
	size_t done;

	cr_assert_eq(test_train(store, id, stream, SIZE, &progress), 0);
	cr_assert_gt(test_recompress(device, stream), 0);
	cr_assert_gt(blocks_with_dictionaries(device), 0);
	cr_assert_eq(zs_device_write(device, stream, 0, content, BYTES, &done), 0);
	cr_assert_eq(blocks_with_dictionaries(device), 0);
	damage_content();
	test_recompress(device, stream);
	cr_assert_eq(blocks_with_dictionaries(device), 0);
	zs_device_put(device, NULL);
}

/* given_up: recompression has noticed the damage before. */
static void train_after_damage(bool given_up)
{
	struct zs_device *device = zs_device_get(store, id, NULL);

	cr_assert_eq(test_train(store, id, stream, SIZE, &progress), 0);
	cr_assert_gt(test_recompress(device, stream), 0);
	damage_content();
	if (given_up)
		atomic_store(&device->dictionary, 0);
	cr_assert_eq(test_train(store, id, stream, SIZE, &progress), 0);
	cr_assert_eq(progress.version, 2, "gain %lu", (unsigned long)progress.gain_bytes);
	/* Blocks that need the damaged one are stored anew with it. */
	cr_assert_gt(test_recompress(device, stream), 0);
	zs_device_put(device, NULL);
}

Test(train, what_a_damaged_dictionary_has_saved_does_not_count)
{
	train_after_damage(true);
}

Test(train, nor_if_nobody_has_noticed_the_damage_yet)
{
	train_after_damage(false);
}
