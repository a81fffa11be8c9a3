#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dictionaries of a store: trained from a device's blocks (store/train.h), used when these are recompressed with
 * zstd, and kept in the arena, since an object whose dictionary is gone is lost.
 *
 * A device has versions of its dictionary. The newest one is current: recompression uses it. Older ones stay as long as
 * an object may name them, and are given back by zs_store_retire_dictionaries().
 */

#include <stdbool.h>
#include <stdint.h>

struct zs_device;
struct zs_store;

/* What a dictionary takes in the arena, at least and at most. */
#define ZS_DICTIONARY_MIN_BYTES ((uint32_t)4 << 10)
#define ZS_DICTIONARY_MAX_BYTES ((uint32_t)128 << 10)
/* Of a device at a time. */
#define ZS_DICTIONARY_VERSIONS 8

struct zs_dictionary_info {
	uint32_t version; /* of the device's dictionaries, from 1 */
	bool is_current;
	bool is_damaged; /* blocks that need it read as I/O errors */
	uint32_t size_bytes;
	uint64_t memory_bytes; /* in the arena, and the tables for decompression; also in the device's memory_bytes */
	uint64_t blocks;       /* in memory that need it; what is in the backing file can't be told */
	int64_t created_sec;   /* Unix time */
};

/* Returns how many there are, in the order of their versions. */
unsigned int zs_device_dictionaries(struct zs_device *device,
				    struct zs_dictionary_info ret_infos[static ZS_DICTIONARY_VERSIONS]);

/*
 * Gives back what is not current and not needed: no object in memory names it, and the device has none in the backing
 * file (a record says which one it needs only when it is read). Returns how many. Context: the thread that writes back.
 */
unsigned int zs_store_retire_dictionaries(struct zs_store *store);
