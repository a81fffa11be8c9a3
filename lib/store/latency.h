#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a device's requests take, by operation: histograms in shards like the counters, but fewer of them, and made
 * when they are first needed.
 *
 * One histogram has 3,464 bytes, so that a device costs nothing before its first request, 21 KB at most, and 4096 of
 * them 85 MB if all have seen reads, writes and discards from many threads. Two shards keep two CPUs apart; with more,
 * threads meet in a bucket now and then, which costs a request of some microseconds a tenth of one.
 */

#include <stdatomic.h>
#include <stdint.h>

struct zs_histogram;
struct zs_histogram_sum;

#define ZS_LATENCY_SHARDS 2

enum zs_operation { ZS_OPERATION_READ, ZS_OPERATION_WRITE, ZS_OPERATION_DISCARD, ZS_OPERATION_NR };

/* What is told of one operation; percentiles are at most 1/16 too large, see base/histogram.h. All 0 if count is. */
struct zs_latency {
	uint64_t count;
	uint64_t p50_nsec, p99_nsec, max_nsec;
};

/* All NULL at first: a zeroed structure is ready. */
struct zs_latencies {
	_Atomic(struct zs_histogram *) histograms[ZS_LATENCY_SHARDS][ZS_OPERATION_NR];
};

/* Without memory for a histogram nothing is counted. Context: any thread. */
void zs_latencies_add(struct zs_latencies *latencies, unsigned int shard, enum zs_operation operation, uint64_t nsec);
/* Context: any thread. */
void zs_latencies_sum(const struct zs_latencies *latencies, enum zs_operation operation,
		      struct zs_latency *ret_latency);
/* Adds what was counted of an operation. Context: any thread. */
void zs_latencies_collect(const struct zs_latencies *latencies, enum zs_operation operation,
			  struct zs_histogram_sum *sum);
/* Nothing is counted afterwards, and it can be used again. Context: nobody else uses them. */
void zs_latencies_deinit(struct zs_latencies *latencies);
