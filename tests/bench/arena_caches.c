/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * caches: what the caches of handles and of zspage descriptors keep without using it, (total - active) * object size,
 * for 32 pools that share them against 32 pools with caches of their own.
 *
 * As in the zswap measurement that it is compared with, there are 1,054,440 objects, in some 30,500 or 5,720 zspages,
 * spread over the pools as unevenly as Zipf's law makes it. The number of zspages follows from the sizes: those of the
 * trace, scaled down. A tenth of the objects is replaced at random afterwards, since a cache that was only ever filled
 * has no holes.
 *
 * variant  shared    32 pools over one heap
 *          per-pool  32 heaps of one pool each, which is what caches per pool come to
 */

#include <inttypes.h>
#include <stdio.h>

#include "arena_bench.h"
#include "support/random.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/pool.h"

#define POOLS	32
#define OBJECTS 1054440

/* Sizes are multiplied by this many 1/1024, found by trying: 31,900 and 6,490 zspages, the least there can be. */
static const struct scale {
	const char *name;
	unsigned int factor;
} scales[] = {{"many", 150}, {"few", 8}};

struct caches {
	struct bench_trace trace;
	struct zs_heap *heaps[POOLS];
	unsigned int nr_heaps;
	struct zs_pool *pools[POOLS];
	uint32_t *handles; /* [OBJECTS] */
	uint8_t *owners;   /* [OBJECTS] the object's pool */
	unsigned int factor;
};

static void make_heaps(struct caches *caches)
{
	static struct zs_arena arenas[POOLS];
	/* The default is for one arena: 32 of it would not fit into the address space. */
	static const struct zs_arena_options options = {
		.region_bytes =
			{
				[ZS_REGION_DEVICES] = (uint64_t)1 << 20,
				[ZS_REGION_GROUPS] = (uint64_t)32 << 10,
				[ZS_REGION_SLOTS] = (uint64_t)1 << 20,
				[ZS_REGION_HANDLES] = (uint64_t)16 << 20,
				[ZS_REGION_SEGMENTS] = (uint64_t)64 << 10,
				[ZS_REGION_DICTIONARIES] = (uint64_t)128 << 10,
				[ZS_REGION_PAGES] = (uint64_t)16 << 30,
			},
	};

	for (unsigned int i = 0; i < caches->nr_heaps; i++) {
		bench_check(zs_arena_create(&arenas[i], &options), "zs_arena_create");
		bench_check(zs_heap_create(&arenas[i], true, &caches->heaps[i]), "zs_heap_create");
	}
	for (unsigned int i = 0; i < POOLS; i++)
		bench_check(zs_pool_create(caches->heaps[i % caches->nr_heaps], &caches->pools[i]), "zs_pool_create");
}

/* Pool i gets a share of 1 / (i + 1). */
static uint8_t zipf(struct test_random *random)
{
	double sum = 0, at;

	for (unsigned int i = 0; i < POOLS; i++)
		sum += 1.0 / (i + 1);
	at = sum * (double)test_random_below(random, 1u << 30) / (1u << 30);
	for (unsigned int i = 0; i < POOLS; i++) {
		at -= 1.0 / (i + 1);
		if (at < 0)
			return (uint8_t)i;
	}
	return POOLS - 1;
}

static void object_new(struct caches *caches, uint32_t index, struct test_random *random)
{
	static const char payload[BENCH_BLOCK_BYTES];
	uint32_t size = caches->trace.sizes[test_random_below(random, caches->trace.nr)];
	struct zs_object_info info = {.size = 1 + size * caches->factor / 1024, .codec = 2};
	struct zs_pool *pool = caches->pools[caches->owners[index]];
	struct zs_handle handle;

	bench_check(zs_pool_alloc(pool, info.size, ZS_URGENCY_NEW, &handle), "zs_pool_alloc");
	zs_obj_write(pool, handle, &info, payload);
	caches->handles[index] = handle.index;
}

static void fill(struct caches *caches, struct test_random *random)
{
	struct zs_object_info info;

	for (uint32_t i = 0; i < OBJECTS; i++) {
		caches->owners[i] = zipf(random);
		object_new(caches, i, random);
	}
	for (uint32_t i = 0; i < OBJECTS / 10; i++) {
		uint32_t index = (uint32_t)test_random_below(random, OBJECTS);

		zs_pool_free(caches->pools[caches->owners[index]], (struct zs_handle){caches->handles[index]}, &info);
		object_new(caches, index, random);
	}
}

static uint64_t unused_bytes(const struct zs_cache_stats *cache)
{
	return (cache->objects_total - cache->objects) * cache->object_bytes;
}

static void print(const struct caches *caches)
{
	uint64_t handles = 0, zspages = 0, handle_bytes = 0, zspage_bytes = 0;

	for (unsigned int i = 0; i < caches->nr_heaps; i++) {
		struct zs_cache_stats stats;

		zs_cache_stats(caches->heaps[i], ZS_CACHE_HANDLES, &stats);
		handles += stats.objects;
		handle_bytes += unused_bytes(&stats);
		zs_cache_stats(caches->heaps[i], ZS_CACHE_ZSPAGES, &stats);
		zspages += stats.objects;
		zspage_bytes += unused_bytes(&stats);
	}
	printf("{\"handles\": %" PRIu64 ", \"zspages\": %" PRIu64 ", \"unused_handle_bytes\": %" PRIu64
	       ", \"unused_zspage_bytes\": %" PRIu64 "}\n",
	       handles, zspages, handle_bytes, zspage_bytes);
}

/* variant is SCALE/WHICH, such as many/shared. */
static void parse_variant(struct caches *caches, const char *variant)
{
	char name[32];

	for (unsigned int i = 0; i < sizeof(scales) / sizeof(scales[0]); i++) {
		for (unsigned int shared = 0; shared < 2; shared++) {
			snprintf(name, sizeof(name), "%s/%s", scales[i].name, shared ? "shared" : "per-pool");
			if (!bench_is(&(struct bench_options){.variant = variant}, name))
				continue;
			caches->factor = scales[i].factor;
			caches->nr_heaps = shared ? 1 : POOLS;
			return;
		}
	}
	bench_die(0, "caches: no variant '%s'", variant);
}

void bench_caches(const struct bench_options *options)
{
	static struct caches caches;
	struct test_random random = {options->seed};

	parse_variant(&caches, options->variant);
	bench_trace_load(options, &caches.trace);
	caches.handles = bench_memory(OBJECTS * sizeof(*caches.handles));
	caches.owners = bench_memory(OBJECTS);
	make_heaps(&caches);
	fill(&caches, &random);
	print(&caches);
}
