#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block: what it is stored as, and the commit. Choices are made here; ranges are cut in store/device.c, bytes are
 * moved in zsmalloc and codec.
 *
 * Context: any thread that borrowed the device, with its own stream. Concurrent calls for one block are allowed: each
 * store replaces the slot atomically, and whoever replaced an object frees it.
 */

#include <stddef.h>
#include <stdint.h>

struct zs_device;
struct zs_stream;

/*
 * Reads a block, and those behind it that come with it if it is cold: nr (1 or more) at most. Returns 0 and how many
 * were read; -EIO (the first one is damaged, or can't be read from the backing file; counted), -EINPROGRESS (the stream
 * must not wait for the backing file) or -ENOMEM (codec context, buffer).
 */
int zs_block_load(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t nr, void *buffer,
		  uint64_t *ret_nr);

/* What the caller stores in turn: a hint, so that what the next block replaces is asked for meanwhile. */
enum zs_block_turn {
	ZS_TURN_AFTER = 1,  /* it has just stored the block before this one */
	ZS_TURN_BEFORE = 2, /* it is going to store the one behind */
};

/* Replaces a block; turn: of enum zs_block_turn. Returns 0, -ENOSPC or -ENOMEM, and the old content stays. */
int zs_block_store(struct zs_device *device, struct zs_stream *stream, uint64_t block, unsigned int turn,
		   const void *buffer);

/*
 * Replaces a part of a block; data NULL stands for zeros. Returns 0, -EIO (the rest is damaged or can't be read),
 * -EINPROGRESS (the stream must not wait for the rest), -ENOSPC, -ENOMEM. Lock: one of store->modify, so that
 * neighbours in one block do not undo and redo each other's work; not while the backing file is read.
 */
int zs_block_modify(struct zs_device *device, struct zs_stream *stream, uint64_t block, size_t offset, const void *data,
		    size_t length);

/* Makes a block empty. */
void zs_block_discard(struct zs_device *device, struct zs_stream *stream, uint64_t block);

/* Makes the blocks of a whole page of slots empty; first is a multiple of ZS_SLOTS_PER_PAGE. */
void zs_block_discard_page(struct zs_device *device, struct zs_stream *stream, uint64_t first);
