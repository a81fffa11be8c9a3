#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory below the limit of all pools, for a block's object and for its slot.
 *
 * The limit counts pages: objects that are replaced by others of another class, or discarded, leave holes behind. They
 * are closed before anybody is refused, or is let past the limit.
 *
 * Any thread. Locks: those of zs_pool_compact(); with a pool for each device it borrows the devices.
 */

#include <stdbool.h>
#include <stdint.h>

#include "zsmalloc/pool.h"

struct zs_device;
struct zs_store;

/* As zs_pool_alloc(). */
int zs_room_alloc(struct zs_device *device, size_t size, enum zs_urgency urgency, struct zs_handle *ret_handle);
/* As zs_table_prepare(), for new data. */
int zs_room_prepare(struct zs_device *device, uint64_t block);
/* The system is short of memory: gives back to it some of what waits, and what is kept. True if there was something. */
bool zs_room_relieve(struct zs_store *store);
