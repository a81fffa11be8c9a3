/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rebuilding what is derived, after a restart.
 *
 * The slots say which handles are in use; each handle word says where its object is; the object's header says the
 * handle back. An object counts only if the three agree, so that whatever a killed process left half-done (an object
 * written and not published, one replaced and not freed, a handle word of either) is simply not adopted:
 *
 *   1. zs_pool_adopt(), for each slot: the handle is marked, its zspage gets a descriptor, if
 *      it isn't in the backing file
 *   2. zs_pool_rebuild_end(): in each zspage, objects that no adopted handle names go on the free list
 *   3. zs_heap_rebuild_end(): handles not adopted go on the free lists; pages without a zspage are punched
 */

#include <errno.h>

#include "base/check.h"
#include "zsmalloc/pool_internal.h"

static bool is_adopted(const struct zs_heap *heap, uint32_t handle)
{
	return handle && handle / 8 < heap->adopted_bytes && heap->adopted[handle / 64] >> (handle % 64) & 1;
}

/* The zspage at location, with a new descriptor if this is its first object; NULL if there can't be one. */
static int zspage_adopt(struct zs_pool *pool, struct zs_location location, struct zspage **ret_zspage)
{
	struct zs_heap *heap = pool->heap;
	const struct zs_class_shape *shape = &heap->geometry->classes[location.class];
	struct zs_size_class *class = &pool->classes[location.class];
	uint32_t index = zs_pages_zspage(&heap->pages, location.page);
	struct zspage *zspage;
	int error;

	if (index) {
		zspage = heap_zspage(heap, index);
		if (zspage->page != location.page || zspage->class != location.class)
			return -EBADMSG;
		*ret_zspage = zspage;
		return 0;
	}
	error = zs_slab_alloc(&heap->zspages, ZS_URGENCY_MUST, &index);
	if (error)
		return error;
	if (!zs_pages_adopt(&heap->pages, location.page, shape->pages, index)) {
		zs_slab_free(&heap->zspages, index);
		return -EBADMSG;
	}
	if (heap->account)
		zs_account_place(heap->account, location.page, shape->pages);
	zspage = heap_zspage(heap, index);
	*zspage = (struct zspage){
		.page = location.page, .pool = pool->number, .free = ZSPAGE_END, .class = location.class};
	zs_list_init(&zspage->link);
	zs_list_push(&class->groups[ZS_FULLNESS_EMPTY], &zspage->link);
	size_class_count(&class->nr_zspages, 1);
	*ret_zspage = zspage;
	return 0;
}

static void adopt_handle(struct zs_heap *heap, uint32_t handle)
{
	heap->adopted[handle / 64] |= UINT64_C(1) << (handle % 64);
}

/* Whether something can be at that place is known to the backing file, when it is opened. */
static int backed_adopt(struct zs_heap *heap, uint32_t handle, struct zs_place place, struct zs_object_info *ret_info)
{
	if (!place.units)
		return -EBADMSG;
	adopt_handle(heap, handle);
	/* Pins are those of threads that are gone. */
	atomic_store_explicit(heap_handle_word(heap, handle), zs_handle_backed_word(place, 0), memory_order_relaxed);
	*ret_info = (struct zs_object_info){.units = place.units};
	return 0;
}

int zs_pool_adopt(struct zs_pool *pool, struct zs_handle handle, unsigned int owner, struct zs_object_info *ret_info)
{
	struct zs_heap *heap = pool->heap;
	const struct zs_object_header *header;
	struct zs_object_info info;
	struct zs_location location;
	struct zspage *zspage;
	uint64_t word;
	int error;

	zs_assert(heap->adopted);
	if (!heap_handle_is_valid(heap, handle.index))
		return -EBADMSG;
	if (is_adopted(heap, handle.index))
		return -EEXIST;
	word = atomic_load_explicit(heap_handle_word(heap, handle.index), memory_order_relaxed);
	if (zs_handle_state(word) == ZS_HANDLE_BACKED)
		return backed_adopt(heap, handle.index, zs_handle_place(word), ret_info);
	location = zs_handle_location(word);
	if (zs_handle_state(word) != ZS_HANDLE_LIVE || !heap_location_is_valid(heap, location))
		return -EBADMSG;
	header = heap_object(heap, location);
	info = zs_object_info(header->meta);
	if (header->handle != handle.index || !heap_size_is_sound(heap, location))
		return -EBADMSG;
	error = zspage_adopt(pool, location, &zspage);
	if (error)
		return error;
	if (heap->account)
		zs_account_charge(heap->account, handle.index, owner, location, info.size);
	zspage->inuse++;
	size_class_count(&pool->classes[location.class].nr_objects, 1);
	adopt_handle(heap, handle.index);
	/* Pins and lock are those of threads that are gone. */
	zs_handle_publish(heap_handle_word(heap, handle.index), location);
	*ret_info = info;
	return 0;
}

/* True if an adopted handle names this object. */
static bool object_is_adopted(const struct zs_heap *heap, const struct zspage *zspage, unsigned int index)
{
	uint32_t handle = zspage_object(heap, zspage, index)->handle;
	struct zs_location location;
	uint64_t word;

	if (!is_adopted(heap, handle))
		return false;
	/* It may name a backed object, if the process was killed on one's way to the backing file or back. */
	word = atomic_load_explicit(heap_handle_word(heap, handle), memory_order_relaxed);
	location = zs_handle_location(word);
	return zs_handle_state(word) == ZS_HANDLE_LIVE && location.page == zspage->page &&
	       location.class == zspage->class && location.index == index;
}

/* Chains the objects of a zspage that are not in use, lowest first. */
static void zspage_chain_free(const struct zs_heap *heap, struct zspage *zspage)
{
	unsigned int objects = heap->geometry->classes[zspage->class].objects, inuse = 0;

	for (unsigned int index = objects; index-- > 0;) {
		struct zs_object_header *header = zspage_object(heap, zspage, index);

		if (object_is_adopted(heap, zspage, index)) {
			inuse++;
			continue;
		}
		header->handle = 0;
		header->meta = zspage->free;
		zspage->free = (uint16_t)index;
	}
	zspage->fresh = (uint16_t)objects;
	zs_assert(inuse == zspage->inuse);
}

static void size_class_rebuild(struct zs_heap *heap, struct zs_size_class *class)
{
	struct zs_list found;

	ZS_LOCK_SCOPE(&class->lock);
	zs_list_init(&found);
	while (!zs_list_empty(&class->groups[ZS_FULLNESS_EMPTY])) {
		struct zs_list *link = class->groups[ZS_FULLNESS_EMPTY].next;

		zs_list_unlink(link);
		zs_list_push(&found, link);
	}
	while (!zs_list_empty(&found)) {
		struct zspage *zspage = zs_list_entry(found.next, struct zspage, link);

		zs_list_unlink(&zspage->link);
		/* Full zspages need no look at their objects, nor do their pages have to be touched. */
		if (zspage->inuse == heap->geometry->classes[zspage->class].objects)
			zspage->fresh = zspage->inuse;
		else
			zspage_chain_free(heap, zspage);
		size_class_refile(heap, class, zspage);
	}
}

void zs_pool_rebuild_end(struct zs_pool *pool)
{
	for (unsigned int i = 0; i < pool->heap->geometry->nr_classes; i++)
		size_class_rebuild(pool->heap, &pool->classes[i]);
}

void zs_heap_rebuild_end(struct zs_heap *heap)
{
	uint64_t words_per_page = ZS_HANDLES_PER_PAGE / 64;
	uint64_t offset = 0, length;

	while (zs_arena_next_data(heap->arena, ZS_REGION_HANDLES, &offset, &length)) {
		uint64_t first = offset / ZS_PAGE_SIZE, end = (offset + length) / ZS_PAGE_SIZE;

		for (uint64_t page = first; page < end && page < heap->handles.nr_pages_max; page++) {
			zs_assert(!zs_pages_charge(&heap->pages, ZS_CHARGE_HANDLE, 1, ZS_URGENCY_MUST));
			zs_slab_adopt(&heap->handles, (uint32_t)page, heap->adopted + page * words_per_page);
		}
		offset += length;
	}
	zs_pages_rebuild_end(&heap->pages);
	zs_reserve_free(heap->adopted, heap->adopted_bytes);
	heap->adopted = NULL;
}
