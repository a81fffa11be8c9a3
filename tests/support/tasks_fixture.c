/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks under test. */

#include "support/tasks_fixture.h"

#include <time.h>

#include "base/check.h"
#include "store/device.h"
#include "support/data.h"
#include "support/small_store.h"

uint64_t test_tasks_add_device(struct zs_store *store, struct zs_stream *stream, const char *name, size_t bytes)
{
	static char content[65536];
	const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};
	struct test_random random = {.state = 1};
	uint64_t added = test_device_add(store, name, bytes, 4096, lz4);
	struct zs_device *device = zs_device_get(store, added, stream);
	size_t done;

	for (size_t offset = 0; offset < bytes; offset += sizeof(content)) {
		test_data_make(TEST_DATA_TEXT, &random, content, sizeof(content));
		zs_assert(!zs_device_write(device, stream, offset, content, sizeof(content), &done));
	}
	zs_device_put(device, stream);
	return added;
}

struct zsd_task_info test_task_look(struct zsd_tasks *tasks, uint64_t number)
{
	struct zsd_task_info info;

	zs_assert(!zsd_tasks_info(tasks, number, &info));
	return info;
}

struct zsd_task_info test_task_wait(struct zsd_tasks *tasks, uint64_t number, enum zsd_task_state least)
{
	static const struct timespec interval = {.tv_nsec = 1000000};
	struct zsd_task_info info = test_task_look(tasks, number);

	while (info.state < least) {
		nanosleep(&interval, NULL);
		info = test_task_look(tasks, number);
	}
	return info;
}
