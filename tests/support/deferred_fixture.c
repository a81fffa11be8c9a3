/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices under test of deferred free. */

#include "support/deferred_fixture.h"

#include "base/check.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};
char noise[BLOCK];

void deferred_set_up(void)
{
	struct test_random random = {.state = 11};

	test_store_set_up();
	test_data_make(TEST_DATA_NOISE, &random, noise, sizeof(noise));
}

uint64_t add_full(const char *name)
{
	uint64_t id = test_device_add(store, name, DEVICE_MIB * MIB, BLOCK, lz4);
	struct zs_device *device = zs_device_get(store, id, stream);
	size_t done;

	for (uint64_t i = 0; i < NR_BLOCKS; i++)
		zs_assert(!zs_device_write(device, stream, i * BLOCK, noise, BLOCK, &done));
	zs_device_put(device, stream);
	return id;
}

void discard(uint64_t id, uint64_t offset, uint64_t length)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	zs_assert(!zs_device_discard(device, stream, offset, length));
	zs_device_put(device, stream);
}

struct zs_store_stats stats_of_store(void)
{
	struct zs_store_stats stats;

	zs_store_stats(store, &stats);
	return stats;
}

void hold(void)
{
	zs_lock(&store->deferred.drain);
}

void let_go(void)
{
	zs_unlock(&store->deferred.drain);
}
