/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ranges of the slots region. */

#include "store/extent.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "store/device_internal.h"

struct extent {
	uint64_t start;
	uint64_t end;
};

static int compare_extents(const void *a, const void *b)
{
	const struct extent *left = a, *right = b;

	return (left->start > right->start) - (left->start < right->start);
}

/*
 * The places of all slot tables in order, and one of length 0 at the region's end. Returns NULL when memory is short;
 * free with free(3).
 */
static struct extent *collect(const struct zs_store *store, unsigned int *ret_nr)
{
	uint64_t region = store->arena.region_bytes[ZS_REGION_SLOTS];
	struct extent *extents = zs_malloc((ZS_DEVICES_MAX + 1) * sizeof(*extents));
	unsigned int nr = 0;

	if (!extents)
		return NULL;
	for (unsigned int i = 0; i < store->nr_entries; i++) {
		const struct zs_device *device = atomic_load(&store->devices[i]);
		uint64_t start;

		if (!device || device->state == ZS_DEVICE_FREE)
			continue;
		start = device->table.offset;
		extents[nr++] = (struct extent){start, start + zs_table_bytes(device->table.nr_blocks)};
	}
	qsort(extents, nr, sizeof(extents[0]), compare_extents);
	extents[nr++] = (struct extent){region, region};
	*ret_nr = nr;
	return extents;
}

int zs_extent_find(const struct zs_store *store, uint64_t bytes, uint64_t *ret_offset, uint64_t *ret_longest)
{
	unsigned int nr = 0;
	ZS_CLEANUP_FREE struct extent *extents = collect(store, &nr);
	uint64_t end = 0, longest = 0;
	int error = -EFBIG;

	if (!extents)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++) {
		zs_assert(extents[i].start >= end);
		if (error && extents[i].start - end >= bytes) {
			*ret_offset = end;
			error = 0;
		}
		longest = zs_max(longest, extents[i].start - end);
		end = extents[i].end;
	}
	*ret_longest = longest;
	return error;
}

int zs_extent_punch_gaps(const struct zs_store *store)
{
	unsigned int nr = 0;
	ZS_CLEANUP_FREE struct extent *extents = collect(store, &nr);
	uint64_t end = 0;

	if (!extents)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++) {
		zs_assert(extents[i].start >= end);
		zs_arena_punch(&store->arena, ZS_REGION_SLOTS, end, extents[i].start - end);
		end = extents[i].end;
	}
	return 0;
}
