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
#include "codec/codec.h"
#include "store/device.h"
#include "store/entry.h"
#include "store/store.h"
#include "zsmalloc/arena.h"

/* What was seen of a device. */
struct seen {
	uint64_t id;
	uint64_t generation; /* 0 = nothing was seen yet */
	bool again;	     /* it was in use then: the next look tells of it once more */
	unsigned int nr_open;
	struct zs_device_stats stats;
	struct zs_device_info info;
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

static bool has_like_codecs(const struct zs_device_info *a, const struct zs_device_info *b)
{
	if (zs_codec_pack(&a->codec) != zs_codec_pack(&b->codec) || a->nr_recompress != b->nr_recompress)
		return false;
	for (unsigned int i = 0; i < a->nr_recompress; i++) {
		if (zs_codec_pack(&a->recompress[i]) != zs_codec_pack(&b->recompress[i]))
			return false;
	}
	return true;
}

/* What may change of a device, as long as it has its number. */
static bool has_like_info(const struct zs_device_info *a, const struct zs_device_info *b)
{
	return a->size_bytes == b->size_bytes && a->memory_limit_bytes == b->memory_limit_bytes && a->mode == b->mode &&
	       a->uid == b->uid && a->gid == b->gid && a->read_only == b->read_only && has_like_codecs(a, b) &&
	       strcmp(a->group, b->group) == 0;
}

static bool is_like(const struct seen *a, const struct seen *b)
{
	return a->id == b->id && a->nr_open == b->nr_open && memcmp(&a->stats, &b->stats, sizeof(a->stats)) == 0 &&
	       has_like_info(&a->info, &b->info);
}

bool zsd_changes_look(struct zsd_changes *changes, struct zs_device *device, unsigned int nr_open, uint64_t since)
{
	uint64_t id = zs_device_id(device);
	struct seen *seen = &changes->devices[zs_device_index(id)];
	struct seen now = {.id = id, .nr_open = nr_open};

	zs_device_stats(device, &now.stats);
	zs_device_info(device, &now.info);
	if (!seen->generation || seen->again || !is_like(seen, &now)) {
		now.generation = changes->generation;
		now.again = zs_device_is_shared(device); /* after stats: it is about the requests in there */
		*seen = now;
	}
	/* What is still to come was given out by another daemon. */
	return seen->generation > since || since >= changes->generation;
}
