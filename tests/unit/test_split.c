/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Big requests in parts: the same bytes, counters and errnos as if one thread had done it all. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "jobs.h"
#include "split.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "store/writeback.h"
#include "support/cold_store.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"
#include "zsmalloc/object.h"
#include "zsmalloc/pool_internal.h"

#define MIB    ((size_t)1 << 20)
#define BYTES  (4 * MIB)
#define NR_CPU 4

/* Slow enough for a request of 64 KiB to be worth help. */
static const struct zs_codec_params zstd = {ZS_CODEC_ZSTD, 6};

static struct zsd_jobs *jobs;
static struct test_random random_state = {.state = 1};
static char model[BYTES], result[BYTES];

static void create(void)
{
	test_store_set_up();
	cr_assert_eq(zsd_jobs_create(NR_CPU, &jobs), 0);
}

static void destroy(void)
{
	zsd_jobs_destroy(jobs);
	test_store_tear_down();
}

TestSuite(split, .init = create, .fini = destroy);

static struct zs_device *device_add(const char *name, uint32_t block_size)
{
	return zs_device_get(store, test_device_add(store, name, BYTES, block_size, zstd), stream);
}

static struct zs_device_stats stats_of(struct zs_device *device)
{
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	return stats;
}

static unsigned int nr_helped(void)
{
	struct zsd_jobs_stats stats;

	zsd_jobs_stats(jobs, &stats);
	return (unsigned int)stats.nr_helped;
}

/* Writes new data, reads it and some bytes around it with one request, and compares. */
static void check_range(struct zs_device *device, uint64_t offset, size_t length)
{
	uint64_t start = zs_min(offset, 100), end = zs_min(offset + length + 100, BYTES);
	struct zs_device_stats before = stats_of(device), after;
	size_t done = 4711;

	start = offset - start;
	test_data_make(TEST_DATA_MIXED, &random_state, model + offset, length);
	cr_assert_eq(zsd_split_write(jobs, device, stream, offset, model + offset, length, &done), 0);
	cr_assert_eq(done, length);
	memset(result, 0x77, BYTES);
	cr_assert_eq(zsd_split_read(jobs, device, stream, start, result + start, end - start, &done), 0);
	cr_assert_eq(memcmp(result + start, model + start, end - start), 0, "%zu bytes at %lu", length, offset);
	cr_assert(end == BYTES || result[end] == 0x77);
	cr_assert(!start || result[start - 1] == 0x77);
	after = stats_of(device);
	cr_assert_eq(after.writes, before.writes + 1);
	cr_assert_eq(after.written_bytes, before.written_bytes + length);
	cr_assert_eq(after.reads, before.reads + 1);
	cr_assert_eq(after.read_bytes, before.read_bytes + end - start);
}

Test(split, ranges_at_every_odd_border_come_back_and_count_once)
{
	static const size_t lengths[] = {
		1, 4096, ZSD_SPLIT_MIN_BYTES - 1, ZSD_SPLIT_MIN_BYTES, ZSD_SPLIT_MIN_BYTES + 1, 3 * 65536 - 17, MIB,
	};
	static const size_t offsets[] = {
		0, 1, 4095, ZSD_SPLIT_PART_BYTES - 1, ZSD_SPLIT_PART_BYTES, ZSD_SPLIT_PART_BYTES + 1, 65535, 100000,
	};
	static const uint32_t block_sizes[] = {4096, 16384, 65536};
	size_t done;

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(block_sizes); i++) {
		struct zs_device *device = device_add((char[]){(char)('a' + i), 0}, block_sizes[i]);

		memset(model, 0, BYTES);
		for (unsigned int j = 0; j < ZS_ARRAY_SIZE(lengths) * ZS_ARRAY_SIZE(offsets); j++) {
			size_t length = lengths[j / ZS_ARRAY_SIZE(offsets)];
			size_t offset = offsets[j % ZS_ARRAY_SIZE(offsets)];

			check_range(device, offset, length);
			check_range(device, BYTES - length - offset, length);
		}
		cr_assert_eq(zsd_split_read(jobs, device, stream, 0, result, BYTES, &done), 0);
		cr_assert_eq(memcmp(result, model, BYTES), 0);
		zs_device_put(device, stream);
	}
	cr_assert_gt(nr_helped(), 0);
}

Test(split, nothing_is_done_by_a_request_of_no_bytes)
{
	struct zs_device *device = device_add("device", 4096);
	size_t done = 4711;

	cr_assert_eq(zsd_split_read(jobs, device, stream, 5, NULL, 0, &done), 0);
	cr_assert_eq(zsd_split_write(jobs, device, stream, 5, "", 0, &done), 0);
	cr_assert_eq(done, 0);
	zs_device_put(device, stream);
}

Test(split, small_requests_stay_on_their_thread)
{
	struct zs_device *device = device_add("device", 65536);

	for (unsigned int i = 0; i < 100; i++)
		check_range(device, i, 2 * ZSD_SPLIT_MIN_BYTES / 3);
	cr_assert_eq(nr_helped(), 0);
	zs_device_put(device, stream);
}

Test(split, without_jobs_all_is_done_by_the_caller)
{
	struct zsd_jobs *kept = jobs;
	struct zs_device *device = device_add("device", 4096);

	jobs = NULL;
	check_range(device, 12345, MIB);
	jobs = kept;
	cr_assert_eq(nr_helped(), 0);
	zs_device_put(device, stream);
}

Test(split, what_passes_the_end_is_refused_as_a_whole)
{
	struct zs_device *device = device_add("device", 4096);
	size_t done = 4711;

	test_data_make(TEST_DATA_NOISE, &random_state, model, MIB);
	cr_assert_eq(zsd_split_write(jobs, device, stream, BYTES - MIB + 1, model, MIB, &done), -ENOSPC);
	cr_assert_eq(zsd_split_write(jobs, device, stream, UINT64_MAX - 5, model, MIB, &done), -ENOSPC);
	cr_assert_eq(done, 4711);
	cr_assert_eq(zsd_split_read(jobs, device, stream, BYTES - MIB + 1, result, MIB, &done), -EINVAL);
	cr_assert_eq(stats_of(device).object_blocks, 0);
	zs_device_put(device, stream);
}

/* Each block is the new one or empty, and those of the first `done` bytes are new. */
static void check_short_write(struct zs_device *device, uint64_t offset, size_t done)
{
	static const char zeros[4096];

	cr_assert_eq(zs_device_read(device, stream, offset, result, MIB), 0);
	cr_assert_eq(memcmp(result, model, done), 0);
	for (size_t at = zs_align_up(done, 4096); at < MIB; at += 4096)
		cr_assert(!memcmp(result + at, zeros, 4096) || !memcmp(result + at, model + at, 4096));
}

Test(split, a_write_that_runs_out_of_room_tells_what_lies_before)
{
	struct zs_device *device = device_add("device", 4096);
	size_t done = 4711;
	unsigned int nr_short = 0;
	int r = 0;

	test_data_make(TEST_DATA_NOISE, &random_state, model, MIB);
	zs_store_set_limit(store, MIB + MIB / 2);
	/* Not at the start of a part: room is had in multiples of it. */
	for (uint64_t offset = 4096; offset < 3 * MIB; offset += MIB) {
		r = zsd_split_write(jobs, device, stream, offset, model, MIB, &done);
		cr_assert(!r || r == -ENOSPC);
		nr_short += !r && done < MIB;
		check_short_write(device, offset, r ? 0 : done);
	}
	cr_assert_gt(nr_short, 0);
	/* A part that failed may have left room for others. */
	for (uint64_t offset = 3 * MIB + 4096; r != -ENOSPC && offset < BYTES - ZSD_SPLIT_MIN_BYTES;
	     offset += ZSD_SPLIT_MIN_BYTES)
		r = zsd_split_write(jobs, device, stream, offset, model, ZSD_SPLIT_MIN_BYTES, &done);
	cr_assert_eq(r, -ENOSPC);
	/* Overwriting what is there is not refused. */
	test_data_make(TEST_DATA_NOISE, &random_state, model, MIB);
	cr_assert_eq(zsd_split_write(jobs, device, stream, 4096, model, MIB, &done), 0);
	cr_assert_eq(done, MIB);
	check_short_write(device, 4096, MIB);
	zs_device_put(device, stream);
}

/* Flips a bit in the object of a block. */
static void damage(struct zs_device *device, uint64_t block)
{
	struct zs_handle handle = zs_slot_handle(zs_table_load(&device->table, block));
	struct zs_object_header *header;

	header = heap_object(store->heap, zs_handle_location(*heap_handle_word(store->heap, handle.index)));
	header->checksum ^= 1;
}

Test(split, a_damaged_block_fails_every_read_that_meets_it_and_no_other)
{
	struct zs_device *device = device_add("device", 4096);
	size_t done;

	test_data_make(TEST_DATA_TEXT, &random_state, model, MIB);
	cr_assert_eq(zsd_split_write(jobs, device, stream, 0, model, MIB, &done), 0);
	for (unsigned int block = 3; block < 256; block += 23) {
		damage(device, block);
		cr_assert_eq(zsd_split_read(jobs, device, stream, 0, result, MIB, &done), -EIO, "block %u", block);
		damage(device, block);
	}
	damage(device, 100);
	cr_assert_eq(zsd_split_read(jobs, device, stream, 0, result, 100 * 4096, &done), 0);
	cr_assert_eq(memcmp(result, model, 100 * 4096), 0);
	cr_assert_eq(zsd_split_read(jobs, device, stream, 101 * 4096, result, 155 * 4096, &done), 0);
	cr_assert_eq(memcmp(result, model + 101 * 4096, 155 * 4096), 0);
	damage(device, 100);
	zs_device_put(device, stream);
}

Test(split, a_write_into_a_part_of_a_damaged_block_is_an_error)
{
	struct zs_device *device = device_add("device", 4096);
	size_t done;

	test_data_make(TEST_DATA_TEXT, &random_state, model, MIB);
	cr_assert_eq(zsd_split_write(jobs, device, stream, 0, model, MIB, &done), 0);
	for (unsigned int block = 0; block < 256; block += 255) {
		damage(device, block);
		done = 4711;
		cr_assert_eq(zsd_split_write(jobs, device, stream, 5, model, MIB - 10, &done), -EIO);
		cr_assert_eq(done, 4711);
		damage(device, block);
	}
	zs_device_put(device, stream);
}

/* A block that is damaged can be replaced, but no part of it. */
Test(split, no_block_is_cut)
{
	static const uint32_t block_sizes[] = {4096, 16384, 65536};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(block_sizes); i++) {
		struct zs_device *device = device_add((char[]){(char)('a' + i), 0}, block_sizes[i]);
		size_t done, nr = MIB / block_sizes[i];

		test_data_make(TEST_DATA_TEXT, &random_state, model, MIB);
		cr_assert_eq(zsd_split_write(jobs, device, stream, 0, model, MIB, &done), 0);
		for (unsigned int block = 1; block < nr - 1; block++)
			damage(device, block);
		cr_assert_eq(zsd_split_write(jobs, device, stream, 5, model + 5, MIB - 10, &done), 0);
		cr_assert_eq(done, MIB - 10);
		cr_assert_eq(zsd_split_read(jobs, device, stream, 0, result, MIB, &done), 0);
		cr_assert_eq(memcmp(result, model, MIB), 0);
		zs_device_put(device, stream);
	}
}

/* Its owner could have done all of it. */
Test(split, a_helper_without_memory_fails_nothing)
{
	struct zs_device *device = device_add("device", 4096);
	unsigned int nr_failed = 0;
	size_t done;

	test_data_make(TEST_DATA_TEXT, &random_state, model, MIB);
	cr_assert_eq(zsd_split_write(NULL, device, stream, 0, model, MIB, &done), 0);
	cr_assert_eq(zsd_split_read(NULL, device, stream, 0, result, MIB, &done), 0);
	/* Reading takes no memory then but for a helper's contexts; it may be some time until one comes. */
	for (unsigned int i = 0; i < 20000 && nr_failed < 3; i++) {
		bool has_failed;

		zs_fault_arm(1);
		memset(result, 0x77, MIB);
		cr_assert_eq(zsd_split_read(jobs, device, stream, 0, result, MIB, &done), 0);
		cr_assert_eq(memcmp(result, model, MIB), 0);
		has_failed = zs_fault_passed();
		zs_fault_arm(0);
		if (!has_failed)
			continue;
		nr_failed++;
		/* The next ones have no contexts yet. */
		zsd_jobs_destroy(jobs);
		cr_assert_eq(zsd_jobs_create(NR_CPU, &jobs), 0);
	}
	cr_assert_geq(nr_failed, 1);
	zs_device_put(device, stream);
}

/*
 * Requests that another thread goes on with. In most of them a helper has done a part behind the one that failed.
 */

static struct zs_device_stats go_on_reading(struct zs_device *device, size_t done)
{
	if (done)
		cr_assert_eq(zs_device_read_more(device, stream, done, result + done, MIB - done), 0);
	else
		cr_assert_eq(zs_device_read(device, stream, 0, result, MIB), 0);
	cr_assert_eq(memcmp(result, model, MIB), 0);
	return stats_of(device);
}

Test(split, what_is_read_once_more_from_the_backing_file_counts_once)
{
	const struct zs_writeback_range range = {131, 131};
	char path[TEST_PATH_BYTES];

	test_backing_create(path);
	test_backing_attach(store, path, 0);
	zs_store_set_promotion(store, 0);
	struct zs_device *device = device_add("device", 4096);
	const struct zs_writeback_request request = {
		.devices = (uint64_t[]){zs_device_id(device)}, .nr_devices = 1, .ranges = &range, .nr_ranges = 1};
	struct zs_writeback_progress progress = {0};
	size_t done;

	test_data_make(TEST_DATA_TEXT, &random_state, model, MIB);
	cr_assert_eq(zsd_split_write(NULL, device, stream, 0, model, MIB, &done), 0);
	cr_assert_eq(zs_store_writeback(store, &request, &progress), 0);
	cr_assert_eq(progress.finished_blocks, 1);
	for (unsigned int i = 1; i <= 500; i++) {
		zs_stream_set_nowait(stream, true);
		done = 4711;
		cr_assert_eq(zsd_split_read(jobs, device, stream, 0, result, MIB, &done), -EINPROGRESS);
		cr_assert_eq(done, zs_align_down(131 * 4096, ZSD_SPLIT_PART_BYTES));
		zs_stream_set_nowait(stream, false);
		struct zs_device_stats stats = go_on_reading(device, done);

		cr_assert_eq(stats.reads, i);
		cr_assert_eq(stats.read_bytes, i * MIB);
	}
	zs_device_put(device, stream);
	unlink(path);
}

Test(split, what_is_written_once_more_when_there_is_room_counts_once)
{
	struct zs_device *device = device_add("device", 4096);
	uint64_t written = 0, writes = 0;

	test_data_make(TEST_DATA_NOISE, &random_state, model, MIB);
	for (unsigned int i = 1; i <= 100; i++) {
		size_t done = 0, more = 0;
		int r;

		zs_store_set_limit(store, MIB / 2);
		r = zsd_split_write(jobs, device, stream, 0, model, MIB, &done);
		cr_assert(!r && done && done < MIB, "%d, %zu bytes", r, done);
		zs_store_set_limit(store, 0);
		cr_assert_eq(zs_device_write_more(device, stream, done, model + done, MIB - done, &more), 0);
		cr_assert_eq(done + more, MIB);
		written += MIB;
		cr_assert_eq(stats_of(device).written_bytes, written);
		cr_assert_eq(stats_of(device).writes, ++writes);
		cr_assert_eq(zs_device_discard(device, stream, 0, MIB), 0);
	}
	zs_device_put(device, stream);
}
