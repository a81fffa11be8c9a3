/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Page migration between the nodes of a machine's memory.
 *
 * The kernel moves the page's content behind an unchanged address, so nobody who uses an object on it notices; what is
 * left to do is the accounts. Under the class's lock no object of the zspage is written, freed or moved by compaction,
 * so what is charged for the page can be taken off, and charged again when the page's node has changed.
 */

#include <errno.h>

#include "base/check.h"
#include "zsmalloc/pool_internal.h"

/* True if the room at location is that of the handle's object. Under the class's lock. */
static bool is_charged(const struct zs_heap *heap, uint32_t handle, struct zs_location location)
{
	struct zs_location own;
	uint64_t word;

	if (!heap_handle_is_valid(heap, handle))
		return false;
	word = atomic_load(heap_handle_word(heap, handle));
	own = zs_handle_location(word);
	return zs_handle_state(word) != ZS_HANDLE_FREE && !zs_handle_is_backed(word) && own.page == location.page &&
	       own.class == location.class && own.index == location.index;
}

/* Charges (sign true) or uncharges the objects that lie on a page of a zspage, wholly or in part. */
static void recharge(struct zs_heap *heap, const struct zspage *zspage, unsigned int page, bool charge)
{
	const struct zs_class_shape *shape = &heap->geometry->classes[zspage->class];
	unsigned int first = (unsigned int)(page * ZS_PAGE_SIZE / shape->size);
	unsigned int end = (unsigned int)zs_div_round_up((page + 1) * ZS_PAGE_SIZE, shape->size);

	for (unsigned int index = first; index < end && index < zspage->fresh; index++) {
		const struct zs_object_header *header = zspage_object(heap, zspage, index);
		uint32_t handle = atomic_load_explicit(&header->handle, memory_order_relaxed);
		struct zs_location location = {.page = zspage->page, .class = zspage->class, .index = (uint16_t)index};
		uint32_t size;

		/* Free, or being written or read back: not charged yet. Nor is a damaged size to be believed. */
		if (!handle || !is_charged(heap, handle, location) || !heap_size_is_sound(heap, location))
			continue;
		size = zs_object_info(header->meta).size;
		if (charge)
			zs_account_recharge(heap->account, handle, location, size);
		else
			zs_account_uncharge(heap->account, handle, location, size);
	}
}

/*
 * True if the page is one of this zspage, of this pool and class. Under that class's lock: the zspage may have gone
 * before that was held, and another one have come in its place, with a class, or pool, whose lock is another one.
 */
static bool is_of_class(const struct zs_pool *pool, uint32_t page, uint32_t index, unsigned int class)
{
	const struct zspage *zspage = heap_zspage(pool->heap, index);

	/* Objects first: one with objects that is of this class then can't be any other's before the lock is free. */
	return __atomic_load_n(&zspage->inuse, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&zspage->class, __ATOMIC_ACQUIRE) == class &&
	       __atomic_load_n(&zspage->pool, __ATOMIC_ACQUIRE) == pool->number &&
	       zs_pages_zspage(&pool->heap->pages, page) == index;
}

int zs_pool_migrate_page(struct zs_pool *pool, uint32_t page, unsigned int node)
{
	struct zs_heap *heap = pool->heap;
	struct zspage *zspage;
	unsigned int class, old;
	uint32_t index;
	int error;

	zs_assert(heap->account);
	if (page >= heap->pages.nr_pages || node >= zs_account_nr_nodes(heap->account))
		return -EINVAL;
	index = zs_pages_zspage(&heap->pages, page);
	if (!index)
		return -EINVAL;
	zspage = heap_zspage(heap, index);
	/* Which lock it is can't be looked up under that lock; zspage_create() may be making another zspage of it. */
	class = __atomic_load_n(&zspage->class, __ATOMIC_RELAXED);
	if (class >= heap->geometry->nr_classes)
		return -EINVAL;
	ZS_LOCK_SCOPE(pool_lock(pool, class));
	if (!is_of_class(pool, page, index, class))
		return -EINVAL;
	old = zs_account_node(heap->account, page);
	error = zs_account_move_page(heap->account, heap->arena, page, node);
	/* With one node, objects are uncharged without the lock that is held here: nothing changes for them. */
	if (error || old == node)
		return error;
	recharge(heap, zspage, page - zspage->page, false);
	zs_account_set_node(heap->account, page, node);
	recharge(heap, zspage, page - zspage->page, true);
	return 0;
}
