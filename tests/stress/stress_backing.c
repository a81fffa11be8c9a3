/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readers and freeing threads against the cold thread, which appends, collects, punches, and asks for the state of all.
 * A lock for each object stands for the pin of its handle.
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "store/backing.h"
#include "support/options.h"
#include "support/small_store.h"
#include "support/threads.h"
#include "zsmalloc/object.h"

#define DEFAULT_SECONDS 4
#define NR_OBJECTS	1000
#define FILE_SEGMENTS	24

struct object {
	pthread_mutex_t lock;
	struct zs_place place; /* guarded by lock, as all below; units 0: not in the file */
	bool is_pending;
	uint32_t size;
	uint64_t seed;
};

struct world {
	struct zs_arena arena;
	struct zs_backing *backing;
	struct object objects[NR_OBJECTS + 1];
	uint64_t seed; /* the cold thread's, as the next three */
	uint64_t nr_full;
	uint64_t nr_moved;
	struct zs_backing_mover mover;
};

static struct object *random_object(struct test_thread *thread, uint32_t *ret_handle)
{
	struct world *world = thread->context;

	*ret_handle = 1 + (uint32_t)test_random_below(&thread->random, NR_OBJECTS);
	return &world->objects[*ret_handle];
}

/* Under its lock. */
static struct zs_record make_record(const struct object *object, uint32_t handle, char *payload)
{
	struct zs_object_info info = {.size = object->size, .codec = 1};
	struct test_random random = {object->seed};

	test_random_fill(&random, payload, object->size);
	return (struct zs_record){
		.handle = {handle},
		.meta = zs_object_meta(&info),
		.checksum = zs_object_checksum(zs_object_meta(&info), payload),
		.device_id = object->seed,
		.payload = payload,
	};
}

/*
 * readers, and those who free
 */

static void begin_read(struct test_thread *thread)
{
	thread->local = aligned_alloc(ZS_PAGE_SIZE, ZS_BACKING_READ_BYTES + ZS_PAGE_SIZE);
	zs_assert(thread->local);
}

static void read_one(struct test_thread *thread)
{
	struct world *world = thread->context;
	char *expected = (char *)thread->local + ZS_BACKING_READ_BYTES;
	struct zs_record record, wanted;
	struct object *object;
	uint32_t handle;

	object = random_object(thread, &handle);
	pthread_mutex_lock(&object->lock);
	if (object->place.units) {
		zs_assert(!zs_backing_read(world->backing, &object->place, thread->local, ZS_BACKING_READ_BYTES,
					   &record));
		wanted = make_record(object, handle, expected);
		zs_assert(record.handle.index == handle && record.device_id == object->seed);
		zs_assert(record.meta == wanted.meta && !memcmp(record.payload, wanted.payload, object->size));
	}
	pthread_mutex_unlock(&object->lock);
}

static void end_read(struct test_thread *thread)
{
	free(thread->local);
}

static void free_one(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct zs_backing_stats stats;
	struct object *object;
	uint32_t handle;

	object = random_object(thread, &handle);
	pthread_mutex_lock(&object->lock);
	if (object->place.units)
		zs_backing_free(world->backing, &object->place);
	object->place = (struct zs_place){0};
	pthread_mutex_unlock(&object->lock);
	zs_backing_stats(world->backing, &stats);
	zs_assert(stats.live_bytes <= stats.size_bytes);
	usleep(100);
}

/*
 * the cold thread
 */

static void note_done(void *context, void *cookie, const struct zs_place *place, int error)
{
	struct object *object = cookie;

	zs_assert(!error);
	pthread_mutex_lock(&object->lock);
	object->is_pending = false;
	object->place = *place;
	pthread_mutex_unlock(&object->lock);
}

static bool is_at(struct object *object, const struct zs_place *place)
{
	return object->place.unit == place->unit && object->place.units == place->units;
}

static bool is_live(void *context, struct zs_handle handle, const struct zs_place *place)
{
	struct world *world = context;
	struct object *object = &world->objects[handle.index];
	bool live;

	pthread_mutex_lock(&object->lock);
	live = is_at(object, place);
	pthread_mutex_unlock(&object->lock);
	return live;
}

/* Whoever reads it has it pinned. */
static bool relocate(void *context, struct zs_handle handle, const struct zs_place *from, const struct zs_place *to)
{
	struct world *world = context;
	struct object *object = &world->objects[handle.index];
	bool done;

	if (pthread_mutex_trylock(&object->lock))
		return false;
	done = is_at(object, from);
	if (done)
		object->place = *to;
	pthread_mutex_unlock(&object->lock);
	world->nr_moved += done;
	return done;
}

static void append_one(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct object *object;
	static char payload[4096];
	struct zs_record record;
	uint32_t handle;

	object = random_object(thread, &handle);
	pthread_mutex_lock(&object->lock);
	if (object->is_pending || object->place.units) {
		pthread_mutex_unlock(&object->lock);
		return;
	}
	object->size = 1 + (uint32_t)test_random_below(&thread->random, sizeof(payload) - 1);
	object->seed = ++world->seed;
	object->is_pending = true;
	record = make_record(object, handle, payload);
	pthread_mutex_unlock(&object->lock);
	if (!zs_backing_append(world->backing, &record, object))
		return;
	world->nr_full++;
	pthread_mutex_lock(&object->lock);
	object->is_pending = false;
	pthread_mutex_unlock(&object->lock);
}

static void be_cold(struct test_thread *thread)
{
	struct world *world = thread->context;
	uint64_t what = test_random_below(&thread->random, 2000);

	if (what < 20)
		zs_backing_submit(world->backing);
	else if (what < 40)
		zs_backing_reap(world->backing, false);
	else if (what < 45)
		zs_backing_collect(world->backing, &world->mover, 30, 3);
	else if (what == 45)
		zs_backing_punch(world->backing);
	else
		append_one(thread);
}

static const struct test_thread_role roles[] = {
	{"reading", 2, begin_read, read_one, end_read},
	{"freeing", 1, NULL, free_one, NULL},
	{"cold", 1, NULL, be_cold, NULL},
};

int main(int argc, char **argv)
{
	struct test_options options = {.seconds = DEFAULT_SECONDS};
	struct zs_arena_options arena_options;
	static struct world world;
	char path[128];
	struct zs_backing_options backing_options = {.path = path,
						     .size_bytes = (uint64_t)FILE_SEGMENTS * ZS_SEGMENT_MIN_BYTES,
						     .segment_bytes = ZS_SEGMENT_MIN_BYTES};

	test_options_parse(&options, argc, argv);
	snprintf(path, sizeof(path), "%s/zsd-backing.XXXXXX", getenv("TMPDIR") ?: "/tmp");
	close(mkstemp(path));
	for (unsigned int i = 0; i <= NR_OBJECTS; i++)
		pthread_mutex_init(&world.objects[i].lock, NULL);
	test_arena_options(&arena_options);
	zs_assert(!zs_arena_create(&world.arena, &arena_options));
	zs_assert(!zs_backing_open(&world.arena, &backing_options, NULL, &world.backing));
	unlink(path);
	zs_backing_adopt_end(world.backing);
	zs_backing_set_done(world.backing, note_done, &world);
	world.mover = (struct zs_backing_mover){.is_live = is_live, .relocate = relocate, .context = &world};
	test_threads_run(roles, ZS_ARRAY_SIZE(roles), options.seed, options.seconds, &world);
	zs_backing_submit(world.backing);
	zs_backing_reap(world.backing, true);
	zs_backing_check(world.backing);
	printf("%" PRIu64 " appended, %" PRIu64 " moved, %" PRIu64 " times full\n", world.seed, world.nr_moved,
	       world.nr_full);
	zs_assert(world.nr_moved);
	zs_backing_close(world.backing);
	zs_arena_close(&world.arena);
	return 0;
}
