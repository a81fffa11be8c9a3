#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the codecs have taken so far: wall time of the threads that compressed and decompressed, of all streams of
 * the process, whoever they worked for. Payloads that came out too large count as well.
 *
 * Reading the clock twice takes 50 to 180 ns, and decompressing a page a microsecond. So not each call is timed but one
 * of 16 to 17 on average, and stands for those since the one before: at random gaps, since what is stored may well be
 * in step with any fixed one.
 */

#include <stdint.h>

#include "codec/codec.h"

enum zs_codec_work { ZS_CODEC_COMPRESS, ZS_CODEC_DECOMPRESS, ZS_CODEC_WORK_NR };

/* So far, of this codec. Context: any thread. */
uint64_t zs_codec_nsec(enum zs_codec_id codec, enum zs_codec_work work);

/* Adds to it. shard: as that of a stream. Context: any thread. */
void zs_codec_add_nsec(unsigned int shard, enum zs_codec_id codec, enum zs_codec_work work, uint64_t nsec);

/* The longest gap. */
#define ZS_SAMPLER_GAP 32

/* Which calls are timed; of one thread. */
struct zs_sampler {
	uint64_t random;
	unsigned int gap;  /* from the call that was timed last to the next one */
	unsigned int left; /* of it, never 0 */
};

/* Draws the next gap: the top bits of a linear congruential generator. */
static inline void zs_sampler_draw(struct zs_sampler *sampler)
{
	sampler->random = sampler->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	sampler->gap = 1 + (unsigned int)(sampler->random >> 59);
	sampler->left = sampler->gap;
}

static inline void zs_sampler_init(struct zs_sampler *sampler, uint64_t seed)
{
	sampler->random = seed;
	zs_sampler_draw(sampler);
}

/* Before each call. Answers how many it stands for if it is to be timed, else 0. */
static inline unsigned int zs_sampler_next(struct zs_sampler *sampler)
{
	unsigned int gap = sampler->gap;

	if (__builtin_expect(--sampler->left, 1))
		return 0;
	zs_sampler_draw(sampler);
	return gap;
}
