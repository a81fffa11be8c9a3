/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits of devices and groups. */

#include "store/charge.h"

#include <errno.h>

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
