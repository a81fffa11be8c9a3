/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store: its life, and the devices in it.
 *
 * A borrower of a device (zs_device_get()) counts itself in flight and then looks at the device's id; a remover clears
 * the id and then waits until nobody is in flight. Both accesses are sequentially consistent, so that one of the two
 * always sees the other. The counter is sharded: borrowing touches no cache line of another thread.
 *
 * Removing commits first (the entry's id in the arena becomes 0) and frees afterwards, without the lock: a process
 * killed in between has no such device, and the next open reclaims what it held.
 */

#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "codec/stream.h"
#include "store/block.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/extent.h"
#include "store/owners.h"
#include "store/slot.h"

static void store_closep(struct zs_store **store)
{
	zs_store_close(*store);
}

static unsigned int stream_shard(const struct zs_stream *stream)
{
	return stream ? zs_stream_shard(stream) : 0;
}

/*
 * devices
 */

int zs_store_slot(struct zs_store *store, unsigned int index, struct zs_device **ret_device)
{
	struct zs_device *device = atomic_load(&store->devices[index]);
	int error;

	if (device) {
		*ret_device = device;
		return 0;
	}
	device = zs_calloc(1, sizeof(*device));
	if (!device)
		return -ENOMEM;
	error = zs_shards_init(&device->shards, store->nr_shards);
	if (error) {
		free(device);
		return error;
	}
	device->store = store;
	device->index = index;
	device->entry = &store->entries[index];
	atomic_store(&store->devices[index], device);
	if (atomic_load(&store->end_devices) <= index)
		atomic_store(&store->end_devices, index + 1);
	*ret_device = device;
	return 0;
}

static void load_codecs(struct zs_device *device, const struct zs_device_options *options)
{
	uint32_t words[ZS_CODECS];

	zs_options_codecs(options, words);
	for (unsigned int i = 0; i < ZS_CODECS; i++)
		atomic_store_explicit(&device->codecs[i], words[i], memory_order_relaxed);
}

int zs_device_start(struct zs_device *device, const struct zs_device_options *options, uint64_t table_offset)
{
	struct zs_store *store = device->store;
	int error;

	device->size_bytes = options->size_bytes;
	device->block_size = options->block_size;
	device->block_shift = zs_ilog2(options->block_size);
	load_codecs(device, options);
	atomic_store_explicit(&device->read_only, options->read_only, memory_order_relaxed);
	atomic_store(&device->budget.limit_bytes, options->memory_limit_bytes);
	atomic_store(&device->budget.charged_bytes, 0);
	zs_shards_reset(&device->shards);
	atomic_store_explicit(&device->peak_bytes, 0, memory_order_relaxed);
	error = zs_table_init(&device->table, &store->arena, store->heap, table_offset,
			      options->size_bytes / options->block_size);
	if (error)
		return error;
	device->pool = store->arena.pool_per_device ? NULL : store->pool;
	if (!device->pool)
		error = zs_pool_create(store->heap, &device->pool);
	if (error)
		zs_table_deinit(&device->table);
	return error;
}

struct zs_device *zs_device_get(struct zs_store *store, uint64_t id, struct zs_stream *stream)
{
	struct zs_device *device = atomic_load_explicit(&store->devices[zs_device_index(id)], memory_order_acquire);
	_Atomic uint64_t *inflight;

	if (!device || !id)
		return NULL;
	inflight = &device->shards.shards[stream_shard(stream) & device->shards.mask].counters[ZS_COUNT_INFLIGHT];
	atomic_fetch_add(inflight, 1);
	if (__builtin_expect(atomic_load(&device->id) == id, 1))
		return device;
	atomic_fetch_sub(inflight, 1);
	return NULL;
}

void zs_device_put(struct zs_device *device, struct zs_stream *stream)
{
	unsigned int shard = stream_shard(stream) & device->shards.mask;

	/* release: pairs with zs_shards_sum() in drain(), so that the remover sees all that was done with the device */
	atomic_fetch_sub_explicit(&device->shards.shards[shard].counters[ZS_COUNT_INFLIGHT], 1, memory_order_release);
}

/*
 * adding
 */

static int check_options(const struct zs_device_options *options, enum zs_device_field *ret_field)
{
	*ret_field = ZS_FIELD_NAME;
	if (!options->name || !zs_name_is_valid(options->name))
		return -EINVAL;
	*ret_field = ZS_FIELD_BLOCK_SIZE;
	if (!zs_is_power_of_two(options->block_size) || options->block_size < ZS_BLOCK_MIN_BYTES ||
	    options->block_size > ZS_OBJECT_MAX_BYTES)
		return -EINVAL;
	*ret_field = ZS_FIELD_SIZE;
	if (!options->size_bytes || options->size_bytes % options->block_size)
		return -EINVAL;
	*ret_field = ZS_FIELD_CODEC;
	if (!zs_codec_params_are_valid(&options->codec))
		return -EINVAL;
	*ret_field = ZS_FIELD_RECOMPRESS;
	if (!zs_codecs_are_valid(options->recompress, options->nr_recompress))
		return -EINVAL;
	*ret_field = ZS_FIELD_GROUP;
	if (options->group && !zs_name_is_valid(options->group))
		return -EINVAL;
	*ret_field = ZS_FIELD_NONE;
	return 0;
}

static int find_free(struct zs_store *store, struct zs_device **ret_device)
{
	for (unsigned int i = 0; i < store->nr_entries; i++) {
		struct zs_device *device = atomic_load(&store->devices[i]);

		if (!device || device->state == ZS_DEVICE_FREE)
			return zs_store_slot(store, i, ret_device);
	}
	return -ENFILE;
}

static bool name_is_taken(struct zs_store *store, const char *name)
{
	for (unsigned int i = 0; i < atomic_load(&store->end_devices); i++) {
		const struct zs_device *device = atomic_load(&store->devices[i]);

		if (device && device->state == ZS_DEVICE_ACTIVE && !strcmp(device->entry->name, name))
			return true;
	}
	return false;
}

/* replaced, which may be NULL: it has the name, and is removed when nothing can go wrong any more. */
static int add_locked(struct zs_store *store, const struct zs_device_options *options, struct zs_device *replaced,
		      uint64_t *ret_id)
{
	uint64_t offset, longest, id;
	struct zs_device *device;
	int error;

	if (!replaced && name_is_taken(store, options->name))
		return -EEXIST;
	error = find_free(store, &device);
	if (error)
		return error;
	error = zs_extent_find(store, zs_table_bytes(options->size_bytes / options->block_size), &offset, &longest);
	if (error)
		return error;
	error = zs_arena_populate(&store->arena, ZS_REGION_DEVICES,
				  zs_align_down(device->index * sizeof(*device->entry), ZS_PAGE_SIZE), ZS_PAGE_SIZE);
	if (error)
		return error;
	error = zs_group_join(device, options->group);
	if (error)
		return error;
	error = zs_device_start(device, options, offset);
	if (error) {
		zs_group_leave(device, 0);
		return error;
	}
	id = zs_arena_next_generation(&store->arena) << ZS_DEVICE_INDEX_BITS | device->index;
	zs_entry_commit(device->entry, id, options, zs_group_number(device), offset, (int64_t)time(NULL));
	/* If the process is killed before this, the arena has two of one name: the newer one counts. */
	if (replaced)
		zs_device_remove(replaced);
	device->state = ZS_DEVICE_ACTIVE;
	device->own_id = id;
	atomic_store(&device->id, id);
	*ret_id = id;
	return 0;
}

static int add(struct zs_store *store, const struct zs_device_options *options, uint64_t *ret_id)
{
	ZS_LOCK_SCOPE(&store->lock);
	return add_locked(store, options, NULL, ret_id);
}

/* A device that is being removed still has its index, its place and its group. */
static bool is_in_the_way(int error)
{
	return error == -ENFILE || error == -EUSERS || error == -EFBIG;
}

/* Frees a piece of what may be in the way; false: there is nothing that could be waited for. */
static bool make_way(struct zs_store *store)
{
	return zs_deferred_can_finish_devices(&store->deferred) && zs_deferred_help(&store->deferred, NULL);
}

int zs_store_try_add(struct zs_store *store, const struct zs_device_options *options, enum zs_device_field *ret_field,
		     uint64_t *ret_id)
{
	struct zs_device_options complete = *options;
	enum zs_device_field field;
	int error;

	if (!complete.block_size)
		complete.block_size = ZS_BLOCK_MIN_BYTES;
	if (!complete.mode)
		complete.mode = 0600;
	error = check_options(&complete, &field);
	if (error) {
		if (ret_field)
			*ret_field = field;
		return error;
	}
	error = add(store, &complete, ret_id);
	if (!is_in_the_way(error))
		return error;
	if (make_way(store))
		return -EAGAIN;
	/* Perhaps the maintenance thread had just finished the last of them. */
	return add(store, &complete, ret_id);
}

int zs_store_add(struct zs_store *store, const struct zs_device_options *options, enum zs_device_field *ret_field,
		 uint64_t *ret_id)
{
	int error;

	do {
		error = zs_store_try_add(store, options, ret_field, ret_id);
	} while (error == -EAGAIN);
	return error;
}

static int reset(struct zs_store *store, uint64_t id, struct zs_device **ret_device, uint64_t *ret_id)
{
	struct zs_device *device = atomic_load(&store->devices[zs_device_index(id)]);
	struct zs_device_options options;
	struct zs_device_info info;
	ZS_LOCK_SCOPE(&store->lock);

	if (!device || !id || device->state != ZS_DEVICE_ACTIVE || atomic_load(&device->id) != id)
		return -ENODEV;
	zs_device_read_info(device, &info);
	options = (struct zs_device_options){
		.name = info.name,
		.size_bytes = info.size_bytes,
		.block_size = info.block_size,
		.codec = info.codec,
		.nr_recompress = info.nr_recompress,
		.memory_limit_bytes = info.memory_limit_bytes,
		.mode = info.mode,
		.uid = info.uid,
		.gid = info.gid,
		.page_cache = info.page_cache,
		.read_only = info.read_only,
		.group = *info.group ? info.group : NULL,
	};
	memcpy(options.recompress, info.recompress, sizeof(options.recompress));
	*ret_device = device;
	return add_locked(store, &options, device, ret_id);
}

int zs_store_try_reset(struct zs_store *store, uint64_t id, uint64_t *ret_id)
{
	struct zs_device *device;
	int error = reset(store, id, &device, ret_id);

	if (is_in_the_way(error)) {
		if (make_way(store))
			return -EAGAIN;
		error = reset(store, id, &device, ret_id);
	}
	if (!error)
		zs_device_free(device);
	return error;
}

uint64_t zs_store_max_device_bytes(struct zs_store *store, uint32_t block_size)
{
	uint64_t offset, longest = 0;
	ZS_LOCK_SCOPE(&store->lock);

	if (zs_extent_find(store, UINT64_MAX, &offset, &longest) == -ENOMEM)
		return 0;
	return longest / sizeof(uint64_t) * (block_size ? block_size : ZS_BLOCK_MIN_BYTES);
}

/*
 * finding
 */

int zs_store_find(struct zs_store *store, const char *name, uint64_t *ret_id)
{
	ZS_LOCK_SCOPE(&store->lock);

	for (unsigned int i = 0; i < atomic_load(&store->end_devices); i++) {
		const struct zs_device *device = atomic_load(&store->devices[i]);

		if (!device || device->state != ZS_DEVICE_ACTIVE || strcmp(device->entry->name, name) != 0)
			continue;
		*ret_id = atomic_load(&device->id);
		return 0;
	}
	return -ENODEV;
}

bool zs_store_next(struct zs_store *store, unsigned int *cursor, uint64_t *ret_id)
{
	while (*cursor < atomic_load(&store->end_devices)) {
		const struct zs_device *device = atomic_load(&store->devices[(*cursor)++]);
		uint64_t id = device ? atomic_load(&device->id) : 0;

		if (!id)
			continue;
		*ret_id = id;
		return true;
	}
	return false;
}

/*
 * life
 */

/* All but the arena. */
static int store_init(struct zs_store *store, bool fresh, const struct zs_store_options *options)
{
	int error;

	store->entries = zs_arena_at(&store->arena, ZS_REGION_DEVICES, 0);
	store->nr_entries = (unsigned int)zs_min(
		store->arena.region_bytes[ZS_REGION_DEVICES] / sizeof(store->entries[0]), ZS_DEVICES_MAX);
	zs_groups_init(store);
	if (!fresh) {
		error = zs_groups_adopt(store) ?: zs_store_check_entries(store);
		if (error)
			return error;
	}
	error = zs_dictionaries_init(store) ?: zs_heap_create(&store->arena, fresh, &store->heap);
	if (!error && options->account.nr_nodes)
		error = zs_owners_start(store, &options->account);
	if (!error)
		error = zs_pool_create(store->heap, &store->pool);
	if (!error && !fresh)
		error = zs_store_rebuild(store);
	if (!error)
		zs_heap_set_limit(store->heap, options->memory_limit_bytes);
	return error;
}

static struct zs_store *store_new(void)
{
	struct zs_store *store = zs_calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->arena.fd = -1;
	store->nr_shards = zs_shards_default();
	zs_deferred_init(&store->deferred, store);
	zs_lock_init(&store->lock, ZS_LOCK_DEVICES);
	zs_lock_init(&store->dictionaries.lock, ZS_LOCK_DICTS);
	for (unsigned int i = 0; i < ZS_MODIFY_LOCKS; i++)
		zs_lock_init(&store->modify[i], ZS_LOCK_MODIFY);
	return store;
}

int zs_store_create(const struct zs_store_options *options, struct zs_store **ret_store)
{
	ZS_CLEANUP(store_closep) struct zs_store *store = store_new();
	int error;

	if (!store)
		return -ENOMEM;
	error = zs_arena_create(&store->arena, &options->arena);
	if (!error)
		error = store_init(store, true, options);
	if (error)
		return error;
	*ret_store = zs_take(store);
	return 0;
}

int zs_store_open(int fd, const struct zs_store_options *options, struct zs_store **ret_store)
{
	ZS_CLEANUP(store_closep) struct zs_store *store = store_new();
	int error;

	if (!store)
		return -ENOMEM;
	error = zs_arena_open(&store->arena, fd);
	if (!error)
		error = store_init(store, false, options);
	if (error)
		return error;
	*ret_store = zs_take(store);
	return 0;
}

void zs_store_close(struct zs_store *store)
{
	if (!store)
		return;
	zs_deferred_deinit(&store->deferred);
	for (unsigned int i = 0; i < ZS_DEVICES_MAX; i++) {
		struct zs_device *device = atomic_load(&store->devices[i]);

		if (!device)
			continue;
		zs_table_deinit(&device->table);
		if (store->arena.pool_per_device)
			zs_pool_abandon(device->pool);
		zs_shards_deinit(&device->shards);
		zs_latencies_deinit(&device->latencies);
		free(device);
	}
	zs_cold_deinit(store);
	zs_dictionaries_deinit(store);
	zs_pool_abandon(store->pool);
	zs_heap_destroy(store->heap);
	zs_arena_close(&store->arena);
	for (unsigned int i = 0; i < ZS_MODIFY_LOCKS; i++)
		zs_lock_deinit(&store->modify[i]);
	zs_lock_deinit(&store->lock);
	free(store);
}

int zs_store_start_maintenance(struct zs_store *store)
{
	return zs_deferred_start(&store->deferred);
}

void zs_store_flush(struct zs_store *store)
{
	zs_deferred_flush(&store->deferred);
	zs_heap_shrink(store->heap);
}

int zs_store_fd(const struct zs_store *store)
{
	return store->arena.fd;
}

struct zs_pool *zs_store_pool(struct zs_store *store)
{
	return store->pool;
}

void zs_store_set_limit(struct zs_store *store, uint64_t memory_limit_bytes)
{
	zs_heap_set_limit(store->heap, memory_limit_bytes);
}
