/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Latencies of a device. */

#include "store/latency.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/histogram.h"

/* A new histogram, or the one that somebody else made meanwhile; NULL for lack of memory. */
static struct zs_histogram *make(_Atomic(struct zs_histogram *) *place)
{
	struct zs_histogram *made = zs_calloc(1, sizeof(*made)), *found = NULL;

	/* release: pairs with the acquires of whoever looks into it; acquire: we may do so, too */
	if (!made ||
	    atomic_compare_exchange_strong_explicit(place, &found, made, memory_order_acq_rel, memory_order_acquire))
		return made;
	free(made);
	return found;
}

void zs_latencies_add(struct zs_latencies *latencies, unsigned int shard, enum zs_operation operation, uint64_t nsec)
{
	_Atomic(struct zs_histogram *) *place = &latencies->histograms[shard % ZS_LATENCY_SHARDS][operation];
	struct zs_histogram *histogram = atomic_load_explicit(place, memory_order_acquire);

	if (__builtin_expect(!histogram, 0))
		histogram = make(place);
	if (histogram)
		zs_histogram_add(histogram, nsec);
}

void zs_latencies_collect(const struct zs_latencies *latencies, enum zs_operation operation,
			  struct zs_histogram_sum *sum)
{
	for (unsigned int shard = 0; shard < ZS_LATENCY_SHARDS; shard++) {
		const struct zs_histogram *histogram = atomic_load_explicit(&latencies->histograms[shard][operation],
									    memory_order_acquire);

		if (histogram)
			zs_histogram_sum_up(sum, histogram);
	}
}

void zs_latencies_sum(const struct zs_latencies *latencies, enum zs_operation operation, struct zs_latency *ret_latency)
{
	struct zs_histogram_sum sum = {0};

	zs_latencies_collect(latencies, operation, &sum);
	*ret_latency = (struct zs_latency){
		.count = sum.count,
		.p50_nsec = zs_histogram_percentile(&sum, 50),
		.p99_nsec = zs_histogram_percentile(&sum, 99),
		.max_nsec = sum.max_nsec,
	};
}

void zs_latencies_deinit(struct zs_latencies *latencies)
{
	for (unsigned int shard = 0; shard < ZS_LATENCY_SHARDS; shard++) {
		for (unsigned int operation = 0; operation < ZS_OPERATION_NR; operation++)
			free(atomic_exchange(&latencies->histograms[shard][operation], NULL));
	}
}
