/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The allocator. */

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/check.h"
#include "support/data.h"
#include "support/random.h"
#include "support/small_store.h"
#include "zsmalloc/object.h"
#include "zsmalloc/pool_internal.h"

static struct zs_arena arena;
static struct zs_heap *heap;
static struct zs_pool *pool;
static char payload[ZS_OBJECT_MAX_BYTES];

static void pool_create(void)
{
	struct zs_arena_options options;
	struct test_random random = {.state = 1};

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_eq(zs_heap_create(&arena, true, &heap), 0);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
	test_random_fill(&random, payload, sizeof(payload));
}

/* As if the process had been killed: nothing but the arena is left. */
static void pool_drop(void)
{
	zs_pool_abandon(pool);
	zs_heap_destroy(heap);
	pool = NULL;
	heap = NULL;
}

static void pool_destroy(void)
{
	pool_drop();
	zs_arena_close(&arena);
}

TestSuite(pool, .init = pool_create, .fini = pool_destroy);

static struct zs_handle store(size_t size)
{
	struct zs_object_info info = {.size = (uint32_t)size, .codec = 3, .dictionary = 2047};
	struct zs_handle handle = ZS_NO_HANDLE;

	cr_assert_eq(zs_pool_alloc(pool, size, ZS_URGENCY_NEW, &handle), 0);
	cr_assert_neq(handle.index, 0);
	zs_obj_write(pool, handle, &info, payload);
	return handle;
}

static void check_readable(struct zs_handle handle, size_t size)
{
	struct zs_object object;

	cr_assert_eq(zs_obj_read_begin(pool, handle, &object), 0);
	cr_assert_eq(object.info.size, size);
	cr_assert_eq(object.info.codec, 3);
	cr_assert_eq(object.info.dictionary, 2047);
	cr_assert_eq(zs_obj_verify(&object), 0);
	cr_assert_eq(memcmp(object.payload, payload, size), 0);
	zs_obj_read_end(pool, &object);
}

static void drop(struct zs_handle handle, size_t size)
{
	struct zs_object_info info;

	zs_pool_free(pool, handle, &info);
	cr_assert_eq(info.size, size);
	cr_assert_eq(info.codec, 3);
}

static uint64_t nr_objects(void)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	return stats.objects;
}

static const size_t sizes[] = {1,    7,	   8,	 9,    20,    21,    4083,  4084,  4085,  4095,	 4096,
			       4097, 8191, 8192, 8193, 12288, 16384, 32767, 32768, 32769, 65535, 65536};

Test(pool, objects_of_every_odd_size_come_back)
{
	struct zs_handle handles[ZS_ARRAY_SIZE(sizes)];

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++)
		handles[i] = store(sizes[i]);
	zs_pool_check(pool);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++)
		check_readable(handles[i], sizes[i]);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++)
		drop(handles[i], sizes[i]);
	zs_pool_check(pool);
	cr_assert_eq(nr_objects(), 0);
	cr_assert_eq(heap->pages.nr_charged[ZS_CHARGE_ZSPAGE], 0);
}

Test(pool, an_object_of_no_bytes_stops_the_program, .signal = SIGABRT)
{
	store(0);
}

Test(pool, an_object_that_is_too_large_stops_the_program, .signal = SIGABRT)
{
	store(ZS_OBJECT_MAX_BYTES + 1);
}

Test(pool, freeing_twice_stops_the_program, .signal = SIGABRT)
{
	struct zs_handle handle = store(100);

	store(100);
	drop(handle, 100);
	drop(handle, 100);
}

/* Writes an object of too many bytes. */
static void write_too_much(struct zs_handle handle)
{
	zs_obj_write(pool, handle, &(struct zs_object_info){.size = 3000, .codec = 3}, payload);
}

static void write_twice(struct zs_handle handle)
{
	zs_obj_write(pool, handle, &(struct zs_object_info){.size = 100, .codec = 3}, payload);
	zs_obj_write(pool, handle, &(struct zs_object_info){.size = 100, .codec = 3}, payload);
}

static void free_unwritten(struct zs_handle handle)
{
	struct zs_object_info info;

	zs_pool_free(pool, handle, &info);
}

/* What the program says when it is stopped by a mistake with this handle. */
static void read_last_words(void (*mistake)(struct zs_handle), struct zs_handle handle, char *text, size_t size)
{
	int ends[2], status;
	ssize_t length;
	pid_t child;

	cr_assert_eq(pipe(ends), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (!child) {
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], STDERR_FILENO);
		mistake(handle);
		_exit(0);
	}
	close(ends[1]);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	length = read(ends[0], text, size - 1);
	cr_assert_gt(length, 0);
	text[length] = 0;
	close(ends[0]);
}

Test(pool, a_mistake_with_a_handle_is_told_with_pool_and_handle)
{
	void (*mistakes[])(struct zs_handle) = {write_too_much, free_unwritten, write_twice};
	char text[1024], expected[64];
	struct zs_handle handle;

	cr_assert_eq(zs_pool_alloc(pool, 100, ZS_URGENCY_NEW, &handle), 0);
	snprintf(expected, sizeof(expected), "pool %u: handle %u", pool->number, handle.index);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(mistakes); i++) {
		read_last_words(mistakes[i], handle, text, sizeof(text));
		cr_assert_not_null(strstr(text, expected), "%s", text);
	}
}

Test(pool, destroying_a_pool_with_objects_stops_the_program, .signal = SIGABRT)
{
	store(100);
	zs_pool_destroy(pool);
}

Test(pool, a_zspage_is_filled_before_the_next_one_is_made)
{
	const struct zs_class_shape *shape;
	struct zs_pool_stats stats;

	shape = &heap->geometry->classes[zs_geometry_class(heap->geometry, 1000 + ZS_OBJECT_HEADER_BYTES)];
	for (unsigned int i = 0; i < shape->objects; i++)
		store(1000);
	zs_pool_stats(pool, &stats);
	cr_assert_eq(stats.pages, shape->pages);
	cr_assert_eq(stats.objects, stats.objects_total);
	store(1000);
	zs_pool_stats(pool, &stats);
	cr_assert_eq(stats.pages, 2 * shape->pages);
	zs_pool_check(pool);
}

Test(pool, what_is_freed_is_used_again)
{
	struct zs_handle handles[1000];
	uint64_t used;

	for (unsigned int i = 0; i < 1000; i++)
		handles[i] = store(500);
	used = heap->pages.nr_used;
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = round % 3; i < 1000; i += 3)
			drop(handles[i], 500);
		zs_pool_check(pool);
		for (unsigned int i = round % 3; i < 1000; i += 3)
			handles[i] = store(500);
		cr_assert_eq(heap->pages.nr_used, used);
	}
}

Test(pool, an_object_is_unreadable_before_it_is_written)
{
	struct zs_object object;
	struct zs_handle handle;

	cr_assert_eq(zs_pool_alloc(pool, 100, ZS_URGENCY_NEW, &handle), 0);
	cr_assert_eq(zs_obj_read_begin(pool, handle, &object), -EAGAIN);
	zs_obj_write(pool, handle, &(struct zs_object_info){.size = 100, .codec = 3, .dictionary = 2047}, payload);
	check_readable(handle, 100);
}

Test(pool, handles_of_nothing_are_refused)
{
	struct zs_handle freed = store(100);
	struct zs_object object;

	store(100);
	drop(freed, 100);
	cr_assert_eq(zs_obj_read_begin(pool, freed, &object), -EAGAIN);
	cr_assert_eq(zs_obj_read_begin(pool, ZS_NO_HANDLE, &object), -EBADMSG);
	cr_assert_eq(zs_obj_read_begin(pool, (struct zs_handle){UINT32_MAX}, &object), -EBADMSG);
	cr_assert_eq(zs_obj_cost(pool, freed), 0);
}

Test(pool, an_object_lives_until_its_last_reader_is_done)
{
	struct zs_handle handle = store(3000);
	struct zs_object first, second, third;

	cr_assert_eq(zs_obj_read_begin(pool, handle, &first), 0);
	cr_assert_eq(zs_obj_read_begin(pool, handle, &second), 0);
	drop(handle, 3000);
	cr_assert_eq(zs_obj_read_begin(pool, handle, &third), -EAGAIN);
	/* What is allocated now must not land in it. */
	for (unsigned int i = 0; i < 100; i++)
		store(3000);
	zs_obj_read_end(pool, &first);
	cr_assert_eq(memcmp(second.payload, payload, 3000), 0);
	cr_assert_eq(nr_objects(), 101);
	zs_obj_read_end(pool, &second);
	cr_assert_eq(nr_objects(), 100);
	zs_pool_check(pool);
}

Test(pool, cost_is_what_the_class_takes)
{
	struct zs_handle handle = store(1000);

	cr_assert_eq(zs_obj_cost(pool, handle), zs_pool_cost(1000));
	cr_assert_geq(zs_pool_cost(1000), 1000 + ZS_OBJECT_HEADER_BYTES);
}

Test(pool, at_the_limit_there_is_room_for_overwrites_only)
{
	struct zs_handle handle, last = ZS_NO_HANDLE;
	unsigned int nr = 0;
	int error;

	zs_heap_set_limit(heap, (uint64_t)2 << 20);
	while (!(error = zs_pool_alloc(pool, 2000, ZS_URGENCY_NEW, &handle))) {
		zs_obj_write(pool, handle, &(struct zs_object_info){.size = 2000, .codec = 3, .dictionary = 2047},
			     payload);
		last = handle;
		nr++;
	}
	cr_assert_eq(error, -ENOSPC);
	cr_assert_gt(nr, 900);
	zs_pool_check(pool);
	cr_assert_eq(zs_pool_alloc(pool, 2000, ZS_URGENCY_RESERVE, &handle), 0);
	zs_obj_write(pool, handle, &(struct zs_object_info){.size = 2000, .codec = 3}, payload);
	cr_assert_eq(zs_pool_alloc(pool, 65536, ZS_URGENCY_RESERVE, &handle), -ENOSPC);
	cr_assert_eq(zs_pool_alloc(pool, 65536, ZS_URGENCY_MUST, &handle), 0);
	zs_obj_write(pool, handle, &(struct zs_object_info){.size = 65536, .codec = 3}, payload);
	check_readable(last, 2000);
	zs_pool_check(pool);
}

Test(pool, the_nth_missing_allocation_is_an_error_and_loses_nothing)
{
	struct zs_handle handle, sound = store(100);
	uint64_t objects = nr_objects(), nth;
	int error;

	for (nth = 1;; nth++) {
		/* A class of its own, so that it has to make a zspage. */
		size_t size = 200 + nth * 1000;

		zs_fault_arm(nth);
		error = zs_pool_alloc(pool, size, ZS_URGENCY_NEW, &handle);
		zs_fault_arm(0);
		zs_pool_check(pool);
		if (!error)
			break;
		cr_assert_eq(error, -ENOMEM);
		cr_assert_eq(nr_objects(), objects);
		check_readable(sound, 100);
	}
	cr_assert_gt(nth, 1);
}

Test(pool, a_heap_that_can_not_be_made_is_an_error)
{
	struct zs_heap *other = NULL;
	uint64_t nth;

	for (nth = 1;; nth++) {
		int error;

		zs_fault_arm(nth);
		error = zs_heap_create(&arena, true, &other);
		zs_fault_arm(0);
		if (!error)
			break;
		cr_assert_eq(error, -ENOMEM);
		cr_assert_null(other);
	}
	cr_assert_geq(nth, 5);
	zs_heap_destroy(other);
}

Test(pool, what_is_adopted_after_a_restart_is_all_that_is_left)
{
	struct zs_handle kept[50], garbage[50], written_half;
	struct zs_object_info info;

	for (unsigned int i = 0; i < 50; i++) {
		kept[i] = store(100 + i * 50);
		garbage[i] = store(100 + i * 50);
	}
	cr_assert_eq(zs_pool_alloc(pool, 100, ZS_URGENCY_NEW, &written_half), 0);
	pool_drop();
	cr_assert_eq(zs_heap_create(&arena, false, &heap), 0);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
	for (unsigned int i = 0; i < 50; i++) {
		cr_assert_eq(zs_pool_adopt(pool, kept[i], 0, &info), 0);
		cr_assert_eq(info.size, 100 + i * 50);
		cr_assert_eq(zs_pool_adopt(pool, kept[i], 0, &info), -EEXIST);
	}
	cr_assert_eq(zs_pool_adopt(pool, written_half, 0, &info), -EBADMSG);
	cr_assert_eq(zs_pool_adopt(pool, ZS_NO_HANDLE, 0, &info), -EBADMSG);
	cr_assert_eq(zs_pool_adopt(pool, (struct zs_handle){UINT32_MAX}, 0, &info), -EBADMSG);
	zs_pool_rebuild_end(pool);
	zs_heap_rebuild_end(heap);
	zs_pool_check(pool);
	cr_assert_eq(nr_objects(), 50);
	for (unsigned int i = 0; i < 50; i++) {
		struct zs_object object;

		check_readable(kept[i], 100 + i * 50);
		cr_assert_eq(zs_obj_read_begin(pool, garbage[i], &object), -EAGAIN);
	}
	for (unsigned int i = 0; i < 50; i++)
		store(100 + i * 50);
	for (unsigned int i = 0; i < 50; i++)
		check_readable(kept[i], 100 + i * 50);
	zs_pool_check(pool);
}

/* Of the budget of 18 bytes a block, 8 are the slot's. */
Test(pool, a_handle_costs_little_more_than_its_word)
{
	struct zs_heap_stats stats;

	for (unsigned int i = 0; i < 20000; i++)
		store(1500);
	zs_heap_stats(heap, &stats);
	cr_assert_eq(stats.handles.objects, 20000);
	cr_assert_leq(stats.handle_pages * ZS_PAGE_SIZE, 20000 * 10);
	cr_assert_leq(stats.zspages.objects_total * stats.zspages.object_bytes, 20000 * 5);
}

/* An arena is read by whatever processor comes next, and what is in a backing file by other machines. */
Test(pool, checksums_do_not_depend_on_the_processor)
{
	static unsigned char data[5000];
	struct test_random random = {.state = 11};

	test_random_fill(&random, data, sizeof(data));
	for (size_t size = 1; size < sizeof(data) - 3; size++) {
		const unsigned char *from = data + size % 4;
		uint64_t expected = XXH3_64bits(from, size);

		cr_assert_eq(zs_object_hash(from, size), expected, "%zu bytes", size);
#ifdef __x86_64__
		if (__builtin_cpu_supports("avx2"))
			cr_assert_eq(zs_object_hash_avx2(from, size), expected, "%zu bytes, AVX2", size);
		if (__builtin_cpu_supports("avx512f"))
			cr_assert_eq(zs_object_hash_avx512(from, size), expected, "%zu bytes, AVX-512", size);
#endif
	}
}

Test(pool, the_table_of_classes_names_those_in_use)
{
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);
	unsigned int lines = 0;

	store(100);
	store(3000);
	zs_pool_dump(pool, stream);
	fclose(stream);
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	cr_assert_eq(lines, 3);
	free(text);
}

Test(pool, one_lock_for_all_classes_serves_the_same)
{
	struct zs_handle handles[600];
	struct zs_object_info info;
	struct zs_pool_stats stats;

	zs_pool_set_locking(pool, ZS_LOCKING_POOL);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(handles); i++)
		handles[i] = store(1 + i * 6);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(handles); i++) {
		struct zs_object object;

		if (i % 3) {
			zs_pool_free(pool, handles[i], &info);
			continue;
		}
		cr_assert_eq(zs_obj_read_begin(pool, handles[i], &object), 0);
		cr_assert_eq(zs_obj_verify(&object), 0);
		zs_obj_read_end(pool, &object);
	}
	zs_pool_compact(pool, UINT64_MAX);
	zs_pool_check(pool);
	zs_pool_stats(pool, &stats);
	cr_assert_eq(stats.objects, ZS_ARRAY_SIZE(handles) / 3);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(handles); i += 3)
		zs_pool_free(pool, handles[i], &info);
	zs_pool_check(pool);
}

/* What a damaged slot may name. */
Test(pool, hints_take_any_handle)
{
	static const uint32_t forged[] = {0, 1, 512, UINT32_MAX / 2, UINT32_MAX};

	store(100);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(forged); i++) {
		zs_handle_prefetch(pool, (struct zs_handle){forged[i]});
		zs_obj_prefetch(pool, (struct zs_handle){forged[i]});
		cr_assert_leq(zs_obj_cost(pool, (struct zs_handle){forged[i]}), zs_pool_cost(100));
	}
}

Test(pool, freeing_a_forged_handle_stops_the_program, .signal = SIGABRT)
{
	struct zs_object_info info;

	zs_pool_free(pool, (struct zs_handle){UINT32_MAX}, &info);
}
