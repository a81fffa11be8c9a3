/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * geometry: the program's size classes, and the pages that a pool takes for the trace. bench_geometry.py has the model
 * of both, and of other geometries.
 *
 * pages    of all zspages
 * classes  size, pages and objects of each zspage, for objects up to a raw block of 4 KiB
 */

#include <inttypes.h>
#include <stdio.h>

#include "arena_bench.h"
#include "zsmalloc/geometry.h"
#include "zsmalloc/pool.h"

static struct zs_pool *make_pool(void)
{
	struct zs_heap *heap = bench_heap();
	struct zs_pool *pool;

	bench_check(zs_pool_create(heap, &pool), "zs_pool_create");
	return pool;
}

static uint64_t pages_of_trace(const struct bench_trace *trace)
{
	struct zs_pool *pool = make_pool();
	struct zs_pool_stats stats;
	struct zs_handle handle;

	for (uint32_t i = 0; i < trace->nr; i++)
		bench_check(zs_pool_alloc(pool, trace->sizes[i], ZS_URGENCY_NEW, &handle), "zs_pool_alloc");
	zs_pool_stats(pool, &stats);
	return stats.pages;
}

void bench_geometry(const struct bench_options *options)
{
	const struct zs_geometry *geometry = zs_geometry();
	unsigned int last = zs_geometry_class(geometry, BENCH_BLOCK_BYTES + ZS_OBJECT_HEADER_BYTES);
	struct bench_trace trace;

	bench_trace_load(options, &trace);
	printf("{\"pages\": %" PRIu64 ", \"classes\": [", pages_of_trace(&trace));
	for (unsigned int i = 0; i <= last; i++) {
		const struct zs_class_shape *shape = &geometry->classes[i];

		printf("%s[%u, %u, %u]", i ? ", " : "", shape->size, shape->pages, shape->objects);
	}
	puts("]}");
}
