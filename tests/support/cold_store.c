/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stores with a backing file. */

#include "support/cold_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "codec/stream.h"
#include "support/small_store.h"

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

void test_cold_world_open(struct test_cold_world *world, uint64_t file_bytes)
{
	const struct zs_codec_params lz4 = {.codec = ZS_CODEC_LZ4, .level = 1};

	test_backing_create(world->path);
	world->store = test_store_create(0);
	test_backing_attach(world->store, world->path, file_bytes);
	zs_assert(!zs_stream_create(0, &world->stream));
	world->id = test_device_add(world->store, "device", (uint64_t)1 << 30, ZS_BLOCK_MIN_BYTES, lz4);
	world->device = zs_device_get(world->store, world->id, world->stream);
}

void test_cold_world_close(struct test_cold_world *world)
{
	if (world->device)
		zs_device_put(world->device, world->stream);
	zs_store_check(world->store);
	zs_store_close(world->store);
	zs_stream_destroy(world->stream);
	unlink(world->path);
}

void test_cold_world_reopen(struct test_cold_world *world, bool attach)
{
	struct zs_store_options options = {0};
	int fd = dup(zs_store_fd(world->store));

	zs_device_put(world->device, world->stream);
	zs_store_close(world->store);
	zs_assert(!zs_store_open(fd, &options, &world->store));
	close(fd);
	if (attach)
		test_backing_attach(world->store, world->path, 0);
	world->device = zs_device_get(world->store, world->id, world->stream);
}

struct zs_device_stats test_cold_world_stats(const struct test_cold_world *world)
{
	struct zs_device_stats stats;

	zs_device_stats(world->device, &stats);
	return stats;
}

struct zs_backing_stats test_cold_world_file_stats(const struct test_cold_world *world)
{
	struct zs_backing_stats stats;

	zs_backing_stats(zs_store_backing(world->store), &stats);
	return stats;
}
