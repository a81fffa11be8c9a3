/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The slab cache. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "support/random.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/slab.h"

#define NR_PAGES    8
#define PER_PAGE    128 /* objects of 32 bytes */
#define OBJECTS_MAX (NR_PAGES * PER_PAGE - 1)

static char *memory;
static bool has_memory[NR_PAGES];
static unsigned int grows, shrinks;
static int grow_error;
static struct zs_slab slab;

static int grow(void *context, uint64_t page, enum zs_urgency urgency)
{
	cr_assert_eq(context, &grows);
	cr_assert(page < NR_PAGES && !has_memory[page]);
	if (grow_error)
		return grow_error;
	memset(memory + page * ZS_PAGE_SIZE, 0, ZS_PAGE_SIZE);
	has_memory[page] = true;
	grows++;
	return 0;
}

static void shrink(void *context, uint64_t page)
{
	cr_assert(page < NR_PAGES && has_memory[page]);
	cr_assert_leq(zs_slab_count_magazines(&slab), slab.nr_active, "less than none are in use");
	has_memory[page] = false;
	memset(memory + page * ZS_PAGE_SIZE, 0, ZS_PAGE_SIZE);
	shrinks++;
}

static const struct zs_slab_ops ops = {.grow = grow, .shrink = shrink};

static int grow_nothing(void *context, uint64_t page, enum zs_urgency urgency)
{
	return 0;
}

static void shrink_nothing(void *context, uint64_t page)
{
}

static const struct zs_slab_ops other_ops = {.grow = grow_nothing, .shrink = shrink_nothing};

static void slab_create(void)
{
	memory = aligned_alloc(ZS_PAGE_SIZE, NR_PAGES * ZS_PAGE_SIZE);
	cr_assert_not_null(memory);
	cr_assert_eq(zs_slab_init(&slab, memory, 32, NR_PAGES, &ops, &grows), 0);
}

static void slab_destroy(void)
{
	zs_slab_deinit(&slab);
	free(memory);
}

TestSuite(slab, .init = slab_create, .fini = slab_destroy);

/* Past the magazine, so that a test knows which page has what. */
static uint32_t take(void)
{
	unsigned int nr = 0;
	uint32_t index = 0;

	cr_assert_eq(zs_slab_take(&slab, ZS_URGENCY_NEW, &index, 1, &nr), 0);
	cr_assert_eq(nr, 1);
	return index;
}

static void put(uint32_t index)
{
	zs_slab_put(&slab, &index, 1);
}

static uint32_t alloc(void)
{
	uint32_t index = 0;

	cr_assert_eq(zs_slab_alloc(&slab, ZS_URGENCY_NEW, &index), 0);
	return index;
}

static uint64_t nr_active(void)
{
	struct zs_cache_stats stats;

	zs_slab_stats(&slab, &stats);
	cr_assert(stats.objects + stats.magazine_objects <= stats.objects_total);
	return stats.objects;
}

Test(slab, what_a_magazine_gives_back_is_not_counted_twice_meanwhile)
{
	uint32_t indexes[PER_PAGE];

	/* All of the first page, and one of the next. */
	for (unsigned int i = 0; i < PER_PAGE; i++)
		indexes[i] = take();
	for (unsigned int i = 0; i < PER_PAGE - 1; i++)
		put(indexes[i]);
	zs_slab_free(&slab, indexes[PER_PAGE - 1]);
	zs_slab_flush(&slab);
	cr_assert_eq(shrinks, 1, "this is when it was looked at");
	cr_assert_eq(nr_active(), 0);
}

Test(slab, index_zero_is_never_handed_out_and_every_other_is_once)
{
	bool seen[OBJECTS_MAX + 1] = {false};
	uint32_t index = 4711;

	for (unsigned int i = 0; i < OBJECTS_MAX; i++) {
		index = alloc();
		cr_assert(index && index <= OBJECTS_MAX && !seen[index]);
		seen[index] = true;
		memset(zs_slab_at(&slab, index), 0xff, 32);
	}
	cr_assert_eq(zs_slab_alloc(&slab, ZS_URGENCY_NEW, &index), -ENOSPC);
	cr_assert_eq(grows, NR_PAGES);
	zs_slab_check(&slab);
	cr_assert_eq(slab.nr_active, OBJECTS_MAX);
}

Test(slab, all_memory_but_one_page_goes_back)
{
	for (unsigned int i = 0; i < OBJECTS_MAX; i++)
		take();
	for (uint32_t index = 1; index <= OBJECTS_MAX; index++) {
		put(index);
		zs_slab_check(&slab);
	}
	cr_assert_eq(slab.nr_active, 0);
	cr_assert_eq(shrinks, NR_PAGES - 1);
	cr_assert_eq(slab.nr_memory, 1);
	/* And comes again. */
	for (unsigned int i = 0; i < OBJECTS_MAX; i++)
		take();
	zs_slab_check(&slab);
}

Test(slab, one_object_back_and_forth_costs_nothing)
{
	for (unsigned int i = 0; i < 1000; i++)
		zs_slab_free(&slab, alloc());
	cr_assert_eq(grows, 1);
	cr_assert_eq(shrinks, 0);
}

Test(slab, a_page_that_can_not_be_had_changes_nothing)
{
	uint32_t index = 4711;

	grow_error = -ENOMEM;
	cr_assert_eq(zs_slab_alloc(&slab, ZS_URGENCY_NEW, &index), -ENOMEM);
	grow_error = -ENOSPC;
	cr_assert_eq(zs_slab_alloc(&slab, ZS_URGENCY_NEW, &index), -ENOSPC);
	cr_assert_eq(index, 4711);
	zs_slab_check(&slab);
	grow_error = 0;
	cr_assert_eq(take(), 1);
}

Test(slab, random_use_keeps_the_invariants)
{
	struct test_random random = {.state = 5};
	uint32_t used[OBJECTS_MAX];
	unsigned int nr = 0;

	for (unsigned int i = 0; i < 20000; i++) {
		/* The share of allocations drifts, so that it runs full and empty. */
		bool more = test_random_chance(&random, i / 2000 % 2 ? 65 : 35);
		unsigned int at = nr ? (unsigned int)test_random_below(&random, nr) : 0;

		if (more && nr < OBJECTS_MAX) {
			used[nr++] = alloc();
		} else if (nr) {
			zs_slab_free(&slab, used[at]);
			used[at] = used[--nr];
		}
		if (i % 100 == 0)
			zs_slab_check(&slab);
		cr_assert_eq(nr_active(), nr);
	}
}

Test(slab, what_was_in_use_before_a_restart_is_not_handed_out_again)
{
	uint64_t used[PER_PAGE / 64] = {0};
	bool seen[OBJECTS_MAX + 1] = {false};

	/* Page 0 as found: objects 3 and 127 in use. Page 2: nothing. Page 3: all. */
	used[0] = 1 << 3;
	used[1] = UINT64_C(1) << 63;
	has_memory[0] = has_memory[2] = has_memory[3] = true;
	zs_slab_adopt(&slab, 0, used);
	zs_slab_adopt(&slab, 2, (uint64_t[PER_PAGE / 64]){0});
	memset(used, 0xff, sizeof(used));
	zs_slab_adopt(&slab, 3, used);
	zs_slab_check(&slab);
	cr_assert_eq(slab.nr_active, 2 + PER_PAGE);
	cr_assert_not(has_memory[2]);
	seen[3] = seen[127] = true;
	for (unsigned int i = 0; i < PER_PAGE; i++)
		seen[3 * PER_PAGE + i] = true;
	for (unsigned int i = 0; i < OBJECTS_MAX - 2 - PER_PAGE; i++) {
		uint32_t index = alloc();

		cr_assert(index && index <= OBJECTS_MAX && !seen[index], "index %u", index);
		seen[index] = true;
	}
	zs_slab_check(&slab);
}

Test(slab, freeing_nothing_stops_the_program, .signal = SIGABRT)
{
	put(0);
}

Test(slab, freeing_what_was_never_handed_out_stops_the_program, .signal = SIGABRT)
{
	take();
	put(5);
}

Test(slab, what_lies_in_a_magazine_is_not_in_use)
{
	uint32_t index = alloc();

	cr_assert_eq(nr_active(), 1);
	cr_assert_geq(slab.nr_active, 1);
	zs_slab_free(&slab, index);
	cr_assert_eq(nr_active(), 0);
	cr_assert_gt(slab.nr_active, 0, "the magazine keeps it");
	zs_slab_flush(&slab);
	cr_assert_eq(slab.nr_active, 0);
	zs_slab_check(&slab);
}

Test(slab, a_magazine_never_holds_more_than_it_may)
{
	uint32_t indexes[10 * ZS_MAGAZINE_OBJECTS];

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(indexes); i++)
		indexes[i] = alloc();
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(indexes); i++)
		zs_slab_free(&slab, indexes[i]);
	cr_assert_eq(nr_active(), 0);
	cr_assert_leq(slab.nr_active, ZS_MAGAZINE_OBJECTS);
	zs_slab_check(&slab);
}

static void *use_and_end(void *argument)
{
	uint32_t first = alloc(), second = alloc();

	zs_slab_free(&slab, first);
	*(uint32_t *)argument = second;
	return NULL;
}

Test(slab, a_thread_that_ends_gives_its_magazine_back)
{
	uint32_t kept = 0;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, use_and_end, &kept), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(slab.nr_active, 1);
	zs_slab_free(&slab, kept);
	cr_assert_eq(nr_active(), 0);
}

Test(slab, a_new_cache_in_the_place_of_an_old_one_starts_without_its_objects)
{
	uint32_t index = alloc();

	zs_slab_free(&slab, index);
	zs_slab_deinit(&slab);
	memset(has_memory, 0, sizeof(has_memory));
	cr_assert_eq(zs_slab_init(&slab, memory, 32, NR_PAGES, &ops, &grows), 0);
	cr_assert_eq(slab.nr_active, 0);
	cr_assert_eq(take(), 1);
	zs_slab_check(&slab);
}

Test(slab, more_caches_than_a_thread_has_magazines_take_turns)
{
	static char others[6][ZS_PAGE_SIZE] __attribute__((aligned(4096)));
	struct zs_cache_stats stats;
	struct zs_slab caches[6];
	uint32_t index = 0;

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(caches); i++)
		cr_assert_eq(zs_slab_init(&caches[i], others[i], 32, 1, &other_ops, NULL), 0);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(caches); i++) {
			cr_assert_eq(zs_slab_alloc(&caches[i], ZS_URGENCY_NEW, &index), 0);
			zs_slab_check(&caches[i]);
		}
	}
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(caches); i++) {
		zs_slab_stats(&caches[i], &stats);
		cr_assert_eq(stats.objects, 3);
		zs_slab_deinit(&caches[i]);
	}
}
