/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compaction. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "support/random.h"
#include "support/small_store.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/geometry.h"
#include "zsmalloc/object.h"
#include "zsmalloc/pool.h"
#include "zsmalloc/report.h"

#define NR_OBJECTS 4000

static struct zs_arena arena;
static struct zs_heap *heap;
static struct zs_pool *pool;
static struct zs_handle handles[NR_OBJECTS];
static unsigned char payload[NR_OBJECTS][3000];

static void compact_create(void)
{
	struct zs_arena_options options;

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_eq(zs_heap_create(&arena, true, &heap), 0);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
}

static void compact_destroy(void)
{
	zs_pool_check(pool);
	zs_pool_abandon(pool);
	zs_heap_destroy(heap);
	zs_arena_close(&arena);
}

TestSuite(compact, .init = compact_create, .fini = compact_destroy);

static uint32_t size_of(unsigned int number)
{
	return 20 + number * 13 % 2900;
}

static void fill(void)
{
	struct test_random random = {.state = 7};

	for (unsigned int i = 0; i < NR_OBJECTS; i++) {
		struct zs_object_info info = {.size = size_of(i)};

		test_random_fill(&random, payload[i], info.size);
		cr_assert_eq(zs_pool_alloc(pool, info.size, ZS_URGENCY_NEW, &handles[i]), 0);
		zs_obj_write(pool, handles[i], &info, payload[i]);
	}
}

/* Leaves one object in every `every`. */
static void thin_out(unsigned int every)
{
	struct zs_object_info info;

	for (unsigned int i = 0; i < NR_OBJECTS; i++) {
		if (i % every == 0)
			continue;
		zs_pool_free(pool, handles[i], &info);
		handles[i] = ZS_NO_HANDLE;
	}
}

static void check_content(void)
{
	struct zs_object object;

	for (unsigned int i = 0; i < NR_OBJECTS; i++) {
		if (!handles[i].index)
			continue;
		cr_assert_eq(zs_obj_read_begin(pool, handles[i], &object), 0);
		cr_assert_eq(object.info.size, size_of(i));
		cr_assert_eq(zs_obj_verify(&object), 0);
		cr_assert_eq(memcmp(object.payload, payload[i], object.info.size), 0);
		zs_obj_read_end(pool, &object);
	}
}

static uint64_t freeable_pages(void)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	return stats.freeable_pages;
}

Test(compact, nothing_to_do_does_nothing)
{
	cr_assert_eq(zs_pool_compact(pool, UINT64_MAX), 0);
	fill();
	cr_assert_eq(zs_pool_compact(pool, UINT64_MAX), 0);
	check_content();
}

Test(compact, frees_all_that_can_be_freed_and_keeps_every_object_readable)
{
	uint64_t freeable;

	fill();
	thin_out(3);
	freeable = freeable_pages();
	cr_assert_gt(freeable, 100);
	cr_assert_eq(zs_pool_compact(pool, UINT64_MAX), freeable);
	cr_assert_eq(freeable_pages(), 0);
	zs_pool_check(pool);
	check_content();
}

Test(compact, a_slice_stops_at_its_budget_and_the_next_one_goes_on)
{
	uint64_t freeable, freed = 0, slice;
	unsigned int slices = 0;

	fill();
	thin_out(4);
	freeable = freeable_pages();
	do {
		slice = zs_pool_compact(pool, 10);
		cr_assert_lt(slice, 10 + ZS_RUN_MAX_PAGES);
		freed += slice;
		slices++;
		zs_pool_check(pool);
	} while (slice);
	cr_assert_eq(freed, freeable);
	cr_assert_gt(slices, 5);
	check_content();
}

/* Makes nr objects of this size and leaves one in every `every`. */
static void make_sparse(uint32_t size, unsigned int nr, unsigned int every)
{
	struct zs_object_info info = {.size = size};
	struct zs_handle made[1000];

	for (unsigned int i = 0; i < nr; i++) {
		cr_assert_eq(zs_pool_alloc(pool, size, ZS_URGENCY_NEW, &made[i]), 0);
		zs_obj_write(pool, made[i], &info, payload[0]);
	}
	for (unsigned int i = 0; i < nr; i++) {
		if (i % every)
			zs_pool_free(pool, made[i], &info);
	}
}

static uint64_t zspages_of(uint32_t size)
{
	struct zs_class_stats classes[ZS_CLASSES_MAX];

	zs_classes_init(classes);
	zs_pool_add_classes(pool, classes);
	return classes[zs_geometry_class(zs_geometry(), size + ZS_OBJECT_HEADER_BYTES)].zspages;
}

Test(compact, what_wastes_most_comes_first)
{
	static const uint32_t sizes[] = {600, 1000, 1700, 2400};
	uint64_t before[ZS_ARRAY_SIZE(sizes)];

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++)
		make_sparse(sizes[i], 1000, i == 2 ? 10 : 2);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++)
		before[i] = zspages_of(sizes[i]);
	cr_assert_gt(zs_pool_compact(pool, 100), 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++)
		cr_expect_eq(zspages_of(sizes[i]) < before[i], i == 2, "objects of %u bytes", sizes[i]);
}

Test(compact, an_object_that_is_being_read_stays_where_it_is)
{
	struct zs_object reader, again;

	fill();
	thin_out(3);
	cr_assert_eq(zs_obj_read_begin(pool, handles[0], &reader), 0);
	zs_pool_compact(pool, UINT64_MAX);
	cr_assert_eq(memcmp(reader.payload, payload[0], size_of(0)), 0);
	cr_assert_eq(zs_obj_read_begin(pool, handles[0], &again), 0);
	cr_assert_eq(again.payload, reader.payload);
	zs_obj_read_end(pool, &again);
	zs_obj_read_end(pool, &reader);
	zs_pool_compact(pool, UINT64_MAX);
	cr_assert_eq(freeable_pages(), 0);
	check_content();
}

static struct zs_object_header *header_of(unsigned int number)
{
	struct zs_object object;

	cr_assert_eq(zs_obj_read_begin(pool, handles[number], &object), 0);
	zs_obj_read_end(pool, &object);
	return (struct zs_object_header *)(uintptr_t)object.payload - 1;
}

Test(compact, objects_with_a_damaged_size_stay_and_harm_no_others)
{
	struct zs_object_header *damaged[NR_OBJECTS] = {0};

	fill();
	thin_out(3);
	for (unsigned int i = 0; i < NR_OBJECTS; i += 30) {
		damaged[i] = header_of(i);
		damaged[i]->meta ^= 1 << 12;
	}
	zs_pool_compact(pool, UINT64_MAX);
	for (unsigned int i = 0; i < NR_OBJECTS; i += 30)
		damaged[i]->meta ^= 1 << 12;
	check_content();
}

/* The emptiest zspages of every class have one object, and it stays. */
Test(compact, objects_that_can_not_be_moved_do_not_keep_the_others_from_it)
{
	struct zs_object object[NR_OBJECTS];
	uint64_t freeable, freed;

	fill();
	thin_out(8);
	for (unsigned int i = 0; i < NR_OBJECTS; i += 8 * 10)
		cr_assert_eq(zs_obj_read_begin(pool, handles[i], &object[i]), 0);
	freeable = freeable_pages();
	freed = zs_pool_compact(pool, UINT64_MAX);
	cr_assert_geq(freed, freeable * 3 / 4, "%llu of %llu", (unsigned long long)freed, (unsigned long long)freeable);
	for (unsigned int i = 0; i < NR_OBJECTS; i += 8 * 10)
		zs_obj_read_end(pool, &object[i]);
	check_content();
}

Test(compact, an_object_that_is_not_written_yet_stays_where_it_is)
{
	struct zs_object_info info = {.size = size_of(1)};
	struct zs_handle unwritten;

	fill();
	thin_out(3);
	cr_assert_eq(zs_pool_alloc(pool, info.size, ZS_URGENCY_NEW, &unwritten), 0);
	zs_pool_compact(pool, UINT64_MAX);
	zs_obj_write(pool, unwritten, &info, payload[1]);
	handles[1] = unwritten;
	check_content();
}
