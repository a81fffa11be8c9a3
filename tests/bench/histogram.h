#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Histogram of latencies: 64 buckets an octave, so that a percentile is read to 1.6 % from 1 ns to centuries without
 * choosing a range. Owned by one thread; histograms of several threads are merged afterwards.
 */

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 6
#define HISTOGRAM_STEPS	    (1U << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_BUCKETS   (64 * HISTOGRAM_STEPS)

struct histogram {
	uint64_t count;
	uint64_t max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* Values below HISTOGRAM_STEPS have a bucket each; above, the top bits behind the leading one choose the step. */
static inline unsigned int histogram_bucket(uint64_t value)
{
	unsigned int octave;

	if (value < HISTOGRAM_STEPS)
		return (unsigned int)value;
	octave = 63 - (unsigned int)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
	return (octave + 1) * HISTOGRAM_STEPS + (unsigned int)((value >> octave) & (HISTOGRAM_STEPS - 1));
}

/* The largest value that falls into the bucket. */
static inline uint64_t histogram_bucket_end(unsigned int bucket)
{
	unsigned int octave;

	if (bucket < HISTOGRAM_STEPS)
		return bucket;
	octave = bucket / HISTOGRAM_STEPS - 1;
	return (((uint64_t)HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS + 1) << octave) - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->bucket[histogram_bucket(value)]++;
	if (value > histogram->max)
		histogram->max = value;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

/* The value that percent of all values don't exceed; 0 if there are none. */
static inline uint64_t histogram_percentile(const struct histogram *histogram, unsigned int percent)
{
	uint64_t wanted = (histogram->count * percent + 99) / 100;
	uint64_t seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->bucket[i];
		if (seen >= wanted && seen)
			return histogram_bucket_end(i) < histogram->max ? histogram_bucket_end(i) : histogram->max;
	}
	return 0;
}
