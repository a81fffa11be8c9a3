/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects of crash_points.c. */

#include "model/crash_objects.h"

#include <pthread.h>

#include "base/check.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/objects.h"
#include "support/small_store.h"
#include "zsmalloc/pool_internal.h"

/* Blocks whose slots are a page of their own, the device's second. */
#define LATER_FIRST ZS_SLOTS_PER_PAGE
#define LATER_NR    20
/* A zspage of the class above that of raw blocks of 4 KiB has no more. */
#define LENDER_OBJECTS_MAX 64

static struct zs_handle handle_of(struct zs_device *device, uint64_t number)
{
	return zs_slot_handle(zs_table_load(&device->table, number));
}

static uint64_t word_of(struct zs_device *device, struct zs_handle handle)
{
	return atomic_load(heap_handle_word(device->store->heap, handle.index));
}

/* Objects that no slot names, until the class's zspages are full. */
static void fill_class(struct zs_device *device, size_t size)
{
	struct zs_location location;

	do {
		location = zs_handle_location(word_of(device, test_object_alloc(device->store, size)));
	} while (location.index + 1 < zs_geometry()->classes[location.class].objects);
}

/*
 * Puts the target's object into a zspage of its own, and leaves room for it in the one where it was. What lies there is
 * of another content, so that each store of a copy can be seen.
 */
static void spread(struct zs_device *device, struct zs_stream *stream, uint64_t target)
{
	static char block[ZS_BLOCK_MAX_BYTES], zeros[ZS_BLOCK_MAX_BYTES];
	size_t size = device->block_size, done;
	struct zs_object object;
	struct zs_object_info info = {.codec = ZS_CODEC_RAW};
	struct zs_handle filler;

	zs_assert(!zs_obj_read_begin(device->pool, handle_of(device, target), &object));
	info.size = object.info.size;
	zs_obj_read_end(device->pool, &object);
	fill_class(device, info.size);
	zs_assert(!zs_device_read(device, stream, target * size, block, size));
	zs_assert(!zs_device_discard(device, stream, target * size, size));
	filler = test_object_alloc(device->store, info.size);
	zs_obj_write(device->pool, filler, &info, zeros);
	zs_assert(!zs_device_write(device, stream, target * size, block, size, &done));
	zs_pool_free(device->pool, filler, &info);
}

/*
 * No room for size bytes in their class, and two zspages of the next one with an object each, which no slot names.
 */
static void make_lender(struct zs_device *device, size_t size)
{
	static char zeros[ZS_BLOCK_MAX_BYTES];
	unsigned int class = zs_geometry_class(zs_geometry(), size + ZS_OBJECT_HEADER_BYTES) + 1;
	const struct zs_class_shape *shape = &zs_geometry()->classes[class];
	struct zs_object_info info = {.size = shape->size - ZS_OBJECT_HEADER_BYTES}, freed;
	struct zs_handle handles[2 * LENDER_OBJECTS_MAX];

	zs_assert(shape->objects <= LENDER_OBJECTS_MAX);
	fill_class(device, size);
	for (unsigned int i = 0; i < 2u * shape->objects; i++) {
		handles[i] = test_object_alloc(device->store, info.size);
		zs_obj_write(device->pool, handles[i], &info, zeros);
	}
	for (unsigned int i = 0; i < 2u * shape->objects; i++) {
		if (i % shape->objects)
			zs_pool_free(device->pool, handles[i], &freed);
	}
}

/* Room of the target's class that the thread keeps: what the target had before it was written once more. */
static void make_kept(struct zs_device *device, struct zs_stream *stream, uint64_t target)
{
	static char block[ZS_BLOCK_MAX_BYTES];
	size_t size = device->block_size, done;

	test_keep_of_few(true);
	fill_class(device, size);
	zs_assert(!zs_device_read(device, stream, target * size, block, size));
	/* The first one is given back, since that is where it is decided that the next one may be kept. */
	for (unsigned int i = 0; i < 2; i++)
		zs_assert(!zs_device_write(device, stream, target * size, block, size, &done));
}

/* Things wait, as with the maintenance thread, but nobody frees them: that would be between the steps. */
static void defer_without_thread(struct zs_deferred *deferred)
{
	zs_assert(!zs_store_start_maintenance(deferred->store));
	pthread_mutex_lock(&deferred->mutex);
	atomic_store(&deferred->running, false);
	pthread_cond_signal(&deferred->wake);
	pthread_mutex_unlock(&deferred->mutex);
	pthread_join(deferred->thread, NULL);
	atomic_store(&deferred->running, true);
}

static void write_later(struct zs_device *device, struct zs_stream *stream, const char *text)
{
	size_t size = device->block_size, done;

	for (unsigned int i = 0; i < LATER_NR; i++)
		zs_assert(!zs_device_write(device, stream, (LATER_FIRST + i) * size, text, size, &done));
}

void crash_objects_begin(const struct scenario *scenario, struct zs_device *device, struct zs_stream *stream,
			 uint64_t target, const char *text)
{
	switch (scenario->operation) {
	case OPERATION_COMPACT:
		if (scenario->old_data == TEST_DATA_FILL)
			test_objects_fragment(device->store, sizeof(uint64_t));
		else
			spread(device, stream, target);
		break;
	case OPERATION_WRITE_LENT:
		make_lender(device, device->block_size);
		break;
	case OPERATION_WRITE_KEPT:
		make_kept(device, stream, target);
		break;
	case OPERATION_DISCARD_LATER:
	case OPERATION_REMOVE_LATER:
		write_later(device, stream, text);
		defer_without_thread(&device->store->deferred);
		break;
	default:
		break;
	}
}

void crash_objects_write_lent(struct zs_device *device, struct zs_stream *stream, uint64_t target, const char *data)
{
	size_t size = device->block_size, done;
	struct zs_location location;

	zs_assert(!zs_device_write(device, stream, target * size, data, size, &done));
	location = zs_handle_location(word_of(device, handle_of(device, target)));
	zs_assert(location.class > zs_geometry_class(zs_geometry(), size + ZS_OBJECT_HEADER_BYTES));
}

void crash_objects_write_kept(struct zs_device *device, struct zs_stream *stream, uint64_t target, const char *data)
{
	size_t size = device->block_size, done;
	struct zs_location old = zs_handle_location(word_of(device, handle_of(device, target)));
	const void *kept = pool_next(device->pool, old.class);
	struct zs_location new;

	zs_assert(pool_count_kept(device->pool, old.class, NULL) == 1);
	zs_assert(!zs_device_write(device, stream, target * size, data, size, &done));
	new = zs_handle_location(word_of(device, handle_of(device, target)));
	zs_assert(heap_object(device->store->heap, new) == kept);
	zs_assert(pool_next(device->pool, old.class) == heap_object(device->store->heap, old));
}

void crash_objects_compact(struct zs_store *store, struct zs_device *device, uint64_t target)
{
	uint64_t before = word_of(device, handle_of(device, target));

	zs_assert(zs_store_compact(store, UINT64_MAX));
	zs_assert_msg(word_of(device, handle_of(device, target)) != before, "the object of the target was not moved");
}

void crash_objects_flush(const struct scenario *scenario, struct zs_device *device, struct zs_stream *stream)
{
	uint64_t size = device->block_size;

	if (scenario->operation != OPERATION_DISCARD_LATER)
		return;
	zs_assert(!zs_device_discard(device, stream, LATER_FIRST * size, ZS_SLOTS_PER_PAGE * size));
	zs_assert(atomic_load(&device->store->deferred.pending) == 1 + LATER_NR);
	zs_assert(zs_deferred_flush(&device->store->deferred));
}

void crash_objects_write_too_early(struct zs_store *store, struct zs_device *device, uint64_t target, const char *data)
{
	struct zs_object_info info = {.size = device->block_size, .codec = ZS_CODEC_RAW}, freed;
	struct zs_handle handle = test_object_alloc(store, info.size);
	uint64_t old = zs_table_exchange(&device->table, target, zs_slot_object(handle, ZS_SLOT_INCOMPRESSIBLE));

	zs_obj_write(zs_store_pool(store), handle, &info, data);
	zs_pool_free(zs_store_pool(store), zs_slot_handle(old), &freed);
}

void crash_objects_free_too_early(struct zs_store *store, struct zs_device *device, uint64_t target, const char *data)
{
	struct zs_object_info info = {.size = device->block_size, .codec = ZS_CODEC_RAW}, freed;
	struct zs_handle handle = test_object_alloc(store, info.size);

	zs_obj_write(zs_store_pool(store), handle, &info, data);
	zs_pool_free(zs_store_pool(store), handle_of(device, target), &freed);
	zs_table_exchange(&device->table, target, zs_slot_object(handle, ZS_SLOT_INCOMPRESSIBLE));
}
