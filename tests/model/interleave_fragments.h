#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For interleavings: zspages with holes around an object, so that compaction has to move it. Another device has the
 * other objects of its class.
 *
 *   fragments_fill()   all zspages of the class are full but the last, where the next object comes
 *   fragments_thin()   that is the emptiest zspage now, and there are more holes in the others than it has objects
 *   fragments_close()  the objects move, and others take over the places that they have left
 */

#include <stdbool.h>
#include <stdint.h>

#define NR_FRAGMENTS 300

struct zs_device;
struct zs_store;
struct zs_stream;

struct fragments {
	struct zs_store *store;
	struct zs_device *device;
	uint64_t step; /* see interleave_words.h */
	uint64_t version;
	uint64_t content[NR_FRAGMENTS]; /* words; 0: empty */
};

void fragments_init(struct fragments *fragments, struct zs_store *store, struct zs_stream *stream, uint64_t step);
void fragments_fill(struct fragments *fragments, struct zs_stream *stream);
void fragments_thin(struct fragments *fragments, struct zs_stream *stream);
/* Asserts that objects have moved. True if that of the block of this device is one of them. */
bool fragments_close(struct fragments *fragments, struct zs_stream *stream, struct zs_device *device, uint64_t block);
/* True if all are what they were written as. */
bool fragments_are_whole(const struct fragments *fragments, struct zs_stream *stream);
