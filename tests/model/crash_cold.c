/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file of crash_points.c. */

#include "model/crash_cold.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "store/device.h"

#define CHUNK_BYTES ((size_t)64 << 10)

void crash_cold_attach(const struct scenario *scenario, struct zs_store *store, const char *path)
{
	if (scenario->cold == COLD_NO)
		return;
	test_backing_attach(store, path, 0);
	/* The first read is the one that promotes. */
	zs_store_set_promotion(store, scenario->operation == OPERATION_PROMOTE);
}

void crash_cold_prepare(const struct scenario *scenario, struct zs_store *store, char path[TEST_PATH_BYTES])
{
	if (scenario->cold == COLD_NO)
		return;
	test_backing_create(path);
	crash_cold_attach(scenario, store, path);
	if (scenario->cold == COLD_BLOCKS)
		test_writeback(store);
}

static void copy_file(const char *path, const char *copy)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = open(copy, O_WRONLY | O_CLOEXEC);
	static char chunk[CHUNK_BYTES];
	ssize_t length;

	zs_assert(from >= 0 && to >= 0);
	while ((length = read(from, chunk, sizeof(chunk))) > 0)
		zs_assert(write(to, chunk, (size_t)length) == length);
	zs_assert(!length);
	close(from);
	close(to);
}

void crash_cold_attach_copy(const struct scenario *scenario, struct zs_store *store, const char *path,
			    char copy[TEST_PATH_BYTES])
{
	if (scenario->cold == COLD_NO)
		return;
	test_backing_create(copy);
	copy_file(path, copy);
	crash_cold_attach(scenario, store, copy);
}

void crash_cold_remove(const struct scenario *scenario, const char *path)
{
	if (scenario->cold != COLD_NO)
		unlink(path);
}

void crash_cold_write_back(struct zs_store *store, uint64_t id, uint64_t block)
{
	struct zs_writeback_range range = {block, block};
	struct zs_writeback_request request = {.devices = &id, .nr_devices = 1, .ranges = &range, .nr_ranges = 1};
	struct zs_writeback_progress progress = {0};

	zs_assert(!zs_store_writeback(store, &request, &progress) && progress.finished_blocks == 1);
}

void crash_cold_promote(struct zs_device *device, struct zs_stream *stream, uint64_t block)
{
	static char buffer[ZS_OBJECT_MAX_BYTES];
	size_t size = zs_device_block_size(device);
	struct zs_device_stats stats;

	zs_assert(!zs_device_read(device, stream, block * size, buffer, size));
	zs_device_stats(device, &stats);
	zs_assert(stats.promoted_blocks == 1);
}

void crash_cold_collect(struct zs_store *store)
{
	zs_assert(zs_store_collect(store, 0, 1) == 1);
}
