#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store full of the corpus that has a backing file, for the benchmarks of cold data. */

#include "arena_store.h"
#include "store/backing.h"
#include "store/writeback.h"

/* Fills a store and attaches options->backing_path to it, which must be empty or missing. */
void bench_cold_create(struct bench_store *store, const struct bench_options *options);
/*
 * Writes back up to limit_bytes (0 = everything) of the devices from number first on. Returns 0 when nothing is left
 * or the limit is reached; any other end is fatal, as is a block that was not written.
 */
void bench_cold_write(struct bench_store *store, unsigned int first, uint64_t limit_bytes,
		      struct zs_writeback_progress *ret_progress);

/*
 * Reads nr blocks of 4 KiB of the store's first device at random, options->nr_threads at a time, each compared with the
 * corpus, and prints how long that took. All of the device must be cold.
 */
void bench_cold_read(struct bench_store *store, const struct bench_options *options, uint64_t nr);
