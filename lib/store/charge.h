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
#include <stdint.h>

#include "zsmalloc/pool.h"

struct zs_device;

struct zs_budget {
	_Atomic uint64_t limit_bytes; /* 0 = none */
	_Atomic uint64_t charged_bytes;
};

/*
 * Counts cost bytes of an object that is about to be made, against both limits or none. Returns 0, or -ENOSPC: new data
 * stops 1/64 below a limit, and only ZS_URGENCY_MUST may pass it.
 */
int zs_charge(struct zs_device *device, uint64_t cost, enum zs_urgency urgency);
void zs_uncharge(struct zs_device *device, uint64_t cost);
