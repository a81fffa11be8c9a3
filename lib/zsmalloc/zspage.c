/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Zspages and the objects in them. */

#include "zsmalloc/zspage.h"

#include "base/check.h"
#include "zsmalloc/pool_internal.h"

int zspage_create(struct zs_pool *pool, unsigned int class, enum zs_urgency urgency, struct zspage **ret_zspage)
{
	struct zs_heap *heap = pool->heap;
	const struct zs_class_shape *shape = &heap->geometry->classes[class];
	struct zspage *zspage;
	uint32_t index, page;
	int error;

	error = zs_slab_alloc(&heap->zspages, urgency, &index);
	if (error)
		return error;
	error = zs_pages_alloc(&heap->pages, shape->pages, urgency, &page);
	if (error) {
		zs_slab_free(&heap->zspages, index);
		return error;
	}
	zspage = heap_zspage(heap, index);
	zspage->page = page;
	zspage->free = ZSPAGE_END;
	zspage->fresh = 0;
	zspage->group = ZS_FULLNESS_EMPTY;
	zspage_set_inuse(zspage, 0);
	__atomic_store_n(&zspage->pool, pool->number, __ATOMIC_RELAXED);
	__atomic_store_n(&zspage->class, (uint8_t) class, __ATOMIC_RELAXED);
	zs_list_init(&zspage->link);
	zs_pages_set_zspage(&heap->pages, page, shape->pages, index);
	if (heap->account)
		zs_account_place(heap->account, page, shape->pages);
	*ret_zspage = zspage;
	return 0;
}

void zspage_destroy(struct zs_heap *heap, struct zspage *zspage)
{
	zs_assert(!zspage->inuse && zs_list_empty(&zspage->link));
	zs_pages_free(&heap->pages, zspage->page, heap->geometry->classes[zspage->class].pages);
	zs_slab_free(&heap->zspages, heap_zspage_index(heap, zspage));
}

unsigned int zspages_destroy(struct zs_heap *heap, struct zs_list *zspages)
{
	unsigned int count = 0;

	for (; !zs_list_empty(zspages); count++) {
		struct zspage *zspage = zs_list_entry(zspages->next, struct zspage, link);

		zs_list_unlink(&zspage->link);
		zspage_destroy(heap, zspage);
	}
	return count;
}

struct zs_object_header *zspage_object(const struct zs_heap *heap, const struct zspage *zspage, unsigned int index)
{
	return heap_object(
		heap, (struct zs_location){.page = zspage->page, .class = zspage->class, .index = (uint16_t)index});
}

unsigned int zspage_object_alloc(const struct zs_heap *heap, struct zspage *zspage)
{
	const struct zs_class_shape *shape = &heap->geometry->classes[zspage->class];
	unsigned int index;

	if (zspage->free != ZSPAGE_END) {
		index = zspage->free;
		/* The last one links to none, and most are: no need to wait for its memory. */
		zspage->free = zspage->fresh - zspage->inuse == 1 ? ZSPAGE_END
								  : (uint16_t)zspage_object(heap, zspage, index)->meta;
	} else {
		index = zspage->fresh++;
	}
	zs_assert(index < shape->objects && zspage->inuse < shape->objects);
	zspage_set_inuse(zspage, zspage->inuse + 1u);
	return index;
}

void zspage_object_free(const struct zs_heap *heap, struct zspage *zspage, unsigned int index)
{
	struct zs_object_header *header = zspage_object(heap, zspage, index);

	zs_assert_msg(zspage->inuse && index < zspage->fresh, "pool %u: handle %u: no object %u in its zspage",
		      zspage->pool, atomic_load_explicit(&header->handle, memory_order_relaxed), index);
	atomic_store_explicit(&header->handle, 0, memory_order_relaxed);
	header->meta = zspage->free;
	zspage->free = (uint16_t)index;
	zspage_set_inuse(zspage, zspage->inuse - 1u);
}

enum zs_fullness zspage_fullness(const struct zs_heap *heap, const struct zspage *zspage)
{
	unsigned int objects = heap->geometry->classes[zspage->class].objects;

	if (!zspage->inuse)
		return ZS_FULLNESS_EMPTY;
	if (zspage->inuse == objects)
		return ZS_FULLNESS_FULL;
	return (enum zs_fullness)(zspage->inuse * 10u / objects + 1);
}
