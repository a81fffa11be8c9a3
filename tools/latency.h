#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Histograms as the daemon's method Latencies answers them: arrays of {upto_ns, count}, in ascending order, without
 * empty buckets.
 */

#include <jansson.h>
#include <stdint.h>

#define ZSCTL_BUCKETS_MAX 512

struct zsctl_histogram {
	uint64_t upto_ns[ZSCTL_BUCKETS_MAX];
	uint64_t counts[ZSCTL_BUCKETS_MAX];
	size_t nr;
	uint64_t total;
};

/* What was counted from before to now; before may be NULL. Both are such arrays. */
void zsctl_histogram_difference(const json_t *before, const json_t *now, struct zsctl_histogram *ret_histogram);

/* A time that at least percent of all don't exceed; 0 if nothing was counted. */
uint64_t zsctl_histogram_percentile(const struct zsctl_histogram *histogram, unsigned int percent);

/* Requests that took more than after_ns and at most upto_ns. */
uint64_t zsctl_histogram_between(const struct zsctl_histogram *histogram, uint64_t after_ns, uint64_t upto_ns);
