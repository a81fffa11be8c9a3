/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file when the disk fails, or somebody changes the file. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "support/cold.h"

#define NR 600

static struct test_cold *cold;

static void open_cold(void)
{
	cold = test_cold_create(0);
	cr_assert_eq(test_cold_open(cold), 0);
}

static void close_cold(void)
{
	test_cold_destroy(cold);
}

TestSuite(backing_errors, .init = open_cold, .fini = close_cold);

/* Appends NR objects, some of which fail; answers how many are in the file. */
static uint32_t append_all(void)
{
	uint32_t nr = 0;

	for (uint32_t i = 1; i <= NR; i++) {
		if (!cold->objects[i].is_used)
			test_cold_append(cold, i, 2300);
	}
	test_cold_flush(cold);
	for (uint32_t i = 1; i <= NR; i++) {
		nr += cold->objects[i].place.units != 0;
		/* what failed stays in memory, as it were; tried again later */
		cold->objects[i].is_used = cold->objects[i].place.units;
	}
	return nr;
}

static uint64_t nr_errors(int fault)
{
	struct zs_backing_stats stats = test_cold_stats(cold);

	switch (fault) {
	case -ENOSPC:
		return stats.write_space_errors;
	case -ECANCELED:
		return stats.write_canceled;
	case -EAGAIN:
		return stats.write_again;
	case -EIO:
		return stats.write_io_errors;
	default:
		return stats.write_short;
	}
}

/* Each write in turn fails once: its records are told of it, nothing of them is left, and no other is concerned. */
static void fail_each_write(int fault, int expected)
{
	uint64_t nr_writes = 6, failed;

	for (uint64_t nth = 1; nth <= nr_writes; nth++) {
		uint64_t errors = nr_errors(fault);

		cold->fail_at = cold->nr_writes + nth;
		cold->fault = fault;
		failed = cold->nr_failed;
		append_all();
		cr_assert_eq(nr_errors(fault), errors + 1, "write %lu", (unsigned long)nth);
		cr_assert_gt(cold->nr_failed, failed);
		cr_assert_eq(cold->last_error, expected);
		test_cold_check(cold);
		/* What has failed can be written later. */
		cold->now_ns += UINT64_C(100000000000);
		cr_assert_eq(append_all(), NR);
		test_cold_check(cold);
		for (uint32_t i = 1; i <= NR; i++)
			test_cold_free(cold, i);
		zs_backing_punch(cold->backing);
	}
	cr_assert_eq(test_cold_stats(cold).live_records, 0);
	cr_assert_eq(test_cold_stats(cold).write_errors, nr_errors(fault));
}

Test(backing_errors, eio_leaves_nothing_behind)
{
	fail_each_write(-EIO, -EIO);
}

Test(backing_errors, enospc_leaves_nothing_behind)
{
	fail_each_write(-ENOSPC, -ENOSPC);
}

Test(backing_errors, ecanceled_leaves_nothing_behind)
{
	fail_each_write(-ECANCELED, -ECANCELED);
}

Test(backing_errors, eagain_leaves_nothing_behind)
{
	fail_each_write(-EAGAIN, -EAGAIN);
}

Test(backing_errors, a_short_write_leaves_nothing_behind)
{
	fail_each_write(4096, -EIO);
	fail_each_write(0, -EIO);
}

Test(backing_errors, a_late_write_is_waited_for_and_delays_nothing_else_than_telling)
{
	for (uint64_t nth = 1; nth <= 6; nth++) {
		cold->fail_at = cold->nr_writes + nth;
		cold->fault = -EINPROGRESS;
		cr_assert_eq(append_all(), NR);
		cr_assert_eq(cold->fail_at, 0);
		test_cold_check(cold);
		for (uint32_t i = 1; i <= NR; i++)
			test_cold_free(cold, i);
	}
	cr_assert_eq(cold->nr_failed, 0);
}

Test(backing_errors, nothing_is_told_of_while_its_write_is_late)
{
	cold->fail_at = 1;
	cold->fault = -EINPROGRESS;
	cr_assert_eq(test_cold_append(cold, 1, 2300), 0);
	zs_backing_submit(cold->backing);
	for (unsigned int i = 0; i < 10; i++)
		zs_backing_reap(cold->backing, false);
	cr_assert_eq(cold->nr_done, 0);
	cr_assert_eq(zs_backing_pending(cold->backing), 1);
	zs_backing_reap(cold->backing, true);
	cr_assert_eq(cold->nr_done, 1);
}

static unsigned int nr_lines, nr_events;
static int event_error;

static void count_line(enum zs_log_level level, const char *line)
{
	nr_lines++;
}

static void count_event(const struct zs_event_line *what)
{
	nr_events += what->event == ZS_EVENT_BACKING_FAILS;
	event_error = what->error;
}

Test(backing_errors, the_first_failures_are_an_event_that_names_the_error)
{
	zs_log_set_sink(count_line, ZS_LOG_WARNING);
	zs_log_set_event_sink(count_event);
	cold->fault = -ENOSPC;
	cold->fail_at = cold->nr_writes + 1;
	cr_assert_eq(test_cold_append(cold, 1, 2300), 0);
	test_cold_flush(cold);
	cold->objects[1].is_used = false;
	zs_log_set_sink(NULL, ZS_LOG_WARNING);
	zs_log_set_event_sink(NULL);
	cr_assert_eq(nr_events, 1);
	cr_assert_eq(event_error, -ENOSPC);
	cr_assert_eq(nr_lines, 0);
}

Test(backing_errors, three_failures_in_a_row_pause_it_for_longer_and_longer)
{
	uint64_t second = 1000000000;

	cold->fault = -EIO;
	for (unsigned int i = 0; i < 3; i++) {
		cold->fail_at = cold->nr_writes + 1;
		cr_assert_eq(test_cold_append(cold, 1, 2300), 0, "%u", i);
		test_cold_flush(cold);
		cold->objects[1].is_used = false;
	}
	cr_assert_eq(test_cold_append(cold, 1, 2300), -EIO);
	cr_assert_eq(test_cold_stats(cold).paused, -EIO);
	cold->now_ns += second - 1;
	cr_assert_eq(test_cold_append(cold, 1, 2300), -EIO);
	cold->now_ns += 1;
	cr_assert_eq(test_cold_stats(cold).paused, 0, "nobody has to try for it to be over");
	/* Once more: twice as long. */
	cold->fail_at = cold->nr_writes + 1;
	cr_assert_eq(test_cold_append(cold, 1, 2300), 0);
	test_cold_flush(cold);
	cold->objects[1].is_used = false;
	cold->now_ns += 2 * second - 1;
	cr_assert_eq(test_cold_append(cold, 1, 2300), -EIO);
	cold->now_ns += 1;
	cr_assert_eq(test_cold_append(cold, 1, 2300), 0);
	test_cold_flush(cold);
	cr_assert_eq(test_cold_stats(cold).paused, 0);
	test_cold_check(cold);
}

Test(backing_errors, a_full_disk_pauses_it_until_something_was_given_back)
{
	cr_assert_eq(append_all(), NR);
	cold->fault = -ENOSPC;
	cold->fail_at = cold->nr_writes + 1;
	cr_assert_eq(test_cold_append(cold, NR + 1, 2300), 0);
	test_cold_flush(cold);
	cold->objects[NR + 1].is_used = false;
	cr_assert_eq(test_cold_append(cold, NR + 1, 2300), -ENOSPC);
	for (uint32_t i = 1; i <= NR; i++)
		test_cold_free(cold, i);
	cr_assert_eq(test_cold_append(cold, NR + 1, 2300), -ENOSPC);
	cr_assert_eq(test_cold_stats(cold).paused, -ENOSPC);
	cr_assert_gt(zs_backing_punch(cold->backing), 0);
	cr_assert_eq(test_cold_stats(cold).paused, 0);
	cr_assert_eq(test_cold_append(cold, NR + 1, 2300), 0);
}

Test(backing_errors, a_file_that_can_not_be_read_fails_its_records_only)
{
	cr_assert_eq(append_all(), NR);
	cold->fails_reads = true;
	cr_assert_eq(test_cold_read(cold, 1), -EIO);
	cr_assert_eq(test_cold_stats(cold).read_errors, 1);
	cr_assert_eq(test_cold_collect(cold, 0, 1), 1);
	cold->fails_reads = false;
	test_cold_check(cold);
	cr_assert_eq(test_cold_stats(cold).corrupt_records, 0);
}

/* Past the page cache and the lock, as somebody else may do. */
static void change_file(uint64_t offset, const void *bytes, size_t size)
{
	int fd = open(cold->path, O_RDWR);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
	close(fd);
}

static void flip(uint64_t offset)
{
	int fd = open(cold->path, O_RDWR);
	char byte;

	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x10;
	cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

Test(backing_errors, a_bit_that_was_flipped_anywhere_in_a_record_is_found)
{
	uint64_t start, end;

	cr_assert_eq(append_all(), NR);
	start = cold->objects[77].place.unit * 16;
	end = start + 28 + 2300;
	for (uint64_t at = start; at < end; at += at < start + 40 ? 1 : 97) {
		flip(at);
		cr_assert_eq(test_cold_read(cold, 77), -EBADMSG, "%lu", (unsigned long)(at - start));
		cr_assert_eq(test_cold_read(cold, 76), 0);
		cr_assert_eq(test_cold_read(cold, 78), 0);
		flip(at);
	}
	test_cold_check(cold);
}

Test(backing_errors, collection_leaves_what_is_damaged_and_moves_the_rest)
{
	uint64_t unit;

	cr_assert_eq(append_all(), NR);
	unit = cold->objects[50].place.unit;
	for (uint32_t i = 1; i <= NR; i += 2)
		test_cold_free(cold, i);
	flip(unit * 16 + 500);			     /* a payload */
	flip(cold->objects[60].place.unit * 16 + 9); /* a header */
	cr_assert_gt(test_cold_collect(cold, 30, 100), 3);
	cr_assert_eq(cold->objects[50].place.unit, unit);
	cr_assert_eq(test_cold_read(cold, 50), -EBADMSG);
	cr_assert_eq(test_cold_read(cold, 60), -EBADMSG);
	cr_assert_neq(cold->objects[52].place.unit, unit + 2 * cold->objects[52].place.units);
	/* It isn't tried again and again, until something in it changes. */
	cr_assert_eq(test_cold_collect(cold, 30, 100), 0);
	test_cold_free(cold, 50);
	test_cold_free(cold, 60);
	test_cold_check(cold);
}

Test(backing_errors, a_file_that_was_cut_fails_what_was_cut_off)
{
	uint64_t cut;
	uint32_t nr_read = 0;

	cr_assert_eq(append_all(), NR);
	cut = cold->objects[NR / 2].place.unit * 16 & ~4095ULL;
	cr_assert_eq(truncate(cold->path, (off_t)cut), 0);
	for (uint32_t i = 1; i <= NR; i++) {
		int error = test_cold_read(cold, i);

		nr_read += !error;
		cr_assert(!error || error == -EIO || error == -EBADMSG);
	}
	cr_assert_geq(nr_read, NR / 2 - 3);
	cr_assert_lt(nr_read, NR / 2);
	/* Writing goes on; holes are no records. */
	for (uint32_t i = NR + 1; i <= 2 * NR; i++)
		cr_assert_eq(test_cold_append(cold, i, 2300), 0);
	test_cold_flush(cold);
	for (uint32_t i = NR + 1; i <= 2 * NR; i++)
		cr_assert_eq(test_cold_read(cold, i), 0);
	cr_assert_eq(test_cold_read(cold, NR), -EBADMSG);
}

Test(backing_errors, another_file_in_its_place_is_not_taken_for_ours)
{
	struct test_cold *other = test_cold_create(0);
	static char bytes[8 * ZS_SEGMENT_MIN_BYTES];
	int fd;

	cr_assert_eq(append_all(), NR);
	/* The same handles, sizes, places and sequences in another file. */
	cr_assert_eq(test_cold_open(other), 0);
	for (uint32_t i = 1; i <= NR; i++)
		cr_assert_eq(test_cold_append(other, i, 2300), 0);
	test_cold_flush(other);
	cr_assert_eq(other->objects[NR].place.unit, cold->objects[NR].place.unit);
	fd = open(other->path, O_RDONLY);
	cr_assert_gt(pread(fd, bytes, sizeof(bytes), 0), NR * 2300);
	close(fd);
	change_file(0, bytes, sizeof(bytes));
	for (uint32_t i = 1; i <= NR; i++)
		cr_assert_eq(test_cold_read(cold, i), -EBADMSG);
	test_cold_destroy(other);
}

Test(backing_errors, a_file_that_was_removed_is_used_until_it_is_closed)
{
	cr_assert_eq(append_all(), NR);
	cr_assert_eq(unlink(cold->path), 0);
	test_cold_check(cold);
	for (uint32_t i = NR + 1; i <= 2 * NR; i++)
		cr_assert_eq(test_cold_append(cold, i, 2300), 0);
	test_cold_flush(cold);
	test_cold_check(cold);
	test_cold_close(cold);
	cr_assert_eq(test_cold_open(cold), -ENOENT);
}

/* Reads at a place that nothing says to be live. */
static int read_at(struct zs_place place)
{
	static _Alignas(4096) char buffer[ZS_BACKING_READ_BYTES];
	struct zs_record record;

	return zs_backing_read(cold->backing, &place, buffer, sizeof(buffer), &record);
}

Test(backing_errors, what_an_earlier_use_of_a_segment_has_left_is_no_record)
{
	const uint64_t units = ZS_SEGMENT_MIN_BYTES / 16;
	struct zs_place stale = {0};

	cr_assert_eq(append_all(), NR);
	/* The last one that is in the first segment. */
	for (uint32_t i = 1; cold->objects[i].place.unit < 2 * units; i++)
		stale = cold->objects[i].place;
	cr_assert_eq(read_at(stale), 0);
	for (uint32_t i = 1; i <= NR; i++)
		test_cold_free(cold, i);
	/* Empty ones are used again before others; a few pages are written at its beginning. */
	for (uint32_t i = 1; i <= 2 * NR; i++) {
		cr_assert_eq(test_cold_append(cold, i, 2300), 0);
		test_cold_flush(cold);
		if (cold->objects[i].place.unit / units == stale.unit / units)
			break;
	}
	cr_assert_eq(read_at(stale), -EBADMSG);
	test_cold_check(cold);
}

Test(backing_errors, what_was_written_to_a_wrong_place_is_no_record)
{
	struct zs_place from, to;
	char bytes[4096];
	int fd;

	cr_assert_eq(append_all(), NR);
	from = cold->objects[10].place;
	to = cold->objects[11].place;
	cr_assert_eq(from.units, to.units);
	fd = open(cold->path, O_RDONLY);
	cr_assert_eq(pread(fd, bytes, from.units * 16, (off_t)from.unit * 16), from.units * 16);
	close(fd);
	change_file(to.unit * 16, bytes, to.units * 16);
	/* Even if it were asked for by its new place. */
	cr_assert_eq(read_at(to), -EBADMSG);
	change_file(from.unit * 16, bytes, from.units * 16);
	cr_assert_eq(test_cold_read(cold, 10), 0);
}
