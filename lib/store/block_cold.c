/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading cold blocks: pin -> read the record -> is it this block's? -> decompress -> promote, perhaps -> unpin.
 *
 * While an object is pinned its record stays where it is and is not overwritten. Blocks that follow in the same request
 * are pinned as well if their records follow closely in the file, and all are read by one system call.
 */

#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "codec/stream.h"
#include "store/block_internal.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "zsmalloc/object.h"

/* Blocks that are read by one system call. */
#define RUN_MAX 64

/* Unreadable blocks of a device that are all named in the log; of further ones each time their number has doubled. */
#define UNREADABLE_LOGGED 16

/* Blocks that follow each other, with records that do so, too. */
struct run {
	unsigned int nr;
	struct zs_object objects[RUN_MAX]; /* pinned */
	struct zs_place places[RUN_MAX];
	struct zs_record records[RUN_MAX];
	int errors[RUN_MAX];
};

static_assert(ZS_STREAM_IO_BYTES >= ZS_RECORD_MAX_BYTES + 3 * ZS_PAGE_SIZE, "a stream has room for any record");

/* Says and counts it; answers -EIO. */
static int unreadable(struct zs_device *device, struct zs_stream *stream, uint64_t block, const char *why)
{
	uint64_t count = zs_shards_sum(&device->shards, ZS_COUNT_UNREADABLE) + 1;

	zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_UNREADABLE, 1);
	if (count <= UNREADABLE_LOGGED || zs_is_power_of_two(count))
		zs_log(ZS_LOG_ERR, "device=%s block=%llu can't be read back: %s", device->entry->name,
		       (unsigned long long)block, why);
	return -EIO;
}

static const char *reason(int error)
{
	return error == -EBADMSG ? "its record in the backing file is damaged" : "the backing file answers an error";
}

/* Takes over what was read, if it is the object's. Returns 0 or -EBADMSG. */
static int take_record(const struct zs_device *device, uint64_t block, const struct zs_record *record,
		       struct zs_object *object)
{
	if (record->handle.index != object->handle.index || record->device_id != device->own_id ||
	    (uint32_t)record->block != (uint32_t)block)
		return -EBADMSG;
	object->info = zs_object_info(record->meta);
	object->payload = record->payload;
	object->checksum = record->checksum;
	return 0;
}

static int fetch(struct zs_device *device, struct zs_stream *stream, uint64_t block, struct zs_object *object)
{
	struct zs_record record;
	int error = zs_backing_read(device->store->cold.backing, &object->place, zs_stream_io(stream),
				    ZS_STREAM_IO_BYTES, &record);

	return error ?: take_record(device, block, &record, object);
}

static int check_can_read(struct zs_device *device, struct zs_stream *stream, uint64_t block)
{
	if (!device->store->cold.backing)
		return unreadable(device, stream, block, "the store was opened without its backing file");
	return zs_stream_io(stream) ? 0 : -ENOMEM;
}

int zs_cold_fetch(struct zs_device *device, struct zs_stream *stream, uint64_t block, struct zs_object *object)
{
	int error = check_can_read(device, stream, block);

	if (error)
		return error;
	error = fetch(device, stream, block, object);
	if (error)
		return unreadable(device, stream, block, reason(error));
	zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_READ_BACK, 1);
	zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_READ_BACK_BYTES,
		 zs_place_bytes(object->place.units));
	return 0;
}

/*
 * promotion
 */

/* True each time that an object was read often enough since it was written back. */
static bool is_warm(struct zs_store *store, struct zs_handle handle)
{
	unsigned int reads = atomic_load_explicit(&store->cold.promote_reads, memory_order_relaxed);
	_Atomic uint8_t *warmth = zs_cold_warmth(store, handle);
	unsigned int seen = atomic_load_explicit(warmth, memory_order_relaxed) + 1u;

	if (!reads)
		return false;
	atomic_store_explicit(warmth, (uint8_t)(seen < reads && seen <= UINT8_MAX ? seen : 0), memory_order_relaxed);
	return seen >= reads || seen > UINT8_MAX;
}

/* If it can't be done now, a later read may. */
static void promote(struct zs_device *device, unsigned int shard, struct zs_object *object)
{
	if (zs_cold_restore(device, shard, object))
		return;
	zs_backing_free(device->store->cold.backing, &object->place);
	zs_count(&device->shards, shard, ZS_COUNT_PROMOTED, 1);
}

/*
 * runs
 */

/* Pins the object of a block if it can be read together with the run. */
static bool run_add(struct run *run, struct zs_device *device, uint64_t block)
{
	uint64_t slot = zs_table_load(&device->table, block);
	struct zs_object *object = &run->objects[run->nr];

	if (!zs_slot_is_sound(slot) || zs_slot_state(slot) != ZS_SLOT_OBJECT ||
	    zs_obj_read_begin(device->pool, zs_slot_handle(slot), object))
		return false;
	if (object->payload || zs_table_load(&device->table, block) != slot ||
	    !zs_place_joins(&run->places[0], &run->places[run->nr - 1], &object->place, ZS_STREAM_IO_BYTES)) {
		zs_obj_read_end(device->pool, object);
		return false;
	}
	run->places[run->nr++] = object->place;
	return true;
}

static void run_begin(struct run *run, struct zs_device *device, uint64_t block, uint64_t nr,
		      const struct zs_object *object)
{
	run->nr = 1;
	run->objects[0] = *object;
	run->places[0] = object->place;
	while (run->nr < RUN_MAX && run->nr < nr && run_add(run, device, block + run->nr))
		continue;
}

/* Unpins all but the first nr. */
static void run_trim(struct run *run, struct zs_device *device, unsigned int nr)
{
	while (run->nr > nr)
		zs_obj_read_end(device->pool, &run->objects[--run->nr]);
}

/* Decompresses one of the run's blocks. */
static int run_unpack(struct run *run, unsigned int i, struct zs_device *device, struct zs_stream *stream,
		      uint64_t block, void *buffer)
{
	struct zs_object *object = &run->objects[i];
	int error = run->errors[i] ?: take_record(device, block, &run->records[i], object);

	if (!error)
		error = zs_block_unpack(device, stream, block, object, buffer);
	if (!error && is_warm(device->store, object->handle))
		promote(device, zs_stream_shard(stream), object);
	return error;
}

/* Reads all of the run. What is behind a block that can't be read is left to the next call, as its first. */
static int run_load(struct run *run, struct zs_device *device, struct zs_stream *stream, uint64_t block, char *buffer,
		    uint64_t *ret_nr)
{
	unsigned int shard = zs_stream_shard(stream), i;
	uint64_t bytes = 0;
	int error = 0;

	zs_backing_read_range(device->store->cold.backing, run->places, run->nr, zs_stream_io(stream),
			      ZS_STREAM_IO_BYTES, run->records, run->errors);
	for (i = 0; i < run->nr && !error; i++) {
		error = run_unpack(run, i, device, stream, block + i, buffer + (size_t)i * device->block_size);
		bytes += error ? 0 : zs_place_bytes(run->places[i].units);
	}
	i -= error != 0;
	zs_count(&device->shards, shard, ZS_COUNT_READ_BACK, i);
	zs_count(&device->shards, shard, ZS_COUNT_READ_BACK_BYTES, bytes);
	if (i)
		*ret_nr = i;
	return i ? 0 : error;
}

int zs_cold_load(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t nr, void *buffer,
		 const struct zs_object *object, uint64_t *ret_nr)
{
	int error = check_can_read(device, stream, block);
	struct run run;

	if (error) {
		zs_obj_read_end(device->pool, object);
		return error;
	}
	run_begin(&run, device, block, nr, object);
	error = run_load(&run, device, stream, block, buffer, ret_nr);
	/* It may have been the fault of what is behind it. */
	if (error && run.nr > 1) {
		run_trim(&run, device, 1);
		error = run_load(&run, device, stream, block, buffer, ret_nr);
	}
	run_trim(&run, device, 0);
	return error && error != -ENOMEM && error != -ESTALE ? unreadable(device, stream, block, reason(error)) : error;
}
