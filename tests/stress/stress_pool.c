/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many threads on one pool, in the way in which the store uses it: a table of atomic slots holds handles; writers
 * replace a slot's object and free the old one; readers load a slot, pin, look again, and compare all bytes. Others
 * compact, evict objects to a backing file, read them back, move them within it, and migrate pages between the nodes of
 * a machine that is made up, first with one node, then with several. One more thread moves the limit up and down, so
 * that allocations fail now and then.
 *
 * The backing file is memory here, and is overwritten as soon as a place is free: whoever reads it then is found out.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "support/options.h"
#include "support/small_store.h"
#include "support/threads.h"
#include "zsmalloc/account.h"
#include "zsmalloc/pool.h"
#include "zsmalloc/pool_internal.h"
#include "zsmalloc/report.h"

#define NR_SLOTS	4096
#define NR_PLACES	2048
#define NR_NODES	3
#define NR_OWNERS	4
#define COMMON_BYTES	1000
#define DEFAULT_SECONDS 8

/* A place of the backing file; its unit is the index. */
struct record {
	_Atomic unsigned int users; /* the object, and who copies it without a pin; 0 = free */
	struct zs_object_info info;
	uint32_t checksum;
	char *payload;
};

struct world {
	struct zs_arena arena;
	struct zs_heap *heap;
	struct zs_pool *pool;
	unsigned int nr_nodes;		  /* 1 or NR_NODES: objects are charged in different ways */
	_Atomic uint32_t slots[NR_SLOTS]; /* handle, 0 = none */
	_Atomic uint64_t version;
	_Atomic uint64_t refused;
	struct record records[NR_PLACES];
	_Atomic uint64_t evicted, restored, relocated, raced, migrated, kept;
};

/* What every object begins with; the rest is the version's low byte. */
struct stamp {
	uint32_t slot;
	uint32_t size;
	uint64_t version;
};

static void make_payload(struct world *world, char *payload, uint32_t slot, uint32_t size)
{
	struct stamp stamp = {slot, size, atomic_fetch_add(&world->version, 1)};

	memset(payload, (int)(stamp.version & 0xff), size);
	memcpy(payload, &stamp, sizeof(stamp));
}

/* All of an object must be one writer's work, and for this slot. */
static void check_object(const struct zs_object *object, uint32_t slot)
{
	const char *rest = (const char *)object->payload + sizeof(struct stamp);
	struct stamp stamp;

	zs_assert(!zs_obj_verify(object));
	memcpy(&stamp, object->payload, sizeof(stamp));
	zs_assert_msg(stamp.slot == slot && stamp.size == object->info.size, "slot %u has an object of slot %u", slot,
		      stamp.slot);
	for (size_t i = 0; i < stamp.size - sizeof(stamp); i++)
		zs_assert((unsigned char)rest[i] == (stamp.version & 0xff));
}

/*
 * the backing file
 */

static void free_place(void *context, struct zs_place place)
{
	struct record *record = &((struct world *)context)->records[place.unit];
	unsigned int users = atomic_load(&record->users);

	zs_assert(users);
	/* Overwritten by the last one, while it is not free yet. */
	if (users == 1)
		memset(record->payload, 0xdd, record->info.size);
	atomic_fetch_sub(&record->users, 1);
}

/* Copies a record to a place that is free; false if that one is not. */
static bool write_record(struct world *world, struct test_random *random, const struct zs_object_info *info,
			 const void *payload, uint32_t checksum, struct zs_place *ret_place)
{
	uint64_t unit = test_random_below(random, NR_PLACES);
	struct record *record = &world->records[unit];
	unsigned int free_users = 0;

	if (!atomic_compare_exchange_strong(&record->users, &free_users, 1))
		return false;
	record->info = *info;
	record->checksum = checksum;
	memcpy(record->payload, payload, info->size);
	*ret_place = (struct zs_place){.unit = unit, .units = 1 + info->size / ZS_PLACE_UNIT_BYTES};
	return true;
}

/* Fills in what the file has of a pinned object. */
static void read_record(struct world *world, struct zs_object *object)
{
	const struct record *record = &world->records[object->place.unit];

	zs_assert(atomic_load(&record->users));
	object->info = record->info;
	object->checksum = record->checksum;
	object->payload = record->payload;
}

static uint32_t pick_size(struct test_random *random)
{
	unsigned int dice = (unsigned int)test_random_below(random, 100);

	/* So many of one class that threads may keep some of those that they free. */
	if (dice < 30)
		return COMMON_BYTES;
	if (dice < 60)
		return sizeof(struct stamp) + (uint32_t)test_random_below(random, 2000);
	if (dice < 95)
		return sizeof(struct stamp) + (uint32_t)test_random_below(random, 4096 - sizeof(struct stamp) + 1);
	return 4096 + (uint32_t)test_random_below(random, ZS_OBJECT_MAX_BYTES - 4096 + 1);
}

static void free_handle(struct world *world, uint32_t index)
{
	struct zs_object_info info = {0};

	if (!index)
		return;
	zs_pool_free(world->pool, (struct zs_handle){index}, &info);
	zs_assert(info.size || info.units);
}

static void write_slot(struct test_thread *thread, uint32_t slot)
{
	struct world *world = thread->context;
	struct zs_object_info info = {.size = pick_size(&thread->random), .codec = 2, .owner = slot % NR_OWNERS};
	struct zs_handle handle;
	int error;

	error = zs_pool_alloc(world->pool, info.size, ZS_URGENCY_NEW, &handle);
	if (error) {
		zs_assert(error == -ENOSPC);
		atomic_fetch_add(&world->refused, 1);
		return;
	}
	make_payload(world, thread->local, slot, info.size);
	zs_obj_write(world->pool, handle, &info, thread->local);
	free_handle(world, atomic_exchange(&world->slots[slot], handle.index));
}

/* False if the slot is empty. */
static bool pin_slot(struct world *world, uint32_t slot, struct zs_object *ret_object)
{
	uint32_t index;
	int error;

	do {
		index = atomic_load(&world->slots[slot]);
		if (!index)
			return false;
		error = zs_obj_read_begin(world->pool, (struct zs_handle){index}, ret_object);
		if (!error && atomic_load(&world->slots[slot]) != index) {
			zs_obj_read_end(world->pool, ret_object);
			error = -EAGAIN;
		}
		/* Whatever is wrong with an object that is no longer ours does not matter. */
	} while (error && atomic_load(&world->slots[slot]) != index);
	zs_assert_msg(!error, "slot %u, handle %u: %d", slot, index, error);
	return true;
}

static void read_slot(struct world *world, uint32_t slot)
{
	struct zs_object object;

	if (!pin_slot(world, slot, &object))
		return;
	if (!object.payload)
		read_record(world, &object);
	check_object(&object, slot);
	zs_obj_read_end(world->pool, &object);
}

static void evict_or_restore(struct test_thread *thread, uint32_t slot)
{
	struct world *world = thread->context;
	struct zs_object object;
	struct zs_place place;
	int error;

	if (!pin_slot(world, slot, &object))
		return;
	if (!object.payload) {
		read_record(world, &object);
		object.info.owner = slot % NR_OWNERS;
		error = zs_obj_restore(world->pool, &object, ZS_URGENCY_NEW);
		if (!error)
			free_place(world, object.place);
		atomic_fetch_add(&world->restored, !error);
	} else if (write_record(world, &thread->random, &object.info, object.payload, object.checksum, &place)) {
		error = zs_obj_evict(world->pool, &object, place);
		atomic_fetch_add(&world->evicted, !error);
		if (error)
			free_place(world, place);
	} else {
		error = 0;
	}
	zs_assert(!error || error == -EBUSY || error == -ESTALE || error == -ENOSPC);
	atomic_fetch_add(&world->raced, error == -EBUSY || error == -ESTALE);
	zs_obj_read_end(world->pool, &object);
}

/* As collection does, without a pin, but so that the place isn't used for anything else before it is over. */
static void relocate(struct test_thread *thread, uint32_t slot)
{
	struct world *world = thread->context;
	struct zs_place from, to;
	struct zs_object object;

	if (!pin_slot(world, slot, &object))
		return;
	from = object.place;
	if (object.payload) {
		zs_obj_read_end(world->pool, &object);
		return;
	}
	read_record(world, &object);
	if (!write_record(world, &thread->random, &object.info, object.payload, object.checksum, &to)) {
		zs_obj_read_end(world->pool, &object);
		return;
	}
	atomic_fetch_add(&world->records[from.unit].users, 1);
	zs_obj_read_end(world->pool, &object);
	if (zs_obj_relocate(world->heap, object.handle, from, to)) {
		free_place(world, from);
		atomic_fetch_add(&world->relocated, 1);
	} else {
		free_place(world, to);
	}
	free_place(world, from);
}

static void worker_begin(struct test_thread *thread)
{
	thread->local = malloc(ZS_OBJECT_MAX_BYTES);
	zs_assert(thread->local);
}

static void worker_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	unsigned int dice = (unsigned int)test_random_below(&thread->random, 100);
	/* A quarter of the steps meet on a few slots. */
	uint32_t slot = (uint32_t)test_random_below(&thread->random, dice % 4 ? NR_SLOTS : 8);

	if (dice < 45)
		read_slot(world, slot);
	else if (dice < 85)
		write_slot(thread, slot);
	else
		free_handle(world, atomic_exchange(&world->slots[slot], 0));
}

static void worker_end(struct test_thread *thread)
{
	free(thread->local);
}

/* A row agrees with itself, whatever the others do. */
static void check_classes(struct world *world)
{
	struct zs_class_stats classes[ZS_CLASSES_MAX];
	unsigned int nr = zs_classes_init(classes);

	zs_pool_add_classes(world->pool, classes);
	for (unsigned int i = 0; i < nr; i++) {
		uint64_t zspages = 0;

		for (unsigned int group = 0; group < ZS_FULLNESS_NR; group++)
			zspages += classes[i].groups[group];
		zs_assert(zspages == classes[i].zspages && !classes[i].groups[ZS_FULLNESS_EMPTY]);
		zs_assert(classes[i].objects <= classes[i].objects_total);
		zs_assert(classes[i].lock_waits || !classes[i].lock_wait_ns);
	}
}

/* Free objects that threads have at hand. */
static uint32_t count_kept(struct world *world)
{
	unsigned int class = zs_geometry_class(zs_geometry(), COMMON_BYTES + ZS_OBJECT_HEADER_BYTES);
	ZS_LOCK_SCOPE(pool_lock(world->pool, class));

	return pool_count_kept(world->pool, class, NULL);
}

static void manager_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct zs_heap_stats heap;
	struct zs_pool_stats pool;

	zs_heap_set_limit(world->heap, test_random_chance(&thread->random, 50) ? (uint64_t)4 << 20 : 0);
	zs_heap_stats(world->heap, &heap);
	zs_pool_stats(world->pool, &pool);
	atomic_fetch_add(&world->kept, count_kept(world));
	zs_assert(heap.used_bytes <= heap.peak_bytes && pool.objects <= pool.objects_total);
	check_classes(world);
}

static void cold_step(struct test_thread *thread)
{
	uint32_t slot = (uint32_t)test_random_below(&thread->random,
						    test_random_chance(&thread->random, 50) ? NR_SLOTS : 8);

	if (test_random_chance(&thread->random, 80))
		evict_or_restore(thread, slot);
	else
		relocate(thread, slot);
}

static void compact_step(struct test_thread *thread)
{
	struct world *world = thread->context;

	zs_pool_compact(world->pool, 1 + test_random_below(&thread->random, 100));
}

static unsigned int node_of_page(void *context, uint32_t page)
{
	return page % ((struct world *)context)->nr_nodes;
}

static int move_page(void *context, uint32_t page, unsigned int node)
{
	return 0;
}

static void migrate_step(struct test_thread *thread)
{
	struct world *world = thread->context;
	uint32_t page = (uint32_t)test_random_below(&thread->random, 2048);
	unsigned int node = (unsigned int)test_random_below(&thread->random, world->nr_nodes);
	int error = zs_pool_migrate_page(world->pool, page, node);

	zs_assert(!error || error == -EINVAL);
	atomic_fetch_add(&world->migrated, !error);
}

static const struct test_thread_role roles[] = {
	{"workers", 8, worker_begin, worker_step, worker_end},
	{"cold", 2, NULL, cold_step, NULL},
	{"compact", 1, NULL, compact_step, NULL},
	{"migrate", 1, NULL, migrate_step, NULL},
	{"manager", 1, NULL, manager_step, NULL},
};

static void world_init(struct world *world)
{
	const struct zs_account_options account = {world->nr_nodes, node_of_page, move_page, world};
	struct zs_arena_options options;

	test_arena_options(&options);
	zs_assert(!zs_arena_create(&world->arena, &options));
	zs_assert(!zs_heap_create(&world->arena, true, &world->heap));
	zs_assert(!zs_heap_start_account(world->heap, &account));
	zs_heap_set_backed(world->heap, free_place, world);
	zs_assert(!zs_pool_create(world->heap, &world->pool));
	for (unsigned int i = 0; i < NR_PLACES; i++) {
		world->records[i].payload = malloc(ZS_OBJECT_MAX_BYTES);
		zs_assert(world->records[i].payload);
	}
}

/* Whoever had objects has none, on no node. */
static void check_nothing_is_charged(struct world *world)
{
	struct zs_account_sum sum;

	for (unsigned int owner = 0; owner < NR_OWNERS; owner++) {
		for (unsigned int node = 0; node < world->nr_nodes; node++) {
			zs_account_get(zs_heap_account(world->heap), owner, node, &sum);
			zs_assert_msg(!sum.payload_bytes && !sum.share_bytes,
				      "owner %u has %" PRIu64 " and %" PRIu64 " bytes on node %u", owner,
				      sum.payload_bytes, sum.share_bytes, node);
		}
	}
}

static void world_deinit(struct world *world)
{
	struct zs_heap_stats stats;

	for (uint32_t slot = 0; slot < NR_SLOTS; slot++)
		free_handle(world, atomic_exchange(&world->slots[slot], 0));
	for (unsigned int i = 0; i < NR_PLACES; i++) {
		zs_assert(!world->records[i].users);
		free(world->records[i].payload);
	}
	zs_pool_check(world->pool);
	check_nothing_is_charged(world);
	zs_heap_stats(world->heap, &stats);
	zs_assert(!stats.zspage_pages && !stats.handles.objects && !stats.zspages.objects && !stats.leaked_objects);
	zs_pool_destroy(world->pool);
	zs_heap_destroy(world->heap);
	zs_arena_close(&world->arena);
}

static void run(struct world *world, unsigned int nr_nodes, const struct test_options *options)
{
	world->nr_nodes = nr_nodes;
	world_init(world);
	test_threads_run(roles, ZS_ARRAY_SIZE(roles), options->seed, options->seconds, world);
	zs_pool_check(world->pool);
	for (uint32_t slot = 0; slot < NR_SLOTS; slot++)
		read_slot(world, slot);
	world_deinit(world);
}

int main(int argc, char **argv)
{
	struct test_options options = {.seconds = DEFAULT_SECONDS};
	static struct world world;

	test_options_parse(&options, argc, argv);
	options.seconds = zs_max(options.seconds / 2, 1);
	run(&world, 1, &options);
	run(&world, NR_NODES, &options);
	printf("%" PRIu64 " versions, %" PRIu64 " refused at the limit, %" PRIu64 " evicted, %" PRIu64
	       " restored, %" PRIu64 " relocated, %" PRIu64 " times too late, %" PRIu64 " migrated, %" PRIu64 " kept\n",
	       world.version, world.refused, world.evicted, world.restored, world.relocated, world.raced,
	       world.migrated, world.kept);
	zs_assert(world.migrated);
	zs_assert(world.refused && world.evicted && world.restored && world.relocated && world.raced);
	return 0;
}
