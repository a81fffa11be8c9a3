#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in the backing file: segments, and in them records, packed one behind the other.
 *
 *   segment 0   the file's header in its first page, the budget in the third and fourth, the newer of both being valid;
 *               else empty, so that places of 0 name nothing
 *   segment n   a header, then records. A write begins and ends at a page's border, and no record crosses the end of
 *               one: behind the last record of a write there are zeros up to the next page
 *
 * A place in the file is counted in units of 16 bytes: 39 bits of a handle word name 8 TiB, 13 more a length of 128 K.
 *
 * A record's seal covers its header, and is seeded with the file's id, the segment's sequence number and the place. So
 * a record that an earlier use of the segment has left, that was written to a wrong place, or that belongs to another
 * file, is never taken for one that is valid. All numbers are in the machine's byte order, as in the arena.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"
#include "zsmalloc/geometry.h"

#define ZS_UNIT_SHIFT	   4
#define ZS_UNIT_BYTES	   ((size_t)1 << ZS_UNIT_SHIFT)
#define ZS_PLACE_UNIT_BITS 39
#define ZS_PLACE_SIZE_BITS 13

#define ZS_BACKING_MAGIC      "ZSDCOLD1"
#define ZS_BACKING_VERSION    1
#define ZS_SEGMENT_MAGIC      "ZSDSEGMT"
#define ZS_SEGMENT_MIN_BYTES  ((uint32_t)256 << 10)
#define ZS_SEGMENT_MAX_BYTES  ((uint32_t)16 << 20)
#define ZS_SEGMENT_FIRST_UNIT (sizeof(struct zs_segment_header) / ZS_UNIT_BYTES)
#define ZS_BACKING_ID_BYTES   16
#define ZS_BACKING_MAX_BYTES  ((uint64_t)ZS_UNIT_BYTES << ZS_PLACE_UNIT_BITS)
#define ZS_RECORD_TAG_BYTES   16 /* behind an encrypted payload, see store/backing_crypt.h */

/* The first page of the file, the rest of which is 0. */
struct zs_backing_header {
	char magic[8];
	uint32_t version;
	uint32_t segment_bytes;
	uint8_t id[ZS_BACKING_ID_BYTES]; /* random */
	uint64_t checksum;		 /* XXH3-64 of all above */
};

/* What is left of the budget for the next store, see struct zs_backing_budget. */
#define ZS_BUDGET_MAGIC	     "ZSDLIMIT"
#define ZS_BUDGET_FIRST_PAGE 2
#define ZS_BUDGET_END_PAGE   4

struct zs_budget_page {
	char magic[8];
	uint64_t sequence; /* from 1 on; that of the newer copy is larger */
	uint64_t day;
	uint64_t written_bytes;
	uint64_t limit_bytes;
	uint64_t remaining_bytes;
	uint64_t is_counted;
	uint64_t configured_limit_bytes;
	uint64_t configured_total_bytes;
	uint64_t checksum; /* XXH3-64 of all above */
};

/* For a reader of the file who has no arena: nothing here is needed to read a record. */
struct zs_segment_header {
	char magic[8];
	uint8_t id[ZS_BACKING_ID_BYTES];
	uint64_t sequence;
	uint64_t reserved[3]; /* 0 */
	uint64_t checksum;    /* XXH3-64 of all above */
};

struct zs_record_header {
	uint32_t seal;	 /* low half of XXH3-64 of handle to device_id, seeded; see above */
	uint32_t handle; /* never 0 */
	uint32_t meta;	 /* size, codec, dictionary: zsmalloc/object.h */
	uint32_t block;	 /* low 32 bits of its number */
	uint64_t device_id;
	uint32_t checksum; /* of the payload, as in memory; encrypted with it */
	char payload[];
};

#define ZS_RECORD_HEADER_BYTES offsetof(struct zs_record_header, payload)
#define ZS_RECORD_SEALED_BYTES (offsetof(struct zs_record_header, checksum) - sizeof(uint32_t))

static_assert(sizeof(struct zs_backing_header) == 40, "the header's size is part of the format");
static_assert(sizeof(struct zs_budget_page) == 80, "part of the format");
static_assert(sizeof(struct zs_segment_header) == 64, "records begin at a unit");
static_assert(ZS_RECORD_HEADER_BYTES == 28, "a record's header is part of the format");

/* What a record of size bytes of payload (and tag) takes. */
static inline uint32_t zs_record_units(uint32_t size)
{
	return (uint32_t)(zs_align_up(ZS_RECORD_HEADER_BYTES + size, ZS_UNIT_BYTES) >> ZS_UNIT_SHIFT);
}

/* The longest record. */
#define ZS_RECORD_MAX_BYTES                                                                                            \
	(ZS_RECORD_HEADER_BYTES + ZS_CLASS_MAX_BYTES - ZS_OBJECT_HEADER_BYTES + ZS_RECORD_TAG_BYTES + ZS_UNIT_BYTES)

static_assert(ZS_RECORD_MAX_BYTES >> ZS_UNIT_SHIFT < 1 << ZS_PLACE_SIZE_BITS, "a handle word can say its length");
