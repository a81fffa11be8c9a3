/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Latencies by windows of time. */

#include "load_windows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "histogram.h"

int load_windows_init(struct load_windows *windows, uint64_t begin_ns, uint64_t limit_ns)
{
	if (!windows->length_ns)
		return 0;
	windows->first = (begin_ns + windows->length_ns - 1) / windows->length_ns;
	windows->nr = (begin_ns + limit_ns) / windows->length_ns - windows->first;
	/* Most of a histogram is never touched, and takes no memory. */
	windows->histograms = calloc(windows->nr, sizeof(*windows->histograms));
	return windows->histograms || !windows->nr ? 0 : -ENOMEM;
}

void load_windows_deinit(struct load_windows *windows)
{
	free(windows->histograms);
	windows->histograms = NULL;
}

void load_windows_add(struct load_windows *windows, uint64_t begin_ns, uint64_t latency_ns)
{
	uint64_t number;

	if (!windows->length_ns)
		return;
	number = begin_ns / windows->length_ns;
	if (number < windows->first || number - windows->first >= windows->nr)
		return;
	if (begin_ns - number * windows->length_ns >= windows->settle_ns)
		histogram_add(&windows->histograms[number - windows->first], latency_ns);
}

void load_windows_merge(struct load_windows *into, const struct load_windows *from)
{
	for (uint64_t i = 0; i < into->nr; i++)
		histogram_merge(&into->histograms[i], &from->histograms[i]);
}

static void print_histogram(const struct histogram *histogram)
{
	const char *separator = "";

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!histogram->bucket[i])
			continue;
		printf("%s[%" PRIu64 ", %" PRIu64 "]", separator, histogram_bucket_end(i), histogram->bucket[i]);
		separator = ", ";
	}
}

void load_windows_print(const struct load_windows *windows)
{
	printf("{\"first\": %" PRIu64 ", \"latencies\": [", windows->first);
	for (uint64_t i = 0; i < windows->nr; i++) {
		fputs(i ? ", [" : "[", stdout);
		print_histogram(&windows->histograms[i]);
		putchar(']');
	}
	fputs("]}", stdout);
}
