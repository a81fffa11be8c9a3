/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pools: the corpus, cut into equal parts, fills 1 to 256 devices, which share one pool or have one each.
 *
 * variant  shared, per-device
 *
 * memory   resident memory of the process above what it was before the store was made: pages, tables, handles,
 *          descriptors, and the pools themselves
 * partial  zspages that are neither empty nor full
 */

#include <inttypes.h>
#include <stdio.h>

#include "arena_store.h"
#include "zsmalloc/report.h"

static uint64_t count_partial(const struct bench_store *store)
{
	struct zs_class_stats classes[ZS_CLASSES_MAX];
	unsigned int nr = zs_store_classes(store->store, classes);
	uint64_t count = 0;

	for (unsigned int i = 0; i < nr; i++)
		count += classes[i].zspages - classes[i].groups[ZS_FULLNESS_FULL];
	return count;
}

static uint64_t payload_bytes(const struct bench_store *store)
{
	struct zs_device_stats stats;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < store->nr_devices; i++) {
		struct zs_device *device = zs_device_get(store->store, store->ids[i], NULL);

		zs_device_stats(device, &stats);
		sum += stats.compressed_bytes;
		zs_device_put(device, NULL);
	}
	return sum;
}

void bench_pools(const struct bench_options *options)
{
	static struct bench_store store;
	struct zs_store_stats stats;
	uint64_t before, memory;
	size_t bytes;

	if (!bench_is(options, "shared") && !bench_is(options, "per-device"))
		bench_die(0, "pools: no variant '%s'", options->variant);
	/* A second mapping of the corpus, so that the store's own one is not counted twice. */
	bench_map(options->corpus_path, &bytes);
	before = bench_resident_bytes() + bytes;
	bench_store_create(&store, options, options->size_bytes, bench_is(options, "per-device"));
	bench_store_fill(&store, 1);
	memory = bench_resident_bytes() - before;
	zs_store_stats(store.store, &stats);
	printf("{\"memory\": %" PRIu64 ", \"used\": %" PRIu64 ", \"partial\": %" PRIu64 ", \"zspages\": %" PRIu64
	       ", \"zspage_bytes\": %" PRIu64 ", \"payload\": %" PRIu64 ", \"fill_ns\": %" PRIu64 "}\n",
	       memory, stats.heap.used_bytes, count_partial(&store), stats.heap.zspages.objects,
	       stats.heap.zspage_pages * BENCH_BLOCK_BYTES, payload_bytes(&store), store.fill_ns);
}
