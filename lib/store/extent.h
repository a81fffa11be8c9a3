#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which ranges of the slots region belong to devices. Not kept anywhere: collected from the devices when one is added,
 * which is rare and costs microseconds. Context: the store's lock, or nobody else uses the store.
 */

#include <stdint.h>

struct zs_store;

/*
 * The first free range of at least bytes, and the length of the longest one. Returns 0, -EFBIG (none is that long;
 * *ret_longest is set) or -ENOMEM.
 */
int zs_extent_find(const struct zs_store *store, uint64_t bytes, uint64_t *ret_offset, uint64_t *ret_longest);

/* Gives back the memory of all slots that belong to no device. Returns 0 or -ENOMEM. */
int zs_extent_punch_gaps(const struct zs_store *store);
