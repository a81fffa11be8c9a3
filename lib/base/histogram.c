/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Histograms of times. */

#include "base/histogram.h"

#include <assert.h>

static_assert(sizeof(struct zs_histogram) < 3500, "there are some for each device");

uint64_t zs_histogram_bucket_end(unsigned int bucket)
{
	uint64_t end_units = bucket + 1;
	unsigned int octave;

	if (bucket >= ZS_HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX;
	if (bucket >= ZS_HISTOGRAM_STEPS) {
		octave = bucket / ZS_HISTOGRAM_STEPS - 1;
		end_units = (ZS_HISTOGRAM_STEPS + bucket % ZS_HISTOGRAM_STEPS + UINT64_C(1)) << octave;
	}
	return (end_units << ZS_HISTOGRAM_UNIT_SHIFT) - 1;
}

void zs_histogram_sum_up(struct zs_histogram_sum *sum, const struct zs_histogram *histogram)
{
	for (unsigned int i = 0; i < ZS_HISTOGRAM_BUCKETS; i++) {
		/* acquire: pairs with zs_histogram_add() */
		uint64_t count = atomic_load_explicit(&histogram->buckets[i], memory_order_acquire);

		sum->buckets[i] += count;
		sum->count += count;
	}
	sum->max_nsec = zs_max(sum->max_nsec, atomic_load_explicit(&histogram->max_nsec, memory_order_relaxed));
}

uint64_t zs_histogram_percentile(const struct zs_histogram_sum *sum, unsigned int percent)
{
	/* Rounded up, in a way that can't overflow. */
	uint64_t wanted = sum->count / 100 * percent + zs_div_round_up(sum->count % 100 * percent, 100);
	uint64_t seen = 0;

	for (unsigned int i = 0; i < ZS_HISTOGRAM_BUCKETS && sum->count; i++) {
		seen += sum->buckets[i];
		if (seen >= wanted)
			return zs_min(zs_histogram_bucket_end(i), sum->max_nsec);
	}
	return 0;
}
