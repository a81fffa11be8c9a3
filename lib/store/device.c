/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices: byte ranges are cut into blocks here. */

#include "store/device.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "codec/stream.h"
#include "store/block.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "store/trouble.h"

/* The part of a range that lies in one block. */
struct piece {
	uint64_t block;
	size_t start;  /* in the block */
	size_t length; /* at most the block's */
};

static struct piece cut(const struct zs_device *device, uint64_t offset, uint64_t length)
{
	size_t start = offset & (device->block_size - 1);

	return (struct piece){
		.block = offset >> device->block_shift,
		.start = start,
		.length = zs_min(length, device->block_size - start),
	};
}

static bool is_whole(const struct zs_device *device, struct piece piece)
{
	return piece.length == device->block_size;
}

static bool is_inside(const struct zs_device *device, uint64_t offset, uint64_t length)
{
	return offset <= device->size_bytes && length <= device->size_bytes - offset;
}

/* Reads a part of a block, or whole ones: the first, and what comes with it. Answers the bytes. */
static int read_piece(struct zs_device *device, struct zs_stream *stream, struct piece piece, size_t left, char *buffer,
		      size_t *ret_done)
{
	char *block = zs_stream_block(stream);
	uint64_t nr;
	int error;

	if (is_whole(device, piece)) {
		error = zs_block_load(device, stream, piece.block, left >> device->block_shift, buffer, &nr);
		*ret_done = nr << device->block_shift;
		return error;
	}
	error = zs_block_load(device, stream, piece.block, 1, block, &nr);
	if (!error)
		memcpy(buffer, block + piece.start, piece.length);
	*ret_done = piece.length;
	return error;
}

int zs_device_read_part(struct zs_device *device, struct zs_stream *stream, uint64_t offset, void *buffer,
			size_t length)
{
	char *at = buffer;

	if (!is_inside(device, offset, length))
		return -EINVAL;
	for (size_t left = length; left;) {
		size_t done;
		int error = read_piece(device, stream, cut(device, offset, left), left, at, &done);

		if (error)
			return error;
		offset += done;
		at += done;
		left -= done;
	}
	return 0;
}

static void count_read_bytes(struct zs_device *device, const struct zs_stream *stream, size_t bytes)
{
	zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_READ_BYTES, bytes);
}

void zs_device_count_read(struct zs_device *device, struct zs_stream *stream, size_t bytes)
{
	zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_READS, 1);
	count_read_bytes(device, stream, bytes);
}

int zs_device_read_more(struct zs_device *device, struct zs_stream *stream, uint64_t offset, void *buffer,
			size_t length)
{
	int error = zs_device_read_part(device, stream, offset, buffer, length);

	if (!error)
		count_read_bytes(device, stream, length);
	return error;
}

int zs_device_read(struct zs_device *device, struct zs_stream *stream, uint64_t offset, void *buffer, size_t length)
{
	int error = zs_device_read_part(device, stream, offset, buffer, length);

	if (!error)
		zs_device_count_read(device, stream, length);
	return error;
}

/* data has done bytes of the range before it, and left from there on. */
static int write_piece(struct zs_device *device, struct zs_stream *stream, struct piece piece, const char *data,
		       size_t done, size_t left)
{
	unsigned int turn = done >= device->block_size ? ZS_TURN_AFTER : 0;

	if (!is_whole(device, piece))
		return zs_block_modify(device, stream, piece.block, piece.start, data, piece.length);
	if (left - piece.length >= device->block_size)
		turn |= ZS_TURN_BEFORE;
	return zs_block_store(device, stream, piece.block, turn, data);
}

int zs_device_write_part(struct zs_device *device, struct zs_stream *stream, uint64_t offset, const void *buffer,
			 size_t length, size_t *ret_done)
{
	size_t done = 0;
	int error = 0;

	if (!is_inside(device, offset, length))
		return -ENOSPC;
	while (done < length) {
		struct piece piece = cut(device, offset + done, length - done);

		error = write_piece(device, stream, piece, (const char *)buffer + done, done, length - done);
		if (error)
			break;
		done += piece.length;
	}
	/* Running out of room half-way is a short write; whatever else went wrong must be heard. */
	if (error == -ENOSPC && done)
		error = 0;
	if (error && error != -EINPROGRESS)
		return error;
	*ret_done = done;
	return error;
}

static void count_written_bytes(struct zs_device *device, const struct zs_stream *stream, size_t bytes)
{
	zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_WRITTEN_BYTES, bytes);
	zs_shards_touch(&device->shards, zs_stream_shard(stream));
}

void zs_device_count_write(struct zs_device *device, struct zs_stream *stream, size_t bytes)
{
	zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_WRITES, 1);
	count_written_bytes(device, stream, bytes);
}

int zs_device_write_more(struct zs_device *device, struct zs_stream *stream, uint64_t offset, const void *buffer,
			 size_t length, size_t *ret_done)
{
	int error = zs_device_write_part(device, stream, offset, buffer, length, ret_done);

	if (!error || error == -EINPROGRESS)
		count_written_bytes(device, stream, *ret_done);
	return error;
}

int zs_device_write(struct zs_device *device, struct zs_stream *stream, uint64_t offset, const void *buffer,
		    size_t length, size_t *ret_done)
{
	int error = zs_device_write_part(device, stream, offset, buffer, length, ret_done);

	/* Who goes on with it doesn't count it once more. */
	if (!error || (error == -EINPROGRESS && *ret_done))
		zs_device_count_write(device, stream, *ret_done);
	return error;
}

void zs_device_refused(struct zs_device *device, struct zs_stream *stream)
{
	zs_trouble_no_space(device, zs_stream_shard(stream));
}

/* Empties whole blocks from first up to end, a page of slots at a time where it can, skipping what has no slot. */
static void discard_blocks(struct zs_device *device, struct zs_stream *stream, uint64_t first, uint64_t end)
{
	uint64_t block = zs_table_next(&device->table, first);

	while (block < end) {
		bool page = block % ZS_SLOTS_PER_PAGE == 0 && end - block >= ZS_SLOTS_PER_PAGE;

		if (page)
			zs_block_discard_page(device, stream, block);
		else
			zs_block_discard(device, stream, block);
		block = zs_table_next(&device->table, block + (page ? ZS_SLOTS_PER_PAGE : 1));
	}
}

static void count_discard(struct zs_device *device, unsigned int shard, uint64_t length)
{
	zs_count(&device->shards, shard, ZS_COUNT_DISCARDS, 1);
	zs_count(&device->shards, shard, ZS_COUNT_DISCARDED_BYTES, length);
	zs_shards_touch(&device->shards, shard);
}

/* The range lies inside the device. */
static int discard_range(struct zs_device *device, struct zs_stream *stream, uint64_t offset, uint64_t length)
{
	struct piece piece = cut(device, offset, length);
	uint64_t end = offset + length;
	int error;

	if (!is_whole(device, piece)) {
		error = zs_block_modify(device, stream, piece.block, piece.start, NULL, piece.length);
		if (error)
			return error;
		offset += piece.length;
	}
	discard_blocks(device, stream, offset >> device->block_shift, end >> device->block_shift);
	if (offset >= end || !(end & (device->block_size - 1)))
		return 0;
	return zs_block_modify(device, stream, end >> device->block_shift, 0, NULL, end & (device->block_size - 1));
}

int zs_device_discard(struct zs_device *device, struct zs_stream *stream, uint64_t offset, uint64_t length)
{
	int error;

	if (offset >= device->size_bytes || !length)
		return 0;
	length = zs_min(length, device->size_bytes - offset);
	error = discard_range(device, stream, offset, length);
	/* It will be asked for again, all of it. */
	if (error != -EINPROGRESS && error != -ENOSPC)
		count_discard(device, zs_stream_shard(stream), length);
	return error;
}

uint64_t zs_device_id(const struct zs_device *device)
{
	return zs_residue_value(atomic_load_explicit(&device->entry->id, memory_order_relaxed));
}

uint64_t zs_device_size(const struct zs_device *device)
{
	return device->size_bytes;
}

size_t zs_device_block_size(const struct zs_device *device)
{
	return device->block_size;
}

void zs_device_read_info(struct zs_device *device, struct zs_device_info *ret_info)
{
	const struct zs_device_entry *entry = device->entry;
	const struct zs_device_attributes *attributes = zs_entry_attributes(entry);

	*ret_info = (struct zs_device_info){
		.id = zs_device_id(device),
		.size_bytes = device->size_bytes,
		.block_size = device->block_size,
		.codec = zs_device_codec(device),
		.memory_limit_bytes = attributes->memory_limit_bytes,
		.mode = attributes->mode,
		.uid = attributes->uid,
		.gid = attributes->gid,
		.page_cache = attributes->flags & ZS_ATTRIBUTE_PAGE_CACHE,
		.read_only = attributes->flags & ZS_ATTRIBUTE_READ_ONLY,
		.created_sec = entry->created_sec,
	};
	for (unsigned int i = 1; i < ZS_CODECS && attributes->codecs[i]; i++)
		ret_info->recompress[ret_info->nr_recompress++] = zs_codec_unpack(attributes->codecs[i]);
	memcpy(ret_info->name, entry->name, sizeof(ret_info->name));
	strcpy(ret_info->group, zs_group_name(device));
}

void zs_device_info(struct zs_device *device, struct zs_device_info *ret_info)
{
	ZS_LOCK_SCOPE(&device->store->lock);
	zs_device_read_info(device, ret_info);
}

static uint64_t table_bytes(const struct zs_device *device)
{
	return atomic_load_explicit(&device->table.nr_present, memory_order_relaxed) * ZS_PAGE_SIZE;
}

/* Answers the highest so far. */
static uint64_t raise_peak(struct zs_device *device, uint64_t memory_bytes)
{
	uint64_t peak = atomic_load_explicit(&device->peak_bytes, memory_order_relaxed);

	while (memory_bytes > peak) {
		if (atomic_compare_exchange_weak_explicit(&device->peak_bytes, &peak, memory_bytes,
							  memory_order_relaxed, memory_order_relaxed))
			return memory_bytes;
	}
	return peak;
}

/*
 * look_at is a step above what the shard had at the last look, and follows it down at a step's distance: what goes up
 * and down by an object is not looked at each time.
 */
void zs_device_add_cost(struct zs_device *device, unsigned int shard, uint64_t cost)
{
	struct zs_shard *own = &device->shards.shards[shard & device->shards.mask];
	int64_t now = (int64_t)(zs_count_from(&device->shards, shard, ZS_COUNT_COST_BYTES, cost) + cost);
	int64_t look_at = atomic_load_explicit(&own->look_at, memory_order_relaxed);

	if (__builtin_expect(now < look_at && now >= look_at - 2 * ZS_PEAK_STEP, 1))
		return;
	atomic_store_explicit(&own->look_at, now + ZS_PEAK_STEP, memory_order_relaxed);
	if (now >= look_at)
		raise_peak(device, zs_shards_sum(&device->shards, ZS_COUNT_COST_BYTES) + table_bytes(device));
}

void zs_device_stats(struct zs_device *device, struct zs_device_stats *ret_stats)
{
	zs_shards_stats(&device->shards, ret_stats);
	ret_stats->data_bytes = (ret_stats->same_blocks + ret_stats->object_blocks + ret_stats->backed_blocks) *
				device->block_size;
	ret_stats->memory_bytes += table_bytes(device);
	ret_stats->peak_bytes = raise_peak(device, ret_stats->memory_bytes);
}

bool zs_device_is_shared(const struct zs_device *device)
{
	return zs_shards_sum(&device->shards, ZS_COUNT_INFLIGHT) > 1;
}

void zs_device_add_latency(struct zs_device *device, struct zs_stream *stream, enum zs_operation operation,
			   uint64_t nsec)
{
	zs_latencies_add(&device->latencies, zs_stream_shard(stream), operation, nsec);
}

void zs_device_latency(struct zs_device *device, enum zs_operation operation, struct zs_latency *ret_latency)
{
	zs_latencies_sum(&device->latencies, operation, ret_latency);
}

void zs_device_histogram(struct zs_device *device, enum zs_operation operation, struct zs_histogram_sum *sum)
{
	zs_latencies_collect(&device->latencies, operation, sum);
}

int zs_device_set_limit(struct zs_device *device, uint64_t memory_limit_bytes)
{
	struct zs_device_attributes attributes;
	ZS_LOCK_SCOPE(&device->store->lock);

	if (!atomic_load_explicit(&device->budget.limit_bytes, memory_order_relaxed))
		return memory_limit_bytes ? -EOPNOTSUPP : 0;
	attributes = *zs_entry_attributes(device->entry);
	attributes.memory_limit_bytes = memory_limit_bytes;
	zs_entry_set_attributes(device->entry, &attributes);
	/* It goes on being counted, so that it can have a limit again. */
	atomic_store_explicit(&device->budget.limit_bytes, memory_limit_bytes ?: UINT64_MAX, memory_order_relaxed);
	return 0;
}

void zs_device_set_mode(struct zs_device *device, uint32_t mode)
{
	struct zs_device_attributes attributes;
	ZS_LOCK_SCOPE(&device->store->lock);

	attributes = *zs_entry_attributes(device->entry);
	attributes.mode = mode & 07777;
	zs_entry_set_attributes(device->entry, &attributes);
}

void zs_device_set_owner(struct zs_device *device, uint32_t uid, uint32_t gid)
{
	struct zs_device_attributes attributes;
	ZS_LOCK_SCOPE(&device->store->lock);

	attributes = *zs_entry_attributes(device->entry);
	attributes.uid = uid;
	attributes.gid = gid;
	zs_entry_set_attributes(device->entry, &attributes);
}

void zs_device_set_read_only(struct zs_device *device, bool read_only)
{
	struct zs_device_attributes attributes;
	ZS_LOCK_SCOPE(&device->store->lock);

	attributes = *zs_entry_attributes(device->entry);
	attributes.flags &= ~ZS_ATTRIBUTE_READ_ONLY;
	if (read_only)
		attributes.flags |= ZS_ATTRIBUTE_READ_ONLY;
	zs_entry_set_attributes(device->entry, &attributes);
	atomic_store_explicit(&device->read_only, read_only, memory_order_relaxed);
}

bool zs_device_is_read_only(const struct zs_device *device)
{
	return atomic_load_explicit(&device->read_only, memory_order_relaxed);
}

/* Under the store's lock. */
static void set_codecs(struct zs_device *device, const struct zs_device_attributes *attributes)
{
	zs_entry_set_attributes(device->entry, attributes);
	for (unsigned int i = 0; i < ZS_CODECS; i++)
		atomic_store_explicit(&device->codecs[i], attributes->codecs[i], memory_order_relaxed);
}

int zs_device_set_codec(struct zs_device *device, const struct zs_codec_params *codec)
{
	struct zs_device_attributes attributes;
	ZS_LOCK_SCOPE(&device->store->lock);

	if (!zs_codec_params_are_valid(codec))
		return -EINVAL;
	attributes = *zs_entry_attributes(device->entry);
	attributes.codecs[0] = zs_codec_pack(codec);
	set_codecs(device, &attributes);
	return 0;
}

int zs_device_set_recompress(struct zs_device *device, const struct zs_codec_params *codecs, unsigned int nr)
{
	struct zs_device_attributes attributes;
	ZS_LOCK_SCOPE(&device->store->lock);

	if (!zs_codecs_are_valid(codecs, nr))
		return -EINVAL;
	attributes = *zs_entry_attributes(device->entry);
	for (unsigned int i = 0; i < ZS_RECOMPRESS_CODECS; i++)
		attributes.codecs[1 + i] = i < nr ? zs_codec_pack(&codecs[i]) : 0;
	set_codecs(device, &attributes);
	return 0;
}
