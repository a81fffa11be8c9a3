#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Histogram of times: 16 buckets an octave, so that a percentile is at most 1/16 = 6.25 % too large, from 256 ns to
 * 16 s; below, the buckets are 16 ns wide. Longer times fall into the last bucket, and only the maximum knows them.
 *
 *   time, ns        buckets     width, ns
 *   0 - 255         0 - 15      16
 *   256 - 511       16 - 31     16
 *   512 - 1023      32 - 47     32
 *   ...
 *   2^33 and more   416 - 431   2^29, the last one without an end
 *
 * Context: any number of threads add at the same time, and anybody may sum up meanwhile; there is no lock.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "base/bits.h"

#define ZS_HISTOGRAM_STEP_BITS	4
#define ZS_HISTOGRAM_STEPS	(1U << ZS_HISTOGRAM_STEP_BITS) /* buckets an octave */
#define ZS_HISTOGRAM_UNIT_SHIFT 4			       /* nobody needs better than 16 ns */
#define ZS_HISTOGRAM_TOP_BIT	33			       /* of the longest times */
#define ZS_HISTOGRAM_BUCKETS                                                                                           \
	((ZS_HISTOGRAM_TOP_BIT - ZS_HISTOGRAM_UNIT_SHIFT - ZS_HISTOGRAM_STEP_BITS + 2) * ZS_HISTOGRAM_STEPS)

struct zs_histogram {
	_Atomic uint64_t buckets[ZS_HISTOGRAM_BUCKETS];
	_Atomic uint64_t max_nsec; /* stored before a bucket counts it */
};

/* What several histograms have counted together. */
struct zs_histogram_sum {
	uint64_t buckets[ZS_HISTOGRAM_BUCKETS];
	uint64_t count; /* sum of buckets */
	uint64_t max_nsec;
};

static inline unsigned int zs_histogram_bucket(uint64_t nsec)
{
	uint64_t units = nsec >> ZS_HISTOGRAM_UNIT_SHIFT;
	unsigned int octave, bucket;

	if (units < ZS_HISTOGRAM_STEPS)
		return (unsigned int)units;
	octave = zs_ilog2(units) - ZS_HISTOGRAM_STEP_BITS;
	bucket = (octave + 1) * ZS_HISTOGRAM_STEPS + (unsigned int)((units >> octave) & (ZS_HISTOGRAM_STEPS - 1));
	return (unsigned int)zs_min(bucket, ZS_HISTOGRAM_BUCKETS - 1);
}

/* The longest time that falls into the bucket; into the last one all do that are longer. */
uint64_t zs_histogram_bucket_end(unsigned int bucket);

static inline void zs_histogram_add(struct zs_histogram *histogram, uint64_t nsec)
{
	uint64_t max = atomic_load_explicit(&histogram->max_nsec, memory_order_relaxed);

	while (nsec > max && !atomic_compare_exchange_weak_explicit(&histogram->max_nsec, &max, nsec,
								    memory_order_relaxed, memory_order_relaxed))
		continue;
	/* release: whoever finds it counted finds max_nsec, see zs_histogram_sum_up() */
	atomic_fetch_add_explicit(&histogram->buckets[zs_histogram_bucket(nsec)], 1, memory_order_release);
}

/* Adds what a histogram has counted so far. */
void zs_histogram_sum_up(struct zs_histogram_sum *sum, const struct zs_histogram *histogram);

/*
 * A time that at least percent (1 to 100) of all times don't exceed: the end of the bucket of the one that is just
 * enough, or the maximum if that is less. 0 if nothing was counted.
 */
uint64_t zs_histogram_percentile(const struct zs_histogram_sum *sum, unsigned int percent);
