#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Latencies by windows of time, while the load goes on: whoever does something to the machine in every other window
 * sees what that changes, without the load starting and ending in between.
 *
 * Windows are cut by the monotonic clock, window n from n * length_ns on, so that another process knows them without
 * being told. An operation belongs to the window in which it began, however long it took; those that began in the
 * window's first settle_ns are left out, since what was done in the window before may not be over.
 *
 * Owned by one thread; merged afterwards.
 */

#include <stdbool.h>
#include <stdint.h>

struct histogram;

#define LOAD_WINDOWS_MAX 10000

struct load_windows {
	uint64_t length_ns; /* 0 = there are none */
	uint64_t settle_ns;
	uint64_t first; /* of those that are counted; its number by the clock */
	uint64_t nr;
	struct histogram *histograms;
};

/* Makes room for all whole windows of limit_ns after begin_ns. Returns 0 or -ENOMEM. */
int load_windows_init(struct load_windows *windows, uint64_t begin_ns, uint64_t limit_ns);
void load_windows_deinit(struct load_windows *windows);

void load_windows_add(struct load_windows *windows, uint64_t begin_ns, uint64_t latency_ns);
/* Of the same windows. */
void load_windows_merge(struct load_windows *into, const struct load_windows *from);
/* Prints {"first": n, "latencies": [[[ns, count], ...], ...]}. */
void load_windows_print(const struct load_windows *windows);
