/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slab caches.
 *
 *   page         on list    memory   nr_used
 *   never used   none       no       0              index >= nr_fresh
 *   partial      partial    yes      1 .. all - 1
 *   full         none       yes      all
 *   empty        empty      yes      0
 *   dropped      dropped    no       0
 *
 * Objects are taken from the partial page that was touched last, then from an empty page, a dropped one, a new one.
 */

#include "zsmalloc/slab.h"

#include <errno.h>

#include "base/check.h"
#include "zsmalloc/arena.h"

#define SLAB_END UINT16_MAX
/* Empty pages that keep their memory, so that one object going back and forth doesn't cost a system call. */
#define SLAB_EMPTY_MAX 1
/* The link of a free object lies where a handle word has its location. */
#define LINK_SHIFT ZS_HANDLE_LOCATION_SHIFT

static _Atomic unsigned int nr_slabs;

static _Atomic uint64_t *object_word(const struct zs_slab *slab, const struct zs_slab_page *page, unsigned int object)
{
	uint64_t offset = (uint64_t)(page - slab->pages) * ZS_PAGE_SIZE + (uint64_t)object * slab->object_bytes;

	return (_Atomic uint64_t *)(void *)(slab->base + offset);
}

int zs_slab_init(struct zs_slab *slab, void *base, uint32_t object_bytes, uint32_t nr_pages_max,
		 const struct zs_slab_ops *ops, void *context)
{
	/* A power of two, so that pages have no rest at their end, and an object is found without a division. */
	zs_assert(object_bytes >= 8 && zs_is_power_of_two(object_bytes) && nr_pages_max);
	*slab = (struct zs_slab){
		.base = base,
		.object_bytes = object_bytes,
		.objects_per_page = (uint32_t)ZS_PAGE_SIZE / object_bytes,
		.nr_pages_max = nr_pages_max,
		.ops = ops,
		.context = context,
	};
	slab->pages = zs_reserve(nr_pages_max * sizeof(slab->pages[0]));
	if (!slab->pages)
		return -ENOMEM;
	zs_list_init(&slab->partial);
	zs_list_init(&slab->empty);
	zs_list_init(&slab->dropped);
	zs_list_init(&slab->magazines);
	slab->number = atomic_fetch_add(&nr_slabs, 1);
	zs_lock_init(&slab->lock, ZS_LOCK_SLAB);
	return 0;
}

void zs_slab_deinit(struct zs_slab *slab)
{
	if (!slab->pages)
		return;
	zs_slab_forget_magazines(slab);
	zs_lock_deinit(&slab->lock);
	zs_reserve_free(slab->pages, slab->nr_pages_max * sizeof(slab->pages[0]));
	slab->pages = NULL;
}

/* Objects of a page that can be in use: the first one of the first page can't, it would have index 0. */
static unsigned int page_capacity(const struct zs_slab *slab, const struct zs_slab_page *page)
{
	return slab->objects_per_page - (page == slab->pages);
}

/* Starts a page that has got its memory: all its objects are fresh. */
static void page_start(struct zs_slab *slab, struct zs_slab_page *page)
{
	page->nr_used = 0;
	page->fresh = page == slab->pages;
	page->free = SLAB_END;
	page->has_memory = true;
	slab->nr_memory++;
}

/* Gives the memory of a page back. */
static void page_drop(struct zs_slab *slab, struct zs_slab_page *page)
{
	slab->ops->shrink(slab->context, (uint64_t)(page - slab->pages));
	page->has_memory = false;
	slab->nr_memory--;
	zs_list_push(&slab->dropped, &page->link);
}

/* A page with a free object, on the partial list. */
static int find_page(struct zs_slab *slab, enum zs_urgency urgency, struct zs_slab_page **ret_page)
{
	struct zs_slab_page *page;
	bool fresh = false;
	int error;

	if (!zs_list_empty(&slab->partial)) {
		*ret_page = zs_list_entry(slab->partial.next, struct zs_slab_page, link);
		return 0;
	}
	if (!zs_list_empty(&slab->empty)) {
		page = zs_list_entry(slab->empty.next, struct zs_slab_page, link);
		slab->nr_empty--;
	} else {
		fresh = zs_list_empty(&slab->dropped);
		if (fresh && slab->nr_fresh == slab->nr_pages_max)
			return -ENOSPC;
		page = fresh ? &slab->pages[slab->nr_fresh]
			     : zs_list_entry(slab->dropped.next, struct zs_slab_page, link);
		error = slab->ops->grow(slab->context, (uint64_t)(page - slab->pages), urgency);
		if (error)
			return error;
		page_start(slab, page);
		slab->nr_fresh += fresh;
	}
	if (!fresh)
		zs_list_unlink(&page->link);
	zs_list_push(&slab->partial, &page->link);
	*ret_page = page;
	return 0;
}

/* Takes one object. Under slab->lock. */
static int take_one(struct zs_slab *slab, enum zs_urgency urgency, uint32_t *ret_index)
{
	struct zs_slab_page *page;
	unsigned int object;
	int error;

	error = find_page(slab, urgency, &page);
	if (error)
		return error;
	if (page->free != SLAB_END) {
		object = page->free;
		page->free = (uint16_t)(atomic_load_explicit(object_word(slab, page, object), memory_order_relaxed) >>
					LINK_SHIFT);
	} else {
		object = page->fresh++;
	}
	if (++page->nr_used == page_capacity(slab, page))
		zs_list_unlink(&page->link);
	slab->nr_active++;
	*ret_index = (uint32_t)(page - slab->pages) * slab->objects_per_page + object;
	return 0;
}

int zs_slab_take(struct zs_slab *slab, enum zs_urgency urgency, uint32_t *indexes, unsigned int nr,
		 unsigned int *ret_nr)
{
	unsigned int taken = 0;
	int error = 0;
	ZS_LOCK_SCOPE(&slab->lock);

	/* More than the first one only from pages that are there: a magazine is no reason to grow. */
	while (!error && taken < nr && (!taken || !zs_list_empty(&slab->partial))) {
		error = take_one(slab, urgency, &indexes[taken]);
		taken += !error;
	}
	if (!taken)
		return error;
	*ret_nr = taken;
	return 0;
}

/* Files a page whose last object has gone. */
static void page_emptied(struct zs_slab *slab, struct zs_slab_page *page)
{
	zs_list_unlink(&page->link);
	if (slab->nr_empty == SLAB_EMPTY_MAX) {
		page_drop(slab, page);
		return;
	}
	slab->nr_empty++;
	zs_list_push(&slab->empty, &page->link);
}

/* Under slab->lock. */
static void put_one(struct zs_slab *slab, uint32_t index)
{
	struct zs_slab_page *page = &slab->pages[index / slab->objects_per_page];
	unsigned int object = index % slab->objects_per_page;

	zs_assert(index && index / slab->objects_per_page < slab->nr_pages_max);
	zs_assert(page->nr_used && object < page->fresh);
	atomic_store_explicit(object_word(slab, page, object), (uint64_t)page->free << LINK_SHIFT,
			      memory_order_relaxed);
	page->free = (uint16_t)object;
	if (page->nr_used-- == page_capacity(slab, page))
		zs_list_push(&slab->partial, &page->link);
	slab->nr_active--;
	if (!page->nr_used)
		page_emptied(slab, page);
}

void zs_slab_put(struct zs_slab *slab, const uint32_t *indexes, unsigned int nr)
{
	ZS_LOCK_SCOPE(&slab->lock);

	for (unsigned int i = 0; i < nr; i++)
		put_one(slab, indexes[i]);
}

void zs_slab_stats(struct zs_slab *slab, struct zs_cache_stats *ret_stats)
{
	struct zs_lock_waits waits = {0};
	uint64_t at_hand;
	ZS_LOCK_SCOPE(&slab->lock);

	at_hand = zs_slab_count_magazines(slab);
	zs_lock_add_waits(&slab->lock, &waits);
	*ret_stats = (struct zs_cache_stats){
		.object_bytes = slab->object_bytes,
		.objects = slab->nr_active - at_hand,
		.objects_total = slab->nr_memory * slab->objects_per_page,
		.pages = slab->nr_memory,
		.magazine_objects = at_hand,
		.lock_waits = waits.nr,
		.lock_wait_ns = waits.ns,
	};
}

/* Chains the objects of an adopted page that are not in use, lowest first. */
static void chain_free(struct zs_slab *slab, struct zs_slab_page *page, const uint64_t *used)
{
	for (unsigned int object = slab->objects_per_page; object-- > (page == slab->pages);) {
		if (used[object / 64] >> (object % 64) & 1) {
			page->nr_used++;
			continue;
		}
		atomic_store_explicit(object_word(slab, page, object), (uint64_t)page->free << LINK_SHIFT,
				      memory_order_relaxed);
		page->free = (uint16_t)object;
	}
}

void zs_slab_adopt(struct zs_slab *slab, uint32_t index, const uint64_t *used)
{
	struct zs_slab_page *page = &slab->pages[index];

	ZS_LOCK_SCOPE(&slab->lock);
	zs_assert(index >= slab->nr_fresh && index < slab->nr_pages_max);
	for (; slab->nr_fresh < index; slab->nr_fresh++)
		zs_list_push(&slab->dropped, &slab->pages[slab->nr_fresh].link);
	slab->nr_fresh = index + 1;
	page_start(slab, page);
	page->fresh = (uint16_t)slab->objects_per_page;
	chain_free(slab, page, used);
	slab->nr_active += page->nr_used;
	zs_list_init(&page->link);
	if (!page->nr_used)
		page_drop(slab, page);
	else if (page->nr_used < page_capacity(slab, page))
		zs_list_push(&slab->partial, &page->link);
}

/* Asserts what holds for one page and answers the free objects that were handed out before. */
static void check_page(struct zs_slab *slab, struct zs_slab_page *page)
{
	unsigned int count = 0;

	for (unsigned int object = page->free; object != SLAB_END; count++) {
		zs_assert(object < page->fresh && count <= slab->objects_per_page);
		object = (uint16_t)(atomic_load(object_word(slab, page, object)) >> LINK_SHIFT);
	}
	zs_assert(page->nr_used + count + (page == slab->pages) == page->fresh);
}

void zs_slab_check(struct zs_slab *slab)
{
	uint64_t active = 0, memory = 0;

	ZS_LOCK_SCOPE(&slab->lock);
	for (uint32_t i = 0; i < slab->nr_fresh; i++) {
		struct zs_slab_page *page = &slab->pages[i];

		if (!page->has_memory)
			continue;
		check_page(slab, page);
		active += page->nr_used;
		memory++;
	}
	zs_assert(active == slab->nr_active);
	zs_assert(memory == slab->nr_memory);
}
