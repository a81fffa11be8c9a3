/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which devices have changed since a client looked last.
 *
 * The data path knows nothing of this: the counters that it keeps anyway are compared with a copy. That costs half a
 * microsecond a device; making JSON of it, and reading that, fifty times as much.
 */

#include "changes.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "store/device.h"
#include "store/entry.h"
#include "store/store.h"
#include "zsmalloc/arena.h"

/* What was seen of a device. */
struct seen {
	uint64_t id;
	uint64_t generation; /* 0 = nothing was seen yet */
	bool again;	     /* it was in use then: the next look tells of it once more */
	struct zs_device_stats stats;
};

struct zsd_changes {
	uint64_t generation;		     /* the last one */
	struct seen devices[ZS_DEVICES_MAX]; /* by index; memory is taken for those that there are */
};

int zsd_changes_create(uint64_t first, struct zsd_changes **ret_changes)
{
	struct zsd_changes *changes = zs_reserve(sizeof(*changes));

	if (!changes)
		return -ENOMEM;
	changes->generation = first;
	*ret_changes = changes;
	return 0;
}

void zsd_changes_destroy(struct zsd_changes *changes)
{
	zs_reserve_free(changes, sizeof(*changes));
}

uint64_t zsd_changes_begin(struct zsd_changes *changes, uint64_t first)
{
	/* Another look has begun meanwhile, and may be told of what this one finds from now on. */
	if (changes->generation != first)
		changes->generation++;
	return first ?: changes->generation;
}

bool zsd_changes_look(struct zsd_changes *changes, struct zs_device *device, uint64_t since)
{
	uint64_t id = zs_device_id(device);
	struct seen *seen = &changes->devices[zs_device_index(id)];
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	if (!seen->generation || seen->again || seen->id != id || memcmp(&seen->stats, &stats, sizeof(stats)) != 0)
		*seen = (struct seen){
			.id = id,
			.generation = changes->generation,
			.again = zs_device_is_shared(device), /* after stats: it is about the requests in there */
			.stats = stats,
		};
	/* What is still to come was given out by another daemon. */
	return seen->generation > since || since >= changes->generation;
}
