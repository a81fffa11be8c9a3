/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dictionaries: trained, kept if they pay, needed by objects, given back. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "store/block_internal.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/cold_store.h"
#include "support/dictionary.h"
#include "support/small_store.h"
#include "support/store_fixture.h"
#include "zsmalloc/object.h"

#define BLOCKS	  1024
#define HALF	  (BLOCKS / 2 * (size_t)4096)
#define BYTES	  (2 * HALF)
#define SIZE	  ((uint32_t)16 << 10)
#define PLACE(nr) ((nr) * (uint64_t)ZS_DICTIONARY_MAX_BYTES)

static struct zs_device *device;
static uint64_t id;
static struct test_random random_state = {.state = 1};
static struct zs_train_progress progress;
static char content[BYTES], result[BYTES], path[TEST_PATH_BYTES];

static void write_range(size_t offset, size_t length)
{
	size_t done;

	cr_assert_eq(zs_device_write(device, stream, offset, content + offset, length, &done), 0);
	cr_assert_eq(done, length);
}

/* Half of the device, with data of this kind. */
static void write_half(unsigned int half, uint64_t kind)
{
	for (size_t at = half * HALF; at < (half + 1) * HALF; at += 4096)
		test_pattern_make(kind, &random_state, content + at, 4096);
	write_range(half * HALF, HALF);
}

static void setup(void)
{
	test_store_set_up();
	id = test_device_add(store, "device", BYTES, 4096, (struct zs_codec_params){ZS_CODEC_LZ4, 1});
	device = zs_device_get(store, id, stream);
	write_half(0, 1);
	write_half(1, 1);
}

static void check_content(void)
{
	cr_assert_eq(zs_device_read(device, stream, 0, result, BYTES), 0);
	cr_assert_eq(memcmp(result, content, BYTES), 0);
}

static void teardown(void)
{
	if (device)
		zs_device_put(device, stream);
	test_store_tear_down();
	if (*path)
		unlink(path);
}

TestSuite(dictionaries, .init = setup, .fini = teardown);

/* As after a kill: nothing but the arena is left. */
static void reopen(void)
{
	struct zs_store_options options = {0};
	int fd = dup(zs_store_fd(store));

	zs_device_put(device, stream);
	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	device = zs_device_get(store, id, stream);
}

static void train(void)
{
	cr_assert_eq(test_train(store, id, stream, SIZE, &progress), 0);
}

static void train_and_use(uint32_t version)
{
	train();
	cr_assert_eq(progress.version, version);
	cr_assert_gt(test_recompress(device, stream), BLOCKS / 4);
}

static struct zs_device_stats stats(void)
{
	struct zs_device_stats now;

	zs_device_stats(device, &now);
	return now;
}

static uint64_t dictionary_pages(void)
{
	struct zs_store_stats now;

	zs_store_stats(store, &now);
	return now.heap.dictionary_pages;
}

static struct zs_dictionary_info list(unsigned int expected, unsigned int which)
{
	struct zs_dictionary_info infos[ZS_DICTIONARY_VERSIONS];

	cr_assert_eq(zs_device_dictionaries(device, infos), expected);
	return infos[which];
}

Test(dictionaries, what_blocks_have_in_common_is_stored_once)
{
	uint64_t before = stats().memory_bytes, gain;

	train_and_use(1);
	cr_assert_eq(progress.blocks_done, progress.blocks);
	cr_assert_gt(progress.learnt_blocks, progress.tried_blocks);
	cr_assert_gt(progress.gain_bytes, progress.cost_bytes);
	gain = before - stats().memory_bytes + list(1, 0).memory_bytes;
	cr_assert(gain > progress.gain_bytes / 10 * 9 && gain < progress.gain_bytes / 10 * 11, "%lu of %lu", gain,
		  progress.gain_bytes);
	cr_assert_eq(stats().recompression_saved_bytes, gain);
	check_content();
}

Test(dictionaries, what_they_take_is_counted)
{
	uint64_t before = stats().memory_bytes;
	struct zs_dictionary_info info;

	train();
	info = list(1, 0);
	cr_assert(info.is_current && !info.is_damaged && info.version == 1 && !info.blocks);
	cr_assert_leq(info.size_bytes, SIZE);
	cr_assert_eq(stats().memory_bytes - before, info.memory_bytes);
	cr_assert_eq(dictionary_pages() * 4096, info.memory_bytes);
	cr_assert_geq(info.memory_bytes, 2 * (uint64_t)info.size_bytes);
	cr_assert_leq(info.memory_bytes, progress.cost_bytes);
}

Test(dictionaries, they_are_there_after_a_restart)
{
	train_and_use(1);
	reopen();
	check_content();
	cr_assert_geq(list(1, 0).blocks, BLOCKS / 2);
	cr_assert(list(1, 0).is_current);
	write_half(0, 1);
	cr_assert_geq(test_recompress(device, stream), BLOCKS / 4);
	check_content();
}

Test(dictionaries, noise_is_refused_with_the_figures)
{
	uint64_t before = stats().memory_bytes;

	test_random_fill(&random_state, content, BYTES);
	write_range(0, BYTES);
	before = stats().memory_bytes;
	train();
	cr_assert_eq(progress.version, 0);
	cr_assert_gt(progress.tried_blocks, 0);
	cr_assert_gt(progress.cost_bytes, progress.gain_bytes);
	cr_assert_eq(progress.before_bytes, progress.after_bytes);
	cr_assert_eq(stats().memory_bytes, before);
	list(0, 0);
}

Test(dictionaries, the_same_again_is_not_worth_it)
{
	train_and_use(1);
	train();
	cr_assert_eq(progress.version, 0, "compared with the one that is there, not with none");
	list(1, 0);
}

Test(dictionaries, an_old_one_stays_as_long_as_a_block_needs_it)
{
	train_and_use(1);
	cr_assert_eq(zs_store_retire_dictionaries(store), 0, "the current one stays in any case");
	write_half(0, 2);
	train_and_use(2);
	cr_assert(!list(2, 0).is_current && list(2, 1).is_current);
	cr_assert_eq(zs_store_retire_dictionaries(store), 0);
	check_content();
	reopen();
	cr_assert(!list(2, 0).is_current && list(2, 1).is_current);
	check_content();
	write_half(1, 2);
	cr_assert_eq(list(2, 0).blocks, 0);
	cr_assert_eq(zs_store_retire_dictionaries(store), 1);
	cr_assert_eq(list(1, 0).version, 2);
	check_content();
	reopen();
	cr_assert_eq(list(1, 0).version, 2);
	check_content();
}

Test(dictionaries, current_ones_stay_without_blocks)
{
	train_and_use(1);
	cr_assert_eq(zs_device_discard(device, stream, 0, BYTES), 0);
	cr_assert_eq(zs_store_retire_dictionaries(store), 0);
	reopen();
	cr_assert(list(1, 0).is_current);
}

Test(dictionaries, blocks_in_the_backing_file_need_theirs)
{
	test_backing_create(path);
	test_backing_attach(store, path, 0);
	train_and_use(1);
	test_writeback(store);
	cr_assert_eq(list(1, 0).blocks, 0);
	write_half(0, 2);
	train_and_use(2);
	cr_assert_eq(zs_store_retire_dictionaries(store), 0);
	check_content();
	reopen();
	test_backing_attach(store, path, 0);
	cr_assert_eq(zs_store_retire_dictionaries(store), 0);
	check_content();
	/* Read for the second time they are in memory again. */
	check_content();
	cr_assert_eq(stats().backed_blocks, 0);
	cr_assert_gt(list(2, 0).blocks, 0);
	cr_assert_eq(zs_store_retire_dictionaries(store), 0);
	write_half(1, 2);
	cr_assert_eq(zs_store_retire_dictionaries(store), 1);
	check_content();
}

/* Flips a bit of a byte of the first place. */
static void flip(size_t offset)
{
	char *at = zs_arena_at(&store->arena, ZS_REGION_DICTIONARIES, PLACE(0) + offset);

	*at ^= 4;
}

/* Every block reads as what it was, or as an I/O error. Returns how many errors. */
static unsigned int count_errors(void)
{
	unsigned int errors = 0;

	for (size_t at = 0; at < BYTES; at += 4096) {
		int error = zs_device_read(device, stream, at, result, 4096);

		cr_assert(error == -EIO || (!error && !memcmp(result, content + at, 4096)));
		errors += error == -EIO;
	}
	return errors;
}

Test(dictionaries, a_flipped_byte_is_found)
{
	train_and_use(1);
	flip(sizeof(struct zs_dictionary_entry) + 5000);
	cr_assert_eq(count_errors(), 0, "what is read with is a copy");
	reopen();
	cr_assert(list(1, 0).is_damaged && !list(1, 0).is_current);
	cr_assert_eq(count_errors(), list(1, 0).blocks);
	cr_assert_gt(list(1, 0).blocks, BLOCKS / 2);
	write_range(0, BYTES);
	cr_assert_eq(count_errors(), 0);
	cr_assert_eq(zs_store_retire_dictionaries(store), 1);
	train_and_use(1);
	check_content();
}

Test(dictionaries, nothing_is_made_with_a_flipped_byte)
{
	train_and_use(1);
	write_range(0, BYTES);
	flip(sizeof(struct zs_dictionary_entry) + 5000);
	zs_stream_destroy(stream);
	cr_assert_eq(zs_stream_create(0, &stream), 0);
	test_recompress(device, stream);
	cr_assert_eq(list(1, 0).blocks, 0);
	check_content();
	/* Nothing needs the old one: it was given back. */
	train_and_use(1);
	check_content();
}

Test(dictionaries, a_flipped_number_of_an_object_is_not_believed_when_it_is_freed)
{
	struct zs_object object;
	uint64_t blocks;

	train_and_use(1);
	/* An object without a dictionary says that it has this one. */
	test_random_fill(&random_state, content, 4096);
	write_range(0, 4096);
	blocks = list(1, 0).blocks;
	cr_assert_eq(zs_obj_read_begin(device->pool, zs_slot_handle(zs_table_load(&device->table, 0)), &object), 0);
	cr_assert_eq(object.info.dictionary, 0);
	((struct zs_object_header *)(uintptr_t)object.payload)[-1].meta ^= 1u << 21;
	zs_obj_read_end(device->pool, &object);
	write_range(0, 4096);
	cr_assert_eq(list(1, 0).blocks, blocks);
	cr_assert_eq(stats().corrupt, 1);
	check_content();
}

Test(dictionaries, a_damaged_entry_keeps_its_place)
{
	static const size_t offsets[] = {0, 8, 16, 24, 32, 36, 40, 56};

	train_and_use(1);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(offsets); i++) {
		flip(offsets[i]);
		reopen();
		list(0, 0);
		cr_assert_gt(count_errors(), BLOCKS / 2);
		flip(offsets[i]);
		reopen();
		cr_assert_eq(count_errors(), 0, "offset %zu", offsets[i]);
	}
	flip(0);
	reopen();
	write_half(0, 2);
	train();
	cr_assert_eq(progress.version, 1);
	cr_assert_gt(count_errors(), BLOCKS / 4, "another one is not taken for it");
	write_range(0, BYTES);
	cr_assert_eq(count_errors(), 0);
}

Test(dictionaries, removing_the_device_gives_them_back)
{
	train_and_use(1);
	write_half(0, 2);
	train_and_use(2);
	zs_device_put(zs_take(device), stream);
	cr_assert_eq(zs_store_remove(store, id), 0);
	cr_assert_eq(dictionary_pages(), 0);
}

static void *put_later(void *unused)
{
	usleep(20000);
	zs_dictionary_put(store, 1);
	return unused;
}

Test(dictionaries, removing_the_device_waits_for_a_late_reader_of_another)
{
	struct zs_dictionary *dictionary;
	pthread_t reader;

	train_and_use(1);
	cr_assert_eq(zs_dictionary_get(store, 1, &dictionary), 0);
	zs_device_put(zs_take(device), stream);
	cr_assert_eq(pthread_create(&reader, NULL, put_later, NULL), 0);
	cr_assert_eq(zs_store_remove(store, id), 0);
	cr_assert_eq(pthread_join(reader, NULL), 0);
	cr_assert_eq(dictionary_pages(), 0);
	cr_assert_eq(zs_dictionary_get(store, 1, &dictionary), -EBADMSG);
}

Test(dictionaries, those_of_a_device_that_was_removed_are_given_back_at_open)
{
	struct zs_store_options options = {0};
	uint64_t at = 0, length;
	int fd = dup(zs_store_fd(store));

	train_and_use(1);
	atomic_store(&device->entry->id, 0);
	zs_device_put(zs_take(device), stream);
	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	cr_assert_eq(dictionary_pages(), 0);
	cr_assert(!zs_arena_next_data(&store->arena, ZS_REGION_DICTIONARIES, &at, &length));
}

Test(dictionaries, limits_hold)
{
	struct zs_store_stats now;

	zs_store_stats(store, &now);
	zs_store_set_limit(store, now.heap.used_bytes);
	cr_assert_eq(test_train(store, id, stream, SIZE, &progress), -ENOSPC);
	cr_assert_eq(dictionary_pages(), 0);
	zs_store_set_limit(store, 2 * now.heap.used_bytes);
	train_and_use(1);
}

Test(dictionaries, a_device_has_so_many_at_most)
{
	struct zs_dictionary *dictionary;
	uint32_t version;

	for (unsigned int i = 0; i <= ZS_DICTIONARY_VERSIONS; i++) {
		cr_assert_eq(zs_dictionary_create(zs_dictionary_new_id(store), content, SIZE, &dictionary), 0);
		if (i == 4)
			cr_assert_gt(test_recompress(device, stream), 0);
		if (i == ZS_DICTIONARY_VERSIONS)
			break;
		cr_assert_eq(zs_dictionary_publish(device, dictionary, &version), 0);
		cr_assert_eq(version, i + 1);
	}
	cr_assert_eq(zs_dictionary_publish(device, dictionary, &version), -EBUSY);
	cr_assert_eq(zs_store_retire_dictionaries(store), ZS_DICTIONARY_VERSIONS - 2);
	cr_assert(list(2, 0).version == 4 && list(2, 1).version == 8);
	cr_assert_eq(zs_dictionary_publish(device, dictionary, &version), 0);
	cr_assert_eq(version, 9);
}

Test(dictionaries, a_reader_that_is_late_begins_anew)
{
	struct zs_object object;
	uint64_t slot;

	train_and_use(1);
	slot = zs_table_load(&device->table, 0);
	cr_assert_eq(zs_obj_read_begin(device->pool, zs_slot_handle(slot), &object), 0);
	cr_assert_eq(object.info.dictionary, 1);
	cr_assert_eq(zs_block_unpack(device, stream, 0, &object, result), 0);
	write_half(0, 2);
	write_half(1, 2);
	cr_assert_eq(zs_block_unpack(device, stream, 0, &object, result), -ESTALE);
	train_and_use(2);
	cr_assert_eq(zs_store_retire_dictionaries(store), 1);
	cr_assert_eq(zs_block_unpack(device, stream, 0, &object, result), -ESTALE);
	zs_obj_read_end(device->pool, &object);
	check_content();
}

Test(dictionaries, who_is_borrowed_is_not_retired)
{
	struct zs_dictionary *dictionary;

	train_and_use(1);
	cr_assert_eq(zs_dictionary_get(store, 1, &dictionary), 0);
	write_half(0, 2);
	write_half(1, 2);
	train_and_use(2);
	cr_assert_eq(zs_store_retire_dictionaries(store), 0);
	zs_dictionary_put(store, 1);
	cr_assert_eq(zs_store_retire_dictionaries(store), 1);
	cr_assert_eq(zs_dictionary_get(store, 1, &dictionary), -EBADMSG);
}

Test(dictionaries, without_memory_nothing_is_half_done)
{
	uint64_t before = stats().memory_bytes;
	unsigned int failures = 0;
	int error = -1;

	for (uint64_t nth = 1; error; nth++) {
		zs_fault_arm(nth);
		error = test_train(store, id, stream, SIZE, &progress);
		zs_fault_arm(0);
		cr_assert(!error || error == -ENOMEM || error == -EAGAIN, "%d", error);
		failures += error != 0;
		if (error)
			cr_assert_eq(stats().memory_bytes, before);
	}
	cr_assert_geq(failures, 8);
	cr_assert_eq(progress.version, 1);
	check_content();
}
