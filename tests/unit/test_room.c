/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Room that larger classes lend. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "support/random.h"
#include "support/small_store.h"
#include "zsmalloc/account.h"
#include "zsmalloc/pool_internal.h"

/* The payload that borrows; more than a zspage of its class, or of one near by, has objects. */
#define SMALL	    1000
#define OBJECTS_MAX 100

static struct zs_arena arena;
static struct zs_heap *heap;
static struct zs_pool *pool;
static char payload[ZS_OBJECT_MAX_BYTES];

static void heap_open(bool fresh)
{
	const struct zs_account_options account = {.nr_nodes = 1};

	cr_assert_eq(zs_heap_create(&arena, fresh, &heap), 0);
	cr_assert_eq(zs_heap_start_account(heap, &account), 0);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
}

static void room_create(void)
{
	struct zs_arena_options options;
	struct test_random random = {.state = 1};

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	test_random_fill(&random, payload, sizeof(payload));
	heap_open(true);
}

/* As if the process had been killed. */
static void heap_drop(void)
{
	zs_pool_abandon(pool);
	zs_heap_destroy(heap);
}

static void room_destroy(void)
{
	heap_drop();
	zs_arena_close(&arena);
}

TestSuite(room, .init = room_create, .fini = room_destroy);

/* The class of SMALL, or one that is so much above, and the payload that fills it. */
static unsigned int class_above(unsigned int above)
{
	return zs_geometry_class(heap->geometry, SMALL + ZS_OBJECT_HEADER_BYTES) + above;
}

static size_t size_above(unsigned int above)
{
	return heap->geometry->classes[class_above(above)].size - ZS_OBJECT_HEADER_BYTES;
}

static unsigned int objects_above(unsigned int above)
{
	return heap->geometry->classes[class_above(above)].objects;
}

static struct zs_handle store(size_t size)
{
	struct zs_object_info info = {.size = (uint32_t)size, .codec = 3};
	struct zs_handle handle = ZS_NO_HANDLE;

	cr_assert_eq(zs_pool_alloc(pool, size, ZS_URGENCY_NEW, &handle), 0);
	zs_obj_write(pool, handle, &info, payload);
	return handle;
}

static struct zs_object_info drop(struct zs_handle handle)
{
	struct zs_object_info info;

	zs_pool_free(pool, handle, &info);
	return info;
}

static struct zs_location location_of(struct zs_handle handle)
{
	return zs_handle_location(*heap_handle_word(heap, handle.index));
}

static void check_readable(struct zs_handle handle, size_t size)
{
	struct zs_object object;

	cr_assert_eq(zs_obj_read_begin(pool, handle, &object), 0);
	cr_assert_eq(object.info.size, size);
	cr_assert_eq(zs_obj_verify(&object), 0);
	cr_assert_eq(memcmp(object.payload, payload, size), 0);
	zs_obj_read_end(pool, &object);
}

static struct zs_pool_stats stats(void)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	return stats;
}

static void fill_zspages(unsigned int above, unsigned int nr_zspages, struct zs_handle *handles)
{
	cr_assert_leq(objects_above(above), OBJECTS_MAX);
	for (unsigned int i = 0; i < nr_zspages * objects_above(above); i++)
		handles[i] = store(size_above(above));
}

/* Frees so many of them, of each zspage in turn. */
static void free_some(unsigned int above, unsigned int nr_zspages, const struct zs_handle *handles, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		drop(handles[i % nr_zspages * objects_above(above) + i / nr_zspages]);
}

/* Frees what that has left. */
static void free_others(unsigned int above, unsigned int nr_zspages, const struct zs_handle *handles, unsigned int nr)
{
	unsigned int objects = objects_above(above);

	for (unsigned int i = 0; i < nr_zspages * objects; i++) {
		if (i % objects * nr_zspages + i / objects >= nr)
			drop(handles[i]);
	}
}

/* Two zspages of a class, with that many free objects in both together. */
static void make_lender(unsigned int above, unsigned int nr_free)
{
	struct zs_handle handles[2 * OBJECTS_MAX];

	fill_zspages(above, 2, handles);
	free_some(above, 2, handles, nr_free);
}

/* An object of SMALL bytes that the next class has lent. */
static struct zs_handle store_lent(void)
{
	struct zs_handle handle;

	make_lender(1, objects_above(1));
	handle = store(SMALL);
	cr_assert_eq(location_of(handle).class, class_above(1));
	return handle;
}

Test(room, a_class_with_a_zspage_to_spare_lends_until_it_has_less)
{
	struct zs_handle handles[4];
	uint64_t pages;

	make_lender(1, objects_above(1) + 2);
	pages = stats().pages;
	for (unsigned int i = 0; i < 4; i++)
		handles[i] = store(SMALL);
	for (unsigned int i = 0; i < 4; i++) {
		cr_assert_eq(location_of(handles[i]).class, class_above(i < 3));
		check_readable(handles[i], SMALL);
	}
	cr_assert_eq(stats().lent_objects, 3);
	cr_assert_eq(stats().pages, pages + heap->geometry->classes[class_above(0)].pages);
	zs_pool_check(pool);
	for (unsigned int i = 0; i < 4; i++)
		cr_assert_eq(drop(handles[i]).size, SMALL);
	cr_assert_eq(stats().objects_total - stats().objects, objects_above(1) + 2);
	zs_pool_check(pool);
}

Test(room, the_nearest_class_lends_and_one_too_far_does_not)
{
	struct zs_handle second[2 * OBJECTS_MAX], third[2 * OBJECTS_MAX];
	unsigned int far = 0;

	while (zs_geometry_lends(heap->geometry, class_above(far + 1), class_above(0)))
		far++;
	cr_assert_geq(far, 3);
	make_lender(far + 1, objects_above(far + 1));
	for (unsigned int i = 0; i < objects_above(0); i++)
		cr_assert_eq(location_of(store(SMALL)).class, class_above(0));
	store(size_above(far + 1));
	fill_zspages(3, 2, third);
	fill_zspages(2, 2, second);
	free_some(3, 2, third, objects_above(3));
	free_some(2, 2, second, objects_above(2));
	cr_assert_eq(location_of(store(SMALL)).class, class_above(2));
	cr_assert_eq(location_of(store(SMALL)).class, class_above(3));
	cr_assert_eq(location_of(store(SMALL)).class, class_above(0));
	zs_pool_check(pool);
}

Test(room, own_room_comes_before_a_larger_class)
{
	store(SMALL);
	make_lender(1, objects_above(1));
	cr_assert_eq(location_of(store(SMALL)).class, class_above(0));
	cr_assert_eq(stats().lent_objects, 0);
}

Test(room, nothing_is_lent_where_there_is_no_larger_class)
{
	check_readable(store(ZS_OBJECT_MAX_BYTES), ZS_OBJECT_MAX_BYTES);
	cr_assert_eq(stats().lent_objects, 0);
}

Test(room, a_lent_object_is_charged_what_its_own_class_costs)
{
	struct zs_account_sum before, after, found;
	struct zs_handle handle;

	make_lender(1, objects_above(1));
	zs_account_total(zs_heap_account(heap), &before);
	handle = store(SMALL);
	zs_account_total(zs_heap_account(heap), &after);
	zs_pool_sum(pool, &found);
	cr_assert_eq(stats().lent_objects, 1);
	cr_assert_eq(after.payload_bytes - before.payload_bytes, SMALL);
	cr_assert_eq(after.share_bytes - before.share_bytes, zs_pool_cost(SMALL));
	cr_assert_eq(found.share_bytes, after.share_bytes);
	drop(handle);
	zs_account_total(zs_heap_account(heap), &after);
	cr_assert_eq(after.share_bytes, before.share_bytes);
}

Test(room, compaction_moves_lent_objects_and_they_stay_sound)
{
	struct zs_handle handles[3 * OBJECTS_MAX], lent[OBJECTS_MAX];
	unsigned int nr = objects_above(1);

	fill_zspages(1, 3, handles);
	free_some(1, 3, handles, 2 * nr - 1);
	for (unsigned int i = 0; i < nr; i++)
		lent[i] = store(SMALL);
	cr_assert_eq(stats().lent_objects, nr);
	free_others(1, 3, handles, 2 * nr - 1);
	for (unsigned int i = 0; i < nr; i++) {
		if (i % 3)
			drop(lent[i]);
	}
	/* Nothing else is left that could be moved. */
	cr_assert_eq(stats().objects, zs_div_round_up(nr, 3));
	zs_pool_compact(pool, UINT64_MAX);
	cr_assert_gt(stats().moved_objects, 0);
	zs_pool_check(pool);
	for (unsigned int i = 0; i < nr; i += 3) {
		check_readable(lent[i], SMALL);
		cr_assert_eq(drop(lent[i]).size, SMALL);
	}
	zs_pool_check(pool);
}

/* Opens the arena again; what is in it is only this object. Answers what it is adopted with. */
static int adopt_alone(struct zs_handle handle)
{
	struct zs_object_info info;
	int error;

	heap_drop();
	heap_open(false);
	error = zs_pool_adopt(pool, handle, 0, &info);
	zs_pool_rebuild_end(pool);
	zs_heap_rebuild_end(heap);
	cr_assert(error || info.size == SMALL);
	return error;
}

Test(room, lent_objects_are_there_after_a_restart)
{
	struct zs_handle handle = store_lent();

	cr_assert_eq(adopt_alone(handle), 0);
	zs_pool_check(pool);
	check_readable(handle, SMALL);
	cr_assert_eq(location_of(handle).class, class_above(1));
	/* All else of its zspage is free, and lent in turn. */
	make_lender(1, objects_above(1));
	cr_assert_eq(location_of(store(SMALL)).class, class_above(1));
	cr_assert_eq(drop(handle).size, SMALL);
	zs_pool_check(pool);
}

Test(room, a_flipped_bit_in_the_size_of_a_lent_object_is_not_believed)
{
	struct zs_handle handle = store_lent();

	for (unsigned int bit = 0; bit < 17; bit++) {
		/* As with all objects, sizes of the class where it is can't be told from each other. */
		if (zs_geometry_class(heap->geometry, (SMALL ^ 1u << bit) + ZS_OBJECT_HEADER_BYTES) == class_above(1))
			continue;
		heap_object(heap, location_of(handle))->meta ^= 1u << bit;
		cr_assert_eq(adopt_alone(handle), -EBADMSG, "bit %u", bit);
		/* The words of what was not adopted are free: it is as it was before. */
		handle = store_lent();
		heap_object(heap, location_of(handle))->meta ^= 1u << bit;
		cr_assert_eq(drop(handle).size, 0, "bit %u", bit);
		handle = store_lent();
	}
}

Test(room, a_class_that_is_not_its_own_is_not_believed_without_the_mark)
{
	struct zs_location location;
	struct zs_handle handle;

	for (unsigned int above = 1; above <= ZS_LEND_CLASSES; above++) {
		handle = store(SMALL);
		location = location_of(handle);
		location.class = (uint8_t)class_above(above);
		zs_handle_publish(heap_handle_word(heap, handle.index), location);
		cr_assert_eq(adopt_alone(handle), -EBADMSG, "%u classes above", above);
	}
}
