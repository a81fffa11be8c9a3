#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a store knows of its cold data; for this folder and for tests. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/cold.h"
#include "zsmalloc/pool.h"

struct zs_device;
struct zs_stream;

/* Reads are counted by a hash of the handle: two objects may share a count, and one is promoted early then. */
#define ZS_WARMTH_COUNTERS 65536

struct zs_cold {
	struct zs_backing *backing; /* NULL: none. Set before any I/O */
	_Atomic unsigned int promote_reads;
	_Atomic uint8_t *warmth; /* [ZS_WARMTH_COUNTERS] reads since the object was written back; relaxed, a hint */
	/* relaxed, sums over all devices; differences may come in any order */
	_Atomic uint64_t nr_blocks;
	_Atomic uint64_t nr_bytes;
	uint64_t collected_bytes; /* of the file's, taken off the budget; the cold thread's */
	uint64_t short_bytes;	  /* of the budget, that were not enough for a record; guarded by store->lock */
	/* Set since the cold thread has taken of the budget last */
	_Atomic bool limit_is_new; /* a limit; relaxed */
	bool total_is_new;	   /* the total limit; under store->lock */
};

/* Closes the backing file. Context: the store's last user. */
void zs_cold_deinit(struct zs_store *store);

/*
 * Reads up to nr blocks of which the first one's object is pinned and in the backing file, and unpins it: that one, and
 * those behind it whose records come with it. The blocks are promoted if it is time. Returns 0 and how many were read;
 * -EIO (said and counted: the file can't be read there, or the record is damaged), -ENOMEM, or -ESTALE: the first block
 * is another one by now.
 */
int zs_cold_load(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t nr, void *buffer,
		 const struct zs_object *object, uint64_t *ret_nr);

/*
 * Reads the record of a pinned object: info, payload and checksum are filled in; the payload is in the stream's memory
 * until its next use. Errnos as zs_cold_load(); the object stays pinned.
 */
int zs_cold_fetch(struct zs_device *device, struct zs_stream *stream, uint64_t block, struct zs_object *object);

/* The counter of an object's reads. */
_Atomic uint8_t *zs_cold_warmth(struct zs_store *store, struct zs_handle handle);

/*
 * A pinned object is at place, too: frees its memory and moves the charges. Returns 0, -EBUSY or -ESTALE as
 * zs_obj_evict(); the object stays pinned.
 */
int zs_cold_evict(struct zs_device *device, unsigned int shard, const struct zs_object *object, struct zs_place place);

/*
 * A pinned object was read from the file, info, payload and checksum being filled in: makes room for it within all
 * limits and moves the charges; the caller frees its place. Returns 0 or as zs_obj_restore(); it stays pinned.
 */
int zs_cold_restore(struct zs_device *device, unsigned int shard, struct zs_object *object);

/* Counts an object with a record of so many units: it comes to the file (sign 1) or leaves it (UINT64_MAX). */
void zs_cold_count(struct zs_device *device, unsigned int shard, uint32_t units, uint64_t sign);

/* Asserts that the backing file agrees with what the slots name. Context: no other thread uses the store. */
void zs_cold_check(struct zs_store *store, uint64_t nr_blocks, uint64_t nr_bytes);
