#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The object header: 12 bytes before each payload, in memory and later in the backing file alike.
 *
 *   offset  bytes
 *   0       4      handle      the way back; 0 in a free object
 *   4       4      meta        bits 0-16 payload size, 17-20 codec, 21-31 dictionary;
 *                              in a free object the index of the next free one of its zspage
 *   8       4      checksum    low half of XXH3-64 of the payload, xor meta * 0x9e3779b1
 *
 * The factor is odd, so that every change of meta changes the product, and with it the checksum that is expected.
 *
 * The size must be one of the object's class, which finds most flipped bits without a look at the payload. Room that a
 * larger class has lent (zsmalloc/room.c) is larger by four bytes at least: the last four hold a mark, handle * factor
 * xor meta, without which an object that is too small for its class is not believed.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "zsmalloc/geometry.h"
#include "zsmalloc/pool.h"

struct zs_object_header {
	_Atomic uint32_t
		handle; /* compaction finds the owner of an object by it, and asks the handle word whether it is */
	uint32_t meta;
	uint32_t checksum;
};

static_assert(sizeof(struct zs_object_header) == ZS_OBJECT_HEADER_BYTES, "the geometry counts the header");

static inline uint32_t zs_object_meta(const struct zs_object_info *info)
{
	return info->size | (uint32_t)info->codec << 17 | (uint32_t)info->dictionary << 21;
}

static inline struct zs_object_info zs_object_info(uint32_t meta)
{
	return (struct zs_object_info){
		.size = meta & 0x1ffff,
		.codec = (uint8_t)(meta >> 17 & 0xf),
		.dictionary = (uint16_t)(meta >> 21),
	};
}

/* What a handle or a meta is multiplied with. */
#define ZS_OBJECT_FACTOR UINT32_C(0x9e3779b1)

static inline uint32_t zs_object_lent_mark(uint32_t handle, uint32_t meta)
{
	return handle * ZS_OBJECT_FACTOR ^ meta;
}

uint32_t zs_object_checksum(uint32_t meta, const void *payload);

/* XXH3-64, for any processor and for those with AVX2 or AVX-512 (x86-64). The same values; tests compare them. */
uint64_t zs_object_hash(const void *data, size_t size);
uint64_t zs_object_hash_avx2(const void *data, size_t size);
uint64_t zs_object_hash_avx512(const void *data, size_t size);
