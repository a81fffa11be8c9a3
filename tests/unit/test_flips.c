/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flipped bits in the arena: a damaged block is an I/O error and is counted, or the arena is refused; never wrong data,
 * and never any harm to other blocks.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"
#include "zsmalloc/object.h"
#include "zsmalloc/pool_internal.h"

#define NR_BLOCKS  16
#define TARGET	   5
#define BLOCK_SIZE 4096

static struct zs_device *device;
static uint64_t id;
static char content[NR_BLOCKS][BLOCK_SIZE];

/* Block i is of kind i modulo the number of kinds; the target is an ordinary compressed object. */
static void store_fill(void)
{
	struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};
	struct test_random random = {.state = 1};
	size_t done;

	test_store_set_up();
	id = test_device_add(store, "device", NR_BLOCKS * BLOCK_SIZE, BLOCK_SIZE, lz4);
	device = zs_device_get(store, id, stream);
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		test_data_make(i == TARGET ? TEST_DATA_TEXT : (enum test_data)(i % TEST_DATA_NR), &random, content[i],
			       BLOCK_SIZE);
		cr_assert_eq(zs_device_write(device, stream, i * BLOCK_SIZE, content[i], BLOCK_SIZE, &done), 0);
	}
}

static void store_drop(void)
{
	zs_device_put(device, stream);
	test_store_tear_down();
}

TestSuite(flips, .init = store_fill, .fini = store_drop);

static uint64_t corrupt(struct zs_device *of)
{
	struct zs_device_stats stats;

	zs_device_stats(of, &stats);
	return stats.corrupt;
}

static int read_block(struct zs_device *from, unsigned int block, char *buffer)
{
	memset(buffer, 0x77, BLOCK_SIZE);
	return zs_device_read(from, stream, block * BLOCK_SIZE, buffer, BLOCK_SIZE);
}

static void check_block(struct zs_device *of, unsigned int block)
{
	char buffer[BLOCK_SIZE];

	cr_assert_eq(read_block(of, block, buffer), 0, "block %u", block);
	cr_assert_eq(memcmp(buffer, content[block], BLOCK_SIZE), 0, "block %u", block);
}

static void check_others(struct zs_device *of)
{
	for (unsigned int block = 0; block < NR_BLOCKS; block++) {
		if (block != TARGET)
			check_block(of, block);
	}
}

static void flip(void *memory, size_t bit)
{
	((unsigned char *)memory)[bit / 8] ^= (unsigned char)(1 << bit % 8);
}

static struct zs_object_header *target_object(void)
{
	uint64_t slot = zs_table_load(&device->table, TARGET);
	uint64_t word = *heap_handle_word(store->heap, zs_slot_handle(slot).index);

	cr_assert_eq(zs_slot_state(slot), ZS_SLOT_OBJECT);
	return heap_object(store->heap, zs_handle_location(word));
}

/* Flips each step-th bit in turn, and asserts that the target then reads as an error. */
static void flip_bits(void *memory, size_t bytes, size_t step)
{
	char buffer[BLOCK_SIZE];

	for (size_t bit = 0; bit < bytes * 8; bit += step) {
		uint64_t before = corrupt(device);

		flip(memory, bit);
		cr_assert_eq(read_block(device, TARGET, buffer), -EIO, "bit %zu", bit);
		cr_assert_eq(corrupt(device), before + 1);
		check_others(device);
		flip(memory, bit);
		check_block(device, TARGET);
	}
}

Test(flips, in_an_object_header_are_io_errors)
{
	flip_bits(target_object(), ZS_OBJECT_HEADER_BYTES, 1);
}

Test(flips, in_a_payload_are_io_errors)
{
	struct zs_object_header *header = target_object();

	flip_bits(header + 1, zs_object_info(header->meta).size, 13);
}

Test(flips, in_a_slot_are_io_errors)
{
	flip_bits(&device->table.slots[TARGET], sizeof(uint64_t), 1);
}

Test(flips, in_an_empty_slot_are_io_errors)
{
	cr_assert_eq(zs_device_discard(device, stream, TARGET * BLOCK_SIZE, BLOCK_SIZE), 0);
	memset(content[TARGET], 0, BLOCK_SIZE);
	flip_bits(&device->table.slots[TARGET], sizeof(uint64_t), 1);
}

Test(flips, in_a_part_that_is_not_written_are_io_errors)
{
	size_t done = 4711;

	flip(target_object() + 1, 9);
	cr_assert_eq(zs_device_write(device, stream, TARGET * BLOCK_SIZE + 1, "x", 1, &done), -EIO);
	cr_assert_eq(done, 4711);
	cr_assert_eq(zs_device_discard(device, stream, TARGET * BLOCK_SIZE + 1, 1), -EIO);
	check_others(device);
}

enum target { IN_SLOT, IN_HANDLE_OF_HEADER, IN_META, IN_CHECKSUM, IN_PAYLOAD, IN_NOTHING };

static void flip_target(enum target target)
{
	struct zs_object_header *header = target_object();

	if (target == IN_SLOT)
		flip(&device->table.slots[TARGET], 3);
	else if (target == IN_HANDLE_OF_HEADER)
		flip((void *)&header->handle, 3);
	else if (target == IN_META)
		flip(&header->meta, 3);
	else if (target == IN_CHECKSUM)
		flip(&header->checksum, 3);
	else
		flip(header + 1, 3);
}

Test(flips, a_damaged_block_can_be_written_again)
{
	size_t done;

	for (enum target target = IN_SLOT; target < IN_NOTHING; target++) {
		flip_target(target);
		cr_assert_eq(zs_device_write(device, stream, TARGET * BLOCK_SIZE, content[TARGET], BLOCK_SIZE, &done),
			     0);
		check_block(device, TARGET);
		check_others(device);
		zs_store_check(store);
	}
}

/* Sizes of other classes, and beyond the largest one: what is taken off the counters must be what was added. */
Test(flips, in_a_size_are_not_believed_when_the_object_is_freed)
{
	struct zs_device_stats before, after;
	size_t done;

	for (unsigned int bit = 6; bit <= 16; bit++) {
		zs_device_stats(device, &before);
		flip(&target_object()->meta, bit);
		cr_assert_eq(zs_device_write(device, stream, TARGET * BLOCK_SIZE, content[TARGET], BLOCK_SIZE, &done),
			     0);
		zs_device_stats(device, &after);
		cr_assert_eq(after.corrupt, before.corrupt + 1, "bit %u", bit);
		cr_assert_geq(after.memory_bytes, before.memory_bytes, "bit %u", bit);
		check_block(device, TARGET);
		check_others(device);
	}
}

Test(flips, a_damaged_block_can_be_discarded)
{
	char buffer[BLOCK_SIZE];
	size_t done;

	for (enum target target = IN_SLOT; target < IN_NOTHING; target++) {
		flip_target(target);
		cr_assert_eq(zs_device_discard(device, stream, TARGET * BLOCK_SIZE, BLOCK_SIZE), 0);
		cr_assert_eq(read_block(device, TARGET, buffer), 0);
		cr_assert(!buffer[0] && !memcmp(buffer, buffer + 1, BLOCK_SIZE - 1));
		zs_store_check(store);
		cr_assert_eq(zs_device_write(device, stream, TARGET * BLOCK_SIZE, content[TARGET], BLOCK_SIZE, &done),
			     0);
		check_block(device, TARGET);
		check_others(device);
	}
}

Test(flips, a_device_with_damaged_blocks_can_be_removed)
{
	for (enum target target = IN_SLOT; target < IN_NOTHING; target++) {
		flip_target(target);
		zs_device_put(device, stream);
		cr_assert_eq(zs_store_remove(store, id), 0);
		zs_store_check(store);
		zs_store_close(store);
		zs_stream_destroy(stream);
		store_fill();
	}
}

/*
 * found at open
 */

/*
 * Opens a copy of the arena with one bit flipped at this address of ours. Returns the errno of the open; otherwise
 * asserts that no block has wrong data, and that all but the target, which may be lost, are sound.
 */
static int open_flipped(void *address, size_t bit)
{
	struct zs_store_options options = {0};
	struct zs_store *other;
	struct zs_device *copy;
	char buffer[BLOCK_SIZE];
	int fd, error;

	flip(address, bit);
	fd = test_arena_copy(zs_store_fd(store));
	flip(address, bit);
	error = zs_store_open(fd, &options, &other);
	close(fd);
	if (error)
		return error;
	zs_store_check(other);
	copy = zs_device_get(other, id, stream);
	cr_assert_not_null(copy);
	check_others(copy);
	error = read_block(copy, TARGET, buffer);
	cr_assert(error == -EIO || (!error && !memcmp(buffer, content[TARGET], BLOCK_SIZE)), "bit %zu: %d", bit, error);
	cr_assert_eq(corrupt(copy) != 0, error != 0);
	zs_device_put(copy, stream);
	zs_store_close(other);
	return 0;
}

Test(flips, in_a_slot_are_found_when_the_arena_is_opened)
{
	for (size_t bit = 0; bit < 64; bit++)
		cr_assert_eq(open_flipped(&device->table.slots[TARGET], bit), 0);
}

Test(flips, in_an_object_are_found_when_the_arena_is_opened_or_read)
{
	struct zs_object_header *header = target_object();

	for (size_t bit = 0; bit < (ZS_OBJECT_HEADER_BYTES + 8) * 8; bit++)
		cr_assert_eq(open_flipped(header, bit), 0);
}

Test(flips, in_a_handle_word_are_found_when_the_arena_is_opened)
{
	uint32_t handle = zs_slot_handle(zs_table_load(&device->table, TARGET)).index;

	for (size_t bit = 0; bit < 64; bit++)
		cr_assert_eq(open_flipped((void *)heap_handle_word(store->heap, handle), bit), 0);
}

Test(flips, in_the_device_table_refuse_the_arena)
{
	char *entry = (char *)&store->entries[zs_device_index(id)], *free_entry = (char *)&store->entries[9];
	size_t unused = offsetof(struct zs_device_entry, attributes);
	unsigned int refused = 0;

	for (size_t bit = 0; bit < sizeof(struct zs_device_entry) * 8; bit++) {
		int error = open_flipped(entry, bit);

		cr_assert(error == -EBADMSG || (!error && bit / 8 >= unused &&
						bit / 8 < unused + 2 * sizeof(struct zs_device_attributes)),
			  "bit %zu: %d", bit, error);
		refused += error != 0;
	}
	cr_assert_eq(refused, (sizeof(struct zs_device_entry) - sizeof(struct zs_device_attributes)) * 8);
	for (size_t bit = 0; bit < 64; bit++)
		cr_assert_eq(open_flipped(free_entry, bit), -EBADMSG, "bit %zu", bit);
}

Test(flips, a_refused_arena_is_left_as_it_is)
{
	struct zs_store_options options = {0};
	struct zs_store *other = NULL;
	uint64_t hash;
	int fd;

	flip(&store->entries[zs_device_index(id)].size_bytes, 20);
	fd = test_arena_copy(zs_store_fd(store));
	flip(&store->entries[zs_device_index(id)].size_bytes, 20);
	hash = test_arena_hash(fd);
	cr_assert_eq(zs_store_open(fd, &options, &other), -EBADMSG);
	cr_assert_eq(test_arena_hash(fd), hash);
	cr_assert_null(other);
	close(fd);
}
