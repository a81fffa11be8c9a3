/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Free objects that threads keep at hand. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/small_store.h"
#include "zsmalloc/account.h"
#include "zsmalloc/pool_internal.h"

/* Objects of one class, of which a zspage has many: enough of them for two threads' tables. */
#define SIZE	   700
#define NR_OBJECTS 6000
#define NR_KEPT	   8

static struct zs_arena arena;
static struct zs_heap *heap;
static struct zs_pool *pool;
static struct zs_handle handles[NR_OBJECTS];
static char payload[ZS_OBJECT_MAX_BYTES];
static unsigned int class, objects; /* of SIZE, and of its zspages */

static void heap_open(bool fresh, unsigned int nr_nodes)
{
	const struct zs_account_options account = {.nr_nodes = nr_nodes};

	cr_assert_eq(zs_heap_create(&arena, fresh, &heap), 0);
	cr_assert_eq(zs_heap_start_account(heap, &account), 0);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
	class = zs_geometry_class(heap->geometry, SIZE + ZS_OBJECT_HEADER_BYTES);
	objects = heap->geometry->classes[class].objects;
}

static void kept_create(void)
{
	struct zs_arena_options options;

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	heap_open(true, 1);
}

/* As if the process had been killed. */
static void heap_drop(void)
{
	zs_pool_abandon(pool);
	zs_heap_destroy(heap);
}

static void kept_destroy(void)
{
	heap_drop();
	zs_arena_close(&arena);
}

TestSuite(kept, .init = kept_create, .fini = kept_destroy);

static struct zs_handle store(size_t size)
{
	struct zs_object_info info = {.size = (uint32_t)size, .codec = 3};
	struct zs_handle handle = ZS_NO_HANDLE;

	cr_assert_eq(zs_pool_alloc(pool, size, ZS_URGENCY_RESERVE, &handle), 0);
	zs_obj_write(pool, handle, &info, payload);
	return handle;
}

static void fill(unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		handles[i] = store(SIZE);
}

static struct zs_location drop(unsigned int i)
{
	struct zs_location location = zs_handle_location(*heap_handle_word(heap, handles[i].index));
	struct zs_object_info info;

	zs_pool_free(pool, handles[i], &info);
	cr_assert_eq(info.size, SIZE);
	handles[i] = ZS_NO_HANDLE;
	return location;
}

static void *keep_some(void *argument)
{
	for (unsigned int i = 0; i < 2 * NR_KEPT; i++)
		drop(i);
	return NULL;
}

static void in_thread(void *(*run)(void *))
{
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
}

static uint32_t nr_kept(void)
{
	return pool_count_kept(pool, class, NULL);
}

static struct zs_pool_stats stats(void)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	return stats;
}

/*
 * Fills the pool and frees all objects of its first zspage, so that the thread keeps some of them. Every other one is
 * given back, since that is where it is decided that the next one may be kept.
 */
static void keep_from_first_zspage(void)
{
	fill(NR_OBJECTS);
	for (unsigned int i = 0; i < objects; i++)
		drop(i);
	cr_assert_eq(nr_kept(), NR_KEPT);
	zs_pool_check(pool);
}

Test(kept, a_class_with_few_objects_keeps_none)
{
	fill(127);
	for (unsigned int i = 0; i < 100; i++)
		drop(i);
	cr_assert_eq(nr_kept(), 0);
	cr_assert_null(pool->kept[zs_thread_number()]);
	zs_pool_check(pool);
}

Test(kept, what_was_freed_last_is_handed_out_first)
{
	struct zs_location freed, found;

	keep_from_first_zspage();
	/* From elsewhere, so that it is not the fullest zspage's. */
	store(SIZE);
	freed = drop(NR_OBJECTS / 2);
	handles[0] = store(SIZE);
	found = zs_handle_location(*heap_handle_word(heap, handles[0].index));
	cr_assert_eq(found.page, freed.page);
	cr_assert_eq(found.index, freed.index);
	zs_pool_check(pool);
}

Test(kept, it_counts_as_free)
{
	struct zs_pool_stats found;

	keep_from_first_zspage();
	found = stats();
	cr_assert_eq(found.objects, NR_OBJECTS - objects);
	cr_assert_eq(found.freeable_pages, heap->geometry->classes[class].pages);
}

Test(kept, nothing_is_left_when_the_last_object_is_freed)
{
	keep_from_first_zspage();
	for (unsigned int i = objects; i < NR_OBJECTS; i++)
		drop(i);
	cr_assert_eq(nr_kept(), 0);
	cr_assert_eq(stats().pages, 0);
	zs_pool_check(pool);
	zs_pool_destroy(pool);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
}

Test(kept, an_allocation_that_finds_no_room_takes_it_back)
{
	struct zs_heap_stats full;
	struct zs_handle large = ZS_NO_HANDLE;
	unsigned int other = zs_geometry_class(heap->geometry, 3000 + ZS_OBJECT_HEADER_BYTES);

	cr_assert_leq(heap->geometry->classes[other].pages, heap->geometry->classes[class].pages);
	keep_from_first_zspage();
	zs_heap_stats(heap, &full);
	zs_heap_set_limit(heap, full.used_bytes);
	/* All that is left of the first zspage is kept, so that it goes, and its pages do for this. */
	cr_assert_eq(zs_pool_alloc(pool, 3000, ZS_URGENCY_RESERVE, &large), 0);
	cr_assert_eq(nr_kept(), 0);
	zs_pool_check(pool);
	/* Once more there is nothing to take back. */
	cr_assert_eq(zs_pool_alloc(pool, ZS_OBJECT_MAX_BYTES, ZS_URGENCY_RESERVE, &large), -ENOSPC);
}

Test(kept, what_another_thread_keeps_is_no_loss_at_the_limit)
{
	struct zs_handle handle = ZS_NO_HANDLE;
	struct zs_heap_stats full;

	fill(NR_OBJECTS);
	zs_heap_stats(heap, &full);
	zs_heap_set_limit(heap, full.used_bytes);
	while (!zs_pool_alloc(pool, SIZE, ZS_URGENCY_RESERVE, &handle))
		zs_obj_write(pool, handle, &(struct zs_object_info){.size = SIZE, .codec = 3}, payload);
	zs_thread_number();
	in_thread(keep_some);
	cr_assert_eq(nr_kept(), NR_KEPT);
	/* Its zspage has others, so that no page is freed by giving it back. */
	for (unsigned int i = 0; i < 2 * NR_KEPT; i++)
		handles[i] = store(SIZE);
	cr_assert_eq(zs_pool_alloc(pool, SIZE, ZS_URGENCY_RESERVE, &handle), -ENOSPC);
	cr_assert_eq(nr_kept(), 0);
	zs_pool_check(pool);
}

Test(kept, compaction_frees_a_zspage_that_has_nothing_else)
{
	uint64_t before;

	keep_from_first_zspage();
	before = stats().pages;
	cr_assert_eq(zs_pool_compact(pool, UINT64_MAX), heap->geometry->classes[class].pages);
	cr_assert_eq(stats().pages, before - heap->geometry->classes[class].pages);
	cr_assert_eq(stats().freeable_pages, 0);
	cr_assert_eq(nr_kept(), 0);
	zs_pool_check(pool);
}

Test(kept, compaction_passes_over_no_zspage_because_of_it)
{
	uint64_t before;

	fill(NR_OBJECTS);
	/* What is kept lies in zspages of which little else is left. */
	for (unsigned int i = 0; i < 20 * objects; i++) {
		if (i % objects)
			drop(i);
	}
	cr_assert_gt(nr_kept(), 0);
	before = stats().freeable_pages;
	cr_assert_eq(zs_pool_compact(pool, UINT64_MAX), before);
	zs_pool_check(pool);
}

/* Frees the objects of the first zspage of a class, so that the thread keeps the last ones of it. */
static void keep_of_class(size_t size)
{
	unsigned int index = zs_geometry_class(heap->geometry, size + ZS_OBJECT_HEADER_BYTES);
	unsigned int nr = heap->geometry->classes[index].objects;
	struct zs_object_info info;

	for (unsigned int i = 0; i < 4 * nr; i++)
		handles[i] = store(size);
	for (unsigned int i = 0; i < nr; i++)
		zs_pool_free(pool, handles[i], &info);
	cr_assert_gt(pool_count_kept(pool, index, NULL), 0);
}

Test(kept, it_is_given_back_class_by_class_until_enough_is_free)
{
	static const size_t sizes[] = {700, 1500, 2500};
	uint64_t pages;

	zs_kept_of_few = true;
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++)
		keep_of_class(sizes[i]);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++) {
		cr_assert(pool_reclaim_kept(pool, 1, &pages), "%u", i);
		cr_assert(pages > 0 && pages <= NR_KEPT * ZS_RUN_MAX_PAGES);
	}
	cr_assert_not(pool_reclaim_kept(pool, 1, &pages));
	cr_assert_eq(pages, 0);
	zs_pool_check(pool);
	zs_kept_of_few = false;
}

Test(kept, it_is_not_lost_with_its_thread)
{
	struct zs_location mine, found;

	fill(NR_OBJECTS);
	mine = zs_handle_location(*heap_handle_word(heap, handles[2 * NR_KEPT - 1].index));
	/* The test has a number, so that the thread has another one. */
	zs_thread_number();
	in_thread(keep_some);
	cr_assert_eq(nr_kept(), NR_KEPT);
	handles[0] = store(SIZE);
	found = zs_handle_location(*heap_handle_word(heap, handles[0].index));
	cr_assert(found.page != mine.page || found.index != mine.index, "each thread has its own");
	cr_assert_eq(nr_kept(), NR_KEPT);
	zs_pool_check(pool);
	cr_assert(pool_reclaim_kept(pool, UINT64_MAX, NULL));
	cr_assert_not(pool_reclaim_kept(pool, UINT64_MAX, NULL));
	cr_assert_eq(nr_kept(), 0);
	zs_pool_check(pool);
}

static void *keep_more(void *argument)
{
	for (unsigned int i = 2 * NR_KEPT; i < 4 * NR_KEPT; i++)
		drop(i);
	return NULL;
}

/* With two threads more, at the same time. */
static void *keep_with_another(void *argument)
{
	keep_some(NULL);
	in_thread(keep_more);
	return NULL;
}

Test(kept, tables_take_a_small_part_of_what_is_in_use)
{
	fill(1000);
	for (unsigned int i = 0; i < 100; i++)
		drop(i);
	cr_assert_null(pool->kept[zs_thread_number()]);
	fill(NR_OBJECTS);
	drop(NR_OBJECTS - 1);
	cr_assert_not_null(pool->kept[zs_thread_number()]);
	in_thread(keep_with_another);
	cr_assert_eq(pool->nr_kept_tables, 2);
	zs_pool_check(pool);
}

/* Takes and keeps, as fast as it can. */
static void *churn(void *argument)
{
	_Atomic unsigned int *nr_running = argument;

	for (unsigned int i = 0; i < 200000; i++) {
		struct zs_object_info info;

		zs_pool_free(pool, store(SIZE), &info);
	}
	atomic_fetch_sub(nr_running, 1);
	return NULL;
}

Test(kept, taken_kept_and_reclaimed_at_the_same_time)
{
	_Atomic unsigned int nr_running = 2;
	pthread_t threads[2];

	fill(NR_OBJECTS);
	for (unsigned int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, churn, &nr_running), 0);
	while (nr_running)
		pool_reclaim_kept(pool, UINT64_MAX, NULL);
	for (unsigned int i = 0; i < 2; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	zs_pool_check(pool);
	cr_assert_eq(stats().objects, NR_OBJECTS);
}

Test(kept, after_a_kill_it_is_free)
{
	struct zs_object_info info;
	struct zs_object object;

	keep_from_first_zspage();
	heap_drop();
	heap_open(false, 1);
	for (unsigned int i = objects; i < NR_OBJECTS; i++)
		cr_assert_eq(zs_pool_adopt(pool, handles[i], 0, &info), 0);
	zs_pool_rebuild_end(pool);
	zs_heap_rebuild_end(heap);
	zs_pool_check(pool);
	cr_assert_eq(nr_kept(), 0);
	cr_assert_eq(stats().objects, NR_OBJECTS - objects);
	/* The first zspage had nothing else. */
	cr_assert_eq(stats().freeable_pages, 0);
	cr_assert_eq(zs_obj_read_begin(pool, handles[objects], &object), 0);
	cr_assert_eq(zs_obj_verify(&object), 0);
	zs_obj_read_end(pool, &object);
}

Test(kept, several_nodes_keep_none)
{
	heap_drop();
	heap_open(true, 2);
	fill(NR_OBJECTS);
	for (unsigned int i = 0; i < 100; i++)
		drop(i);
	cr_assert_eq(nr_kept(), 0);
	zs_pool_check(pool);
}

Test(kept, without_memory_for_it_objects_are_given_back)
{
	fill(NR_OBJECTS);
	zs_fault_arm(1);
	drop(0);
	cr_assert_eq(zs_fault_passed(), 1);
	zs_fault_arm(0);
	cr_assert_null(pool->kept[zs_thread_number()]);
	zs_pool_check(pool);
	drop(1);
	drop(2);
	cr_assert_eq(nr_kept(), 1);
	zs_pool_check(pool);
}

Test(kept, one_lock_for_all_classes_keeps_none)
{
	zs_pool_set_locking(pool, ZS_LOCKING_POOL);
	fill(NR_OBJECTS);
	for (unsigned int i = 0; i < 100; i++)
		drop(i);
	cr_assert_eq(nr_kept(), 0);
	zs_pool_check(pool);
}
