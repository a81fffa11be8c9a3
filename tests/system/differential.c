/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Does the same to two block stores and compares them after every step: the kernel's zram, and a file of zsd.
 *
 *   differential ZRAM FILE SEED OPERATIONS
 *
 * Both have the same size, and may have content, which must be equal. Writes, overwrites, discards, zeroing and reads
 * of 1 to 32 pages at random places, with data of every compressibility. Whatever was touched is read back from both,
 * and compared with what it must be. At the end all of it is.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../support/random.h"

#define PAGE	   ((size_t)4096)
#define LENGTH_MAX (32 * PAGE)

struct pair {
	int zram;
	int file;
	uint64_t size;
	char *expected; /* of both */
	char *buffer;	/* LENGTH_MAX, aligned for O_DIRECT */
	struct test_random random;
};

struct range {
	uint64_t start;
	size_t length;
};

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, ": errno %d\n", errno);
	exit(1);
}

static struct range pick_range(struct pair *pair)
{
	uint64_t pages = pair->size / PAGE, page = test_random_below(&pair->random, pages);
	uint64_t count = test_random_chance(&pair->random, 60)
				 ? 1
				 : 1 + test_random_below(&pair->random, LENGTH_MAX / PAGE);

	if (count > pages - page)
		count = pages - page;
	return (struct range){page * PAGE, count * PAGE};
}

static void fill(char *page, uint64_t word)
{
	for (size_t at = 0; at < PAGE; at += sizeof(word))
		memcpy(page + at, &word, sizeof(word));
}

/* A page of zeros, of one word, of one word but for a byte, half compressible, or not compressible at all. */
static void make_page(struct test_random *random, char *page)
{
	uint64_t word = test_random_next(random), kind = test_random_below(random, 6);

	fill(page, kind == 0 ? 0 : kind == 1 ? (word & UINT32_MAX) * UINT64_C(0x100000001) : word);
	if (kind == 3)
		page[test_random_below(random, PAGE)] ^= 1;
	else if (kind == 4)
		test_random_fill(random, page, test_random_below(random, PAGE));
	else if (kind == 5)
		test_random_fill(random, page, PAGE);
}

static void check_one(struct pair *pair, int fd, const char *name, struct range range)
{
	memset(pair->buffer, 0x55, range.length);
	if (pread(fd, pair->buffer, range.length, (off_t)range.start) != (ssize_t)range.length)
		fail("%s: reading %zu bytes at %" PRIu64, name, range.length, range.start);
	for (size_t at = 0; at < range.length; at += PAGE) {
		if (memcmp(pair->buffer + at, pair->expected + range.start + at, PAGE) != 0)
			fail("%s: wrong content in the page at %" PRIu64, name, range.start + at);
	}
}

static void check(struct pair *pair, struct range range)
{
	check_one(pair, pair->zram, "zram", range);
	check_one(pair, pair->file, "zsd", range);
}

static void do_write(struct pair *pair, struct range range)
{
	for (size_t at = 0; at < range.length; at += PAGE)
		make_page(&pair->random, pair->buffer + at);
	memcpy(pair->expected + range.start, pair->buffer, range.length);
	if (pwrite(pair->zram, pair->buffer, range.length, (off_t)range.start) != (ssize_t)range.length)
		fail("zram: writing %zu bytes at %" PRIu64, range.length, range.start);
	if (pwrite(pair->file, pair->buffer, range.length, (off_t)range.start) != (ssize_t)range.length)
		fail("zsd: writing %zu bytes at %" PRIu64, range.length, range.start);
}

/* Discards, or zeroes: both free the memory, here and there. */
static void do_clear(struct pair *pair, struct range range, unsigned long request, int mode)
{
	uint64_t bounds[2] = {range.start, range.length};

	memset(pair->expected + range.start, 0, range.length);
	if (ioctl(pair->zram, request, bounds) < 0)
		fail("zram: clearing %zu bytes at %" PRIu64, range.length, range.start);
	if (fallocate(pair->file, mode | FALLOC_FL_KEEP_SIZE, (off_t)range.start, (off_t)range.length) < 0)
		fail("zsd: clearing %zu bytes at %" PRIu64, range.length, range.start);
}

static void step(struct pair *pair)
{
	struct range range = pick_range(pair);
	uint64_t dice = test_random_below(&pair->random, 100);

	if (dice < 60)
		do_write(pair, range);
	else if (dice < 75)
		do_clear(pair, range, BLKDISCARD, FALLOC_FL_PUNCH_HOLE);
	else if (dice < 85)
		do_clear(pair, range, BLKZEROOUT, FALLOC_FL_ZERO_RANGE);
	check(pair, range);
}

static void check_all(struct pair *pair)
{
	for (uint64_t start = 0; start < pair->size; start += LENGTH_MAX)
		check(pair, (struct range){start, LENGTH_MAX < pair->size - start ? LENGTH_MAX : pair->size - start});
}

static void pair_open(struct pair *pair, const char *zram, const char *file)
{
	uint64_t size;

	pair->zram = open(zram, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (pair->zram < 0 || ioctl(pair->zram, BLKGETSIZE64, &size) < 0)
		fail("%s", zram);
	pair->file = open(file, O_RDWR | O_CLOEXEC);
	if (pair->file < 0)
		fail("%s", file);
	pair->size = (uint64_t)lseek(pair->file, 0, SEEK_END);
	if (pair->size != size)
		fail("sizes differ: %" PRIu64 " and %" PRIu64, size, pair->size);
	pair->expected = malloc(size);
	pair->buffer = aligned_alloc(PAGE, LENGTH_MAX);
	if (!pair->expected || !pair->buffer)
		fail("memory");
}

/* What is there already is what is expected. */
static void learn(struct pair *pair)
{
	for (uint64_t at = 0; at < pair->size; at += PAGE) {
		if (pread(pair->zram, pair->buffer, PAGE, (off_t)at) != (ssize_t)PAGE)
			fail("zram: reading the page at %" PRIu64, at);
		memcpy(pair->expected + at, pair->buffer, PAGE);
	}
}

int main(int argc, char **argv)
{
	struct pair pair = {0};

	if (argc != 5) {
		fprintf(stderr, "usage: differential ZRAM FILE SEED OPERATIONS\n");
		return 2;
	}
	pair_open(&pair, argv[1], argv[2]);
	pair.random.state = strtoull(argv[3], NULL, 0);
	learn(&pair);
	check_all(&pair);
	for (uint64_t left = strtoull(argv[4], NULL, 0); left; left--)
		step(&pair);
	check_all(&pair);
	free(pair.expected);
	free(pair.buffer);
	close(pair.zram);
	close(pair.file);
	return 0;
}
