#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cold data: blocks whose objects are in the backing file. Writing them there is store/writeback.h; who reads, writes
 * or discards one does it through store/device.h as ever, and gets it from the file.
 *
 * A block that was read there often enough is promoted: its object is in memory again, if there is room for it within
 * all limits without anybody being refused for it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/backing.h"

struct zs_store;

/* A cold block is promoted when it is read for the second time. */
#define ZS_PROMOTE_READS_DEFAULT 2
#define ZS_PROMOTE_READS_MAX	 255

/*
 * Opens the backing file of a store, and finds the records that its blocks name: those that can't be where their blocks
 * say are lost. Before that they read as I/O errors, and nothing else happens to them, so that a store whose backing
 * file is missing can be used without, and closed and opened again with it. Errnos as zs_backing_open(); -EALREADY if
 * it has one. Context: once, before any I/O.
 */
int zs_store_attach_backing(struct zs_store *store, const struct zs_backing_options *options,
			    enum zs_backing_field *ret_field);

/* Borrowed; NULL if the store has none. */
struct zs_backing *zs_store_backing(struct zs_store *store);

/* Blocks in the backing file, and the bytes of their records. Cheap enough for a watermark. */
void zs_store_backed(struct zs_store *store, uint64_t *ret_blocks, uint64_t *ret_bytes);

/* How often a block is read back before it is promoted: 1 at once, 0 never; ZS_PROMOTE_READS_MAX at most. */
void zs_store_set_promotion(struct zs_store *store, unsigned int reads);

/*
 * Empties up to nr_segments of the backing file of which at least percent is dead, as zs_backing_collect(): returns how
 * many, or -ENOSPC, -EIO or -ENOMEM; -EOPNOTSUPP without a backing file. If the file is full, and there is room within
 * all limits, objects go back to memory. Context: the thread that writes back.
 */
int zs_store_collect(struct zs_store *store, unsigned int percent, unsigned int nr_segments);

/*
 * Gives what is free in the backing file back to its file system, and empties some segments that are half dead, if the
 * budget of writeback is not used up. Waits for writes. Returns true if there may be more to do. Context: the thread
 * that writes back.
 */
bool zs_store_tidy(struct zs_store *store);
