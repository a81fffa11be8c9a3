#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stores with a backing file. A failure of the machinery itself ends the test. */

#include <stdint.h>

#include "store/cold.h"
#include "store/store.h"
#include "store/writeback.h"

#define TEST_PATH_BYTES 128

/* Makes an empty file in the directory for temporary files. The caller removes it. */
void test_backing_create(char path[TEST_PATH_BYTES]);

/* Attaches it, with segments of the smallest size; size_bytes 0 = no limit. Asserts that it worked. */
void test_backing_attach(struct zs_store *store, const char *path, uint64_t size_bytes);

/* Writes all blocks of all devices back, by index. Returns what zs_store_writeback() does. */
int test_writeback_all(struct zs_store *store, struct zs_writeback_progress *progress);

/* The same, and asserts that all of it worked. */
void test_writeback(struct zs_store *store);
