#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a device holds and costs, in bytes: computed in one place, so that list, usage, mm_stat and metrics agree.
 *
 *   data_bytes = same_bytes + compressed_bytes + incompressible_bytes + written_back_bytes
 *
 * Context: any thread that borrowed the device.
 */

#include "store/store.h"

struct zsd_figures {
	struct zs_device_info info;
	struct zs_device_stats stats; /* of one reading, as all below */
	uint64_t data_bytes;
	uint64_t same_bytes;	       /* in blocks that repeat one word */
	uint64_t compressed_bytes;     /* before compression */
	uint64_t incompressible_bytes; /* stored as they are */
	uint64_t written_back_bytes;   /* in the backing file */
	/* Payload of what is compressed; where blocks repeat a word of 8 bytes, this word, too. */
	uint64_t packed_bytes;
	uint64_t zstd_bytes, zstd_packed_bytes; /* the parts of compressed_bytes and packed_bytes that are zstd's */
};

void zsd_figures_get(struct zs_device *device, struct zsd_figures *ret_figures);

/* Of all devices. */
struct zsd_sums {
	uint64_t data_bytes;
	uint64_t written_back_bytes; /* the part of data_bytes that takes no memory */
	uint64_t stored_bytes;	     /* payload in memory */
};

/* Context: any thread that has borrowed no device. */
void zsd_figures_sum(struct zs_store *store, struct zsd_sums *ret_sums);

/* (data - written back) / used: how much one byte of the pool's memory holds; 0 while there is nothing to compare. */
double zsd_sums_ratio(const struct zsd_sums *sums, uint64_t used_bytes);

/* (data - written back) / memory: how much one byte of memory holds; 0 while there is nothing to compare. */
double zsd_figures_ratio(const struct zsd_figures *figures);
