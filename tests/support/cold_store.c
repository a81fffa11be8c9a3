/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stores with a backing file. */

#include "support/cold_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

void test_backing_create(char path[TEST_PATH_BYTES])
{
	int fd;

	snprintf(path, TEST_PATH_BYTES, "%s/zsd-store.XXXXXX", getenv("TMPDIR") ?: "/tmp");
	fd = mkstemp(path);
	zs_assert(fd >= 0);
	close(fd);
}

void test_backing_attach(struct zs_store *store, const char *path, uint64_t size_bytes)
{
	struct zs_backing_options options = {
		.path = path, .size_bytes = size_bytes, .segment_bytes = ZS_SEGMENT_MIN_BYTES};
	int error = zs_store_attach_backing(store, &options, NULL);

	zs_assert_msg(!error, "attaching %s: %d", path, error);
}

int test_writeback_all(struct zs_store *store, struct zs_writeback_progress *progress)
{
	struct zs_writeback_request request = {.type = ZS_WRITEBACK_ALL};

	*progress = (struct zs_writeback_progress){0};
	return zs_store_writeback(store, &request, progress);
}

void test_writeback(struct zs_store *store)
{
	struct zs_writeback_progress progress;
	int error = test_writeback_all(store, &progress);

	zs_assert_msg(!error, "writing back: %d", error);
	zs_assert(progress.finished_blocks == progress.written_blocks);
}
