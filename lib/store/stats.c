/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sharded counters. */

#include "store/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "base/check.h"
#include "store/store.h"

#define SHARDS_MAX 64

unsigned int zs_shards_default(void)
{
	unsigned int nr = 1, cpus = (unsigned int)get_nprocs();

	while (nr < cpus && nr < SHARDS_MAX)
		nr *= 2;
	return nr;
}

int zs_shards_init(struct zs_shards *shards, unsigned int nr)
{
	if (zs_fault())
		return -ENOMEM;
	shards->shards = aligned_alloc(_Alignof(struct zs_shard), nr * sizeof(struct zs_shard));
	if (!shards->shards)
		return -ENOMEM;
	memset(shards->shards, 0, nr * sizeof(struct zs_shard));
	shards->mask = nr - 1;
	return 0;
}

void zs_shards_deinit(struct zs_shards *shards)
{
	free(shards->shards);
	shards->shards = NULL;
}

void zs_shards_reset(struct zs_shards *shards)
{
	for (unsigned int i = 0; i <= shards->mask; i++) {
		for (unsigned int counter = ZS_COUNT_INFLIGHT + 1; counter < ZS_COUNT_NR; counter++)
			atomic_store(&shards->shards[i].counters[counter], 0);
		atomic_store(&shards->shards[i].modified_nsec, 0);
		atomic_store(&shards->shards[i].look_at, 0);
	}
}

uint64_t zs_shards_sum(const struct zs_shards *shards, enum zs_counter counter)
{
	uint64_t sum = 0;

	/*
	 * Whoever waits for ZS_COUNT_INFLIGHT to become 0 pairs with zs_device_put(), and has stored the device's id
	 * before: see zs_device_get().
	 */
	for (unsigned int i = 0; i <= shards->mask; i++)
		sum += atomic_load_explicit(&shards->shards[i].counters[counter], memory_order_seq_cst);
	return sum;
}

void zs_shards_stats(const struct zs_shards *shards, struct zs_device_stats *ret_stats)
{
	/* What waits to be freed is no block any more, but may still be in the backing file. */
	uint64_t objects = zs_shards_sum(shards, ZS_COUNT_OBJECTS);
	uint64_t backed = zs_min(zs_shards_sum(shards, ZS_COUNT_BACKED), objects);
	uint64_t huge = zs_shards_sum(shards, ZS_COUNT_HUGE);

	*ret_stats = (struct zs_device_stats){
		.same_blocks = zs_shards_sum(shards, ZS_COUNT_SAME),
		.object_blocks = objects - backed,
		.backed_blocks = backed,
		.backed_bytes = zs_shards_sum(shards, ZS_COUNT_BACKED_BYTES),
		.written_back_blocks = zs_shards_sum(shards, ZS_COUNT_WRITTEN_BACK),
		.written_back_bytes = zs_shards_sum(shards, ZS_COUNT_WRITTEN_BACK_BYTES),
		.read_back_blocks = zs_shards_sum(shards, ZS_COUNT_READ_BACK),
		.read_back_bytes = zs_shards_sum(shards, ZS_COUNT_READ_BACK_BYTES),
		.promoted_blocks = zs_shards_sum(shards, ZS_COUNT_PROMOTED),
		.unreadable = zs_shards_sum(shards, ZS_COUNT_UNREADABLE),
		.huge_blocks = huge - zs_min(zs_shards_sum(shards, ZS_COUNT_BACKED_HUGE), huge),
		.zstd_blocks = zs_shards_sum(shards, ZS_COUNT_ZSTD),
		.zstd_bytes = zs_shards_sum(shards, ZS_COUNT_ZSTD_BYTES),
		.compressed_bytes = zs_shards_sum(shards, ZS_COUNT_COMPRESSED_BYTES),
		.memory_bytes = zs_shards_sum(shards, ZS_COUNT_COST_BYTES),
		.reads = zs_shards_sum(shards, ZS_COUNT_READS),
		.read_bytes = zs_shards_sum(shards, ZS_COUNT_READ_BYTES),
		.writes = zs_shards_sum(shards, ZS_COUNT_WRITES),
		.written_bytes = zs_shards_sum(shards, ZS_COUNT_WRITTEN_BYTES),
		.discards = zs_shards_sum(shards, ZS_COUNT_DISCARDS),
		.discarded_bytes = zs_shards_sum(shards, ZS_COUNT_DISCARDED_BYTES),
		.no_space = zs_shards_sum(shards, ZS_COUNT_NO_SPACE),
		.corrupt = zs_shards_sum(shards, ZS_COUNT_CORRUPT),
		.recompressed = zs_shards_sum(shards, ZS_COUNT_RECOMPRESSED),
		.recompression_saved_bytes = zs_shards_sum(shards, ZS_COUNT_RECOMPRESSION_SAVED),
	};
	for (unsigned int i = 0; i <= shards->mask; i++) {
		int64_t modified = atomic_load_explicit(&shards->shards[i].modified_nsec, memory_order_relaxed);

		if (modified > ret_stats->modified_nsec)
			ret_stats->modified_nsec = modified;
	}
}

void zs_shards_touch(struct zs_shards *shards, unsigned int shard)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	atomic_store_explicit(&shards->shards[shard & shards->mask].modified_nsec,
			      (int64_t)now.tv_sec * 1000000000 + now.tv_nsec, memory_order_relaxed);
}
