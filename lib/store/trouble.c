/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes wrong on the data path. */

#include "store/trouble.h"

#include <errno.h>

#include "base/bits.h"
#include "base/log.h"
#include "store/device_internal.h"

/* The first ones, and then each power of two. */
#define LOGGED 16

/* One more; answers which one it is. */
static uint64_t count(struct zs_device *device, unsigned int shard, enum zs_counter counter)
{
	uint64_t before = zs_shards_sum(&device->shards, counter);

	zs_count(&device->shards, shard, counter, 1);
	return before + 1;
}

void zs_trouble_damage(struct zs_device *device, unsigned int shard, uint64_t block, const char *what)
{
	const char *name = device->entry->name;
	uint64_t nr = count(device, shard, ZS_COUNT_CORRUPT);

	if (nr <= LOGGED || zs_is_power_of_two(nr))
		zs_log_event(ZS_EVENT_DAMAGED, ZS_LOG_ERR, name, -EIO, "device=%s block=%llu damaged: %s", name,
			     (unsigned long long)block, what);
}

void zs_trouble_no_space(struct zs_device *device, unsigned int shard)
{
	const char *name = device->entry->name;
	uint64_t nr = count(device, shard, ZS_COUNT_NO_SPACE);

	/* Until something is freed each write fails. */
	if (zs_is_power_of_two(nr))
		zs_log_event(ZS_EVENT_NO_SPACE, ZS_LOG_WARNING, name, -ENOSPC,
			     "device=%s no room: %llu writes refused so far; discard data, or raise a MemoryLimit=",
			     name, (unsigned long long)nr);
}
