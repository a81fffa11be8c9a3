/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file of a store: opening it, and what moves into it and out of it. Reading it is in block_cold.c. */

#include "store/cold.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "store/writeback_internal.h"
#include "zsmalloc/object.h"

/* What is worth copying the rest for, and how much of that is done at a time. */
#define TIDY_PERCENT  50
#define TIDY_SEGMENTS 4

static void free_place(void *context, struct zs_place place)
{
	struct zs_store *store = context;

	zs_backing_free(store->cold.backing, &place);
}

/*
 * opening
 */

/* Takes a block off the counters whose object can't be where its handle says, and frees the handle. */
static void lose_block(struct zs_device *device, uint64_t block, uint64_t slot)
{
	bool huge = slot & ZS_SLOT_INCOMPRESSIBLE;
	struct zs_object_info info;

	zs_table_exchange(&device->table, block, zs_slot_lost());
	zs_pool_free(device->pool, zs_slot_handle(slot), &info);
	zs_count(&device->shards, 0, ZS_COUNT_OBJECTS, UINT64_MAX);
	zs_count(&device->shards, 0, ZS_COUNT_HUGE, huge ? UINT64_MAX : 0);
	zs_device_add_cost(device, 0, -sizeof(uint64_t));
	zs_count(&device->shards, 0, ZS_COUNT_CORRUPT, 1);
	zs_cold_count(device, 0, info.units, UINT64_MAX);
	zs_uncharge(device, sizeof(uint64_t));
}

static void adopt_device(struct zs_device *device)
{
	struct zs_backing *backing = device->store->cold.backing;
	uint64_t lost = 0;

	for (uint64_t block = zs_table_next(&device->table, 0); block < device->table.nr_blocks;
	     block = zs_table_next(&device->table, block + 1)) {
		uint64_t slot = zs_table_load(&device->table, block);
		struct zs_place place;

		if (!zs_slot_is_sound(slot) || zs_slot_state(slot) != ZS_SLOT_OBJECT ||
		    !zs_obj_place(device->store->heap, zs_slot_handle(slot), &place) ||
		    !zs_backing_adopt(backing, &place))
			continue;
		lose_block(device, block, slot);
		lost++;
	}
	if (lost)
		zs_log(ZS_LOG_ERR, "device=%s lost_blocks=%llu: not in the backing file %s; they read as I/O errors",
		       device->entry->name, (unsigned long long)lost, zs_backing_path(backing));
}

static void adopt_all(struct zs_store *store)
{
	unsigned int cursor = 0;
	uint64_t id;

	while (zs_store_next(store, &cursor, &id))
		adopt_device(atomic_load(&store->devices[zs_device_index(id)]));
	zs_backing_adopt_end(store->cold.backing);
}

int zs_store_attach_backing(struct zs_store *store, const struct zs_backing_options *options,
			    enum zs_backing_field *ret_field)
{
	struct zs_cold *cold = &store->cold;
	_Atomic uint8_t *warmth;
	int error;

	if (cold->backing)
		return -EALREADY;
	warmth = zs_calloc(ZS_WARMTH_COUNTERS, sizeof(*warmth));
	if (!warmth)
		return -ENOMEM;
	error = zs_backing_open(&store->arena, options, ret_field, &cold->backing);
	if (error) {
		free((void *)warmth);
		return error;
	}
	cold->warmth = warmth;
	atomic_store(&cold->promote_reads, ZS_PROMOTE_READS_DEFAULT);
	adopt_all(store);
	/* Not before: what is lost has no place to free. */
	zs_heap_set_backed(store->heap, free_place, store);
	return 0;
}

void zs_cold_deinit(struct zs_store *store)
{
	struct zs_cold *cold = &store->cold;

	if (cold->backing)
		zs_backing_close(cold->backing);
	free((void *)cold->warmth);
	*cold = (struct zs_cold){0};
}

struct zs_backing *zs_store_backing(struct zs_store *store)
{
	return store->cold.backing;
}

void zs_store_backed(struct zs_store *store, uint64_t *ret_blocks, uint64_t *ret_bytes)
{
	*ret_blocks = atomic_load_explicit(&store->cold.nr_blocks, memory_order_relaxed);
	*ret_bytes = atomic_load_explicit(&store->cold.nr_bytes, memory_order_relaxed);
}

void zs_store_set_promotion(struct zs_store *store, unsigned int reads)
{
	atomic_store_explicit(&store->cold.promote_reads, reads, memory_order_relaxed);
}

/*
 * counting
 */

void zs_cold_count(struct zs_device *device, unsigned int shard, uint32_t units, uint64_t sign)
{
	struct zs_cold *cold = &device->store->cold;
	uint64_t bytes = zs_place_bytes(units) * sign;

	/* release: what was counted in memory before is seen by who finds nothing here, see store/dictionaries.c */
	atomic_fetch_add_explicit(zs_counter(&device->shards, shard, ZS_COUNT_BACKED), sign, memory_order_release);
	zs_count(&device->shards, shard, ZS_COUNT_BACKED_BYTES, bytes);
	/* What is compressed saves more than the little that encryption adds to a record. */
	if (units >= zs_record_units(device->block_size))
		zs_count(&device->shards, shard, ZS_COUNT_BACKED_HUGE, sign);
	atomic_fetch_add_explicit(&cold->nr_blocks, sign, memory_order_relaxed);
	atomic_fetch_add_explicit(&cold->nr_bytes, bytes, memory_order_relaxed);
}

_Atomic uint8_t *zs_cold_warmth(struct zs_store *store, struct zs_handle handle)
{
	return &store->cold.warmth[handle.index * UINT32_C(0x9e3779b1) >> 16];
}

int zs_cold_evict(struct zs_device *device, unsigned int shard, const struct zs_object *object, struct zs_place place)
{
	uint64_t cost = zs_pool_cost(object->info.size);
	int error = zs_obj_evict(device->pool, object, place);

	if (error)
		return error;
	atomic_store_explicit(zs_cold_warmth(device->store, object->handle), 0, memory_order_relaxed);
	zs_cold_count(device, shard, place.units, 1);
	zs_dictionary_count_object(device->store, object->info.dictionary, UINT64_MAX);
	zs_count_codec(&device->shards, shard, object->info.codec, object->info.size, UINT64_MAX);
	zs_count(&device->shards, shard, ZS_COUNT_COMPRESSED_BYTES, -(uint64_t)object->info.size);
	zs_device_add_cost(device, shard, -cost);
	zs_count(&device->shards, shard, ZS_COUNT_WRITTEN_BACK, 1);
	zs_count(&device->shards, shard, ZS_COUNT_WRITTEN_BACK_BYTES, zs_place_bytes(place.units));
	zs_uncharge(device, cost);
	return 0;
}

int zs_cold_restore(struct zs_device *device, unsigned int shard, struct zs_object *object)
{
	uint64_t cost = zs_pool_cost(object->info.size);
	int error = zs_charge(device, cost, ZS_URGENCY_NEW);

	if (error)
		return error;
	object->info.owner = (uint16_t)zs_device_owner(device);
	error = zs_obj_restore(device->pool, object, ZS_URGENCY_NEW);
	if (error) {
		zs_uncharge(device, cost);
		return error;
	}
	/* In this order: see store/dictionaries.c. */
	zs_dictionary_count_object(device->store, object->info.dictionary, 1);
	zs_cold_count(device, shard, object->place.units, UINT64_MAX);
	zs_count_codec(&device->shards, shard, object->info.codec, object->info.size, 1);
	zs_count(&device->shards, shard, ZS_COUNT_COMPRESSED_BYTES, object->info.size);
	zs_device_add_cost(device, shard, cost);
	return 0;
}

/*
 * collecting
 */

static bool is_live(void *context, struct zs_handle handle, const struct zs_place *place)
{
	struct zs_store *store = context;

	return zs_obj_is_at(store->heap, handle, *place);
}

static bool relocate(void *context, struct zs_handle handle, const struct zs_place *from, const struct zs_place *to)
{
	struct zs_store *store = context;

	return zs_obj_relocate(store->heap, handle, *from, *to);
}

/* True if the object of a record that is at this place is in memory now. */
static bool restore_at(struct zs_device *device, const struct zs_record *record, const struct zs_place *from)
{
	struct zs_object object;
	bool restored = false;

	if (zs_obj_read_begin(device->pool, record->handle, &object))
		return false;
	if (!object.payload && object.place.unit == from->unit && object.place.units == from->units) {
		object.info = zs_object_info(record->meta);
		object.payload = record->payload;
		object.checksum = record->checksum;
		restored = !zs_cold_restore(device, 0, &object);
	}
	zs_obj_read_end(device->pool, &object);
	return restored;
}

static bool restore(void *context, const struct zs_record *record, const struct zs_place *from)
{
	struct zs_device *device = zs_device_get(context, record->device_id, NULL);
	bool restored;

	if (!device)
		return false;
	restored = restore_at(device, record, from);
	zs_device_put(device, NULL);
	return restored;
}

int zs_store_collect(struct zs_store *store, unsigned int percent, unsigned int nr_segments)
{
	const struct zs_backing_mover mover = {
		.is_live = is_live, .relocate = relocate, .restore = restore, .context = store};

	if (!store->cold.backing)
		return -EOPNOTSUPP;
	return zs_backing_collect(store->cold.backing, &mover, percent, nr_segments);
}

bool zs_store_tidy(struct zs_store *store)
{
	int collected;

	if (!store->cold.backing)
		return false;
	zs_backing_punch(store->cold.backing);
	if (!writeback_budget_collected(store))
		return false;
	collected = zs_store_collect(store, TIDY_PERCENT, TIDY_SEGMENTS);
	writeback_budget_collected(store);
	/* What could not be emptied is not tried again and again. */
	return collected > 0 && zs_backing_punch(store->cold.backing) > 0;
}

void zs_cold_check(struct zs_store *store, uint64_t nr_blocks, uint64_t nr_bytes)
{
	struct zs_cold *cold = &store->cold;
	struct zs_backing_stats stats;

	zs_assert(atomic_load(&cold->nr_blocks) == nr_blocks && atomic_load(&cold->nr_bytes) == nr_bytes);
	if (!cold->backing)
		return;
	zs_backing_check(cold->backing);
	zs_backing_stats(cold->backing, &stats);
	zs_assert(stats.live_records == nr_blocks && stats.live_bytes == nr_bytes);
}
