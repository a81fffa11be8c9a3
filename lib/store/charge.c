/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits of devices and groups. */

#include "store/charge.h"

#include <errno.h>

#include "store/device.h"
#include "store/device_internal.h"
#include "store/group_internal.h"

/* Exact under parallel writers: who would pass the limit is not counted at all. */
static int charge_budget(struct zs_budget *budget, uint64_t cost, enum zs_urgency urgency)
{
	uint64_t limit = atomic_load_explicit(&budget->limit_bytes, memory_order_relaxed), charged;

	if (!limit || urgency == ZS_URGENCY_MUST) {
		atomic_fetch_add_explicit(&budget->charged_bytes, cost, memory_order_relaxed);
		return 0;
	}
	if (urgency == ZS_URGENCY_NEW)
		limit -= limit / 64;
	charged = atomic_load_explicit(&budget->charged_bytes, memory_order_relaxed);
	do {
		if (cost > limit || charged > limit - cost)
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak_explicit(&budget->charged_bytes, &charged, charged + cost,
							memory_order_relaxed, memory_order_relaxed));
	return 0;
}

static void uncharge_budget(struct zs_budget *budget, uint64_t cost)
{
	atomic_fetch_sub_explicit(&budget->charged_bytes, cost, memory_order_relaxed);
}

static bool is_limited(struct zs_device *device)
{
	return atomic_load_explicit(&device->budget.limit_bytes, memory_order_relaxed);
}

int zs_charge(struct zs_device *device, uint64_t cost, enum zs_urgency urgency)
{
	int error = 0;

	if (is_limited(device))
		error = charge_budget(&device->budget, cost, urgency);
	if (error || !device->group)
		return error;
	error = charge_budget(&device->group->budget, cost, urgency);
	if (error && is_limited(device))
		uncharge_budget(&device->budget, cost);
	return error;
}

void zs_uncharge(struct zs_device *device, uint64_t cost)
{
	if (is_limited(device))
		uncharge_budget(&device->budget, cost);
	if (device->group)
		uncharge_budget(&device->group->budget, cost);
}

/*
 * who is in the way
 */

/* True if a block that is not there yet may be refused. */
static bool is_short(const struct zs_budget *budget, uint64_t block_bytes)
{
	uint64_t limit = atomic_load_explicit(&budget->limit_bytes, memory_order_relaxed);
	uint64_t charged = atomic_load_explicit(&budget->charged_bytes, memory_order_relaxed);

	return limit && charged + zs_pool_cost(block_bytes) + sizeof(uint64_t) > limit - limit / 64;
}

/* The id of the device in the same group that has most in memory. Under store->lock. */
static uint64_t find_largest(const struct zs_device *one)
{
	struct zs_store *store = one->store;
	uint64_t most = 0, found = one->own_id;

	for (unsigned int i = 0; i < ZS_DEVICES_MAX; i++) {
		struct zs_device *device = atomic_load(&store->devices[i]);
		uint64_t bytes;

		if (!device || device->state != ZS_DEVICE_ACTIVE || device->group != one->group)
			continue;
		bytes = zs_shards_sum(&device->shards, ZS_COUNT_COMPRESSED_BYTES);
		if (bytes > most) {
			most = bytes;
			found = device->own_id;
		}
	}
	return found;
}

uint64_t zs_device_short_of(struct zs_device *device)
{
	ZS_LOCK_SCOPE(&device->store->lock);

	if (is_short(&device->budget, device->block_size))
		return device->own_id;
	if (device->group && is_short(&device->group->budget, device->block_size))
		return find_largest(device);
	return 0;
}
