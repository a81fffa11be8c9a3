/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An object's way into the backing file, and back.
 *
 *   evict                            restore                          if the process is killed afterwards
 *   1. pin                           pin                              the pin means nothing after a restart
 *   2. (caller) write the record     (caller) read the record         the record is dead, or still the object
 *   3. -                             room, header, payload            garbage
 *   4. replace the handle word       replace the handle word          the commit: the other one is garbage
 *   5. free the room                 (caller) free the record         -
 *   6. unpin                         unpin                            -
 *
 * The word is replaced only if it still is as at the pin, this one being the only pin. So nobody reads what is freed in
 * step 5, and whoever overwrites or discards the block meanwhile wins. Steps 4 and 5 of evict, and step 4 of restore
 * with its account, are under the class's lock: compaction and page migration see room that belongs to an object, or
 * whose handle word says that it does not.
 */

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/copy.h"
#include "zsmalloc/pool_internal.h"

/* Why a word that is pinned was not the one that was expected. */
static int replace_error(uint64_t word)
{
	return zs_handle_state(word) == ZS_HANDLE_DOOMED ? -ESTALE : -EBUSY;
}

/* Steps 4 and 5; false if it is not the caller's alone. */
static bool evict_from(struct zs_pool *pool, const struct zs_object *object, struct zs_location location,
		       struct zs_place place, struct zs_list *empty)
{
	_Atomic uint64_t *word = heap_handle_word(pool->heap, object->handle.index);
	ZS_LOCK_SCOPE(pool_lock(pool, location.class));

	if (!zs_handle_replace(word, zs_handle_word(ZS_HANDLE_LIVE, location, 1), zs_handle_backed_word(place, 1)))
		return false;
	if (pool->heap->account)
		zs_account_uncharge(pool->heap->account, object->handle.index, location, object->info.size);
	pool_free_room(pool, location, empty);
	return true;
}

int zs_obj_evict(struct zs_pool *pool, const struct zs_object *object, struct zs_place place)
{
	_Atomic uint64_t *word = heap_handle_word(pool->heap, object->handle.index);
	uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
	struct zs_list empty;

	zs_assert(object->payload && zs_handle_pins(value) && !zs_handle_is_backed(value));
	zs_list_init(&empty);
	if (!evict_from(pool, object, zs_handle_location(value), place, &empty))
		return replace_error(atomic_load_explicit(word, memory_order_relaxed));
	zspages_destroy(pool->heap, &empty);
	return 0;
}

static void write_room(struct zs_pool *pool, const struct zs_object *object, struct zs_location location, bool fresh)
{
	struct zs_object_header *header = heap_object(pool->heap, location);

	if (fresh)
		memcpy(header + 1, object->payload, object->info.size);
	else
		zs_copy_uncached(header + 1, object->payload, object->info.size);
	header->meta = zs_object_meta(&object->info);
	header->checksum = object->checksum;
	heap_mark_lent(pool->heap, location);
	zs_copy_fence();
}

/* Step 4, or gives the room back. */
static int restore_to(struct zs_pool *pool, const struct zs_object *object, struct zs_location location,
		      struct zs_list *empty)
{
	struct zs_heap *heap = pool->heap;
	_Atomic uint64_t *word = heap_handle_word(heap, object->handle.index);
	ZS_LOCK_SCOPE(pool_lock(pool, location.class));

	if (!zs_handle_replace(word, zs_handle_backed_word(object->place, 1),
			       zs_handle_word(ZS_HANDLE_LIVE, location, 1))) {
		pool_free_room(pool, location, empty);
		return replace_error(atomic_load_explicit(word, memory_order_relaxed));
	}
	if (heap->account)
		zs_account_charge(heap->account, object->handle.index, object->info.owner, location, object->info.size);
	return 0;
}

int zs_obj_restore(struct zs_pool *pool, const struct zs_object *object, enum zs_urgency urgency)
{
	struct zs_heap *heap = pool->heap;
	struct zs_location location;
	struct zs_list empty;
	unsigned int class;
	bool fresh;
	int error;

	zs_assert(object->payload && object->place.units && object->info.size);
	zs_assert(object->info.size <= ZS_OBJECT_MAX_BYTES);
	class = zs_geometry_class(heap->geometry, object->info.size + ZS_OBJECT_HEADER_BYTES);
	error = pool_take_room(pool, class, urgency, object->handle, &fresh, &location);
	if (error)
		return error;
	zs_list_init(&empty);
	write_room(pool, object, location, fresh);
	error = restore_to(pool, object, location, &empty);
	zspages_destroy(heap, &empty);
	return error;
}

bool zs_obj_relocate(struct zs_heap *heap, struct zs_handle handle, struct zs_place from, struct zs_place to)
{
	if (!heap_handle_is_valid(heap, handle.index))
		return false;
	return zs_handle_replace(heap_handle_word(heap, handle.index), zs_handle_backed_word(from, 0),
				 zs_handle_backed_word(to, 0));
}

bool zs_obj_place(struct zs_heap *heap, struct zs_handle handle, struct zs_place *ret_place)
{
	uint64_t word;

	if (!heap_handle_is_valid(heap, handle.index))
		return false;
	word = atomic_load_explicit(heap_handle_word(heap, handle.index), memory_order_relaxed);
	if (zs_handle_state(word) != ZS_HANDLE_BACKED)
		return false;
	*ret_place = zs_handle_place(word);
	return true;
}

bool zs_obj_is_at(struct zs_heap *heap, struct zs_handle handle, struct zs_place place)
{
	struct zs_place now;

	return zs_obj_place(heap, handle, &now) && now.unit == place.unit && now.units == place.units;
}
