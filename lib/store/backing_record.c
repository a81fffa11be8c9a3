/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of the backing file, see store/backing_format.h. */

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/backing_crypt.h"
#include "store/backing_internal.h"
#include "zsmalloc/object.h"

/* Odd numbers with bits all over (splitmix64's): each change of sequence or unit changes the seed. */
#define SEQUENCE_FACTOR UINT64_C(0x9e3779b97f4a7c15)
#define UNIT_FACTOR	UINT64_C(0xbf58476d1ce4e5b9)

static uint32_t seal_of(const struct zs_backing *backing, const struct zs_record_header *header, uint64_t sequence,
			uint64_t unit)
{
	uint64_t seed = backing->seal_key ^ sequence * SEQUENCE_FACTOR ^ unit * UNIT_FACTOR;

	return (uint32_t)XXH3_64bits_withSeed(&header->handle, ZS_RECORD_SEALED_BYTES, seed);
}

static uint32_t payload_bytes(const struct zs_backing *backing, uint32_t meta)
{
	return zs_object_info(meta).size + (backing->is_encrypted ? ZS_RECORD_TAG_BYTES : 0);
}

/* What is bound to an encrypted record: the header, from behind the seal to before the checksum. */
static struct zs_crypt_place crypt_place(const struct zs_record_header *header, uint64_t sequence, uint64_t unit)
{
	return (struct zs_crypt_place){
		.sequence = sequence, .unit = unit, .header = &header->handle, .header_bytes = ZS_RECORD_SEALED_BYTES};
}

/* What is encrypted: the checksum and the payload. */
static size_t text_bytes(const struct zs_record_header *header)
{
	return sizeof(header->checksum) + zs_object_info(header->meta).size;
}

uint32_t zs_record_length(const struct zs_backing *backing, uint32_t meta)
{
	return zs_record_units(payload_bytes(backing, meta));
}

uint64_t zs_backing_record_bytes(const struct zs_backing *backing, uint32_t meta)
{
	return zs_record_length(backing, meta) * ZS_UNIT_BYTES;
}

void zs_record_encode(const struct zs_backing *backing, const struct zs_record *record, const struct zs_place *place,
		      char *to)
{
	struct zs_record_header *header = (void *)to;
	uint64_t sequence = zs_segment_sequence(&backing->segments, zs_segment_of(&backing->segments, place->unit));
	size_t end = ZS_RECORD_HEADER_BYTES + payload_bytes(backing, record->meta);

	*header = (struct zs_record_header){
		.handle = record->handle.index,
		.meta = record->meta,
		.block = (uint32_t)record->block,
		.device_id = record->device_id,
		.checksum = record->checksum,
	};
	header->seal = seal_of(backing, header, sequence, place->unit);
	memcpy(header->payload, record->payload, zs_object_info(record->meta).size);
	if (backing->is_encrypted) {
		struct zs_crypt_place where = crypt_place(header, sequence, place->unit);

		zs_crypt_seal(backing->key, &where, &header->checksum, text_bytes(header));
	}
	memset(to + end, 0, place->units * ZS_UNIT_BYTES - end);
}

int zs_record_look(const struct zs_backing *backing, uint64_t sequence, uint64_t unit, const char *at, size_t bytes,
		   struct zs_place *ret_place)
{
	const struct zs_record_header *header = (const void *)at;
	struct zs_place place = {.unit = unit};

	if (bytes < ZS_RECORD_HEADER_BYTES || !header->handle || !sequence ||
	    header->seal != seal_of(backing, header, sequence, unit))
		return -EBADMSG;
	place.units = zs_record_length(backing, header->meta);
	if (place.units * ZS_UNIT_BYTES > bytes)
		return -EBADMSG;
	*ret_place = place;
	return 0;
}

int zs_record_decode(const struct zs_backing *backing, uint64_t sequence, const struct zs_place *place, char *at,
		     struct zs_record *ret_record)
{
	struct zs_record_header *header = (void *)at;
	struct zs_crypt_place where = crypt_place(header, sequence, place->unit);

	if (backing->is_encrypted && zs_crypt_open(backing->key, &where, &header->checksum, text_bytes(header)))
		return -EBADMSG;
	if (header->checksum != zs_object_checksum(header->meta, header->payload))
		return -EBADMSG;
	*ret_record = (struct zs_record){
		.handle = {header->handle},
		.meta = header->meta,
		.checksum = header->checksum,
		.device_id = header->device_id,
		.block = header->block,
		.payload = header->payload,
	};
	return 0;
}
