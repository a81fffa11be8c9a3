#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Groups of devices: several devices under one memory limit. A device joins a group when it is added and stays in it;
 * there is no way to move a device with its data from one group to another.
 *
 * A group comes into being with its first device, or by zs_store_add_group(); it goes away when it has neither devices
 * nor a limit. Groups live in the arena as devices do.
 *
 * Any thread; the store's lock is taken. Writing data takes no lock for its group.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"
#include "zsmalloc/account.h"

#define ZS_GROUPS_MAX 256

struct zs_group_stats {
	char name[ZS_DEVICE_NAME_BYTES];
	uint64_t memory_limit_bytes; /* 0 = none; whole pages, rounded up from what was set */
	uint64_t charged_bytes; /* what counts against it, memory of removed devices that is not free yet included */
	/* Sums over the devices, as in zs_device_stats. */
	uint64_t nr_devices;
	uint64_t data_bytes;
	uint64_t compressed_bytes;
	uint64_t memory_bytes;			   /* charged_bytes and the devices' slot table pages */
	struct zs_account_sum nodes[ZS_NODES_MAX]; /* by node; 0 while accounting is off */
};

/*
 * Makes a group with a limit that has no devices yet, or sets the limit of one that exists. Returns 0, -EINVAL (name),
 * -EUSERS (ZS_GROUPS_MAX reached) or -ENOMEM.
 */
int zs_store_add_group(struct zs_store *store, const char *name, uint64_t memory_limit_bytes);

/*
 * Sets the limit of a group that exists; 0 = none. Below the present use it refuses new data only: overwriting what is
 * there without growing goes on. Returns 0 or -ENOENT.
 */
int zs_store_set_group_limit(struct zs_store *store, const char *name, uint64_t memory_limit_bytes);

/* What of a group counts against its limit. */
struct zs_group_use {
	unsigned int number; /* for the two below */
	uint64_t limit_id;   /* another one if there was none meanwhile; never that of another group */
	char name[ZS_DEVICE_NAME_BYTES];
	uint64_t memory_limit_bytes, charged_bytes;
};

/* The next group that has a limit: *cursor starts at 0. False at the end. Cheap enough for a watermark. */
bool zs_store_next_limited_group(struct zs_store *store, unsigned int *cursor, struct zs_group_use *ret_use);

/*
 * Whose data is to leave memory first if a group is to keep no more than keep_bytes. Each of its devices has a share of
 * that, in proportion to its own limit, or to the group's if it has none; who is below its share leaves the rest to
 * others. Returns the id of the device that is most above its share in proportion, 0 if none has an object in memory,
 * and the payload that it has above its share. Those that are spared are none of them; NULL: nobody is. It is asked
 * with the store's lock held.
 */
typedef bool zs_group_spares(const void *context, uint64_t id);
uint64_t zs_store_group_device(struct zs_store *store, unsigned int number, uint64_t keep_bytes,
			       zs_group_spares *spares, const void *context, uint64_t *ret_above_bytes);

/* As zs_store_next(), of one group. */
bool zs_store_next_in_group(struct zs_store *store, unsigned int number, unsigned int *cursor, uint64_t *ret_id);

/* Fills ret_stats, room for ZS_GROUPS_MAX, in no particular order. Returns how many there are. */
unsigned int zs_store_groups(struct zs_store *store, struct zs_group_stats *ret_stats);
