#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data that dictionaries are made for, and training. */

#include "store/train.h"
#include "support/random.h"

/*
 * Noise in pieces of 96 bytes from the same 4 KiB, mixed with some that is new: nothing repeats in a block, much does
 * in others. The same kind, the same 4 KiB.
 */
void test_pattern_make(uint64_t kind, struct test_random *random, void *buffer, size_t size);

/* Trains until it is over. Returns what zs_train_begin() or zs_train_slice() did at last. */
int test_train(struct zs_store *store, uint64_t device_id, struct zs_stream *stream, uint32_t size_bytes,
	       struct zs_train_progress *ret_progress);

struct zs_device;

/* Recompresses all of a device to zstd:3, what is dense already included. Returns the blocks that have changed. */
uint64_t test_recompress(struct zs_device *device, struct zs_stream *stream);
