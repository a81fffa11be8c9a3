/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks: the store as others see it. */

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/libzs.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/store.h"

struct zs_disks {
	struct zs_store *store;
	_Atomic unsigned int nr_opened; /* spreads handles over shards */
};

struct zs_disk {
	struct zs_store *store;
	uint64_t id;
	struct zs_stream *stream;
};

/* the set */

int zs_disks_create(uint64_t memory_limit_bytes, struct zs_disks **ret_disks)
{
	struct zs_store_options options = {.memory_limit_bytes = memory_limit_bytes};
	struct zs_disks *disks = zs_calloc(1, sizeof(*disks));
	int r;

	if (!disks)
		return -ENOMEM;
	zs_arena_options_default(&options.arena, 0);
	r = zs_store_create(&options, &disks->store);
	if (r) {
		free(disks);
		return r;
	}
	*ret_disks = disks;
	return 0;
}

void zs_disks_destroy(struct zs_disks *disks)
{
	if (!disks)
		return;
	zs_store_close(disks->store);
	free(disks);
}

static bool has_reserved(const struct zs_disk_options *options)
{
	for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
		if (options->reserved[i])
			return true;
	}
	return false;
}

int zs_disks_add(struct zs_disks *disks, const struct zs_disk_options *options)
{
	struct zs_device_options device = {
		.name = options->name,
		.size_bytes = options->size_bytes,
		.block_size = options->block_size,
		.memory_limit_bytes = options->memory_limit_bytes,
	};
	const char *algorithm = options->algorithm ? options->algorithm : "lz4";
	uint64_t id;

	if (!options->name || has_reserved(options) || zs_codec_parse(algorithm, &device.codec, NULL))
		return -EINVAL;
	return zs_store_add(disks->store, &device, NULL, &id);
}

int zs_disks_remove(struct zs_disks *disks, const char *name)
{
	uint64_t id;
	int r = zs_store_find(disks->store, name, &id);

	return r ? r : zs_store_remove(disks->store, id);
}

/* a disk */

int zs_disk_open(struct zs_disks *disks, const char *name, struct zs_disk **ret_disk)
{
	ZS_CLEANUP_FREE struct zs_disk *disk = zs_calloc(1, sizeof(*disk));
	int r;

	if (!disk)
		return -ENOMEM;
	disk->store = disks->store;
	r = zs_store_find(disks->store, name, &disk->id);
	if (!r)
		r = zs_stream_create(atomic_fetch_add(&disks->nr_opened, 1), &disk->stream);
	if (r)
		return r;
	*ret_disk = zs_take(disk);
	return 0;
}

void zs_disk_close(struct zs_disk *disk)
{
	if (!disk)
		return;
	zs_stream_destroy(disk->stream);
	free(disk);
}

int zs_disk_read(struct zs_disk *disk, uint64_t offset, void *buffer, size_t length)
{
	struct zs_device *device = zs_device_get(disk->store, disk->id, disk->stream);
	int r;

	if (!device)
		return -ENODEV;
	r = zs_device_read(device, disk->stream, offset, buffer, length);
	zs_device_put(device, disk->stream);
	return r;
}

int zs_disk_write(struct zs_disk *disk, uint64_t offset, const void *buffer, size_t length, size_t *ret_done)
{
	struct zs_device *device = zs_device_get(disk->store, disk->id, disk->stream);
	int r;

	if (!device)
		return -ENODEV;
	r = zs_device_write(device, disk->stream, offset, buffer, length, ret_done);
	zs_device_put(device, disk->stream);
	return r;
}

int zs_disk_discard(struct zs_disk *disk, uint64_t offset, uint64_t length)
{
	struct zs_device *device = zs_device_get(disk->store, disk->id, disk->stream);
	int r;

	if (!device)
		return -ENODEV;
	r = zs_device_discard(device, disk->stream, offset, length);
	zs_device_put(device, disk->stream);
	return r;
}

int zs_disk_info(struct zs_disk *disk, struct zs_disk_info *ret_info)
{
	struct zs_device *device = zs_device_get(disk->store, disk->id, disk->stream);
	struct zs_device_stats stats;

	if (!device)
		return -ENODEV;
	zs_device_stats(device, &stats);
	*ret_info = (struct zs_disk_info){
		.size_bytes = zs_device_size(device),
		.data_bytes = stats.data_bytes,
		.compressed_bytes = stats.compressed_bytes,
		.memory_bytes = stats.memory_bytes,
		.block_size = (uint32_t)zs_device_block_size(device),
	};
	zs_device_put(device, disk->stream);
	return 0;
}
