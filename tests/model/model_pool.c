/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random operations on a pool against plain arrays: allocate, read, free, also while a reader has the object, with and
 * without a limit. Now and then the heap is dropped as by a kill and rebuilt from what is still referenced.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "support/options.h"
#include "support/random.h"
#include "support/small_store.h"
#include "zsmalloc/account.h"
#include "zsmalloc/pool.h"
#include "zsmalloc/pool_internal.h"

#define NR_OBJECTS	   3000
#define DEFAULT_OPERATIONS 6000000
#define CHECK_INTERVAL	   5000
#define REBUILD_INTERVAL   20000
#define COMPACT_INTERVAL   397
#define MIGRATE_INTERVAL   101
#define DESTROY_INTERVAL   500000
#define SHORT_ROUNDS	   40
#define SHORT_ROUND_MAX	   300
#define NR_NODES	   3
#define NR_OWNERS	   5
/* Payloads are pieces of this. */
#define BANK_BYTES ((size_t)1 << 20)

struct model_object {
	struct zs_handle handle; /* 0: none */
	uint32_t size;
	uint32_t from; /* in the bank */
	uint16_t owner;
	bool is_open; /* being read */
	struct zs_object reader;
};

struct world {
	struct test_random random;
	struct zs_arena arena;
	struct zs_heap *heap;
	struct zs_pool *pool;
	char *bank;
	uint64_t limit;
	struct model_object objects[NR_OBJECTS];
	unsigned int nr_nodes; /* 1 or NR_NODES: objects are charged in different ways */
	uint64_t nr_objects;   /* in use, or doomed and still being read */
	uint64_t refused, rebuilds, moved, read_lent, kept, migrated, destroyed;
};

static uint64_t below(struct world *world, uint64_t limit)
{
	return test_random_below(&world->random, limit);
}

/* A machine with several nodes, as far as the accounts can tell. */
static unsigned int node_of_page(void *context, uint32_t page)
{
	return page % ((struct world *)context)->nr_nodes;
}

static int move_page(void *context, uint32_t page, unsigned int node)
{
	return 0;
}

static void start_pool(struct world *world, bool fresh)
{
	struct zs_account_options account = {below(world, 2) ? NR_NODES : 1, node_of_page, move_page, world};

	world->nr_nodes = account.nr_nodes;
	zs_assert(!zs_heap_create(&world->arena, fresh, &world->heap));
	zs_assert(!zs_heap_start_account(world->heap, &account));
	zs_assert(!zs_pool_create(world->heap, &world->pool));
}

static uint32_t pick_size(struct world *world)
{
	switch (below(world, 10)) {
	case 0:
		return 1 + (uint32_t)below(world, 64);
	/* So many that threads may keep some of those that are freed. */
	case 1:
	case 2:
	case 3:
		return 4096;
	case 4:
		return 1 + (uint32_t)below(world, ZS_OBJECT_MAX_BYTES);
	default:
		return 1 + (uint32_t)below(world, 4096);
	}
}

static void do_alloc(struct world *world, struct model_object *object)
{
	struct zs_object_info info = {
		.size = pick_size(world),
		.codec = (uint8_t)below(world, 16),
		.owner = (uint16_t)below(world, NR_OWNERS),
	};
	int error = zs_pool_alloc(world->pool, info.size, (enum zs_urgency)below(world, 2), &object->handle);

	if (error) {
		zs_assert(error == -ENOSPC && world->limit);
		object->handle = ZS_NO_HANDLE;
		world->refused++;
		return;
	}
	object->size = info.size;
	object->owner = info.owner;
	object->from = (uint32_t)below(world, BANK_BYTES - info.size);
	zs_obj_write(world->pool, object->handle, &info, world->bank + object->from);
	world->nr_objects++;
}

static void check_content(const struct world *world, const struct model_object *object, const struct zs_object *found)
{
	zs_assert(found->info.size == object->size && !zs_obj_verify(found));
	zs_assert(!memcmp(found->payload, world->bank + object->from, object->size));
}

static void do_read(struct world *world, struct model_object *object)
{
	struct zs_object found;
	size_t cost;

	zs_assert(!zs_obj_read_begin(world->pool, object->handle, &found));
	check_content(world, object, &found);
	cost = zs_obj_cost(world->pool, object->handle);
	zs_assert(cost >= zs_pool_cost(object->size));
	world->read_lent += cost != zs_pool_cost(object->size);
	zs_obj_read_end(world->pool, &found);
}

/* Ends a read that has been going on since before other things happened. */
static void end_read(struct world *world, struct model_object *object)
{
	check_content(world, object, &object->reader);
	zs_obj_read_end(world->pool, &object->reader);
	object->is_open = false;
	if (!object->handle.index)
		world->nr_objects--;
}

static void do_free(struct world *world, struct model_object *object)
{
	struct zs_object_info info;

	zs_pool_free(world->pool, object->handle, &info);
	zs_assert(info.size == object->size);
	object->handle = ZS_NO_HANDLE;
	if (!object->is_open)
		world->nr_objects--;
}

/* A slice of compaction, or all of it. */
static void do_compact(struct world *world)
{
	uint64_t budget = below(world, 4) ? 1 + below(world, 30) : UINT64_MAX;
	struct zs_pool_stats before, after;
	uint64_t freed;

	zs_pool_stats(world->pool, &before);
	freed = zs_pool_compact(world->pool, budget);
	zs_pool_stats(world->pool, &after);
	zs_assert(freed <= before.freeable_pages && after.pages == before.pages - freed);
	/* Slices may go over it by what is kept of a class; what stops before has nothing left that is not busy. */
	zs_assert(freed < budget + ZS_KEPT_MAX * ZS_RUN_MAX_PAGES || budget == UINT64_MAX);
	world->moved += after.moved_objects - before.moved_objects;
}

static void do_migrate(struct world *world)
{
	uint32_t page = (uint32_t)below(world, world->heap->pages.fresh + 10);
	int error = zs_pool_migrate_page(world->pool, page, (unsigned int)below(world, world->nr_nodes));

	zs_assert(!error || error == -EINVAL);
	world->migrated += !error;
}

static void one_operation(struct world *world)
{
	struct model_object *object = &world->objects[below(world, NR_OBJECTS)];
	unsigned int dice = (unsigned int)below(world, 100);

	if (object->is_open && dice < 50) {
		end_read(world, object);
	} else if (!object->handle.index) {
		if (!object->is_open)
			do_alloc(world, object);
	} else if (dice < 40) {
		do_read(world, object);
	} else if (dice < 50 && !object->is_open) {
		zs_assert(!zs_obj_read_begin(world->pool, object->handle, &object->reader));
		object->is_open = true;
	} else {
		do_free(world, object);
	}
}

/* Each owner's sums over the nodes are those of the model, and all together those of the pool. */
static void check_account(struct world *world)
{
	const struct zs_account *account = zs_heap_account(world->heap);
	struct zs_account_sum expected[NR_OWNERS] = {0}, total, found, one;

	zs_account_total(account, &total);
	zs_pool_sum(world->pool, &found);
	zs_assert(total.payload_bytes == found.payload_bytes && total.share_bytes == found.share_bytes);
	for (unsigned int i = 0; i < NR_OBJECTS; i++) {
		const struct model_object *object = &world->objects[i];

		/* One that was freed and is still being read is charged until the reader lets go. */
		if (!object->handle.index && !object->is_open)
			continue;
		expected[object->owner].payload_bytes += object->size;
		expected[object->owner].share_bytes += zs_pool_cost(object->size);
	}
	for (unsigned int owner = 0; owner < NR_OWNERS; owner++) {
		for (unsigned int node = 0; node < world->nr_nodes; node++) {
			zs_account_get(account, owner, node, &one);
			expected[owner].payload_bytes -= one.payload_bytes;
			expected[owner].share_bytes -= one.share_bytes;
		}
		zs_assert(!expected[owner].payload_bytes && !expected[owner].share_bytes);
	}
}

static unsigned int raw_class(const struct world *world)
{
	return zs_geometry_class(world->heap->geometry, 4096 + ZS_OBJECT_HEADER_BYTES);
}

static void check(struct world *world)
{
	struct zs_pool_stats pool;
	struct zs_heap_stats heap;

	zs_pool_check(world->pool);
	zs_pool_stats(world->pool, &pool);
	zs_heap_stats(world->heap, &heap);
	world->kept += pool_count_kept(world->pool, raw_class(world), NULL);
	zs_assert(pool.objects == world->nr_objects && heap.handles.objects == world->nr_objects);
	zs_assert(heap.zspage_pages == pool.pages && !heap.leaked_objects);
	zs_assert(!world->limit || heap.used_bytes <= world->limit);
	check_account(world);
}

/* The process is killed: readers are gone, and whatever nobody refers to is reclaimed. */
static void do_rebuild(struct world *world)
{
	struct zs_object_info info;

	zs_pool_abandon(world->pool);
	zs_heap_destroy(world->heap);
	start_pool(world, false);
	world->nr_objects = 0;
	for (unsigned int i = 0; i < NR_OBJECTS; i++) {
		struct model_object *object = &world->objects[i];

		object->is_open = false;
		/* One in ten had not been committed. */
		if (below(world, 10) == 0)
			object->handle = ZS_NO_HANDLE;
		if (!object->handle.index)
			continue;
		zs_assert(!zs_pool_adopt(world->pool, object->handle, object->owner, &info) &&
			  info.size == object->size);
		world->nr_objects++;
	}
	zs_pool_rebuild_end(world->pool);
	zs_heap_rebuild_end(world->heap);
	world->rebuilds++;
	check(world);
	for (unsigned int i = 0; i < NR_OBJECTS; i++) {
		if (world->objects[i].handle.index)
			do_read(world, &world->objects[i]);
	}
}

static void change_limit(struct world *world)
{
	struct zs_heap_stats stats;

	zs_heap_stats(world->heap, &stats);
	world->limit = below(world, 2) ? stats.used_bytes + below(world, 1 << 20) : 0;
	zs_heap_set_limit(world->heap, world->limit);
	world->limit = zs_align_up(world->limit, ZS_PAGE_SIZE);
}

/* All objects are freed, and the pool goes. */
static void destroy_pool(struct world *world)
{
	for (unsigned int i = 0; i < NR_OBJECTS; i++) {
		if (world->objects[i].is_open)
			end_read(world, &world->objects[i]);
		if (world->objects[i].handle.index)
			do_free(world, &world->objects[i]);
	}
	check(world);
	zs_assert(!world->nr_objects);
	zs_pool_destroy(world->pool);
	world->destroyed++;
}

/* As when the last device with a pool of its own is removed, and the next one is added to the same heap. */
static void renew_pool(struct world *world)
{
	destroy_pool(world);
	zs_assert(!zs_pool_create(world->heap, &world->pool));
	check(world);
}

/* Rounds so short that the checker looks at each: pools with next to nothing in them, and what the last one left. */
static void short_rounds(struct world *world)
{
	for (unsigned int round = 0; round < SHORT_ROUNDS; round++) {
		for (uint64_t i = below(world, SHORT_ROUND_MAX); i; i--)
			one_operation(world);
		do_compact(world);
		check(world);
		renew_pool(world);
	}
}

static void end(struct world *world)
{
	destroy_pool(world);
	zs_heap_destroy(world->heap);
	zs_arena_close(&world->arena);
	free(world->bank);
}

int main(int argc, char **argv)
{
	struct test_options options = {.operations = DEFAULT_OPERATIONS};
	struct zs_arena_options arena_options;
	static struct world world;

	test_options_parse(&options, argc, argv);
	world.random.state = options.seed;
	world.bank = malloc(BANK_BYTES);
	zs_assert(world.bank);
	test_random_fill(&world.random, world.bank, BANK_BYTES);
	test_arena_options(&arena_options);
	zs_assert(!zs_arena_create(&world.arena, &arena_options));
	start_pool(&world, true);
	for (uint64_t i = 1; i <= options.operations; i++) {
		one_operation(&world);
		if (i % COMPACT_INTERVAL == 0)
			do_compact(&world);
		if (i % MIGRATE_INTERVAL == 0)
			do_migrate(&world);
		if (i % CHECK_INTERVAL == 0) {
			check(&world);
			change_limit(&world);
		}
		if (i % REBUILD_INTERVAL == 0) {
			world.limit = 0;
			do_rebuild(&world);
		}
		if (i % DESTROY_INTERVAL == 0)
			short_rounds(&world);
	}
	printf("%" PRIu64 " operations, %" PRIu64 " rebuilt, %" PRIu64 " refused at the limit, %" PRIu64
	       " objects moved, %" PRIu64 " lent ones read, %" PRIu64 " kept ones seen, %" PRIu64
	       " pages migrated, %" PRIu64 " pools destroyed\n",
	       options.operations, world.rebuilds, world.refused, world.moved, world.read_lent, world.kept,
	       world.migrated, world.destroyed);
	zs_assert(world.moved && world.read_lent && world.kept && world.migrated);
	end(&world);
	return 0;
}
