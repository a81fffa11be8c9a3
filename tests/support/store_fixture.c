/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store under test. */

#include "support/store_fixture.h"

#include "base/check.h"
#include "store/device.h"
#include "support/small_store.h"

struct zs_store *store;
struct zs_stream *stream;

void test_store_set_up(void)
{
	store = test_store_create(0);
	zs_assert(!zs_stream_create(0, &stream));
}

void test_store_tear_down(void)
{
	zs_store_check(store);
	zs_store_close(store);
	zs_stream_destroy(stream);
}

unsigned int test_store_nr_devices(void)
{
	struct zs_store_stats stats;

	zs_store_stats(store, &stats);
	return (unsigned int)stats.nr_devices;
}

void test_store_write(uint64_t id, uint64_t offset, const void *data, size_t length)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	size_t done;

	zs_assert(device);
	zs_assert(!zs_device_write(device, stream, offset, data, length, &done) && done == length);
	zs_device_put(device, stream);
}
