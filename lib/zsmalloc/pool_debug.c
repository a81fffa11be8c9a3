/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checker and the printer of a pool. */

#include "base/check.h"
#include "zsmalloc/pool_internal.h"
#include "zsmalloc/report.h"

/* Counts the free objects of a zspage by its list, and asserts that each is marked free. */
static unsigned int count_free(const struct zs_heap *heap, const struct zspage *zspage)
{
	unsigned int count = 0;

	for (unsigned int index = zspage->free; index != ZSPAGE_END; count++) {
		const struct zs_object_header *header;

		zs_assert(index < zspage->fresh && count < zspage->fresh);
		header = zspage_object(heap, zspage, index);
		zs_assert(!header->handle);
		index = (uint16_t)header->meta;
	}
	return count;
}

/*
 * Asserts that each object in use and its handle name each other. Headers that were found damaged can't be judged; they
 * stay where they are and are counted, and while there is one the other objects are not judged either.
 */
static void check_objects(const struct zs_pool *pool, const struct zspage *zspage)
{
	const struct zs_heap *heap = pool->heap;
	unsigned int inuse = pool_count_kept(pool, zspage->class, zspage);

	if (atomic_load_explicit(&heap->nr_leaked, memory_order_relaxed))
		return;
	for (unsigned int index = 0; index < zspage->fresh; index++) {
		uint32_t handle = zspage_object(heap, zspage, index)->handle;
		struct zs_location location;
		uint64_t word;

		if (!handle)
			continue;
		word = atomic_load(heap_handle_word(heap, handle));
		location = zs_handle_location(word);
		zs_assert(!zs_handle_is_backed(word) && location.page == zspage->page &&
			  location.class == zspage->class && location.index == index);
		/* What has just been handed out has no size yet. */
		zs_assert(zs_handle_state(word) == ZS_HANDLE_FREE || heap_size_is_sound(heap, location));
		inuse++;
	}
	zs_assert(inuse == zspage->inuse);
}

static void check_zspage(struct zs_pool *pool, struct zspage *zspage, unsigned int class, unsigned int group)
{
	struct zs_heap *heap = pool->heap;
	const struct zs_class_shape *shape = &heap->geometry->classes[class];

	zs_assert(zspage->class == class && zspage->group == group && zspage_fullness(heap, zspage) == group);
	for (unsigned int i = 0; i < shape->pages; i++)
		zs_assert(zs_pages_zspage(&heap->pages, zspage->page + i) == heap_zspage_index(heap, zspage));
	zs_assert(zspage->fresh <= shape->objects);
	zs_assert(zspage->inuse + count_free(heap, zspage) == zspage->fresh);
	check_objects(pool, zspage);
}

/* The zspage of the pool whose first page is the first one from *page on, which is set behind it; NULL: no more. */
static struct zspage *next_zspage(struct zs_pool *pool, uint32_t *page)
{
	struct zs_heap *heap = pool->heap;

	while (*page < heap->pages.fresh) {
		uint32_t index = zs_pages_zspage(&heap->pages, *page);
		struct zspage *zspage = heap_zspage(heap, index);

		*page += index ? heap->geometry->classes[zspage->class].pages : 1;
		if (index && zspage->pool == pool->number)
			return zspage;
	}
	return NULL;
}

/* Full zspages are on no list. */
static void check_full_zspages(struct zs_pool *pool)
{
	uint32_t page = 0, nr[ZS_CLASSES_MAX] = {0};
	struct zspage *zspage;

	while ((zspage = next_zspage(pool, &page))) {
		if (zspage->group != ZS_FULLNESS_FULL)
			continue;
		zs_assert(zs_list_empty(&zspage->link));
		check_zspage(pool, zspage, zspage->class, ZS_FULLNESS_FULL);
		nr[zspage->class]++;
	}
	for (unsigned int i = 0; i < pool->heap->geometry->nr_classes; i++)
		zs_assert(nr[i] == pool->classes[i].group_zspages[ZS_FULLNESS_FULL]);
}

static void check_class(struct zs_pool *pool, unsigned int index)
{
	struct zs_size_class *class = &pool->classes[index];
	uint64_t zspages = class->group_zspages[ZS_FULLNESS_FULL];
	uint64_t objects = zspages * pool->heap->geometry->classes[index].objects;
	ZS_LOCK_SCOPE(pool_lock(pool, index));

	for (unsigned int group = 0; group < ZS_FULLNESS_FULL; group++) {
		uint64_t before = zspages;

		zs_assert(!(class->occupied >> group & 1) == zs_list_empty(&class->groups[group]));
		zs_list_for_each (link, &class->groups[group]) {
			struct zspage *zspage = zs_list_entry(link, struct zspage, link);

			check_zspage(pool, zspage, index, group);
			objects += zspage->inuse;
			zspages++;
		}
		zs_assert(zspages - before == class->group_zspages[group]);
	}
	pool_check_kept(pool, index);
	zs_assert(objects == class->nr_objects && zspages == class->nr_zspages);
}

void zs_pool_check(struct zs_pool *pool)
{
	for (unsigned int i = 0; i < pool->heap->geometry->nr_classes; i++)
		check_class(pool, i);
	check_full_zspages(pool);
	zs_slab_check(&pool->heap->handles);
	zs_slab_check(&pool->heap->zspages);
	zs_pages_check(&pool->heap->pages);
}

static void sum_zspage(const struct zs_heap *heap, const struct zspage *zspage, struct zs_account_sum *sum)
{
	for (unsigned int index = 0; index < zspage->fresh; index++) {
		const struct zs_object_header *header = zspage_object(heap, zspage, index);

		if (!header->handle)
			continue;
		sum->payload_bytes += zs_object_info(header->meta).size;
		sum->share_bytes += zs_pool_cost(zs_object_info(header->meta).size);
	}
}

void zs_pool_sum(struct zs_pool *pool, struct zs_account_sum *ret_sum)
{
	struct zs_account_sum sum = {0};
	const struct zspage *zspage;
	uint32_t page = 0;

	while ((zspage = next_zspage(pool, &page)))
		sum_zspage(pool->heap, zspage, &sum);
	*ret_sum = sum;
}

static void dump_class(const struct zs_class_stats *class, FILE *stream)
{
	fprintf(stream, "%5u %6u %5u %8llu %10llu %10llu ", class->index, class->size, class->pages_per_zspage,
		(unsigned long long)class->zspages, (unsigned long long)class->objects,
		(unsigned long long)class->objects_total);
	for (unsigned int group = 0; group < ZS_FULLNESS_NR; group++)
		fprintf(stream, " %6llu", (unsigned long long)class->groups[group]);
	fputc('\n', stream);
}

void zs_pool_dump(struct zs_pool *pool, FILE *stream)
{
	struct zs_class_stats classes[ZS_CLASSES_MAX];
	unsigned int nr = zs_classes_init(classes);

	zs_pool_add_classes(pool, classes);
	fputs("class   size pages  zspages    objects      total       0%    <10    <20    <30    <40    <50    <60    "
	      "<70"
	      "    <80    <90   <100   100%\n",
	      stream);
	for (unsigned int i = 0; i < nr; i++) {
		if (classes[i].zspages)
			dump_class(&classes[i], stream);
	}
}
