#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store with devices full of the corpus, for the benchmarks of what the store does with the allocator. */

#include <stdbool.h>
#include <stdint.h>

#include "arena_bench.h"
#include "store/device.h"
#include "store/store.h"

struct bench_store {
	bool account; /* set before bench_store_create() */
	struct zs_store *store;
	const char *corpus;
	uint64_t corpus_bytes; /* of it that are used: a multiple of BENCH_FILL_BYTES */
	uint64_t device_bytes;
	unsigned int nr_devices;
	uint64_t ids[ZS_DEVICES_MAX];
	uint64_t fill_ns;
};

#define BENCH_FILL_BYTES ((uint64_t)1 << 20)

/*
 * An empty store with options->nr_devices devices of size_bytes in all (the corpus's size if 0), and the corpus at
 * hand.
 */
void bench_store_create(struct bench_store *store, const struct bench_options *options, uint64_t size_bytes,
			bool pool_per_device);
/* Fills all devices: what is at offset n of all devices together comes from offset n of the corpus, repeated. */
void bench_store_fill(struct bench_store *store, unsigned int nr_threads);
/* Block number n of the corpus, repeated. */
const char *bench_store_block(const struct bench_store *store, uint64_t block);
