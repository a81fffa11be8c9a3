/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The size classes and the shared caches in numbers. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/stream.h"
#include "store/device.h"
#include "support/data.h"
#include "support/small_store.h"
#include "zsmalloc/pool_internal.h"
#include "zsmalloc/report.h"

#define SIZE 100

static struct zs_arena arena;
static struct zs_heap *heap;
static struct zs_pool *pool;
static struct zs_class_stats classes[ZS_CLASSES_MAX];
static unsigned int nr_classes;

static void report_create(void)
{
	struct zs_arena_options options;

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_eq(zs_heap_create(&arena, true, &heap), 0);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
}

static void report_destroy(void)
{
	zs_pool_check(pool);
	zs_pool_abandon(pool);
	zs_heap_destroy(heap);
	zs_arena_close(&arena);
}

TestSuite(report, .init = report_create, .fini = report_destroy);

static unsigned int class_of(size_t size)
{
	return zs_geometry_class(heap->geometry, size + ZS_OBJECT_HEADER_BYTES);
}

static struct zs_handle store(size_t size)
{
	static const char payload[ZS_OBJECT_MAX_BYTES];
	struct zs_object_info info = {.size = (uint32_t)size};
	struct zs_handle handle = ZS_NO_HANDLE;

	cr_assert_eq(zs_pool_alloc(pool, size, ZS_URGENCY_NEW, &handle), 0);
	zs_obj_write(pool, handle, &info, payload);
	return handle;
}

static void drop(struct zs_handle handle)
{
	struct zs_object_info info;

	zs_pool_free(pool, handle, &info);
	cr_assert(info.size);
}

static void look(void)
{
	nr_classes = zs_classes_init(classes);
	zs_pool_add_classes(pool, classes);
}

/* What holds for each row, and that the others have nothing. */
static void check_rows(unsigned int used)
{
	for (unsigned int i = 0; i < nr_classes; i++) {
		const struct zs_class_shape *shape = &heap->geometry->classes[i];
		uint64_t zspages = 0;

		for (unsigned int group = 0; group < ZS_FULLNESS_NR; group++)
			zspages += classes[i].groups[group];
		cr_assert_eq(classes[i].zspages, zspages);
		cr_assert_eq(classes[i].objects_total, zspages * shape->objects);
		cr_assert(classes[i].index == i && classes[i].size == shape->size &&
			  classes[i].pages_per_zspage == shape->pages);
		cr_assert_eq(classes[i].objects_per_zspage, shape->objects);
		cr_assert(i == used || (!zspages && !classes[i].objects && !classes[i].freeable_pages));
	}
}

Test(report, an_empty_pool_has_all_classes_and_nothing_in_them)
{
	look();
	cr_assert_eq(nr_classes, heap->geometry->nr_classes);
	check_rows(ZS_CLASSES_MAX);
}

/* Three full zspages; of the first one all but one object go, and of the second one half. */
Test(report, a_class_is_counted_object_by_object)
{
	const struct zs_class_stats *class = &classes[class_of(SIZE)];
	unsigned int objects = heap->geometry->classes[class_of(SIZE)].objects;
	struct zs_handle *handles = calloc(3 * objects, sizeof(*handles));

	cr_assert_geq(objects, 20);
	for (unsigned int i = 0; i < 3 * objects; i++)
		handles[i] = store(SIZE);
	look();
	check_rows(class_of(SIZE));
	cr_assert(class->zspages == 3 && class->groups[ZS_FULLNESS_FULL] == 3);
	cr_assert(class->objects == 3 * objects && !class->freeable_pages);

	for (unsigned int i = 1; i < objects; i++)
		drop(handles[i]);
	for (unsigned int i = 0; i < objects / 2; i++)
		drop(handles[objects + i]);
	look();
	check_rows(class_of(SIZE));
	cr_assert_eq(class->objects, 1 + (objects - objects / 2) + objects);
	cr_assert_eq(class->groups[1], 1);
	cr_assert_eq(class->groups[(objects - objects / 2) * 10 / objects + 1], 1);
	cr_assert_eq(class->groups[ZS_FULLNESS_FULL], 1);
	cr_assert_eq(class->freeable_pages, class->pages_per_zspage);

	cr_assert_eq(zs_pool_compact(pool, UINT64_MAX), class->pages_per_zspage);
	look();
	check_rows(class_of(SIZE));
	cr_assert(class->zspages == 2 && !class->groups[1] && !class->freeable_pages);
	cr_assert_eq(class->objects, 1 + (objects - objects / 2) + objects);

	drop(handles[0]);
	for (unsigned int i = objects + objects / 2; i < 3 * objects; i++)
		drop(handles[i]);
	look();
	check_rows(ZS_CLASSES_MAX);
	free(handles);
}

Test(report, rows_sum_up_to_the_statistics_of_the_pool)
{
	struct test_random random = {.state = 5};
	struct zs_handle handles[2000];
	struct zs_pool_stats stats;

	for (unsigned int i = 0; i < 2000; i++)
		handles[i] = store(1 + test_random_below(&random, 4096));
	for (unsigned int i = 0; i < 2000; i += 1 + i % 3)
		drop(handles[i]);
	look();
	zs_pool_stats(pool, &stats);
	cr_assert(stats.objects && stats.freeable_pages);
	for (unsigned int i = 0; i < nr_classes; i++) {
		stats.objects -= classes[i].objects;
		stats.objects_total -= classes[i].objects_total;
		stats.pages -= classes[i].zspages * classes[i].pages_per_zspage;
		stats.freeable_pages -= classes[i].freeable_pages;
	}
	cr_assert(!stats.objects && !stats.objects_total && !stats.pages && !stats.freeable_pages);
}

static void *store_one(void *argument)
{
	drop(store(SIZE));
	return NULL;
}

/* Where a thread had to wait is where it is counted. */
Test(report, a_wait_is_counted_for_its_class)
{
	unsigned int used = class_of(SIZE), rounds = 0;
	struct zs_pool_stats stats;
	pthread_t thread;

	do {
		cr_assert(rounds++ < 100, "nobody ever waited");
		zs_lock(&pool->classes[used].lock);
		cr_assert_eq(pthread_create(&thread, NULL, store_one, NULL), 0);
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		zs_unlock(&pool->classes[used].lock);
		cr_assert_eq(pthread_join(thread, NULL), 0);
		look();
	} while (!classes[used].lock_waits);
	cr_assert(classes[used].lock_wait_ns);
	zs_pool_stats(pool, &stats);
	cr_assert_eq(stats.lock_waits, classes[used].lock_waits);
	cr_assert_eq(stats.lock_wait_ns, classes[used].lock_wait_ns);
	for (unsigned int i = 0; i < nr_classes; i++)
		cr_assert(i == used || (!classes[i].lock_waits && !classes[i].lock_wait_ns));
}

static void check_cache(const struct zs_cache_stats *cache, uint64_t objects, uint64_t at_hand, uint64_t pages)
{
	cr_assert_eq(cache->objects, objects, "%s: %lu objects", cache->name, cache->objects);
	cr_assert_eq(cache->magazine_objects, at_hand, "%s: %lu at hand", cache->name, cache->magazine_objects);
	cr_assert_eq(cache->pages, pages, "%s: %lu pages", cache->name, cache->pages);
	cr_assert_eq(cache->objects_total, pages * (ZS_PAGE_SIZE / cache->object_bytes));
}

/* A magazine takes half of what it holds when it is empty, and gives half back when it is full. */
Test(report, caches_are_counted_object_by_object)
{
	const unsigned int half = ZS_MAGAZINE_OBJECTS / 2, nr = 2 * half + 1;
	struct zs_handle handles[ZS_MAGAZINE_OBJECTS + 1];
	struct zs_heap_stats stats;

	zs_heap_stats(heap, &stats);
	check_cache(&stats.handles, 0, 0, 0);
	check_cache(&stats.zspages, 0, 0, 0);
	cr_assert_eq(strcmp(stats.handles.name, "handle"), 0);
	cr_assert_eq(strcmp(stats.zspages.name, "zspage"), 0);
	cr_assert_eq(stats.handles.object_bytes, sizeof(uint64_t));
	cr_assert_eq(stats.zspages.object_bytes, sizeof(struct zspage));

	cr_assert_geq(heap->geometry->classes[class_of(SIZE)].objects, nr);
	for (unsigned int i = 0; i < nr; i++)
		handles[i] = store(SIZE);
	zs_heap_stats(heap, &stats);
	check_cache(&stats.handles, nr, half - 1, 1);
	check_cache(&stats.zspages, 1, half - 1, 1);

	for (unsigned int i = 0; i < nr; i++)
		drop(handles[i]);
	zs_heap_stats(heap, &stats);
	check_cache(&stats.handles, 0, 2 * half, 1);
	check_cache(&stats.zspages, 0, half, 1);

	zs_slab_flush(&heap->handles);
	zs_heap_stats(heap, &stats);
	check_cache(&stats.handles, 0, 0, 1);
	cr_assert(!stats.handles.lock_waits && !stats.handles.lock_wait_ns);
}

static void fill_device(struct zs_store *new_store, struct zs_stream *stream)
{
	static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};
	uint64_t id = test_device_add(new_store, "disk", 4 << 20, 4096, lz4);
	struct zs_device *device = zs_device_get(new_store, id, stream);
	struct test_random random = {.state = 9};
	char block[4096];
	size_t done;

	for (unsigned int i = 0; i < 1024; i++) {
		test_data_make(i % 2 ? TEST_DATA_TEXT : TEST_DATA_NOISE, &random, block, sizeof(block));
		cr_assert_eq(zs_device_write(device, stream, i * sizeof(block), block, sizeof(block), &done), 0);
	}
	for (unsigned int i = 0; i < 1024; i += 1 + i % 3)
		cr_assert_eq(zs_device_discard(device, stream, i * sizeof(block), sizeof(block)), 0);
	zs_device_put(device, stream);
}

Test(report, a_rebuilt_pool_has_the_same_rows)
{
	struct zs_store *first = test_store_create(0), *second;
	struct zs_store_options options = {0};
	struct zs_class_stats rebuilt[ZS_CLASSES_MAX];
	struct zs_stream *stream;
	int fd = dup(zs_store_fd(first));

	cr_assert_eq(zs_stream_create(0, &stream), 0);
	fill_device(first, stream);
	nr_classes = zs_store_classes(first, classes);
	zs_store_close(first);
	cr_assert_eq(zs_store_open(fd, &options, &second), 0);
	close(fd);
	cr_assert_eq(zs_store_classes(second, rebuilt), nr_classes);
	for (unsigned int i = 0; i < nr_classes; i++)
		cr_assert_eq(memcmp(&classes[i], &rebuilt[i], sizeof(rebuilt[i])), 0, "class %u", i);
	zs_store_close(second);
	zs_stream_destroy(stream);
}
