#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For interleavings: blocks that are filled from one 8-byte word, which says all about them. With step 0 each of their
 * words is the same, and the object has 8 bytes; else each is a bit different, and the object is stored raw.
 */

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "store/device.h"

#define BLOCK_SIZE  4096
#define BLOCK_WORDS (BLOCK_SIZE / sizeof(uint64_t))
/* A step with which nothing can be compressed. */
#define RAW_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline void fill_words(uint64_t *buffer, uint64_t word, uint64_t step)
{
	for (uint64_t i = 0; i < BLOCK_WORDS; i++)
		buffer[i] = word ^ i * step;
}

/* The word that the block is filled from, 0 for an empty one; all ones if it is not one word. */
static inline uint64_t find_word(const uint64_t *buffer, uint64_t step)
{
	uint64_t expected[BLOCK_WORDS];

	fill_words(expected, buffer[0], buffer[0] || buffer[1] ? step : 0);
	return memcmp(buffer, expected, BLOCK_SIZE) ? UINT64_MAX : buffer[0];
}

static inline void write_block(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t word,
			       uint64_t step)
{
	uint64_t buffer[BLOCK_WORDS];
	size_t done;

	fill_words(buffer, word, step);
	zs_assert(!zs_device_write(device, stream, block * BLOCK_SIZE, buffer, BLOCK_SIZE, &done));
}

static inline uint64_t read_block(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t step)
{
	uint64_t buffer[BLOCK_WORDS];

	return zs_device_read(device, stream, block * BLOCK_SIZE, buffer, BLOCK_SIZE) ? UINT64_MAX
										      : find_word(buffer, step);
}
