#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stores with a backing file. A failure of the machinery itself ends the test. */

#include <stdint.h>

#include "store/cold.h"
#include "store/device.h"
#include "store/store.h"
#include "store/writeback.h"

#define TEST_PATH_BYTES 128

/* A store with a backing file and one device of 1 GiB, lz4, blocks of 4 KiB. */
struct test_cold_world {
	struct zs_store *store;
	struct zs_stream *stream;
	struct zs_device *device; /* borrowed from the store; NULL: it was put back, and maybe removed */
	uint64_t id;		  /* the device's */
	char path[TEST_PATH_BYTES];
};

/* Makes an empty file in the directory for temporary files. The caller removes it. */
void test_backing_create(char path[TEST_PATH_BYTES]);

/* Attaches it, with segments of the smallest size; size_bytes 0 = no limit. Asserts that it worked. */
void test_backing_attach(struct zs_store *store, const char *path, uint64_t size_bytes);

/* Writes all blocks of all devices back, by index. Returns what zs_store_writeback() does. */
int test_writeback_all(struct zs_store *store, struct zs_writeback_progress *progress);

/* The same, and asserts that all of it worked. */
void test_writeback(struct zs_store *store);

/* file_bytes: the limit of the backing file, 0 = none. */
void test_cold_world_open(struct test_cold_world *world, uint64_t file_bytes);
/* Checks the store, closes and removes all. */
void test_cold_world_close(struct test_cold_world *world);
/* Opens the store again, as after a kill; without its backing file, if so asked. */
void test_cold_world_reopen(struct test_cold_world *world, bool attach);
struct zs_device_stats test_cold_world_stats(const struct test_cold_world *world);
struct zs_backing_stats test_cold_world_file_stats(const struct test_cold_world *world);
