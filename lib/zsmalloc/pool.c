/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects: allocate, write, read, free.
 *
 * Lock order (base/lock.h): class -> kept -> slab -> punch -> pages. Under a class's lock none of the others is taken
 * but that of what a thread keeps: handles and zspages are made and given back without it. There is no lock per pool.
 *
 * Who may touch an object's bytes:
 *   from zs_pool_alloc() to zs_obj_write()   the writer; the handle can't be pinned yet
 *   afterwards                               nobody writes; readers hold a pin each
 *   doomed with pins left                    the same readers, until the last one frees it
 *   free                                     whoever holds the class's lock, or of a kept one, that of its keeper
 */

#include "zsmalloc/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/copy.h"
#include "zsmalloc/pool_internal.h"

/* Compressed payloads that save less than 1/32 of a raw block's cost are not worth their decompression. */
#define HUGE_GAIN 32

static _Atomic unsigned int nr_pools; /* made so far */

static void pool_destroyp(struct zs_pool **pool)
{
	zs_pool_destroy(*pool);
}

static void size_class_init(struct zs_size_class *class)
{
	zs_lock_init(&class->lock, ZS_LOCK_CLASS);
	for (unsigned int group = 0; group < ZS_FULLNESS_FULL; group++)
		zs_list_init(&class->groups[group]);
}

int zs_pool_create(struct zs_heap *heap, struct zs_pool **ret_pool)
{
	ZS_CLEANUP(pool_destroyp) struct zs_pool *pool = NULL;

	if (zs_fault())
		return -ENOMEM;
	pool = aligned_alloc(_Alignof(struct zs_pool), sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	memset(pool, 0, sizeof(*pool));
	pool->heap = heap;
	pool->number = atomic_fetch_add_explicit(&nr_pools, 1, memory_order_relaxed) + 1;
	for (unsigned int i = 0; i < heap->geometry->nr_classes; i++)
		size_class_init(&pool->classes[i]);
	*ret_pool = zs_take(pool);
	return 0;
}

void zs_pool_set_locking(struct zs_pool *pool, enum zs_locking locking)
{
	pool->has_one_lock = locking == ZS_LOCKING_POOL;
}

void zs_pool_destroy(struct zs_pool *pool)
{
	if (!pool)
		return;
	for (unsigned int i = 0; i < pool->heap->geometry->nr_classes; i++)
		zs_assert_msg(!pool->classes[i].nr_objects, "class %u of a pool that is destroyed has objects", i);
	zs_pool_abandon(pool);
}

void zs_pool_abandon(struct zs_pool *pool)
{
	if (!pool)
		return;
	for (unsigned int i = 0; i < pool->heap->geometry->nr_classes; i++)
		zs_lock_deinit(&pool->classes[i].lock);
	pool_forget_kept(pool);
	free(pool);
}

int zs_pool_alloc(struct zs_pool *pool, size_t size, enum zs_urgency urgency, struct zs_handle *ret_handle)
{
	struct zs_heap *heap = pool->heap;
	struct zs_location location;
	struct zs_handle handle;
	bool fresh;
	int error;

	zs_assert_msg(size && size <= ZS_OBJECT_MAX_BYTES, "pool %u: object of %zu bytes, not 1 to %zu", pool->number,
		      size, ZS_OBJECT_MAX_BYTES);
	error = zs_slab_alloc(&heap->handles, urgency, &handle.index);
	if (error)
		return error;
	if (heap->account)
		zs_account_prefetch(heap->account, handle.index);
	error = pool_take_room(pool, zs_geometry_class(heap->geometry, size + ZS_OBJECT_HEADER_BYTES), urgency, handle,
			       &fresh, &location);
	if (error) {
		zs_slab_free(&heap->handles, handle.index);
		return error;
	}
	zs_handle_reserve(heap_handle_word(heap, handle.index), location, fresh);
	*ret_handle = handle;
	return 0;
}

/* Its word must say FREE from here on: whoever still has the handle from an old slot must not get past the pin. */
void pool_free_handle(struct zs_heap *heap, uint32_t handle)
{
	atomic_store_explicit(heap_handle_word(heap, handle), 0, memory_order_relaxed);
	zs_slab_free(&heap->handles, handle);
}

/*
 * With several nodes, objects are charged and uncharged under the class's lock, so that a page that is migrated
 * meanwhile (zs_pool_migrate_page()) finds an object either charged and in use, or neither.
 */
static bool is_charged_under_lock(const struct zs_heap *heap)
{
	return heap->account && zs_account_nr_nodes(heap->account) > 1;
}

static void uncharge(struct zs_heap *heap, uint32_t handle, struct zs_location location)
{
	if (heap->account)
		zs_account_uncharge(heap->account, handle, location,
				    zs_object_info(heap_object(heap, location)->meta).size);
}

/* Uncharges an object and frees its room: the thread keeps it, or its zspage gets it back. */
static void room_free(struct zs_pool *pool, uint32_t handle, struct zs_location location)
{
	struct zs_heap *heap = pool->heap;
	bool locked = is_charged_under_lock(heap);
	struct zs_list empty;

	if (!locked) {
		uncharge(heap, handle, location);
		if (pool_keep(pool, location))
			return;
	}
	zs_list_init(&empty);
	zs_lock(pool_lock(pool, location.class));
	if (locked)
		uncharge(heap, handle, location);
	pool_free_room(pool, location, &empty);
	if (!locked)
		pool_allow_kept(pool, location.class);
	zs_unlock(pool_lock(pool, location.class));
	zspages_destroy(heap, &empty);
}

/* Frees an object in memory that is doomed and not pinned, and its handle. */
static void object_free(struct zs_pool *pool, uint32_t handle, struct zs_location location)
{
	room_free(pool, handle, location);
	pool_free_handle(pool->heap, handle);
}

/* The same, where word says that it is. */
static void doomed_free(struct zs_pool *pool, uint32_t handle, uint64_t word)
{
	struct zs_heap *heap = pool->heap;

	if (!zs_handle_is_backed(word)) {
		object_free(pool, handle, zs_handle_location(word));
		return;
	}
	if (heap->free_place)
		heap->free_place(heap->backed_context, zs_handle_place(word));
	pool_free_handle(heap, handle);
}

/*
 * A dictionary is given back when no object needs it, so its number is believed only with the checksum. All other
 * objects do without: it would bring their payloads into the cache.
 */
static bool dictionary_is_sound(struct zs_heap *heap, struct zs_location location)
{
	const struct zs_object_header *header = heap_object(heap, location);

	return !zs_object_info(header->meta).dictionary ||
	       zs_object_checksum(header->meta, header + 1) == header->checksum;
}

/* True if handle word, zspage and object header agree that this is the handle's object. */
static bool object_is_sound(struct zs_pool *pool, uint32_t handle, struct zs_location location)
{
	struct zs_heap *heap = pool->heap;
	uint32_t index;

	if (!heap_location_is_valid(heap, location))
		return false;
	index = zs_pages_zspage(&heap->pages, location.page);
	if (!index || heap_zspage(heap, index)->page != location.page ||
	    heap_zspage(heap, index)->class != location.class)
		return false;
	return atomic_load_explicit(&heap_object(heap, location)->handle, memory_order_relaxed) == handle &&
	       heap_size_is_sound(heap, location) && dictionary_is_sound(heap, location);
}

/* Charges a new object and publishes it. */
static void publish_charged(struct zs_pool *pool, uint32_t handle, const struct zs_object_info *info,
			    struct zs_location location)
{
	struct zs_lock *lock = pool_lock(pool, location.class);
	bool locked = is_charged_under_lock(pool->heap);

	if (locked)
		zs_lock(lock);
	zs_account_charge(pool->heap->account, handle, info->owner, location, info->size);
	zs_handle_publish(heap_handle_word(pool->heap, handle), location);
	if (locked)
		zs_unlock(lock);
}

/* What is going to be needed soon, by the free that follows and by the next allocation. */
static void prefetch_soon(struct zs_pool *pool, struct zs_location location, struct zs_handle soon)
{
	if (soon.index)
		zs_obj_prefetch(pool, soon);
	__builtin_prefetch(pool_next(pool, location.class), 1);
}

void zs_obj_write(struct zs_pool *pool, struct zs_handle handle, const struct zs_object_info *info, const void *payload)
{
	zs_obj_replace(pool, handle, info, payload, ZS_NO_HANDLE);
}

void zs_obj_replace(struct zs_pool *pool, struct zs_handle handle, const struct zs_object_info *info,
		    const void *payload, struct zs_handle soon)
{
	_Atomic uint64_t *word = heap_handle_word(pool->heap, handle.index);
	uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
	struct zs_location location = zs_handle_location(value);
	struct zs_object_header *header = heap_object(pool->heap, location);
	const struct zs_class_shape *shape = &pool->heap->geometry->classes[location.class];

	zs_assert_msg(zs_handle_state(value) == ZS_HANDLE_FREE, "pool %u: handle %u written twice", pool->number,
		      handle.index);
	zs_assert_msg(atomic_load_explicit(&header->handle, memory_order_relaxed) == handle.index,
		      "pool %u: handle %u written to an object that is not its own", pool->number, handle.index);
	zs_assert_msg(info->size && info->size + ZS_OBJECT_HEADER_BYTES <= shape->size,
		      "pool %u: handle %u: %u bytes for an object of %u", pool->number, handle.index, info->size,
		      shape->size);
	/* The line that it ends in, which is stored the ordinary way, as is the first. */
	__builtin_prefetch((const char *)(header + 1) + info->size - 1, 1);
	header->meta = zs_object_meta(info);
	header->checksum = zs_object_checksum(header->meta, payload);
	/*
	 * The copy is on its way to memory while what is asked for comes from there; either keeps the processor from
	 * going on, so that what needs neither of them is done before.
	 */
	if (zs_handle_is_fresh(value))
		memcpy(header + 1, payload, info->size);
	else
		zs_copy_uncached(header + 1, payload, info->size);
	prefetch_soon(pool, location, soon);
	heap_mark_lent(pool->heap, location);
	zs_copy_fence();
	if (pool->heap->account)
		publish_charged(pool, handle.index, info, location);
	else
		zs_handle_publish(word, location);
}

void zs_pool_note_leak(struct zs_pool *pool)
{
	atomic_fetch_add_explicit(&pool->heap->nr_leaked, 1, memory_order_relaxed);
}

void zs_pool_free(struct zs_pool *pool, struct zs_handle handle, struct zs_object_info *ret_info)
{
	_Atomic uint64_t *word = heap_handle_word(pool->heap, handle.index);
	uint64_t old = 0;

	zs_assert_msg(heap_handle_is_valid(pool->heap, handle.index) && !zs_handle_doom(word, &old),
		      "pool %u: handle %u freed twice or never allocated", pool->number, handle.index);
	if (zs_handle_is_backed(old)) {
		*ret_info = (struct zs_object_info){.units = zs_handle_place(old).units};
	} else if (object_is_sound(pool, handle.index, zs_handle_location(old))) {
		*ret_info = zs_object_info(heap_object(pool->heap, zs_handle_location(old))->meta);
	} else {
		zs_pool_note_leak(pool);
		*ret_info = (struct zs_object_info){0};
		return;
	}
	if (zs_handle_release(word, old))
		doomed_free(pool, handle.index, old);
}

/* Readers need no lock; with one lock for all they take it nevertheless, as zsmalloc's did. */
static int object_pin(struct zs_pool *pool, struct zs_handle handle, uint64_t *ret_word)
{
	_Atomic uint64_t *word = heap_handle_word(pool->heap, handle.index);

	if (__builtin_expect(!pool->has_one_lock, 1))
		return zs_handle_pin(word, ret_word);
	ZS_LOCK_SCOPE(pool_lock(pool, 0));
	return zs_handle_pin(word, ret_word);
}

int zs_obj_read_begin(struct zs_pool *pool, struct zs_handle handle, struct zs_object *ret_object)
{
	struct zs_heap *heap = pool->heap;
	struct zs_object_header *header;
	struct zs_object_info info;
	struct zs_location location;
	uint64_t word;
	int error;

	if (!heap_handle_is_valid(heap, handle.index))
		return -EBADMSG;
	error = object_pin(pool, handle, &word);
	if (error)
		return error;
	if (__builtin_expect(zs_handle_is_backed(word), 0)) {
		struct zs_place place = zs_handle_place(word);

		*ret_object = (struct zs_object){.handle = handle, .info.units = place.units, .place = place};
		return 0;
	}
	location = zs_handle_location(word);
	if (!heap_location_is_valid(heap, location))
		goto damaged;
	header = heap_object(heap, location);
	info = zs_object_info(header->meta);
	if (atomic_load_explicit(&header->handle, memory_order_relaxed) != handle.index || !info.size ||
	    info.size + ZS_OBJECT_HEADER_BYTES > heap->geometry->classes[location.class].size)
		goto damaged;
	*ret_object = (struct zs_object){
		.handle = handle,
		.info = info,
		.payload = header + 1,
		.checksum = header->checksum,
	};
	return 0;

damaged:
	zs_obj_read_end(pool, &(struct zs_object){.handle = handle});
	return -EBADMSG;
}

void zs_obj_read_end(struct zs_pool *pool, const struct zs_object *object)
{
	_Atomic uint64_t *word = heap_handle_word(pool->heap, object->handle.index);
	uint64_t value = atomic_load_explicit(word, memory_order_relaxed);

	/*
	 * Where a doomed object is must be known before the pin is gone: afterwards the word may be somebody else's. It
	 * is where it was before it was doomed, since it was pinned.
	 */
	if (zs_handle_unpin(word))
		doomed_free(pool, object->handle.index, value);
}

int zs_obj_verify(const struct zs_object *object)
{
	uint32_t meta = zs_object_meta(&object->info);

	return zs_object_checksum(meta, object->payload) == object->checksum ? 0 : -EBADMSG;
}

size_t zs_pool_cost(size_t size)
{
	const struct zs_geometry *geometry = zs_geometry();

	return geometry->classes[zs_geometry_class(geometry, size + ZS_OBJECT_HEADER_BYTES)].cost;
}

bool zs_pool_is_huge(size_t size, size_t block_size)
{
	size_t raw = zs_pool_cost(block_size);

	return zs_pool_cost(size) > raw - raw / HUGE_GAIN;
}
