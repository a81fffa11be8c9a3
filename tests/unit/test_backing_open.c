/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which files can be backing files, and which are refused; each refusal leaves the file and the arena as they are. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "store/segments.h"
#include "support/cold.h"
#include "support/small_store.h"

#define SEGMENT ZS_SEGMENT_MIN_BYTES

static struct test_cold *cold;
static char log_lines[4096];

static void create_cold(void)
{
	cold = test_cold_create(0);
}

static void destroy_cold(void)
{
	test_cold_destroy(cold);
}

TestSuite(backing_open, .init = create_cold, .fini = destroy_cold);

/* Asserts that it is refused so, because of this option. */
static void check_refused(const struct zs_backing_options *options, int expected, enum zs_backing_field expected_field)
{
	enum zs_backing_field field = ZS_BACKING_FIELD_NONE;
	uint64_t hash = test_arena_hash(cold->arena.fd);
	struct zs_backing *backing = NULL;

	cr_assert_eq(zs_backing_open(&cold->arena, options, &field, &backing), expected);
	cr_assert_eq(field, expected_field);
	cr_assert_null(backing);
	cr_assert_eq(test_arena_hash(cold->arena.fd), hash);
}

/* True if the arena has a backing file. */
static bool is_known(const struct zs_arena *arena)
{
	int error;

	return zs_segments_attributes(arena, &error) || error;
}

static void check_path_refused(const char *path, int expected)
{
	check_refused(&(struct zs_backing_options){.path = path}, expected, ZS_BACKING_FIELD_PATH);
}

static void write_file(uint64_t offset, const void *bytes, size_t size)
{
	int fd = open(cold->path, O_RDWR);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
	close(fd);
}

/* Whatever it is: an identity has any bytes. */
static void flip_byte(uint64_t offset)
{
	int fd = open(cold->path, O_RDONLY);
	char byte;

	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
	byte ^= 1;
	write_file(offset, &byte, 1);
}

static uint64_t file_hash(void)
{
	int fd = open(cold->path, O_RDONLY);
	uint64_t hash;

	cr_assert_geq(fd, 0);
	hash = test_arena_hash(fd);
	close(fd);
	return hash;
}

Test(backing_open, what_is_no_file_is_refused)
{
	char path[sizeof(cold->path) + 8];

	check_path_refused("/nowhere/at/all", -ENOENT);
	check_path_refused("/", -EISDIR);
	check_path_refused("/dev/null", -ENOTBLK);
	snprintf(path, sizeof(path), "%s.fifo", cold->path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	check_path_refused(path, -ENOTBLK);
	unlink(path);
}

Test(backing_open, a_file_that_can_not_be_written_is_refused)
{
	cr_assert_eq(chmod(cold->path, 0400), 0);
	/* Root may write whatever it likes. */
	if (!geteuid())
		cr_assert_eq(seteuid(65534), 0);
	check_path_refused(cold->path, -EACCES);
	cr_assert_eq(seteuid(getuid()), 0);
}

Test(backing_open, sizes_that_can_not_be_are_refused)
{
	struct zs_backing_options options = {.path = cold->path, .segment_bytes = SEGMENT};
	static const uint32_t segments[] = {1, 4096, SEGMENT / 2, SEGMENT + 1, SEGMENT * 3, ZS_SEGMENT_MAX_BYTES * 2};

	options.size_bytes = 4 * SEGMENT - 1;
	check_refused(&options, -EOVERFLOW, ZS_BACKING_FIELD_SIZE);
	options.size_bytes = 1;
	check_refused(&options, -EOVERFLOW, ZS_BACKING_FIELD_SIZE);
	options.size_bytes = 0;
	for (unsigned int i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
		options.segment_bytes = segments[i];
		check_refused(&options, -EINVAL, ZS_BACKING_FIELD_SEGMENT);
	}
	options.segment_bytes = SEGMENT;
	options.size_bytes = 4 * SEGMENT;
	cr_assert_eq(zs_backing_open(&cold->arena, &options, NULL, &cold->backing), 0);
}

Test(backing_open, a_file_with_something_in_it_is_refused)
{
	static const uint64_t offsets[] = {0, 7, 1024, 4086, 65600, (1 << 20) - 1};

	for (unsigned int i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint64_t hash;

		cr_assert_eq(truncate(cold->path, 0), 0);
		cr_assert_eq(truncate(cold->path, 4 << 20), 0);
		write_file(offsets[i], "x", 1);
		hash = file_hash();
		check_path_refused(cold->path, -EMEDIUMTYPE);
		cr_assert_eq(file_hash(), hash);
	}
	/* A short one, and one whose length is no sector's. */
	cr_assert_eq(truncate(cold->path, 0), 0);
	write_file(0, "hello, world", 12);
	check_path_refused(cold->path, -EMEDIUMTYPE);
}

Test(backing_open, a_file_of_zeros_counts_as_empty)
{
	cr_assert_eq(truncate(cold->path, 5 << 20), 0);
	cr_assert_eq(test_cold_open(cold), 0);
	test_cold_close(cold);
}

Test(backing_open, a_file_that_another_has_open_is_refused)
{
	struct test_cold *other = test_cold_create(0);
	struct zs_backing *backing = NULL;
	enum zs_backing_field field;

	cr_assert_eq(test_cold_open(cold), 0);
	other->options.path = cold->path;
	cr_assert_eq(zs_backing_open(&other->arena, &other->options, &field, &backing), -EBUSY);
	cr_assert_eq(field, ZS_BACKING_FIELD_PATH);
	cr_assert_not(is_known(&other->arena));
	test_cold_close(cold);
	cr_assert_eq(test_cold_open(other), 0);
	test_cold_destroy(other);
}

static void fill(struct test_cold *of)
{
	for (uint32_t i = 1; i <= 500; i++)
		cr_assert_eq(test_cold_append(of, i, 2300), 0);
	test_cold_flush(of);
}

Test(backing_open, the_arena_wants_its_own_file_again)
{
	struct test_cold *other = test_cold_create(0);
	struct zs_backing_options options;

	cr_assert_not(is_known(&cold->arena));
	cr_assert_eq(test_cold_open(cold), 0);
	cr_assert(is_known(&cold->arena));
	fill(cold);
	test_cold_close(cold);
	options = cold->options;
	/* An empty one; somebody else's; a text. */
	options.path = other->path;
	check_refused(&options, -ESTALE, ZS_BACKING_FIELD_PATH);
	cr_assert_eq(test_cold_open(other), 0);
	test_cold_close(other);
	check_refused(&options, -ESTALE, ZS_BACKING_FIELD_PATH);
	check_path_refused("/etc/passwd", -ESTALE);
	/* Its own, with damage to the header. */
	flip_byte(20);
	options.path = cold->path;
	check_refused(&options, -ESTALE, ZS_BACKING_FIELD_PATH);
	test_cold_destroy(other);
}

Test(backing_open, an_open_file_keeps_its_segments_and_may_get_another_size)
{
	cr_assert_eq(test_cold_open(cold), 0);
	fill(cold);
	test_cold_close(cold);
	cold->options.segment_bytes = 4 * SEGMENT;
	cold->options.size_bytes = 100 * SEGMENT;
	cr_assert_eq(test_cold_open(cold), 0);
	cr_assert_eq(test_cold_stats(cold).segment_bytes, SEGMENT);
	cr_assert_eq(test_cold_stats(cold).size_bytes, 100 * SEGMENT);
	test_cold_check(cold);
}

Test(backing_open, what_a_store_has_left_that_is_gone_is_given_back)
{
	struct test_cold *heir = test_cold_create(0);
	uint64_t before;

	cr_assert_eq(test_cold_open(cold), 0);
	fill(cold);
	before = test_cold_stats(cold).file_bytes;
	test_cold_close(cold);
	heir->options.path = cold->path;
	cr_assert_eq(test_cold_open(heir), 0);
	cr_assert_leq(test_cold_stats(heir).file_bytes, before / 10);
	cr_assert_eq(test_cold_stats(heir).live_records, 0);
	/* The first one finds that it has lost it. */
	test_cold_close(heir);
	cold->options.segment_bytes = SEGMENT;
	check_refused(&cold->options, -ESTALE, ZS_BACKING_FIELD_PATH);
	test_cold_destroy(heir);
}

static void keep_line(enum zs_log_level level, const char *line)
{
	snprintf(log_lines + strlen(log_lines), sizeof(log_lines) - strlen(log_lines), "%d %s\n", level, line);
}

Test(backing_open, a_file_in_memory_is_taken_with_a_warning)
{
	char path[64] = "/dev/shm/zsd-cold.XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	zs_log_set_sink(keep_line, ZS_LOG_DEBUG);
	cold->options.path = path;
	cr_assert_eq(test_cold_open(cold), 0);
	cr_assert_not_null(strstr(log_lines, "4 backing file /dev/shm/zsd-cold."), "%s", log_lines);
	fill(cold);
	test_cold_check(cold);
	/* A killed process may have left writes that are not over: nothing tells, so it takes a minute. */
	test_cold_reopen(cold);
	cr_assert_eq(test_cold_stats(cold).quarantined_segments, 1);
	test_cold_check(cold);
	cold->now_ns = UINT64_MAX;
	zs_backing_punch(cold->backing);
	cr_assert_eq(test_cold_stats(cold).quarantined_segments, 0);
	test_cold_check(cold);
	unlink(path);
}

Test(backing_open, memory_may_be_short_anywhere)
{
	int error = -ENOMEM;
	uint64_t nth;

	for (nth = 1; error; nth++) {
		uint64_t hash = file_hash();

		cr_assert_not(is_known(&cold->arena));
		zs_fault_arm(nth);
		error = test_cold_open(cold);
		zs_fault_arm(0);
		if (!error)
			break;
		cr_assert_eq(error, -ENOMEM);
		cr_assert(nth > 7 || file_hash() == hash, "%lu", (unsigned long)nth);
	}
	cr_assert_geq(nth, 8);
	fill(cold);
	test_cold_check(cold);
}

Test(backing_open, a_damaged_word_of_the_table_costs_its_segment_only)
{
	uint64_t *words = zs_arena_at(&cold->arena, ZS_REGION_SEGMENTS, 4096);
	uint32_t nr_read = 0, nr_damaged = 0;

	cr_assert_eq(test_cold_open(cold), 0);
	fill(cold);
	test_cold_close(cold);
	words[2] ^= UINT64_C(1) << 3;
	cr_assert_eq(test_cold_open(cold), 0);
	for (uint32_t i = 1; i <= 500; i++) {
		int error = test_cold_read(cold, i);

		nr_read += !error;
		nr_damaged += error == -EBADMSG;
	}
	cr_assert_eq(nr_read + nr_damaged, 500);
	cr_assert(nr_damaged > 100 && nr_damaged < 120);
	for (uint32_t i = 501; i <= 1000; i++)
		cr_assert_eq(test_cold_append(cold, i, 2300), 0);
	test_cold_flush(cold);
	for (uint32_t i = 501; i <= 1000; i++)
		cr_assert_eq(test_cold_read(cold, i), 0);
	zs_backing_check(cold->backing);
}
