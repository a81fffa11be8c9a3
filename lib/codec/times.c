/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times of the codecs, in shards: each thread adds to its own, readers sum. */

#include "codec/times.h"

#include <stdatomic.h>

#include "base/bits.h"

#define NR_SHARDS 16

static struct {
	_Alignas(ZS_NO_SHARE) _Atomic uint64_t nsec[ZS_CODEC_NR][ZS_CODEC_WORK_NR];
} shards[NR_SHARDS];

uint64_t zs_codec_nsec(enum zs_codec_id codec, enum zs_codec_work work)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < NR_SHARDS; i++)
		sum += atomic_load_explicit(&shards[i].nsec[codec][work], memory_order_relaxed);
	return sum;
}

void zs_codec_add_nsec(unsigned int shard, enum zs_codec_id codec, enum zs_codec_work work, uint64_t nsec)
{
	atomic_fetch_add_explicit(&shards[shard % NR_SHARDS].nsec[codec][work], nsec, memory_order_relaxed);
}
