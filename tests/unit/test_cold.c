/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cold blocks: reading, changing, discarding and promoting what is in the backing file. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/cold_store.h"
#include "support/data.h"
#include "support/small_store.h"

#define NR_BLOCKS  64
#define BLOCK_SIZE 4096
#define LENGTH	   ((size_t)NR_BLOCKS * BLOCK_SIZE)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct test_cold_world world;
static char content[LENGTH], found[LENGTH];
static struct test_random random_state = {.state = 4711};

static void init(void)
{
	test_cold_world_open(&world, 0);
}

static void deinit(void)
{
	test_cold_world_close(&world);
}

TestSuite(cold, .init = init, .fini = deinit);

/* Writes blocks that have an object each. */
static void fill(void)
{
	size_t done;

	for (size_t block = 0; block < NR_BLOCKS; block++)
		test_data_make(block % 4 ? TEST_DATA_TEXT : TEST_DATA_NOISE, &random_state,
			       content + block * BLOCK_SIZE, BLOCK_SIZE);
	cr_assert_eq(zs_device_write(world.device, world.stream, 0, content, LENGTH, &done), 0);
	cr_assert_eq(done, LENGTH);
}

static void fill_cold(void)
{
	fill();
	test_writeback(world.store);
}

static void check_content(void)
{
	memset(found, 0x55, LENGTH);
	cr_assert_eq(zs_device_read(world.device, world.stream, 0, found, LENGTH), 0);
	cr_assert_eq(memcmp(found, content, LENGTH), 0);
}

Test(cold, what_is_written_back_is_not_in_memory_and_reads_the_same)
{
	struct zs_device_stats before, after;
	uint64_t blocks, bytes;

	fill();
	before = test_cold_world_stats(&world);
	test_writeback(world.store);
	after = test_cold_world_stats(&world);
	cr_assert_eq(before.object_blocks, NR_BLOCKS);
	cr_assert_eq(after.object_blocks, 0);
	cr_assert_eq(after.backed_blocks, NR_BLOCKS);
	cr_assert_eq(after.data_bytes, before.data_bytes);
	cr_assert_eq(after.compressed_bytes, 0);
	cr_assert_eq(after.written_back_blocks, NR_BLOCKS);
	cr_assert_eq(after.written_back_bytes, after.backed_bytes);
	/* The handle words and a page of slots are left. */
	cr_assert_eq(after.memory_bytes, NR_BLOCKS * sizeof(uint64_t) + ZS_PAGE_SIZE);
	zs_store_backed(world.store, &blocks, &bytes);
	cr_assert_eq(blocks, NR_BLOCKS);
	cr_assert_eq(bytes, after.backed_bytes);
	check_content();
	cr_assert_eq(test_cold_world_stats(&world).read_back_blocks, NR_BLOCKS);
	cr_assert_eq(test_cold_world_stats(&world).read_back_bytes, after.backed_bytes);
}

Test(cold, every_content_in_every_block_size_comes_back)
{
	static const uint32_t sizes[] = {4096, 16384, 65536};
	static char block[65536], other[65536];

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++) {
		uint64_t other_id = test_device_add(world.store, (const char *[]){"a", "b", "c"}[i], 64 * 65536,
						    sizes[i], lz4);
		struct zs_device *own = zs_device_get(world.store, other_id, world.stream);
		size_t done;

		for (enum test_data kind = 0; kind < TEST_DATA_NR; kind++) {
			test_data_make(kind, &random_state, block, sizes[i]);
			cr_assert_eq(zs_device_write(own, world.stream, kind * sizes[i], block, sizes[i], &done), 0);
			test_writeback(world.store);
			cr_assert_eq(zs_device_read(own, world.stream, kind * sizes[i], other, sizes[i]), 0);
			cr_assert_eq(memcmp(block, other, sizes[i]), 0);
		}
		zs_device_put(own, world.stream);
	}
}

Test(cold, a_part_of_a_cold_block_is_written_and_the_rest_stays)
{
	size_t done;

	fill_cold();
	for (size_t block = 0; block < 8; block++) {
		size_t start = block * BLOCK_SIZE + 1000;

		test_random_fill(&random_state, content + start, 700);
		cr_assert_eq(zs_device_write(world.device, world.stream, start, content + start, 700, &done), 0);
		cr_assert_eq(done, 700);
	}
	cr_assert_eq(test_cold_world_stats(&world).object_blocks, 8);
	cr_assert_eq(test_cold_world_stats(&world).backed_blocks, NR_BLOCKS - 8);
	check_content();
}

Test(cold, discarded_and_overwritten_blocks_leave_nothing_in_the_file)
{
	size_t half = LENGTH / 2, done;

	fill_cold();
	cr_assert_eq(zs_device_discard(world.device, world.stream, 0, half), 0);
	memset(content, 0, half);
	test_data_make(TEST_DATA_TEXT, &random_state, content + half, half);
	cr_assert_eq(zs_device_write(world.device, world.stream, half, content + half, half, &done), 0);
	cr_assert_eq(test_cold_world_stats(&world).backed_blocks, 0);
	cr_assert_eq(test_cold_world_stats(&world).backed_bytes, 0);
	cr_assert_eq(test_cold_world_file_stats(&world).live_records, 0);
	check_content();
	zs_backing_punch(zs_store_backing(world.store));
	cr_assert_eq(test_cold_world_file_stats(&world).valid_segments, 0);
}

Test(cold, a_discard_that_begins_and_ends_inside_of_cold_blocks_zeroes_what_it_says)
{
	fill_cold();
	cr_assert_eq(zs_device_discard(world.device, world.stream, 5000, 20000), 0);
	memset(content + 5000, 0, 20000);
	check_content();
}

Test(cold, removing_a_device_frees_what_it_had_in_the_file)
{
	uint64_t blocks, bytes;

	fill_cold();
	zs_device_put(world.device, world.stream);
	world.device = NULL;
	cr_assert_eq(zs_store_remove(world.store, world.id), 0);
	cr_assert_eq(test_cold_world_file_stats(&world).live_records, 0);
	zs_store_backed(world.store, &blocks, &bytes);
	cr_assert_eq(blocks, 0);
	cr_assert_eq(bytes, 0);
}

Test(cold, a_thread_that_must_not_wait_is_told_so)
{
	size_t done = 4711;

	fill_cold();
	zs_stream_set_nowait(world.stream, true);
	cr_assert_eq(zs_device_read(world.device, world.stream, 0, found, BLOCK_SIZE), -EINPROGRESS);
	cr_assert_eq(zs_device_write(world.device, world.stream, 100, content, 10, &done), -EINPROGRESS);
	cr_assert_eq(done, 0);
	cr_assert_eq(zs_device_discard(world.device, world.stream, 100, 10), -EINPROGRESS);
	cr_assert_eq(test_cold_world_stats(&world).read_back_blocks, 0);
	cr_assert_eq(test_cold_world_stats(&world).reads + test_cold_world_stats(&world).discards, 0);
	/* A whole block needs nothing of what was there. */
	test_data_make(TEST_DATA_TEXT, &random_state, content, 2 * BLOCK_SIZE);
	cr_assert_eq(zs_device_write(world.device, world.stream, 0, content, BLOCK_SIZE, &done), 0);
	cr_assert_eq(zs_device_read(world.device, world.stream, 0, found, BLOCK_SIZE), 0);
	/* The first is done, of the second only a part is written. */
	cr_assert_eq(zs_device_write(world.device, world.stream, 0, content, BLOCK_SIZE + 8, &done), -EINPROGRESS);
	cr_assert_eq(done, BLOCK_SIZE);
	zs_stream_set_nowait(world.stream, false);
	cr_assert_eq(zs_device_write(world.device, world.stream, done, content + done, 8, &done), 0);
	cr_assert_eq(zs_device_discard(world.device, world.stream, 2 * BLOCK_SIZE, 4 * BLOCK_SIZE), 0);
	memcpy(found + BLOCK_SIZE, content + BLOCK_SIZE, 8);
	cr_assert_eq(zs_device_read(world.device, world.stream, BLOCK_SIZE, found, 8), 0);
	cr_assert_eq(memcmp(found, content + BLOCK_SIZE, 8), 0);
}

Test(cold, a_block_is_promoted_when_it_was_read_often_enough)
{
	for (unsigned int reads = 1; reads < 5; reads++) {
		uint64_t promoted = test_cold_world_stats(&world).promoted_blocks;

		zs_store_set_promotion(world.store, reads);
		fill_cold();
		for (unsigned int i = 1; i < reads; i++)
			check_content();
		cr_assert_eq(test_cold_world_stats(&world).promoted_blocks, promoted, "too early: %u", reads);
		check_content();
		cr_assert_eq(test_cold_world_stats(&world).promoted_blocks, promoted + NR_BLOCKS);
		cr_assert_eq(test_cold_world_stats(&world).object_blocks, NR_BLOCKS);
		cr_assert_eq(test_cold_world_stats(&world).backed_blocks, 0);
		cr_assert_eq(test_cold_world_file_stats(&world).live_records, 0);
		check_content();
		zs_store_check(world.store);
	}
}

Test(cold, nothing_is_promoted_if_it_must_not_be)
{
	zs_store_set_promotion(world.store, 0);
	fill_cold();
	for (unsigned int i = 0; i < 10; i++)
		check_content();
	cr_assert_eq(test_cold_world_stats(&world).promoted_blocks, 0);
}

Test(cold, nothing_is_promoted_beyond_the_limit)
{
	zs_store_set_promotion(world.store, 1);
	fill_cold();
	zs_store_set_limit(world.store, 1);
	check_content();
	check_content();
	cr_assert_eq(test_cold_world_stats(&world).promoted_blocks, 0);
	cr_assert_eq(test_cold_world_stats(&world).backed_blocks, NR_BLOCKS);
	zs_store_set_limit(world.store, 0);
	check_content();
	cr_assert_eq(test_cold_world_stats(&world).promoted_blocks, NR_BLOCKS);
}

Test(cold, neighbours_are_read_by_one_system_call)
{
	uint64_t before;

	fill_cold();
	before = test_cold_world_file_stats(&world).reads;
	check_content();
	cr_assert_leq(test_cold_world_file_stats(&world).reads - before, 2);
	before = test_cold_world_file_stats(&world).reads;
	cr_assert_eq(zs_device_read(world.device, world.stream, 10 * BLOCK_SIZE, found, BLOCK_SIZE), 0);
	cr_assert_eq(test_cold_world_file_stats(&world).reads - before, 1);
}

Test(cold, writing_back_makes_room_within_a_device_s_limit)
{
	struct zs_device_options options = {
		.name = "limited", .size_bytes = LENGTH * 4, .memory_limit_bytes = LENGTH / 2, .codec = lz4};
	struct zs_device *limited;
	uint64_t limited_id, done_blocks = 0;
	size_t done;
	int error;

	cr_assert_eq(zs_store_add(world.store, &options, NULL, &limited_id), 0);
	limited = zs_device_get(world.store, limited_id, world.stream);
	for (size_t block = 0; block < 4 * NR_BLOCKS; block++) {
		test_random_fill(&random_state, content, BLOCK_SIZE);
		error = zs_device_write(limited, world.stream, block * BLOCK_SIZE, content, BLOCK_SIZE, &done);
		if (error == -ENOSPC) {
			test_writeback(world.store);
			error = zs_device_write(limited, world.stream, block * BLOCK_SIZE, content, BLOCK_SIZE, &done);
		}
		cr_assert_eq(error, 0);
		done_blocks++;
	}
	cr_assert_eq(done_blocks, 4 * NR_BLOCKS);
	zs_store_check(world.store);
	zs_device_put(limited, world.stream);
}

Test(cold, a_store_that_is_opened_again_has_its_cold_blocks)
{
	uint64_t backed;

	fill_cold();
	backed = test_cold_world_stats(&world).backed_bytes;
	for (unsigned int i = 0; i < 3; i++) {
		test_cold_world_reopen(&world, true);
		cr_assert_eq(test_cold_world_stats(&world).backed_blocks, NR_BLOCKS);
		cr_assert_eq(test_cold_world_stats(&world).backed_bytes, backed);
		zs_store_check(world.store);
		cr_assert_eq(zs_device_read(world.device, world.stream, 0, found, BLOCK_SIZE), 0);
	}
	zs_store_set_promotion(world.store, 0);
	check_content();
}

Test(cold, a_store_that_is_opened_without_its_backing_file_loses_nothing)
{
	size_t done;

	fill_cold();
	test_cold_world_reopen(&world, false);
	cr_assert_eq(test_cold_world_stats(&world).backed_blocks, NR_BLOCKS);
	cr_assert_eq(zs_device_read(world.device, world.stream, 0, found, BLOCK_SIZE), -EIO);
	cr_assert_eq(zs_device_write(world.device, world.stream, 8, content, 8, &done), -EIO);
	cr_assert_eq(test_cold_world_stats(&world).unreadable, 2);
	cr_assert_eq(test_cold_world_stats(&world).corrupt, 0);
	/* What it does without: discard one, overwrite another. */
	cr_assert_eq(zs_device_discard(world.device, world.stream, 0, BLOCK_SIZE), 0);
	cr_assert_eq(zs_device_write(world.device, world.stream, BLOCK_SIZE, content, BLOCK_SIZE, &done), 0);
	zs_store_check(world.store);
	memcpy(content + BLOCK_SIZE, content, BLOCK_SIZE);
	memset(content, 0, BLOCK_SIZE);
	test_cold_world_reopen(&world, true);
	cr_assert_eq(test_cold_world_stats(&world).backed_blocks, NR_BLOCKS - 2);
	check_content();
}

Test(cold, records_that_can_not_be_where_their_blocks_say_are_lost)
{
	struct zs_handle handle;

	fill_cold();
	handle = zs_slot_handle(zs_table_load(&world.device->table, 3));
	atomic_store((_Atomic uint64_t *)zs_arena_at(&world.store->arena, ZS_REGION_HANDLES,
						     handle.index * sizeof(uint64_t)),
		     zs_handle_backed_word((struct zs_place){.unit = ZS_PLACE_END - 1000, .units = 100}, 0));
	test_cold_world_reopen(&world, true);
	cr_assert_eq(zs_device_read(world.device, world.stream, (uint64_t)3 * BLOCK_SIZE, found, BLOCK_SIZE), -EIO);
	cr_assert_eq(test_cold_world_stats(&world).backed_blocks, NR_BLOCKS - 1);
	cr_assert_eq(zs_device_read(world.device, world.stream, (uint64_t)4 * BLOCK_SIZE, found, BLOCK_SIZE), 0);
}

/* Every read that begins in the file's range of bad bytes fails. */
static uint64_t bad_start, bad_end;

static ssize_t bad_read(void *context, int fd, void *buffer, size_t size, uint64_t offset)
{
	if (offset < bad_end && offset + size > bad_start)
		return -EIO;
	return pread(fd, buffer, size, (off_t)offset);
}

Test(cold, a_block_that_the_file_can_not_read_is_an_error_and_no_other_one)
{
	const struct zs_backing_faults faults = {.read = bad_read};
	struct zs_place place;
	unsigned int nr_bad = 0;

	fill_cold();
	zs_store_set_promotion(world.store, 0);
	cr_assert(zs_obj_place(world.store->heap, zs_slot_handle(zs_table_load(&world.device->table, 20)), &place));
	bad_start = place.unit * ZS_PLACE_UNIT_BYTES;
	bad_end = bad_start + 1;
	zs_backing_set_faults(zs_store_backing(world.store), &faults);
	cr_assert_eq(zs_device_read(world.device, world.stream, 0, found, LENGTH), -EIO);
	for (size_t block = 0; block < NR_BLOCKS; block++) {
		int error = zs_device_read(world.device, world.stream, block * BLOCK_SIZE, found, BLOCK_SIZE);

		cr_assert(!error || error == -EIO);
		nr_bad += error != 0;
		cr_assert(error || !memcmp(found, content + block * BLOCK_SIZE, BLOCK_SIZE));
	}
	/* A read is of whole pages: those that share one with it are concerned, too. */
	cr_assert(nr_bad >= 1 && nr_bad <= 5, "%u", nr_bad);
	cr_assert_eq(zs_device_read(world.device, world.stream, 40 * BLOCK_SIZE, found, 10 * BLOCK_SIZE), 0);
	zs_backing_set_faults(zs_store_backing(world.store), NULL);
	check_content();
}

Test(cold, a_flipped_bit_in_the_file_is_an_error_of_that_block_only)
{
	int fd;
	char byte;

	fill_cold();
	zs_store_set_promotion(world.store, 0);
	fd = open(world.path, O_RDWR);
	for (size_t block = 0; block < NR_BLOCKS; block += 7) {
		struct zs_place place;
		off_t at;

		cr_assert(zs_obj_place(world.store->heap, zs_slot_handle(zs_table_load(&world.device->table, block)),
				       &place));
		at = (off_t)(place.unit * ZS_PLACE_UNIT_BYTES + block % 60);
		cr_assert_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 1 << (block % 8);
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	}
	fsync(fd);
	close(fd);
	for (size_t block = 0; block < NR_BLOCKS; block++) {
		int error = zs_device_read(world.device, world.stream, block * BLOCK_SIZE, found, BLOCK_SIZE);

		cr_assert_eq(error, block % 7 ? 0 : -EIO, "block %zu: %d", block, error);
		cr_assert(error || !memcmp(found, content + block * BLOCK_SIZE, BLOCK_SIZE));
	}
	cr_assert_eq(test_cold_world_stats(&world).unreadable, (NR_BLOCKS + 6) / 7);
}

Test(cold, a_second_backing_file_is_refused)
{
	struct zs_backing_options options = {.path = world.path};

	cr_assert_eq(zs_store_attach_backing(world.store, &options, NULL), -EALREADY);
}

Test(cold, a_backing_file_that_is_not_there_is_refused_and_the_store_goes_on)
{
	struct zs_backing_options options = {.path = "/nonexistent/file"};
	enum zs_backing_field field = ZS_BACKING_FIELD_NONE;

	fill_cold();
	test_cold_world_reopen(&world, false);
	cr_assert_eq(zs_store_attach_backing(world.store, &options, &field), -ENOENT);
	cr_assert_eq(field, ZS_BACKING_FIELD_PATH);
	test_backing_attach(world.store, world.path, 0);
	check_content();
}
