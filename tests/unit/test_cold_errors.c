/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cold blocks on a disk that can't be read, or not soon, or not written while segments are collected. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "codec/stream.h"
#include "support/cold_store.h"
#include "support/data.h"

#define NR_BLOCKS  512
#define BLOCK_SIZE 4096
#define LENGTH	   ((size_t)NR_BLOCKS * BLOCK_SIZE)
/* Answers that are no errno. */
#define END   1 /* of the file */
#define SHORT 2

static struct test_cold_world world;
static char content[LENGTH];
static struct test_random random_state = {.state = 4711};

/* The nth read, or write, gets an answer. */
static struct {
	unsigned int nr; /* so far */
	unsigned int nth;
	int answer;
} fault;

static int answer(int64_t bytes)
{
	if (fault.answer == END)
		return 0;
	return fault.answer == SHORT ? (int)bytes / 2 : fault.answer;
}

static ssize_t read_or_fail(void *context, int fd, void *buffer, size_t size, uint64_t offset)
{
	return ++fault.nr == fault.nth ? answer((int64_t)size) : pread(fd, buffer, size, (off_t)offset);
}

static int write_or_fail(void *context, int result)
{
	return ++fault.nr == fault.nth ? answer(result) : result;
}

static const int answers[] = {-EIO, -ENOSPC, -EAGAIN, -ECANCELED, END, SHORT};
static const struct zs_backing_faults bad_reads = {.read = read_or_fail}, bad_writes = {.write = write_or_fail};

static void set_fault(const struct zs_backing_faults *faults, unsigned int nth, int what)
{
	fault.nr = 0;
	fault.nth = nth;
	fault.answer = what;
	zs_backing_set_faults(zs_store_backing(world.store), faults);
}

/* True if there was an nth one. */
static bool end_fault(void)
{
	zs_backing_set_faults(zs_store_backing(world.store), NULL);
	return fault.nr >= fault.nth;
}

static void write_block(size_t block)
{
	char *data = content + block * BLOCK_SIZE;
	size_t done;

	test_data_make(block % 4 ? TEST_DATA_MIXED : TEST_DATA_NOISE, &random_state, data, BLOCK_SIZE);
	cr_assert_eq(zs_device_write(world.device, world.stream, block * BLOCK_SIZE, data, BLOCK_SIZE, &done), 0);
}

static void init(void)
{
	test_cold_world_open(&world, 0);
	for (size_t block = 0; block < NR_BLOCKS; block++)
		write_block(block);
	test_writeback(world.store);
}

static void deinit(void)
{
	test_cold_world_close(&world);
}

TestSuite(cold_errors, .init = init, .fini = deinit);

/* Reads so many blocks at once; what was read must be right. */
static int check_blocks(size_t block, size_t nr)
{
	static char found[LENGTH];
	int error;

	memset(found, 0x55, nr * BLOCK_SIZE);
	error = zs_device_read(world.device, world.stream, block * BLOCK_SIZE, found, nr * BLOCK_SIZE);
	cr_assert(!error || error == -EIO, "block %zu: %d", block, error);
	cr_assert(error || !memcmp(found, content + block * BLOCK_SIZE, nr * BLOCK_SIZE), "block %zu", block);
	return error;
}

static uint64_t nr_unreadable(void)
{
	return test_cold_world_stats(&world).unreadable;
}

static uint64_t nr_read_errors(void)
{
	return test_cold_world_file_stats(&world).read_errors;
}

/* The nth read fails while so many blocks are read at a time. False if there was none. */
static bool fail_a_read(unsigned int nth, int what, size_t nr_at_once)
{
	uint64_t errors = nr_read_errors(), unreadable = nr_unreadable();
	unsigned int nr = 0;

	set_fault(&bad_reads, nth, what);
	for (size_t block = 0; block < NR_BLOCKS; block += nr_at_once)
		nr += check_blocks(block, nr_at_once) != 0;
	if (!end_fault())
		return false;
	cr_assert_eq(nr_read_errors(), errors + 1, "read %u answers %d", nth, what);
	cr_assert_eq(nr_unreadable(), unreadable + nr);
	/* One that is read alone can't be had; of several that are read together each is tried alone. */
	cr_assert_eq(nr, nr_at_once == 1);
	cr_assert_eq(check_blocks(0, NR_BLOCKS), 0);
	return true;
}

Test(cold_errors, each_read_in_turn_fails_in_each_way_and_nothing_is_read_wrong)
{
	zs_store_set_promotion(world.store, 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(answers); i++) {
		unsigned int nth = 1;

		cr_assert(fail_a_read(1, answers[i], 1));
		cr_assert(fail_a_read(NR_BLOCKS, answers[i], 1));
		while (fail_a_read(nth, answers[i], NR_BLOCKS))
			nth++;
		cr_assert_gt(nth, NR_BLOCKS / 64);
	}
	zs_store_check(world.store);
}

Test(cold_errors, what_can_not_be_read_is_not_promoted)
{
	zs_store_set_promotion(world.store, 1);
	set_fault(&bad_reads, 3, -EIO);
	for (size_t block = 0; block < 5; block++)
		cr_assert_eq(check_blocks(block, 1), block == 2 ? -EIO : 0);
	cr_assert(end_fault());
	cr_assert_eq(test_cold_world_stats(&world).promoted_blocks, 4);
	cr_assert_eq(check_blocks(2, 1), 0);
	cr_assert_eq(test_cold_world_stats(&world).promoted_blocks, 5);
}

Test(cold_errors, a_part_of_a_block_is_not_written_if_the_rest_can_not_be_read)
{
	size_t done = 4711;

	zs_store_set_promotion(world.store, 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(answers); i++) {
		set_fault(&bad_reads, 1, answers[i]);
		cr_assert_eq(zs_device_write(world.device, world.stream, 5 * BLOCK_SIZE + 9, "abc", 3, &done), -EIO);
		set_fault(&bad_reads, 1, answers[i]);
		cr_assert_eq(zs_device_discard(world.device, world.stream, 5 * BLOCK_SIZE + 9, 700), -EIO);
		cr_assert(end_fault());
		cr_assert_eq(check_blocks(5, 1), 0);
	}
	cr_assert_eq(nr_unreadable(), 2 * ZS_ARRAY_SIZE(answers));
}

/*
 * collection
 */

/* Three of four blocks in the file are dead. */
static void make_mostly_dead(void)
{
	test_writeback(world.store);
	for (size_t block = 0; block < NR_BLOCKS; block++) {
		if (block % 4)
			write_block(block);
	}
}

/* Collects all; whatever it says, all is there. */
static void check_collect(void)
{
	int nr = zs_store_collect(world.store, 50, 100);

	cr_assert(nr >= 0 || nr == -EIO || nr == -ENOSPC, "%d", nr);
	zs_store_check(world.store);
	cr_assert_eq(end_fault() && check_blocks(0, NR_BLOCKS), 0);
}

Test(cold_errors, each_read_of_collection_in_turn_fails_in_each_way_and_nothing_is_lost)
{
	zs_store_set_promotion(world.store, 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(answers); i++) {
		for (unsigned int nth = 1;; nth++) {
			uint64_t errors = nr_read_errors();

			make_mostly_dead();
			set_fault(&bad_reads, nth, answers[i]);
			check_collect();
			if (fault.nr < nth)
				break;
			cr_assert_eq(nr_read_errors(), errors + 1);
			test_cold_world_reopen(&world, true);
			zs_store_set_promotion(world.store, 0);
		}
	}
	cr_assert_eq(nr_unreadable(), 0);
}

Test(cold_errors, each_write_of_collection_in_turn_fails_in_each_way_and_nothing_is_lost)
{
	zs_store_set_promotion(world.store, 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(answers); i++) {
		for (unsigned int nth = 1;; nth++) {
			make_mostly_dead();
			set_fault(&bad_writes, nth, answers[i]);
			check_collect();
			if (fault.nr < nth)
				break;
			cr_assert_eq(test_cold_world_file_stats(&world).write_errors, 1);
			/* A pause after an error is the file's business. */
			test_cold_world_reopen(&world, true);
			zs_store_set_promotion(world.store, 0);
		}
	}
}

/*
 * a disk that takes its time
 */

static sem_t is_reading, may_read;

static ssize_t read_late(void *context, int fd, void *buffer, size_t size, uint64_t offset)
{
	sem_post(&is_reading);
	sem_wait(&may_read);
	return pread(fd, buffer, size, (off_t)offset);
}

struct reader {
	pthread_t thread;
	size_t block;
	int error;
	char found[BLOCK_SIZE];
};

static void *read_block(void *argument)
{
	struct reader *reader = argument;
	struct zs_stream *stream;

	cr_assert_eq(zs_stream_create(1, &stream), 0);
	reader->error = zs_device_read(world.device, stream, reader->block * BLOCK_SIZE, reader->found, BLOCK_SIZE);
	zs_stream_destroy(stream);
	return NULL;
}

Test(cold_errors, a_read_that_takes_long_delays_nobody_else_and_sees_what_was_there_meanwhile)
{
	static const struct zs_backing_faults late = {.read = read_late};
	static struct reader readers[3] = {{.block = 1}, {.block = 2}, {.block = 3}};
	static char before[4 * BLOCK_SIZE];

	sem_init(&is_reading, 0, 0);
	sem_init(&may_read, 0, 0);
	write_block(4);
	memcpy(before, content, sizeof(before));
	zs_backing_set_faults(zs_store_backing(world.store), &late);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(readers); i++)
		cr_assert_eq(pthread_create(&readers[i].thread, NULL, read_block, &readers[i]), 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(readers); i++)
		sem_wait(&is_reading);
	/* One of the blocks is overwritten, one discarded, others are written back; one is in memory. */
	write_block(1);
	cr_assert_eq(zs_device_discard(world.device, world.stream, 2 * BLOCK_SIZE, BLOCK_SIZE), 0);
	memset(content + 2 * BLOCK_SIZE, 0, BLOCK_SIZE);
	cr_assert_eq(check_blocks(4, 1), 0);
	test_writeback(world.store);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(readers); i++)
		sem_post(&may_read);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(readers); i++) {
		size_t start = readers[i].block * BLOCK_SIZE;

		cr_assert_eq(pthread_join(readers[i].thread, NULL), 0);
		cr_assert_eq(readers[i].error, 0);
		cr_assert(!memcmp(readers[i].found, before + start, BLOCK_SIZE) ||
			  !memcmp(readers[i].found, content + start, BLOCK_SIZE));
	}
	zs_backing_set_faults(zs_store_backing(world.store), NULL);
	cr_assert_eq(check_blocks(0, NR_BLOCKS), 0);
}

/*
 * a file that somebody changes
 */

Test(cold_errors, of_a_file_that_was_cut_only_what_was_cut_off_is_missing)
{
	uint64_t half = test_cold_world_file_stats(&world).file_bytes / 2;
	unsigned int nr_missing = 0;

	zs_store_set_promotion(world.store, 0);
	cr_assert_eq(truncate(world.path, (off_t)zs_align_down(half, BLOCK_SIZE)), 0);
	for (size_t block = 0; block < NR_BLOCKS; block++)
		nr_missing += check_blocks(block, 1) != 0;
	cr_assert(nr_missing > NR_BLOCKS / 4 && nr_missing < NR_BLOCKS * 3 / 4, "%u", nr_missing);
	cr_assert_eq(nr_unreadable(), nr_missing);
	for (size_t block = 0; block < NR_BLOCKS; block++)
		write_block(block);
	test_writeback(world.store);
	cr_assert_eq(check_blocks(0, NR_BLOCKS), 0);
}

Test(cold_errors, a_file_that_was_removed_serves_until_the_store_is_closed)
{
	cr_assert_eq(unlink(world.path), 0);
	cr_assert_eq(check_blocks(0, NR_BLOCKS), 0);
	make_mostly_dead();
	test_writeback(world.store);
	cr_assert_eq(check_blocks(0, NR_BLOCKS), 0);
}
