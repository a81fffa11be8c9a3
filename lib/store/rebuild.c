/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening an existing arena: check the tables of groups and devices, then one scan of all slot tables. And the checker,
 * which makes the same scan and compares.
 *
 * Slots that are damaged, or that name no sound object, become "lost": they must not keep a handle that will be given
 * to another block.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/residue.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/extent.h"
#include "store/owners.h"
#include "store/slot.h"
#include "zsmalloc/account.h"

static bool tables_overlap(const struct zs_device_entry *a, const struct zs_device_entry *b)
{
	uint64_t a_end = a->table_offset + zs_table_bytes(a->size_bytes / a->block_size);
	uint64_t b_end = b->table_offset + zs_table_bytes(b->size_bytes / b->block_size);

	return a->table_offset < b_end && b->table_offset < a_end;
}

static int compare_entries(const void *a, const void *b)
{
	const struct zs_device_entry *left = *(const struct zs_device_entry *const *)a;
	const struct zs_device_entry *right = *(const struct zs_device_entry *const *)b;

	return (left->table_offset > right->table_offset) - (left->table_offset < right->table_offset);
}

/* The older of two with one name is the first. */
static int compare_names(const void *a, const void *b)
{
	const struct zs_device_entry *left = *(const struct zs_device_entry *const *)a;
	const struct zs_device_entry *right = *(const struct zs_device_entry *const *)b;
	uint64_t left_id = zs_residue_value(atomic_load(&left->id)),
		 right_id = zs_residue_value(atomic_load(&right->id));

	return strcmp(left->name, right->name) ?: (left_id > right_id) - (left_id < right_id);
}

static bool tables_agree(struct zs_device_entry **used, unsigned int nr)
{
	qsort(used, nr, sizeof(used[0]), compare_entries);
	for (unsigned int i = 1; i < nr; i++) {
		if (tables_overlap(used[i - 1], used[i]))
			return false;
	}
	return true;
}

/* A process was killed that had put an empty device in the place of another one: that is removed now. */
static void end_resets(struct zs_device_entry **used, unsigned int nr)
{
	qsort(used, nr, sizeof(used[0]), compare_names);
	for (unsigned int i = 1; i < nr; i++) {
		if (!strcmp(used[i - 1]->name, used[i]->name))
			atomic_store_explicit(&used[i - 1]->id, 0, memory_order_release);
	}
}

int zs_store_check_entries(struct zs_store *store)
{
	ZS_CLEANUP_FREE struct zs_device_entry **used = zs_malloc(ZS_DEVICES_MAX * sizeof(*used));
	uint64_t at = 0, length, data_end = 0;
	unsigned int nr = 0;
	int error;

	if (!used)
		return -ENOMEM;
	for (unsigned int i = 0; i < store->nr_entries; i++) {
		uint64_t offset = i * sizeof(struct zs_device_entry);

		/* Pages of the table without memory hold no entries; a look at them would make memory. */
		if (offset >= data_end) {
			at = offset;
			if (!zs_arena_next_data(&store->arena, ZS_REGION_DEVICES, &at, &length))
				break;
			data_end = at + length;
			i = (unsigned int)(at / sizeof(struct zs_device_entry));
		}
		error = zs_entry_check(&store->entries[i], i, store->arena.region_bytes[ZS_REGION_SLOTS]);
		if (!error && !zs_group_number_is_sound(store, store->entries[i].group))
			error = -EBADMSG;
		if (error == -EBADMSG)
			zs_log(ZS_LOG_ERR, "arena refused: entry %u of the device table is damaged", i);
		if (error == -EBADMSG)
			return error;
		if (!error)
			used[nr++] = &store->entries[i];
	}
	if (!tables_agree(used, nr))
		return -EBADMSG;
	end_resets(used, nr);
	return 0;
}

/* What one slot counts for, found in the arena. */
struct tally {
	uint64_t same, objects, huge, huge_in_memory, zstd, compressed, cost, handles, backed, backed_bytes, lost;
	uint64_t *dictionaries; /* objects in memory by what they name; NULL: not of interest */
};

static void tally_object(struct tally *tally, uint64_t slot, const struct zs_object_info *info)
{
	bool is_fill = slot & ZS_SLOT_FILL;

	tally->same += is_fill;
	tally->objects += !is_fill;
	tally->huge += (slot & ZS_SLOT_INCOMPRESSIBLE) != 0;
	tally->cost += sizeof(uint64_t);
	tally->handles++;
	if (info->units) {
		tally->backed++;
		tally->backed_bytes += zs_place_bytes(info->units);
		return;
	}
	tally->huge_in_memory += (slot & ZS_SLOT_INCOMPRESSIBLE) != 0;
	tally->zstd += info->codec == ZS_CODEC_ZSTD;
	if (tally->dictionaries)
		tally->dictionaries[info->dictionary]++;
	tally->compressed += info->size;
	tally->cost += zs_pool_cost(info->size);
}

/* What is counted by object rather than by slot. */
static void count_adopted(struct zs_device *device, const struct zs_object_info *info)
{
	if (info->units)
		zs_cold_count(device, 0, info->units, 1);
	else
		zs_count_codec(&device->shards, 0, info->codec, info->size, 1);
	zs_dictionary_count_object(device->store, info->dictionary, 1);
}

/* Adopts what a slot names, or marks the block as lost. */
static int adopt_slot(struct zs_device *device, uint64_t block, struct tally *tally)
{
	uint64_t slot = zs_table_load(&device->table, block);
	struct zs_object_info info;
	int error = zs_slot_is_sound(slot) ? 0 : -EBADMSG;

	if (!error && zs_slot_state(slot) == ZS_SLOT_SAME)
		tally->same++;
	if (!error && zs_slot_state(slot) == ZS_SLOT_OBJECT) {
		error = zs_pool_adopt(device->pool, zs_slot_handle(slot), zs_device_owner(device), &info);
		if (!error) {
			tally_object(tally, slot, &info);
			count_adopted(device, &info);
		}
	}
	if (error == -ENOMEM)
		return error;
	if (error) {
		zs_table_exchange(&device->table, block, zs_slot_lost());
		tally->lost++;
	}
	return 0;
}

static int adopt_device(struct zs_device *device)
{
	struct tally tally = {0};
	int error;

	zs_table_adopt(&device->table);
	for (uint64_t block = zs_table_next(&device->table, 0); block < device->table.nr_blocks;
	     block = zs_table_next(&device->table, block + 1)) {
		error = adopt_slot(device, block, &tally);
		if (error)
			return error;
	}
	zs_count(&device->shards, 0, ZS_COUNT_SAME, tally.same);
	zs_count(&device->shards, 0, ZS_COUNT_OBJECTS, tally.objects);
	zs_count(&device->shards, 0, ZS_COUNT_HUGE, tally.huge);
	zs_count(&device->shards, 0, ZS_COUNT_COMPRESSED_BYTES, tally.compressed);
	zs_device_add_cost(device, 0, tally.cost);
	zs_count(&device->shards, 0, ZS_COUNT_CORRUPT, tally.lost);
	if (tally.lost)
		zs_log_event(ZS_EVENT_DAMAGED, ZS_LOG_ERR, device->entry->name, -EIO,
			     "device=%s lost_blocks=%llu: damaged in the arena; they read as I/O errors",
			     device->entry->name, (unsigned long long)tally.lost);
	atomic_store(&device->budget.charged_bytes, tally.cost);
	if (device->group)
		atomic_fetch_add(&device->group->budget.charged_bytes, tally.cost);
	return 0;
}

/* A device's options as its entry tells them. */
static struct zs_device_options entry_options(const struct zs_device_entry *entry)
{
	const struct zs_device_attributes *attributes = zs_entry_attributes(entry);
	struct zs_device_options options = {
		.name = entry->name,
		.size_bytes = entry->size_bytes,
		.block_size = entry->block_size,
		.codec = zs_codec_unpack(attributes->codecs[0]),
		.memory_limit_bytes = attributes->memory_limit_bytes,
		.read_only = attributes->flags & ZS_ATTRIBUTE_READ_ONLY,
	};

	for (unsigned int i = 1; i < ZS_CODECS && attributes->codecs[i]; i++)
		options.recompress[options.nr_recompress++] = zs_codec_unpack(attributes->codecs[i]);
	return options;
}

static int start_device(struct zs_store *store, unsigned int index)
{
	struct zs_device_options options = entry_options(&store->entries[index]);
	struct zs_device *device;
	int error;

	error = zs_store_slot(store, index, &device);
	if (!error)
		error = zs_device_start(device, &options, store->entries[index].table_offset);
	if (error)
		return error;
	zs_group_rejoin(device);
	error = adopt_device(device);
	if (error)
		return error;
	device->state = ZS_DEVICE_ACTIVE;
	device->own_id = zs_residue_value(atomic_load(&device->entry->id));
	atomic_store(&device->id, device->own_id);
	return 0;
}

static void rebuild_pools(struct zs_store *store)
{
	unsigned int cursor = 0;
	uint64_t id;

	zs_pool_rebuild_end(store->pool);
	while (store->arena.pool_per_device && zs_store_next(store, &cursor, &id))
		zs_pool_rebuild_end(atomic_load(&store->devices[zs_device_index(id)])->pool);
}

int zs_store_rebuild(struct zs_store *store)
{
	uint64_t at = 0, length;
	int error = 0;

	while (!error && zs_arena_next_data(&store->arena, ZS_REGION_DEVICES, &at, &length)) {
		uint64_t end = zs_min((at + length) / sizeof(struct zs_device_entry), store->nr_entries);

		for (uint64_t i = at / sizeof(struct zs_device_entry); !error && i < end; i++) {
			if (atomic_load(&store->entries[i].id))
				error = start_device(store, (unsigned int)i);
		}
		at += length;
	}
	if (!error)
		error = zs_dictionaries_adopt(store);
	if (!error)
		error = zs_extent_punch_gaps(store);
	if (error)
		return error;
	zs_groups_adopt_end(store);
	rebuild_pools(store);
	zs_heap_rebuild_end(store->heap);
	return 0;
}

/*
 * checking
 */

static void tally_device(struct zs_device *device, struct tally *tally)
{
	struct zs_object object;

	for (uint64_t block = zs_table_next(&device->table, 0); block < device->table.nr_blocks;
	     block = zs_table_next(&device->table, block + 1)) {
		uint64_t slot = zs_table_load(&device->table, block);

		if (!zs_slot_is_sound(slot)) {
			tally->lost++;
			continue;
		}
		tally->same += zs_slot_state(slot) == ZS_SLOT_SAME;
		tally->lost += zs_slot_state(slot) == ZS_SLOT_LOST;
		if (zs_slot_state(slot) != ZS_SLOT_OBJECT)
			continue;
		if (zs_obj_read_begin(device->pool, zs_slot_handle(slot), &object)) {
			tally->lost++;
			continue;
		}
		tally_object(tally, slot, &object.info);
		zs_obj_read_end(device->pool, &object);
	}
}

/* What the accounts say of a device is what its objects are. */
static void check_owner(const struct zs_device *device, const struct tally *tally)
{
	uint64_t payload = 0, share = 0;
	struct zs_account_sum sum;

	if (!zs_store_nr_nodes(device->store))
		return;
	for (unsigned int node = 0; !zs_device_account(device, node, &sum); node++) {
		payload += sum.payload_bytes;
		share += sum.share_bytes;
	}
	zs_assert(payload == tally->compressed && share == tally->cost - tally->handles * sizeof(uint64_t));
}

static void check_device(struct zs_device *device, struct tally *total)
{
	struct tally tally = {.dictionaries = total->dictionaries};
	uint64_t dictionaries = zs_dictionaries_bytes(device);
	struct zs_device_stats stats;

	tally_device(device, &tally);
	zs_device_stats(device, &stats);
	total->handles += tally.handles;
	total->backed += tally.backed;
	total->backed_bytes += tally.backed_bytes;
	total->lost += tally.lost;
	/* A damaged block could not be taken off the counters exactly. */
	if (stats.corrupt)
		return;
	zs_assert(!tally.lost);
	zs_assert(stats.same_blocks == tally.same);
	zs_assert(stats.object_blocks + stats.backed_blocks == tally.objects);
	zs_assert(stats.backed_blocks == tally.backed && stats.backed_bytes == tally.backed_bytes);
	zs_assert(stats.huge_blocks == tally.huge_in_memory && stats.zstd_blocks == tally.zstd);
	zs_assert(stats.compressed_bytes == tally.compressed);
	zs_assert(stats.memory_bytes ==
		  tally.cost + dictionaries + atomic_load(&device->table.nr_present) * ZS_PAGE_SIZE);
	if (atomic_load(&device->budget.limit_bytes))
		zs_assert(atomic_load(&device->budget.charged_bytes) == tally.cost + dictionaries);
	check_owner(device, &tally);
}

/* The sums over owners and nodes are the sums over all objects. */
static void check_account(struct zs_store *store)
{
	struct zs_account_sum charged, found, one;
	unsigned int cursor = 0;
	uint64_t id;

	if (!zs_heap_account(store->heap))
		return;
	zs_account_total(zs_heap_account(store->heap), &charged);
	zs_pool_sum(store->pool, &found);
	while (store->arena.pool_per_device && zs_store_next(store, &cursor, &id)) {
		zs_pool_sum(atomic_load(&store->devices[zs_device_index(id)])->pool, &one);
		found.payload_bytes += one.payload_bytes;
		found.share_bytes += one.share_bytes;
	}
	zs_assert(charged.payload_bytes == found.payload_bytes && charged.share_bytes == found.share_bytes);
}

void zs_store_check(struct zs_store *store)
{
	uint64_t named[ZS_DICTIONARIES_MAX + 1] = {0}, id, table_pages = 0, dictionary_bytes = 0;
	struct tally total = {.dictionaries = named};
	struct zs_store_stats stats;
	unsigned int cursor = 0;

	zs_deferred_flush(&store->deferred);
	/* The maintenance thread may have freed all that waited, and still be giving the memory back. */
	zs_lock(&store->deferred.drain);
	zs_unlock(&store->deferred.drain);
	zs_pool_check(store->pool);
	while (zs_store_next(store, &cursor, &id)) {
		struct zs_device *device = atomic_load(&store->devices[zs_device_index(id)]);

		if (store->arena.pool_per_device)
			zs_pool_check(device->pool);
		zs_assert(!zs_entry_check(device->entry, device->index, store->arena.region_bytes[ZS_REGION_SLOTS]));
		check_device(device, &total);
		table_pages += atomic_load(&device->table.nr_present);
		dictionary_bytes += zs_dictionaries_bytes(device);
	}
	check_account(store);
	zs_groups_assert(store);
	zs_store_stats(store, &stats);
	zs_assert(stats.heap.slot_table_pages == table_pages);
	zs_assert(stats.heap.dictionary_pages * ZS_PAGE_SIZE == dictionary_bytes);
	if (!total.lost && !stats.heap.leaked_objects) {
		zs_assert(stats.heap.handles.objects == total.handles);
		zs_assert(stats.pool.objects == total.handles - total.backed);
		zs_cold_check(store, total.backed, total.backed_bytes);
		zs_dictionaries_check(store, named);
	}
}
