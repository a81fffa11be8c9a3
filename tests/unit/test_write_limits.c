/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much is written to the backing file: each day, in all, and at a time; and what the next store knows of it. */

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "codec/stream.h"
#include "store/backing_internal.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/cold_store.h"
#include "support/data.h"
#include "support/small_store.h"

#define NR_BLOCKS  1600
#define BLOCK_SIZE 4096
/* A block's noise with its record's header. */
#define RECORD 4128

static struct test_cold_world world;
static struct test_random random_state = {.state = 4711};
static struct zs_writeback_progress progress;
static struct zs_writeback_request request;

/* The clock: noon at first. */
#define DAY_SEC 86400
static time_t now_sec = 20000 * (time_t)DAY_SEC + DAY_SEC / 2;

time_t time(time_t *ret_sec)
{
	if (ret_sec)
		*ret_sec = now_sec;
	return now_sec;
}

static void init(void)
{
	test_cold_world_open(&world, 0);
}

static void deinit(void)
{
	test_cold_world_close(&world);
}

TestSuite(write_limits, .init = init, .fini = deinit);

static void fill(void)
{
	static char noise[BLOCK_SIZE];
	size_t done;

	for (uint64_t block = 0; block < NR_BLOCKS; block++) {
		test_random_fill(&random_state, noise, BLOCK_SIZE);
		cr_assert_eq(zs_device_write(world.device, world.stream, block * BLOCK_SIZE, noise, BLOCK_SIZE, &done),
			     0);
	}
}

static int writeback(uint64_t max_blocks)
{
	progress = (struct zs_writeback_progress){0};
	request.limit_blocks = max_blocks;
	return zs_store_writeback(world.store, &request, &progress);
}

/* Another store gets the file, as after a restart of all. */
static void inherit_as(bool encrypt)
{
	const struct zs_backing_options options = {
		.path = world.path, .segment_bytes = ZS_SEGMENT_MIN_BYTES, .encrypt = encrypt};
	const struct zs_codec_params lz4 = {.codec = ZS_CODEC_LZ4, .level = 1};

	zs_device_put(world.device, world.stream);
	zs_store_close(world.store);
	world.store = test_store_create(0);
	cr_assert_eq(zs_store_attach_backing(world.store, &options, NULL), 0);
	/* Not every file system tells that the other one's last writes are over, and then it takes a minute. */
	zs_log_note_room(zs_store_backing(world.store));
	world.id = test_device_add(world.store, "device", (uint64_t)1 << 30, BLOCK_SIZE, lz4);
	world.device = zs_device_get(world.store, world.id, world.stream);
	fill();
}

static void inherit(void)
{
	inherit_as(false);
}

static struct zs_writeback_budget budget_of(void)
{
	struct zs_writeback_budget budget;

	cr_assert_eq(zs_store_writeback_budget(world.store, &budget), 0);
	return budget;
}

static void set_total(uint64_t bytes, enum zs_limit_source source)
{
	cr_assert_eq(zs_store_set_total_limit(world.store, bytes, source), 0);
	zs_store_keep_writeback_budget(world.store);
}

static void set_daily(uint64_t bytes, enum zs_limit_source source)
{
	cr_assert_eq(zs_store_set_daily_limit(world.store, bytes, source), 0);
	zs_store_keep_writeback_budget(world.store);
}

/* The page that counts; sequence 0 if there is none. */
static struct zs_budget_page page_in_file(void)
{
	struct zs_budget_page pages[2] = {0};
	int fd = open(world.path, O_RDONLY | O_CLOEXEC);

	for (unsigned int i = 0; i < 2; i++)
		cr_assert_eq(pread(fd, &pages[i], sizeof(pages[i]), (2 + i) * 4096), sizeof(pages[i]));
	close(fd);
	return pages[pages[1].sequence > pages[0].sequence];
}

/*
 * limits
 */

Test(write_limits, both_hold_and_all_that_is_written_counts_for_both)
{
	fill();
	set_daily(100 * RECORD, ZS_LIMIT_BY_CONFIG);
	set_total(60 * RECORD, ZS_LIMIT_BY_CONFIG);
	cr_assert_eq(writeback(0), -EDQUOT);
	cr_assert_eq(progress.written_blocks, 60);
	cr_assert_eq(budget_of().written_today_bytes, 60 * RECORD);
	cr_assert_eq(budget_of().remaining_bytes, 0);
	set_total(60 * RECORD, ZS_LIMIT_BY_CONFIG);
	cr_assert_eq(writeback(0), -EDQUOT);
	cr_assert_eq(progress.written_blocks, 40);
	cr_assert_eq(budget_of().remaining_bytes, 20 * RECORD);
}

Test(write_limits, what_encryption_adds_to_a_record_counts)
{
	inherit_as(true);
	set_daily(100 * RECORD, ZS_LIMIT_BY_CONFIG);
	cr_assert_eq(writeback(0), -EDQUOT);
	cr_assert_eq(test_cold_world_file_stats(&world).live_bytes, progress.written_bytes);
	cr_assert_eq(budget_of().written_today_bytes, progress.written_bytes);
	cr_assert_leq(progress.written_bytes, 100 * RECORD);
}

Test(write_limits, the_next_store_goes_on_with_what_is_left)
{
	fill();
	set_daily(500 * RECORD, ZS_LIMIT_BY_CONFIG);
	set_total(80 * RECORD, ZS_LIMIT_BY_CONFIG);
	cr_assert_eq(writeback(50), 0);
	inherit();
	cr_assert_eq(budget_of().day_bytes, 500 * RECORD);
	cr_assert_eq(budget_of().written_today_bytes, 50 * RECORD);
	cr_assert(budget_of().has_remaining);
	cr_assert_eq(budget_of().remaining_bytes, 30 * RECORD);
	cr_assert_eq(writeback(0), -EDQUOT);
	cr_assert_eq(progress.written_blocks, 30);
	inherit();
	cr_assert_eq(writeback(0), -EDQUOT);
	cr_assert_eq(progress.written_blocks, 0);
}

Test(write_limits, a_start_refills_only_what_the_configuration_says_anew)
{
	fill();
	set_total(80 * RECORD, ZS_LIMIT_AT_START);
	cr_assert_eq(writeback(50), 0);
	inherit();
	set_total(80 * RECORD, ZS_LIMIT_AT_START);
	cr_assert_eq(budget_of().remaining_bytes, 30 * RECORD);
	/* By the same value, if somebody says it. */
	set_total(80 * RECORD, ZS_LIMIT_BY_CONFIG);
	cr_assert_eq(budget_of().remaining_bytes, 80 * RECORD);
	set_total(90 * RECORD, ZS_LIMIT_AT_START);
	cr_assert_eq(budget_of().remaining_bytes, 90 * RECORD);
	set_total(ZS_NO_TOTAL_LIMIT, ZS_LIMIT_AT_START);
	cr_assert_not(budget_of().has_remaining);
}

Test(write_limits, what_a_command_has_set_stays_until_the_configuration_says_something_else)
{
	set_daily(80 * RECORD, ZS_LIMIT_AT_START);
	set_daily(20 * RECORD, ZS_LIMIT_BY_COMMAND);
	set_total(10 * RECORD, ZS_LIMIT_BY_COMMAND);
	inherit();
	set_daily(80 * RECORD, ZS_LIMIT_AT_START);
	set_total(ZS_NO_TOTAL_LIMIT, ZS_LIMIT_AT_START);
	cr_assert_eq(budget_of().day_bytes, 20 * RECORD);
	cr_assert_eq(budget_of().remaining_bytes, 10 * RECORD);
	set_daily(0, ZS_LIMIT_AT_START);
	cr_assert_eq(budget_of().day_bytes, 0);
}

/*
 * days
 */

/* So much later; what is written today then. */
static uint64_t written_after(time_t sec)
{
	now_sec += sec;
	return budget_of().written_today_bytes;
}

static void write_a_day_full(void)
{
	fill();
	set_daily(50 * RECORD, ZS_LIMIT_BY_COMMAND);
	cr_assert_eq(writeback(0), -EDQUOT);
	cr_assert_eq(progress.written_blocks, 50);
}

Test(write_limits, a_day_begins_at_midnight_and_owes_nothing)
{
	write_a_day_full();
	cr_assert_eq(budget_of().refill_sec, 20001 * (uint64_t)DAY_SEC);
	cr_assert_gt(written_after(DAY_SEC / 2 - 1), 0);
	cr_assert_eq(written_after(1), 0);
	cr_assert_eq(budget_of().refill_sec, 20002 * (uint64_t)DAY_SEC);
	cr_assert_eq(writeback(0), -EDQUOT);
	cr_assert_eq(progress.written_blocks, 50);
}

Test(write_limits, a_midnight_that_comes_twice_refills_once)
{
	write_a_day_full();
	cr_assert_eq(written_after(DAY_SEC / 2), 0);
	cr_assert_eq(writeback(0), -EDQUOT);
	for (unsigned int i = 0; i < 3; i++) {
		cr_assert_eq(written_after(-1), 50 * RECORD);
		cr_assert_eq(budget_of().refill_sec, 20002 * (uint64_t)DAY_SEC);
		cr_assert_eq(written_after(1), 50 * RECORD);
	}
	cr_assert_eq(written_after(DAY_SEC), 0);
}

Test(write_limits, a_clock_that_was_wrong_and_is_set_back_refills_nothing_before_the_next_midnight)
{
	write_a_day_full();
	cr_assert_eq(written_after(-1000 * DAY_SEC), 50 * RECORD);
	cr_assert_eq(budget_of().refill_sec, 19001 * (uint64_t)DAY_SEC);
	/* The same if the daemon is started anew meanwhile. */
	zs_store_keep_writeback_budget(world.store);
	inherit();
	cr_assert_eq(written_after(DAY_SEC / 2 - 1), 50 * RECORD);
	cr_assert_eq(written_after(1), 0);
}

/*
 * in the file
 */

Test(write_limits, without_a_limit_nothing_is_written_for_it)
{
	fill();
	cr_assert_eq(writeback(0), 0);
	cr_assert_eq(page_in_file().sequence, 0);
}

static void damage_page(uint64_t sequence)
{
	int fd = open(world.path, O_RDWR | O_CLOEXEC);

	cr_assert_eq(pwrite(fd, "x", 1, (off_t)((2 + sequence % 2) * 4096 + offsetof(struct zs_budget_page, day))), 1);
	close(fd);
}

Test(write_limits, a_damaged_page_leaves_the_one_before)
{
	set_total(70 * RECORD, ZS_LIMIT_BY_COMMAND);
	set_total(60 * RECORD, ZS_LIMIT_BY_COMMAND);
	cr_assert_eq(page_in_file().sequence, 2);
	damage_page(2);
	inherit();
	cr_assert_eq(budget_of().remaining_bytes, 70 * RECORD);
}

Test(write_limits, two_damaged_pages_are_no_limit_and_are_written_again)
{
	set_total(70 * RECORD, ZS_LIMIT_BY_COMMAND);
	set_total(60 * RECORD, ZS_LIMIT_BY_COMMAND);
	damage_page(1);
	damage_page(2);
	inherit();
	cr_assert_not(budget_of().has_remaining);
	set_total(50 * RECORD, ZS_LIMIT_AT_START);
	inherit();
	cr_assert_eq(budget_of().remaining_bytes, 50 * RECORD);
}

Test(write_limits, a_store_that_is_opened_again_knows_more_than_the_file_and_what_the_configuration_said)
{
	fill();
	set_total(80 * RECORD, ZS_LIMIT_AT_START);
	cr_assert_eq(writeback(50), 0);
	/* Killed before the file is written. */
	cr_assert_eq(zs_store_set_daily_limit(world.store, 500 * RECORD, ZS_LIMIT_BY_COMMAND), 0);
	test_cold_world_reopen(&world, true);
	cr_assert_eq(budget_of().day_bytes, 500 * RECORD);
	set_total(80 * RECORD, ZS_LIMIT_AT_START);
	cr_assert_eq(budget_of().remaining_bytes, 30 * RECORD);
	cr_assert_eq(page_in_file().limit_bytes, 500 * RECORD);
}

Test(write_limits, a_page_that_was_not_written_leaves_the_one_before_and_is_written_later)
{
	int *fd = &zs_store_backing(world.store)->file.fd;
	int own = *fd;

	set_total(70 * RECORD, ZS_LIMIT_BY_COMMAND);
	*fd = open(world.path, O_RDONLY | O_CLOEXEC);
	set_total(60 * RECORD, ZS_LIMIT_BY_COMMAND);
	close(*fd);
	*fd = own;
	cr_assert_eq(page_in_file().remaining_bytes, 70 * RECORD);
	zs_store_keep_writeback_budget(world.store);
	cr_assert_eq(page_in_file().remaining_bytes, 60 * RECORD);
	cr_assert_eq(page_in_file().sequence, 2);
}

/* What the disk was told to have before anything else is done. */
static struct zs_budget_page page_on_disk;

ssize_t pwritev2(int fd, const struct iovec *parts, int nr, off_t offset, int flags)
{
	ssize_t (*real)(int, const struct iovec *, int, off_t, int);

	*(void **)&real = dlsym(RTLD_NEXT, "pwritev2");
	/* Nothing is handed over yet for which the disk has no word. */
	if (page_on_disk.limit_bytes)
		cr_assert_leq(progress.written_bytes, page_on_disk.written_bytes);
	if (flags & RWF_DSYNC)
		memcpy(&page_on_disk, parts->iov_base, sizeof(page_on_disk));
	return real(fd, parts, nr, offset, flags);
}

/* What happens when a write is over. */
static struct {
	unsigned int nr;
	unsigned int most_at_a_time;
	uint64_t set_total; /* with the first one */
} seen;

static int look_at_write(void *context, int result)
{
	struct zs_backing *backing = context;

	seen.most_at_a_time = zs_max(seen.most_at_a_time, (unsigned int)(backing->log.next - backing->log.first));
	/* Without power now, nothing is forgotten. */
	if (page_in_file().limit_bytes)
		cr_assert_geq(page_on_disk.written_bytes, progress.written_bytes);
	if (!seen.nr++ && seen.set_total)
		cr_assert_eq(zs_store_set_total_limit(world.store, seen.set_total, ZS_LIMIT_BY_COMMAND), 0);
	return result;
}

static struct zs_backing_faults looks = {.write = look_at_write};

static void look_at_writes(void)
{
	looks.context = zs_store_backing(world.store);
	zs_backing_set_faults(zs_store_backing(world.store), &looks);
}

Test(write_limits, the_disk_has_what_is_written_before_it_is)
{
	fill();
	set_daily(UINT64_C(1) << 30, ZS_LIMIT_BY_CONFIG);
	look_at_writes();
	cr_assert_eq(writeback(0), 0);
	cr_assert_gt(seen.nr, 10);
	cr_assert_eq(page_in_file().written_bytes, progress.written_bytes);
	cr_assert_eq(page_on_disk.sequence, page_in_file().sequence);
	cr_assert_eq(budget_of().written_today_bytes, progress.written_bytes);
}

Test(write_limits, one_that_is_set_meanwhile_holds_at_once)
{
	fill();
	set_total(UINT64_C(1) << 30, ZS_LIMIT_BY_CONFIG);
	look_at_writes();
	seen.set_total = 10 * RECORD;
	request.batch_bytes = ZS_BATCH_MIN_BYTES;
	cr_assert_eq(writeback(0), -EDQUOT);
	/* A write had gone out, and another one was filled. */
	cr_assert_lt(progress.written_bytes, 2 * ZS_BATCH_MIN_BYTES + 10 * RECORD);
	cr_assert_eq(budget_of().remaining_bytes, 0);
}

/*
 * at a time
 */

Test(write_limits, no_more_is_being_written_than_the_batch)
{
	fill();
	look_at_writes();
	cr_assert_eq(writeback(NR_BLOCKS / 2), 0);
	cr_assert_gt(seen.most_at_a_time, 8);
	cr_assert_eq(zs_backing_batch(zs_store_backing(world.store)), ZS_BATCH_MAX_BYTES);
	zs_backing_set_batch(zs_store_backing(world.store), 3 * ZS_BATCH_MIN_BYTES + 1);
	cr_assert_eq(zs_backing_batch(zs_store_backing(world.store)), 3 * ZS_BATCH_MIN_BYTES);
	seen.most_at_a_time = 0;
	cr_assert_eq(writeback(NR_BLOCKS / 4), 0);
	cr_assert_eq(seen.most_at_a_time, 3);
	/* One run's is not the next one's. */
	request.batch_bytes = ZS_BATCH_MIN_BYTES;
	seen.most_at_a_time = 0;
	cr_assert_eq(writeback(NR_BLOCKS / 8), 0);
	cr_assert_eq(seen.most_at_a_time, 1);
	request.batch_bytes = 0;
	cr_assert_eq(writeback(1), 0);
	cr_assert_eq(zs_backing_batch(zs_store_backing(world.store)), 3 * ZS_BATCH_MIN_BYTES);
}
