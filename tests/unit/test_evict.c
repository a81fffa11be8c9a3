/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects' way into the backing file and back: handle word, room, accounts. The file is a table of counters here. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "support/small_store.h"
#include "zsmalloc/account.h"
#include "zsmalloc/object.h"
#include "zsmalloc/pool_internal.h"

#define SIZE  1500
#define OWNER 7
#define OTHER 8

static struct zs_arena arena;
static struct zs_heap *heap;
static struct zs_pool *pool;
static char payload[SIZE];

static unsigned int nr_freed;
static struct zs_place last_freed;

static void free_place(void *context, struct zs_place place)
{
	nr_freed++;
	last_freed = place;
}

static const struct zs_place first = {.unit = 1000, .units = 97}, second = {.unit = 5000, .units = 97};

static void open_heap(bool fresh)
{
	const struct zs_account_options account = {.nr_nodes = 1};

	cr_assert_eq(zs_heap_create(&arena, fresh, &heap), 0);
	zs_heap_set_backed(heap, free_place, NULL);
	cr_assert_eq(zs_heap_start_account(heap, &account), 0);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
}

static void init(void)
{
	struct zs_arena_options options;

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	open_heap(true);
	for (size_t i = 0; i < SIZE; i++)
		payload[i] = (char)(i * 7);
}

static void close_heap(void)
{
	zs_pool_abandon(pool);
	zs_heap_destroy(heap);
}

static void deinit(void)
{
	close_heap();
	zs_arena_close(&arena);
}

TestSuite(evict, .init = init, .fini = deinit);

static struct zs_handle make(void)
{
	struct zs_object_info info = {.size = SIZE, .codec = 2, .owner = OWNER};
	struct zs_handle handle;

	cr_assert_eq(zs_pool_alloc(pool, SIZE, ZS_URGENCY_NEW, &handle), 0);
	zs_obj_write(pool, handle, &info, payload);
	return handle;
}

static struct zs_object begin(struct zs_handle handle)
{
	struct zs_object object;

	cr_assert_eq(zs_obj_read_begin(pool, handle, &object), 0);
	return object;
}

static void evict(struct zs_handle handle, struct zs_place place)
{
	struct zs_object object = begin(handle);

	cr_assert_eq(zs_obj_evict(pool, &object, place), 0);
	zs_obj_read_end(pool, &object);
}

/* Fills in what would have been read from the file. */
static void fill_in(struct zs_object *object)
{
	object->info = (struct zs_object_info){.size = SIZE, .codec = 2, .owner = OTHER};
	object->payload = payload;
	object->checksum = zs_object_checksum(zs_object_meta(&object->info), payload);
}

static uint64_t nr_objects(void)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	return stats.objects;
}

static uint64_t charged(unsigned int owner)
{
	struct zs_account_sum sum;

	zs_account_get(zs_heap_account(heap), owner, 0, &sum);
	return sum.payload_bytes;
}

Test(evict, an_evicted_object_takes_no_memory_and_says_where_it_is)
{
	struct zs_handle handle = make();
	struct zs_object object;

	cr_assert_eq(charged(OWNER), SIZE);
	evict(handle, first);
	cr_assert_eq(nr_objects(), 0);
	cr_assert_eq(charged(OWNER), 0);
	cr_assert_eq(zs_obj_cost(pool, handle), 0);
	object = begin(handle);
	cr_assert_null(object.payload);
	cr_assert_eq(object.place.unit, first.unit);
	cr_assert_eq(object.place.units, first.units);
	cr_assert_eq(object.info.units, first.units);
	zs_obj_read_end(pool, &object);
	cr_assert_eq(nr_freed, 0);
	zs_pool_check(pool);
}

Test(evict, an_object_that_others_read_is_not_evicted)
{
	struct zs_object object = begin(make()), reader = begin(object.handle);

	cr_assert_eq(zs_obj_evict(pool, &object, first), -EBUSY);
	cr_assert_eq(zs_obj_verify(&reader), 0);
	zs_obj_read_end(pool, &reader);
	cr_assert_eq(zs_obj_evict(pool, &object, first), 0);
	zs_obj_read_end(pool, &object);
}

Test(evict, an_object_that_was_replaced_meanwhile_is_not_evicted)
{
	struct zs_object object = begin(make());
	struct zs_object_info info;

	zs_pool_free(pool, object.handle, &info);
	cr_assert_eq(info.size, SIZE);
	cr_assert_eq(zs_obj_evict(pool, &object, first), -ESTALE);
	cr_assert_eq(nr_objects(), 1);
	zs_obj_read_end(pool, &object);
	cr_assert_eq(nr_objects(), 0);
	zs_pool_check(pool);
}

Test(evict, freeing_a_backed_object_frees_its_place)
{
	struct zs_handle handle = make();
	struct zs_heap_stats stats;
	struct zs_object_info info;

	evict(handle, first);
	zs_pool_free(pool, handle, &info);
	cr_assert_eq(info.size, 0);
	cr_assert_eq(info.units, first.units);
	cr_assert_eq(nr_freed, 1);
	cr_assert_eq(last_freed.unit, first.unit);
	zs_heap_stats(heap, &stats);
	cr_assert_eq(stats.handles.objects, 0);
}

Test(evict, the_place_of_a_backed_object_is_freed_by_its_last_reader)
{
	struct zs_handle handle = make();
	struct zs_object object, other;
	struct zs_object_info info;

	evict(handle, first);
	object = begin(handle);
	other = begin(handle);
	zs_pool_free(pool, handle, &info);
	cr_assert_eq(nr_freed, 0);
	zs_obj_read_end(pool, &object);
	cr_assert_eq(nr_freed, 0);
	zs_obj_read_end(pool, &other);
	cr_assert_eq(nr_freed, 1);
}

Test(evict, a_restored_object_is_in_memory_again)
{
	struct zs_handle handle = make();
	struct zs_object object;

	evict(handle, first);
	object = begin(handle);
	fill_in(&object);
	cr_assert_eq(zs_obj_restore(pool, &object, ZS_URGENCY_NEW), 0);
	cr_assert_eq(nr_freed, 0, "it is the caller's");
	zs_obj_read_end(pool, &object);
	object = begin(handle);
	cr_assert_eq(object.info.size, SIZE);
	cr_assert_eq(memcmp(object.payload, payload, SIZE), 0);
	cr_assert_eq(zs_obj_verify(&object), 0);
	zs_obj_read_end(pool, &object);
	cr_assert_eq(charged(OTHER), SIZE);
	zs_pool_check(pool);
}

Test(evict, an_object_that_others_read_from_the_file_is_not_restored)
{
	struct zs_handle handle = make();
	struct zs_object object, reader;

	evict(handle, first);
	object = begin(handle);
	reader = begin(handle);
	fill_in(&object);
	cr_assert_eq(zs_obj_restore(pool, &object, ZS_URGENCY_NEW), -EBUSY);
	cr_assert_eq(nr_objects(), 0);
	cr_assert_eq(nr_freed, 0);
	zs_obj_read_end(pool, &reader);
	zs_obj_read_end(pool, &object);
	zs_pool_check(pool);
}

Test(evict, an_object_that_was_replaced_meanwhile_is_not_restored)
{
	struct zs_handle handle = make();
	struct zs_object_info info;
	struct zs_object object;

	evict(handle, first);
	object = begin(handle);
	fill_in(&object);
	zs_pool_free(pool, handle, &info);
	cr_assert_eq(zs_obj_restore(pool, &object, ZS_URGENCY_NEW), -ESTALE);
	cr_assert_eq(nr_freed, 0);
	zs_obj_read_end(pool, &object);
	cr_assert_eq(nr_freed, 1);
	cr_assert_eq(nr_objects(), 0);
	zs_pool_check(pool);
}

Test(evict, at_the_limit_nothing_is_restored)
{
	struct zs_handle handle = make();
	struct zs_object object;

	evict(handle, first);
	zs_heap_set_limit(heap, 1);
	object = begin(handle);
	fill_in(&object);
	cr_assert_eq(zs_obj_restore(pool, &object, ZS_URGENCY_NEW), -ENOSPC);
	zs_obj_read_end(pool, &object);
	cr_assert(zs_obj_is_at(heap, handle, first));
}

Test(evict, only_a_backed_object_that_nobody_reads_is_relocated)
{
	struct zs_handle handle = make();
	struct zs_object object;

	cr_assert_not(zs_obj_relocate(heap, handle, first, second), "it is in memory");
	evict(handle, first);
	cr_assert(zs_obj_is_at(heap, handle, first));
	cr_assert_not(zs_obj_is_at(heap, handle, second));
	cr_assert_not(zs_obj_relocate(heap, handle, second, first), "it is elsewhere");
	object = begin(handle);
	cr_assert_not(zs_obj_relocate(heap, handle, first, second), "it has a reader");
	zs_obj_read_end(pool, &object);
	cr_assert(zs_obj_relocate(heap, handle, first, second));
	cr_assert(zs_obj_is_at(heap, handle, second));
	cr_assert_not(zs_obj_relocate(heap, (struct zs_handle){UINT32_MAX}, first, second), "there is no such handle");
}

static void reopen(void)
{
	close_heap();
	open_heap(false);
}

Test(evict, a_backed_object_is_adopted_after_a_restart)
{
	struct zs_handle handle = make(), stays = make();
	struct zs_object_info info;
	struct zs_object object;

	evict(handle, first);
	object = begin(handle); /* a pin that nobody will give back */
	reopen();
	cr_assert_eq(zs_pool_adopt(pool, handle, OWNER, &info), 0);
	cr_assert_eq(info.units, first.units);
	cr_assert_eq(zs_pool_adopt(pool, handle, OWNER, &info), -EEXIST);
	cr_assert_eq(zs_pool_adopt(pool, stays, OWNER, &info), 0);
	zs_pool_rebuild_end(pool);
	zs_heap_rebuild_end(heap);
	cr_assert_eq(nr_objects(), 1);
	zs_pool_check(pool);
	object = begin(handle);
	cr_assert_eq(object.place.unit, first.unit);
	fill_in(&object);
	cr_assert_eq(zs_obj_restore(pool, &object, ZS_URGENCY_NEW), 0);
	zs_obj_read_end(pool, &object);
}

Test(evict, room_that_a_killed_process_left_on_the_way_is_reclaimed)
{
	struct zs_handle handle = make(), stays = make();
	struct zs_location location = zs_handle_location(atomic_load(heap_handle_word(heap, handle.index)));
	struct zs_object_info info;

	/* The word is stored, the room not yet freed. */
	atomic_store(heap_handle_word(heap, handle.index), zs_handle_backed_word(first, 1));
	reopen();
	cr_assert_eq(zs_pool_adopt(pool, handle, OWNER, &info), 0);
	cr_assert_eq(zs_pool_adopt(pool, stays, OWNER, &info), 0);
	zs_pool_rebuild_end(pool);
	zs_heap_rebuild_end(heap);
	cr_assert_eq(nr_objects(), 1);
	cr_assert_eq(heap_object(heap, location)->handle, 0);
	zs_pool_check(pool);
}

Test(evict, without_a_backing_file_places_are_kept)
{
	struct zs_handle handle = make();
	struct zs_object_info info;
	struct zs_object object;

	evict(handle, first);
	reopen();
	zs_heap_set_backed(heap, NULL, NULL);
	cr_assert_eq(zs_pool_adopt(pool, handle, OWNER, &info), 0);
	zs_pool_rebuild_end(pool);
	zs_heap_rebuild_end(heap);
	object = begin(handle);
	cr_assert_eq(object.place.unit, first.unit);
	zs_obj_read_end(pool, &object);
	zs_pool_free(pool, handle, &info);
	cr_assert_eq(nr_freed, 0);
	zs_pool_check(pool);
}
