#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters of a device, in shards: each thread adds to its own (zs_stream_shard()), readers sum. A shard holds
 * differences, so that a single one may be negative; the sum is exact when nobody is writing.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "base/bits.h"
#include "codec/codec.h"

struct zs_device_stats;

enum zs_counter {
	ZS_COUNT_INFLIGHT, /* borrowers of the device: zs_device_get() */
	ZS_COUNT_SAME,
	ZS_COUNT_OBJECTS, /* without fill objects; in memory or in the backing file */
	ZS_COUNT_HUGE,
	ZS_COUNT_ZSTD, /* of the objects in memory: blocks, and bytes of payload */
	ZS_COUNT_ZSTD_BYTES,
	ZS_COUNT_COMPRESSED_BYTES,
	ZS_COUNT_COST_BYTES,  /* the objects' share of pages, their handle words, and dictionaries */
	ZS_COUNT_BACKED,      /* objects in the backing file */
	ZS_COUNT_BACKED_HUGE, /* of those, stored raw */
	ZS_COUNT_BACKED_BYTES,
	ZS_COUNT_READS,
	ZS_COUNT_READ_BYTES,
	ZS_COUNT_WRITES,
	ZS_COUNT_WRITTEN_BYTES,
	ZS_COUNT_DISCARDS,
	ZS_COUNT_DISCARDED_BYTES,
	ZS_COUNT_NO_SPACE,
	ZS_COUNT_CORRUPT,
	ZS_COUNT_RECOMPRESSED,
	ZS_COUNT_RECOMPRESSION_SAVED, /* bytes of memory */
	ZS_COUNT_WRITTEN_BACK,
	ZS_COUNT_WRITTEN_BACK_BYTES,
	ZS_COUNT_READ_BACK,
	ZS_COUNT_READ_BACK_BYTES,
	ZS_COUNT_PROMOTED,
	ZS_COUNT_UNREADABLE,
	ZS_COUNT_NR,
};

struct zs_shard {
	_Alignas(ZS_NO_SHARE) _Atomic uint64_t counters[ZS_COUNT_NR];
	_Atomic int64_t modified_nsec; /* last change of data by this shard's threads */
	_Atomic int64_t look_at;       /* relaxed; ZS_COUNT_COST_BYTES here, see zs_device_add_cost() */
};

struct zs_shards {
	struct zs_shard *shards;
	unsigned int mask; /* number of shards - 1; they are a power of two */
};

/* As many shards as CPUs, rounded up to a power of two, 64 at most. */
unsigned int zs_shards_default(void);
/* nr is a power of two. Returns 0 or -ENOMEM. */
int zs_shards_init(struct zs_shards *shards, unsigned int nr);
void zs_shards_deinit(struct zs_shards *shards);
/* All counters but ZS_COUNT_INFLIGHT to 0. Context: nobody else uses them. */
void zs_shards_reset(struct zs_shards *shards);

uint64_t zs_shards_sum(const struct zs_shards *shards, enum zs_counter counter);
/* Fills what the shards know: all but memory_bytes' slot table pages and data_bytes' block size. */
void zs_shards_stats(const struct zs_shards *shards, struct zs_device_stats *ret_stats);
/* Notes that data has changed now; a coarse clock is enough for a file's modification time. */
void zs_shards_touch(struct zs_shards *shards, unsigned int shard);

static inline _Atomic uint64_t *zs_counter(struct zs_shards *shards, unsigned int shard, enum zs_counter counter)
{
	return &shards->shards[shard & shards->mask].counters[counter];
}

static inline void zs_count(struct zs_shards *shards, unsigned int shard, enum zs_counter counter, uint64_t amount)
{
	atomic_fetch_add_explicit(zs_counter(shards, shard, counter), amount, memory_order_relaxed);
}

/* The same; answers what the shard had counted before. */
static inline uint64_t zs_count_from(struct zs_shards *shards, unsigned int shard, enum zs_counter counter,
				     uint64_t amount)
{
	return atomic_fetch_add_explicit(zs_counter(shards, shard, counter), amount, memory_order_relaxed);
}

/* An object in memory, by its codec: it comes (sign 1) or goes (UINT64_MAX). Those of the others are what is left. */
static inline void zs_count_codec(struct zs_shards *shards, unsigned int shard, uint8_t codec, uint32_t size,
				  uint64_t sign)
{
	if (codec != ZS_CODEC_ZSTD)
		return;
	zs_count(shards, shard, ZS_COUNT_ZSTD, sign);
	zs_count(shards, shard, ZS_COUNT_ZSTD_BYTES, size * sign);
}
