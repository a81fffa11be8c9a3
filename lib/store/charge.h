#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What counts against the limits of a device and of its group: its objects' share of their pages, and their handle
 * words. The pool's own limit is zsmalloc's (zsmalloc/pages.h).
 *
 * A device's bytes are counted only if it was made with a limit, which may change later. A group's limit may come and
 * go while there is data: its bytes are counted as long as it exists.
 *
 * Any thread; no locks, two counters. A limit that is set while others write holds for whoever charges from then on.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "zsmalloc/pool.h"

struct zs_device;

struct zs_budget {
	_Atomic uint64_t limit_bytes; /* 0 = none */
	_Atomic uint64_t charged_bytes;
	_Atomic uint64_t nr_waiting; /* objects, and of a group devices, that store/deferred.c has yet to free */
};

/*
 * Counts cost bytes of an object that is about to be made, against both limits or none. Returns 0, or -ENOSPC: new data
 * stops 1/64 below a limit, and only ZS_URGENCY_MUST may pass it. zs_charge_or_tell() says whose limit it was.
 */
int zs_charge(struct zs_device *device, uint64_t cost, enum zs_urgency urgency);
int zs_charge_or_tell(struct zs_device *device, uint64_t cost, enum zs_urgency urgency,
		      const struct zs_budget **ret_refused);
void zs_uncharge(struct zs_device *device, uint64_t cost);

/* Objects of the device wait to be freed, though they are still charged; or they were freed and uncharged. */
void zs_charge_wait(struct zs_device *device, uint64_t nr);
void zs_charge_waited(struct zs_device *device, uint64_t nr);
/* True if freeing what waits of the device may help somebody whom this budget has refused; NULL: the heap's limit. */
bool zs_charge_is_shared(const struct zs_device *device, const struct zs_budget *budget);
