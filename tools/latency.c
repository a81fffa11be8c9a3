/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Histograms of latencies. */

#include "latency.h"

static uint64_t field(const json_t *bucket, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(bucket, name));
}

void zsctl_histogram_difference(const json_t *before, const json_t *now, struct zsctl_histogram *ret_histogram)
{
	struct zsctl_histogram histogram = {.nr = 0};
	const json_t *bucket;
	size_t i, j = 0;

	json_array_foreach((json_t *)now, i, bucket)
	{
		uint64_t upto = field(bucket, "upto_ns"), count = field(bucket, "count");
		const json_t *old = json_array_get(before, j);

		if (histogram.nr == ZSCTL_BUCKETS_MAX)
			break;
		/* A bucket is never emptied: what was there before is there now. */
		if (old && field(old, "upto_ns") == upto) {
			count -= field(old, "count");
			j++;
		}
		if (!count)
			continue;
		histogram.upto_ns[histogram.nr] = upto;
		histogram.counts[histogram.nr++] = count;
		histogram.total += count;
	}
	*ret_histogram = histogram;
}

uint64_t zsctl_histogram_percentile(const struct zsctl_histogram *histogram, unsigned int percent)
{
	uint64_t wanted = histogram->total / 100 * percent + (histogram->total % 100 * percent + 99) / 100;
	uint64_t seen = 0;

	for (size_t i = 0; i < histogram->nr; i++) {
		seen += histogram->counts[i];
		if (seen >= wanted)
			return histogram->upto_ns[i];
	}
	return 0;
}

uint64_t zsctl_histogram_between(const struct zsctl_histogram *histogram, uint64_t after_ns, uint64_t upto_ns)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < histogram->nr; i++) {
		if (histogram->upto_ns[i] > after_ns && histogram->upto_ns[i] <= upto_ns)
			sum += histogram->counts[i];
	}
	return sum;
}
