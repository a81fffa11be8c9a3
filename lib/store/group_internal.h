#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The group table: 128-byte entries in the arena, so that groups outlive the process; and what is derived from them.
 *
 * As in the device table each change is committed by one 8-byte store: an entry is taken by writing all of it and then
 * `used`, and given back by storing 0 there; the limit is one sealed word. A device names its group by index, and is
 * committed after it; whoever is killed in between leaves a group without devices, which goes away when the arena is
 * opened, unless it has a limit.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "store/charge.h"
#include "store/group.h"

struct zs_group_entry {
	_Atomic uint64_t used;	      /* index + 1, sealed (base/residue.h); 0 = the entry is free */
	_Atomic uint64_t limit_pages; /* sealed; 0 = none */
	/* From here on constant while used is not 0. */
	char name[ZS_DEVICE_NAME_BYTES];
	uint8_t reserved[39]; /* 0 */
	uint64_t checksum;    /* XXH3-64 of used and of all from name on */
};

static_assert(sizeof(struct zs_group_entry) == 128, "the entry's size is part of the arena's layout");
static_assert(_Alignof(struct zs_group_entry) == 8, "entries are read in place");

/* One per index of the group table. */
struct zs_group {
	bool is_used;		 /* guarded by store->lock */
	unsigned int nr_devices; /* guarded by store->lock; removed ones that still hold memory included */
	uint64_t limit_id;	 /* guarded by store->lock; since it has a limit */
	struct zs_budget budget;
	/* All writers to a group's devices share its counter; those of another group don't. */
	char unused[ZS_NO_SHARE - 2 * sizeof(uint64_t) - sizeof(struct zs_budget)];
};

static_assert(sizeof(struct zs_group) == ZS_NO_SHARE, "the budgets of two groups are never in one cache line");

/* Finds the table. */
void zs_groups_init(struct zs_store *store);
/* Takes the groups of an existing arena over, without devices yet. Returns 0 or -EBADMSG after a message. */
int zs_groups_adopt(struct zs_store *store);
/* Gives back those that no device has joined again, and that have no limit. */
void zs_groups_adopt_end(struct zs_store *store);

/*
 * Under store->lock: makes a device one of the group's, which is made if there is none. No name: of no group. Returns
 * 0, -EUSERS or -ENOMEM.
 */
int zs_group_join(struct zs_device *device, const char *name);
/* The same for a device of an existing arena, by what its entry says. */
void zs_group_rejoin(struct zs_device *device);
/* Under store->lock: undoes it, when nobody charges for the device any more, and takes off what it is still charged. */
void zs_group_leave(struct zs_device *device, uint64_t charged_bytes);

/* What the device's entry says of its group: index + 1, or 0 for none. */
uint16_t zs_group_number(const struct zs_device *device);
/* The group's name, or "". Constant while the device is borrowed. */
const char *zs_group_name(const struct zs_device *device);
/* True if an entry may say so. */
bool zs_group_number_is_sound(struct zs_store *store, uint16_t number);

/* Asserts that each group's charges are those of its devices. Context: no other thread uses the store. */
void zs_groups_assert(struct zs_store *store);
