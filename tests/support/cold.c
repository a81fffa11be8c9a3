/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A backing file and who uses it. */

#include "support/cold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "support/random.h"
#include "support/small_store.h"
#include "zsmalloc/object.h"

static _Alignas(4096) char buffer[(size_t)1 << 19];

/*
 * life
 */

struct test_cold *test_cold_create(uint64_t file_bytes)
{
	struct test_cold *cold = calloc(1, sizeof(*cold));
	const char *directory = getenv("TMPDIR") ?: "/tmp";
	struct zs_arena_options options;
	int fd;

	zs_assert(cold);
	cold->now_ns = 1;
	snprintf(cold->path, sizeof(cold->path), "%s/zsd-cold.XXXXXX", directory);
	fd = mkstemp(cold->path);
	zs_assert(fd >= 0 && !ftruncate(fd, (off_t)file_bytes));
	close(fd);
	test_arena_options(&options);
	zs_assert(!zs_arena_create(&cold->arena, &options));
	cold->options.path = cold->path;
	cold->options.segment_bytes = ZS_SEGMENT_MIN_BYTES;
	return cold;
}

void test_cold_destroy(struct test_cold *cold)
{
	test_cold_close(cold);
	zs_arena_close(&cold->arena);
	unlink(cold->path);
	free(cold);
}

/* As writeback has it: an object is in the file from here on, unless it is gone meanwhile. */
static void note_done(void *context, void *cookie, const struct zs_place *place, int error)
{
	struct test_cold *cold = context;
	struct test_cold_object *object = cookie;

	zs_assert(object->is_pending && !object->place.units);
	object->is_pending = false;
	cold->nr_done++;
	if (error) {
		cold->nr_failed++;
		cold->last_error = error;
		return;
	}
	if (object->is_used)
		object->place = *place;
	else
		zs_backing_free(cold->backing, place);
}

/* What the fail_at-th write has answered. */
static int fake_write(void *context, int result)
{
	struct test_cold *cold = context;

	if (cold->late && --cold->late)
		return -EINPROGRESS;
	cold->nr_writes++;
	if (!cold->fail_at || cold->nr_writes < cold->fail_at || cold->nr_writes > cold->fail_at + cold->fail_more)
		return result;
	if (cold->fault != -EINPROGRESS)
		return cold->fault;
	cold->nr_writes--;
	cold->fail_at = 0;
	cold->late = 20;
	return -EINPROGRESS;
}

static ssize_t fake_read(void *context, int fd, void *to, size_t size, uint64_t offset)
{
	const struct test_cold *cold = context;

	return cold->fails_reads ? -EIO : pread(fd, to, size, (off_t)offset);
}

static uint64_t fake_now(void *context)
{
	return ((const struct test_cold *)context)->now_ns;
}

int test_cold_open(struct test_cold *cold)
{
	int error = zs_backing_open(&cold->arena, &cold->options, NULL, &cold->backing);

	if (error)
		return error;
	zs_backing_set_done(cold->backing, note_done, cold);
	cold->faults = (struct zs_backing_faults){fake_write, fake_read, fake_now, cold};
	zs_backing_set_faults(cold->backing, &cold->faults);
	for (unsigned int i = 1; i < TEST_COLD_HANDLES; i++) {
		if (cold->objects[i].place.units)
			zs_assert(!zs_backing_adopt(cold->backing, &cold->objects[i].place));
	}
	zs_backing_adopt_end(cold->backing);
	return 0;
}

void test_cold_close(struct test_cold *cold)
{
	if (cold->backing)
		zs_backing_close(cold->backing);
	cold->backing = NULL;
}

void test_cold_reopen(struct test_cold *cold)
{
	struct zs_arena arena;
	int error, copy = test_arena_copy(cold->arena.fd);

	/*
	 * The copy is the arena as the killed process left it: its last segments are still open. What is in flight gets
	 * into the file, and nobody is told.
	 */
	for (unsigned int i = 1; i < TEST_COLD_HANDLES; i++)
		cold->objects[i].is_used &= !cold->objects[i].is_pending;
	test_cold_close(cold);
	zs_assert(!zs_arena_open(&arena, copy));
	close(copy);
	zs_arena_close(&cold->arena);
	cold->arena = arena;
	error = test_cold_open(cold);
	zs_assert_msg(!error, "%s: %d", cold->path, error);
}

/*
 * objects
 */

static struct zs_record make_record(const struct test_cold *cold, uint32_t handle)
{
	const struct test_cold_object *object = &cold->objects[handle];
	struct zs_object_info info = {.size = object->size, .codec = 1, .dictionary = 7};
	struct test_random random = {object->seed};
	static char payload[65536];

	test_random_fill(&random, payload, object->size);
	return (struct zs_record){
		.handle = {handle},
		.meta = zs_object_meta(&info),
		.checksum = zs_object_checksum(zs_object_meta(&info), payload),
		.device_id = object->seed >> 8,
		.block = (uint32_t)object->seed,
		.payload = payload,
	};
}

int test_cold_append(struct test_cold *cold, uint32_t handle, uint32_t size)
{
	static uint64_t last_seed;
	struct test_cold_object *object = &cold->objects[handle];
	struct zs_record record;
	int error;

	zs_assert(!object->is_used && !object->is_pending);
	*object = (struct test_cold_object){.is_used = true, .is_pending = true, .size = size};
	object->seed = ++last_seed * UINT64_C(0x9e3779b97f4a7c15);
	record = make_record(cold, handle);
	error = zs_backing_append(cold->backing, &record, object);
	if (error)
		*object = (struct test_cold_object){0};
	return error;
}

void test_cold_flush(struct test_cold *cold)
{
	zs_backing_submit(cold->backing);
	zs_backing_reap(cold->backing, true);
	zs_assert(!zs_backing_pending(cold->backing));
}

void test_cold_free(struct test_cold *cold, uint32_t handle)
{
	struct test_cold_object *object = &cold->objects[handle];

	zs_assert(object->is_used);
	object->is_used = false;
	if (object->place.units)
		zs_backing_free(cold->backing, &object->place);
	object->place = (struct zs_place){0};
}

int test_cold_read(struct test_cold *cold, uint32_t handle)
{
	const struct test_cold_object *object = &cold->objects[handle];
	struct zs_record expected = make_record(cold, handle), record;
	int error = zs_backing_read(cold->backing, &object->place, buffer, ZS_BACKING_READ_BYTES, &record);

	if (error)
		return error;
	zs_assert(record.handle.index == handle && record.meta == expected.meta);
	zs_assert(record.checksum == expected.checksum && record.block == expected.block);
	zs_assert(record.device_id == expected.device_id);
	zs_assert(!memcmp(record.payload, expected.payload, object->size));
	return 0;
}

void test_cold_check(struct test_cold *cold)
{
	uint64_t live = 0;

	for (uint32_t i = 1; i < TEST_COLD_HANDLES; i++) {
		if (!cold->objects[i].place.units)
			continue;
		zs_assert(!test_cold_read(cold, i));
		live++;
	}
	zs_backing_check(cold->backing);
	zs_assert(test_cold_stats(cold).live_records == live + zs_backing_pending(cold->backing));
}

/*
 * collection
 */

static bool is_live(void *context, struct zs_handle handle, const struct zs_place *place)
{
	const struct test_cold *cold = context;

	return handle.index < TEST_COLD_HANDLES && cold->objects[handle.index].place.units == place->units &&
	       cold->objects[handle.index].place.unit == place->unit;
}

static bool relocate(void *context, struct zs_handle handle, const struct zs_place *from, const struct zs_place *to)
{
	struct test_cold *cold = context;

	if (!is_live(context, handle, from) || cold->objects[handle.index].is_pinned)
		return false;
	cold->objects[handle.index].place = *to;
	return true;
}

static bool restore(void *context, const struct zs_record *record, const struct zs_place *from)
{
	struct test_cold *cold = context;
	struct test_cold_object *object = &cold->objects[record->handle.index];
	struct zs_record expected;

	if (object->is_pinned)
		return false;
	zs_assert(is_live(context, record->handle, from));
	expected = make_record(cold, record->handle.index);
	zs_assert(record->meta == expected.meta && !memcmp(record->payload, expected.payload, object->size));
	object->place = (struct zs_place){0};
	cold->nr_restored++;
	return true;
}

int test_cold_collect(struct test_cold *cold, unsigned int percent, unsigned int nr_segments)
{
	const struct zs_backing_mover mover = {
		.is_live = is_live, .relocate = relocate, .restore = restore, .context = cold};

	return zs_backing_collect(cold->backing, &mover, percent, nr_segments);
}

struct zs_backing_stats test_cold_stats(struct test_cold *cold)
{
	struct zs_backing_stats stats;

	zs_backing_stats(cold->backing, &stats);
	return stats;
}
