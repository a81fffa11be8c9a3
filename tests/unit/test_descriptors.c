/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of zspage descriptors, which is given back by many pages at once. */

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "support/small_store.h"
#include "zsmalloc/pool_internal.h"

/* More pages than wait, and than the slab keeps. */
#define NR_PAGES (4 * ZS_HEAP_DROPS)

static struct zs_arena arena;
static struct zs_heap *heap;
static uint32_t *indexes;
static unsigned int per_page, nr;

static void descriptors_create(void)
{
	struct zs_arena_options options;

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_eq(zs_heap_create(&arena, true, &heap), 0);
	per_page = heap->zspages.objects_per_page;
	nr = NR_PAGES * per_page;
	indexes = calloc(nr, sizeof(indexes[0]));
	cr_assert(indexes);
}

static void descriptors_destroy(void)
{
	zs_slab_check(&heap->zspages);
	zs_heap_destroy(heap);
	zs_arena_close(&arena);
	free(indexes);
}

TestSuite(descriptors, .init = descriptors_create, .fini = descriptors_destroy);

/* Takes the ones from first to last - 1 and writes each one's number into it. */
static void take(unsigned int first, unsigned int last)
{
	unsigned int taken;

	for (unsigned int i = first; i < last; i += taken) {
		cr_assert_eq(zs_slab_take(&heap->zspages, ZS_URGENCY_NEW, indexes + i, last - i, &taken), 0);
		for (unsigned int j = i; j < i + taken; j++)
			memset(zs_slab_at(&heap->zspages, indexes[j]), (int)(j % 255 + 1), sizeof(struct zspage));
	}
}

static void assert_kept(unsigned int first, unsigned int last)
{
	for (unsigned int i = first; i < last; i++) {
		const unsigned char *descriptor = zs_slab_at(&heap->zspages, indexes[i]);

		cr_assert_eq(descriptor[0], i % 255 + 1, "%u", i);
		cr_assert_eq(descriptor[sizeof(struct zspage) - 1], i % 255 + 1, "%u", i);
	}
}

static void put(unsigned int first, unsigned int last)
{
	zs_slab_put(&heap->zspages, indexes + first, last - first);
}

static unsigned int count_resident(void)
{
	static unsigned char resident[NR_PAGES + 1];
	unsigned int count = 0;

	cr_assert_eq(mincore(heap->zspage_memory, (NR_PAGES + 1) * ZS_PAGE_SIZE, resident), 0);
	for (unsigned int i = 0; i <= NR_PAGES; i++)
		count += resident[i] & 1;
	return count;
}

Test(descriptors, their_memory_is_given_back_but_for_a_few_pages)
{
	take(0, nr);
	cr_assert_geq(count_resident(), NR_PAGES);
	put(0, nr);
	cr_assert_lt(count_resident(), ZS_HEAP_DROPS + 16);
	cr_assert_lt(heap->nr_drops, ZS_HEAP_DROPS);
}

Test(descriptors, what_is_in_use_again_is_not_given_back)
{
	unsigned int half = nr / 2, few = ZS_HEAP_DROPS / 2 * per_page;

	take(0, nr);
	put(0, few);
	cr_assert_gt(heap->nr_drops, 0U);
	cr_assert_gt(count_resident(), NR_PAGES - 16, "they wait");
	take(0, few);
	cr_assert_eq(heap->nr_drops, 0U);
	/* All that can wait, and more, none of which are those that were taken again. */
	put(half, nr);
	cr_assert_lt(count_resident(), NR_PAGES - ZS_HEAP_DROPS + 16);
	assert_kept(0, half);
	take(half, nr);
	assert_kept(0, nr);
}
