/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each allocation of the library fails in turn: the call must answer -ENOMEM, leave everything as it was and nothing
 * behind, and succeed when it is repeated.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "store/device.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define BYTES ((size_t)256 << 10)

static const struct zs_codec_params zstd = {ZS_CODEC_ZSTD, 3};

static uint64_t id;
static char content[BYTES], result[BYTES];

static int lowest_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

TestSuite(faults, .init = test_store_set_up, .fini = test_store_tear_down);

static void add_device(void)
{
	struct zs_device *device;
	size_t done;

	id = test_device_add(store, "device", BYTES * 1024, 4096, zstd);
	device = zs_device_get(store, id, stream);
	test_data_make(TEST_DATA_MIXED, &(struct test_random){1}, content, BYTES);
	cr_assert_eq(zs_device_write(device, stream, 0, content, BYTES, &done), 0);
	zs_device_put(device, stream);
}

static void check_content(void)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	cr_assert_eq(zs_device_read(device, stream, 0, result, BYTES), 0);
	cr_assert_eq(memcmp(content, result, BYTES), 0);
	zs_device_put(device, stream);
}

Test(faults, creating_a_store)
{
	struct zs_store_options options = {0};
	struct zs_store *other = NULL;
	int fd = lowest_free_fd(), error;
	uint64_t nth;

	test_arena_options(&options.arena);
	for (nth = 1;; nth++) {
		zs_fault_arm(nth);
		error = zs_store_create(&options, &other);
		zs_fault_arm(0);
		if (!error)
			break;
		cr_assert_eq(error, -ENOMEM);
		cr_assert_null(other);
		cr_assert_eq(lowest_free_fd(), fd);
	}
	cr_assert_geq(nth, 8);
	zs_store_check(other);
	zs_store_close(other);
}

Test(faults, opening_a_store)
{
	struct zs_store_options options = {0};
	int copy, fd, error = -ENOMEM;
	uint64_t nth;

	add_device();
	copy = test_arena_copy(zs_store_fd(store));
	zs_store_close(store);
	fd = lowest_free_fd();
	for (nth = 1; error; nth++) {
		zs_fault_arm(nth);
		error = zs_store_open(copy, &options, &store);
		zs_fault_arm(0);
		if (!error)
			break;
		cr_assert_eq(error, -ENOMEM, "allocation %lu: %d", (unsigned long)nth, error);
		cr_assert_eq(lowest_free_fd(), fd);
	}
	cr_assert_geq(nth, 10);
	close(copy);
	zs_store_check(store);
	check_content();
}

Test(faults, adding_a_device)
{
	struct zs_device_options options = {.name = "more", .size_bytes = BYTES, .codec = zstd};
	uint64_t nth, more = 0, hash, found;
	int error;

	add_device();
	for (nth = 1;; nth++) {
		hash = test_arena_hash(zs_store_fd(store));
		zs_fault_arm(nth);
		error = zs_store_add(store, &options, NULL, &more);
		zs_fault_arm(0);
		if (!error)
			break;
		cr_assert_eq(error, -ENOMEM);
		cr_assert_eq(more, 0);
		cr_assert_eq(zs_store_find(store, "more", &found), -ENODEV);
		cr_assert_eq(test_arena_hash(zs_store_fd(store)), hash);
		zs_store_check(store);
	}
	cr_assert_geq(nth, 4);
	check_content();
}

enum change { WRITE_NEW, OVERWRITE, WRITE_PART, DISCARD_PART };

static int make_change(struct zs_device *device, struct zs_stream *own, enum change change, uint64_t at,
		       const char *data)
{
	size_t done;

	switch (change) {
	case WRITE_PART:
		return zs_device_write(device, own, at + 100, data + 100, 2000, &done);
	case DISCARD_PART:
		return zs_device_discard(device, own, at + 100, 2000);
	default:
		return zs_device_write(device, own, at, data, 4096, &done);
	}
}

/* What the block is before and after. */
static void make_expected(enum change change, char *before, char *after, const char *data, uint64_t at)
{
	memset(before, 0, 4096);
	if (change != WRITE_NEW)
		memcpy(before, content + at, 4096);
	memcpy(after, before, 4096);
	if (change == WRITE_PART)
		memcpy(after + 100, data + 100, 2000);
	else if (change == DISCARD_PART)
		memset(after + 100, 0, 2000);
	else
		memcpy(after, data, 4096);
}

static void check_block(struct zs_device *device, uint64_t at, const char *expected)
{
	cr_assert_eq(zs_device_read(device, stream, at, result, 4096), 0);
	cr_assert_eq(memcmp(result, expected, 4096), 0);
}

/* Fails each allocation of one change; answers how many there are. New pages of slots are met by writing far away. */
static uint64_t fail_change(enum change change, enum test_data kind)
{
	uint64_t at = change == WRITE_NEW ? (kind + 1) * 512 * 4096 : kind * 4096, nth;
	struct zs_device *device = zs_device_get(store, id, stream);
	char before[4096], after[4096], data[4096];
	int error;

	test_data_make(kind, &(struct test_random){kind}, data, sizeof(data));
	make_expected(change, before, after, data, at);
	for (nth = 1;; nth++) {
		struct zs_stream *own;

		/* A new stream, so that its contexts have to be made, too. */
		cr_assert_eq(zs_stream_create(0, &own), 0);
		zs_fault_arm(nth);
		error = make_change(device, own, change, at, data);
		zs_fault_arm(0);
		zs_stream_destroy(own);
		zs_store_check(store);
		if (!error)
			break;
		cr_assert_eq(error, -ENOMEM, "change %d, data %d, allocation %lu: %d", change, kind, (unsigned long)nth,
			     error);
		check_block(device, at, before);
	}
	check_block(device, at, after);
	if (change != WRITE_NEW)
		memcpy(content + at, after, 4096);
	zs_device_put(device, stream);
	check_content();
	return nth - 1;
}

Test(faults, changing_a_block)
{
	uint64_t failed = 0;

	add_device();
	for (enum change change = WRITE_NEW; change <= DISCARD_PART; change++) {
		for (enum test_data kind = 0; kind < TEST_DATA_NR; kind++)
			failed += fail_change(change, kind);
	}
	cr_assert_gt(failed, 40);
}

Test(faults, reading_a_block)
{
	struct zs_device *device;
	uint64_t nth;
	int error;

	add_device();
	device = zs_device_get(store, id, stream);
	for (nth = 1;; nth++) {
		struct zs_stream *own;

		cr_assert_eq(zs_stream_create(0, &own), 0);
		zs_fault_arm(nth);
		error = zs_device_read(device, own, 0, result, BYTES);
		zs_fault_arm(0);
		zs_stream_destroy(own);
		if (!error)
			break;
		cr_assert_eq(error, -ENOMEM);
	}
	cr_assert_gt(nth, 1);
	zs_device_put(device, stream);
}
