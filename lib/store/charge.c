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

int zs_charge_or_tell(struct zs_device *device, uint64_t cost, enum zs_urgency urgency,
		      const struct zs_budget **ret_refused)
{
	int error = 0;

	if (is_limited(device))
		error = charge_budget(&device->budget, cost, urgency);
	if (error)
		*ret_refused = &device->budget;
	if (error || !device->group)
		return error;
	error = charge_budget(&device->group->budget, cost, urgency);
	if (error)
		*ret_refused = &device->group->budget;
	if (error && is_limited(device))
		uncharge_budget(&device->budget, cost);
	return error;
}

int zs_charge(struct zs_device *device, uint64_t cost, enum zs_urgency urgency)
{
	const struct zs_budget *refused;

	return zs_charge_or_tell(device, cost, urgency, &refused);
}

void zs_uncharge(struct zs_device *device, uint64_t cost)
{
	if (is_limited(device))
		uncharge_budget(&device->budget, cost);
	if (device->group)
		uncharge_budget(&device->group->budget, cost);
}

/*
 * what waits to be freed
 */

void zs_charge_wait(struct zs_device *device, uint64_t nr)
{
	atomic_fetch_add_explicit(&device->budget.nr_waiting, nr, memory_order_relaxed);
	if (device->group)
		atomic_fetch_add_explicit(&device->group->budget.nr_waiting, nr, memory_order_relaxed);
}

/* release: who sees that nothing waits sees what was uncharged */
void zs_charge_waited(struct zs_device *device, uint64_t nr)
{
	if (device->group)
		atomic_fetch_sub_explicit(&device->group->budget.nr_waiting, nr, memory_order_release);
	atomic_fetch_sub_explicit(&device->budget.nr_waiting, nr, memory_order_release);
}

bool zs_charge_is_shared(const struct zs_device *device, const struct zs_budget *budget)
{
	return !budget || budget == &device->budget || (device->group && budget == &device->group->budget);
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

/* What a device may have of its group's limit. */
static uint64_t weight_of(const struct zs_device *device)
{
	uint64_t all = atomic_load_explicit(&device->group->budget.limit_bytes, memory_order_relaxed);
	uint64_t own = atomic_load_explicit(&device->budget.limit_bytes, memory_order_relaxed);

	return own && own < all ? own : all;
}

/* Under store->lock; see zs_store_group_device(). */
static uint64_t find_greediest(struct zs_store *store, const struct zs_group *group, uint64_t keep_bytes,
			       zs_group_spares *spares, const void *context, uint64_t *ret_above_bytes)
{
	uint64_t found = 0, found_bytes = 0, share;
	double weights = 0, found_weight = 1;

	for (unsigned int i = 0; i < store->nr_entries; i++) {
		const struct zs_device *device = atomic_load(&store->devices[i]);
		uint64_t bytes;
		double weight;

		if (!device || device->state != ZS_DEVICE_ACTIVE || device->group != group)
			continue;
		weight = (double)weight_of(device);
		weights += weight;
		/* What has left memory can't leave it again. */
		bytes = zs_shards_sum(&device->shards, ZS_COUNT_COMPRESSED_BYTES);
		if ((double)bytes * found_weight > (double)found_bytes * weight &&
		    !(spares && spares(context, device->own_id))) {
			found = device->own_id;
			found_bytes = bytes;
			found_weight = weight;
		}
	}
	share = weights > 0 ? (uint64_t)((double)keep_bytes * found_weight / weights) : 0;
	*ret_above_bytes = found_bytes > share ? found_bytes - share : 0;
	return found;
}

uint64_t zs_store_group_device(struct zs_store *store, unsigned int number, uint64_t keep_bytes,
			       zs_group_spares *spares, const void *context, uint64_t *ret_above_bytes)
{
	ZS_LOCK_SCOPE(&store->lock);

	*ret_above_bytes = 0;
	if (!number || number > store->nr_groups)
		return 0;
	return find_greediest(store, &store->groups[number - 1], keep_bytes, spares, context, ret_above_bytes);
}

uint64_t zs_device_short_of(struct zs_device *device)
{
	uint64_t above;
	ZS_LOCK_SCOPE(&device->store->lock);

	if (is_short(&device->budget, device->block_size))
		return device->own_id;
	if (device->group && is_short(&device->group->budget, device->block_size))
		return find_greediest(device->store, device->group, 0, NULL, NULL, &above) ?: device->own_id;
	return 0;
}
