/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading a block: slot -> pin the handle -> is the slot still the same? -> verify -> decompress -> unpin. The second
 * look at the slot is what makes the pin safe: between the first look and the pin the object may have been freed and
 * the handle given to another block.
 */

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "codec/stream.h"
#include "store/age.h"
#include "store/block.h"
#include "store/block_internal.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "store/trouble.h"

/* Tries to pin what a slot names before the slot counts as damaged: far more than any race can need. */
#define PIN_TRIES 10000

static void fill(void *buffer, size_t size, uint64_t word)
{
	for (char *at = buffer; size; at += sizeof(word), size -= sizeof(word))
		memcpy(at, &word, sizeof(word));
}

/* Pins the object of a slot. Returns 0; -EAGAIN if the slot is a different one by now (*slot says which); -EBADMSG. */
static int pin_object(struct zs_device *device, uint64_t block, uint64_t *slot, struct zs_object *ret_object)
{
	uint64_t now;
	int error;

	for (unsigned int tries = 0; tries < PIN_TRIES; tries++) {
		error = zs_obj_read_begin(device->pool, zs_slot_handle(*slot), ret_object);
		now = zs_table_load(&device->table, block);
		if (now != *slot) {
			if (!error)
				zs_obj_read_end(device->pool, ret_object);
			*slot = now;
			return -EAGAIN;
		}
		if (error != -EAGAIN)
			return error;
	}
	return -EBADMSG;
}

/* The look at the slot is what makes the dictionary the right one: see store/dictionaries.c. */
static int unpack_with_dictionary(struct zs_device *device, struct zs_stream *stream, uint64_t block,
				  const struct zs_object *object, void *buffer)
{
	unsigned int number = object->info.dictionary;
	struct zs_dictionary *dictionary;
	int error = zs_dictionary_get(device->store, number, &dictionary);
	uint64_t slot = zs_table_load(&device->table, block);
	bool is_stale = zs_slot_state(slot) != ZS_SLOT_OBJECT || zs_slot_handle(slot).index != object->handle.index;

	if (error)
		return is_stale ? -ESTALE : error;
	error = is_stale ? -ESTALE
			 : zs_stream_decompress_with(stream, object->info.codec, dictionary, object->payload,
						     object->info.size, buffer, device->block_size);
	zs_dictionary_put(device->store, number);
	return error;
}

int zs_block_unpack(struct zs_device *device, struct zs_stream *stream, uint64_t block, const struct zs_object *object,
		    void *buffer)
{
	size_t block_size = device->block_size;
	uint64_t word;

	if (zs_obj_verify(object))
		return -EBADMSG;
	switch (object->info.codec) {
	case ZS_CODEC_RAW:
		if (object->info.size != block_size)
			return -EBADMSG;
		memcpy(buffer, object->payload, block_size);
		return 0;
	case ZS_CODEC_FILL:
		if (object->info.size != sizeof(word))
			return -EBADMSG;
		memcpy(&word, object->payload, sizeof(word));
		fill(buffer, block_size, word);
		return 0;
	default:
		if (__builtin_expect(object->info.dictionary, 0))
			return unpack_with_dictionary(device, stream, block, object, buffer);
		return zs_stream_decompress(stream, object->info.codec, object->payload, object->info.size, buffer,
					    block_size);
	}
}

/* Pins the object of a slot and reads it. Returns as zs_block_load_slot(), or -EAGAIN as pin_object(). */
static int load_object(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t *slot, void *buffer,
		       struct zs_object *ret_object)
{
	struct zs_object object;
	int error = pin_object(device, block, slot, &object);

	if (error)
		return error;
	error = object.payload ? zs_block_unpack(device, stream, block, &object, buffer) : -EREMOTE;
	if (!error || error == -EREMOTE) {
		*ret_object = object;
		return error;
	}
	zs_obj_read_end(device->pool, &object);
	if (error != -ESTALE)
		return error;
	*slot = zs_table_load(&device->table, block);
	return -EAGAIN;
}

int zs_block_load_slot(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t *slot, void *buffer,
		       struct zs_object *ret_object)
{
	int error = -EAGAIN;

	while (error == -EAGAIN) {
		if (!zs_slot_is_sound(*slot) || zs_slot_state(*slot) == ZS_SLOT_LOST)
			return -EBADMSG;
		if (zs_slot_state(*slot) != ZS_SLOT_OBJECT) {
			uint64_t word = zs_slot_word(*slot);

			fill(buffer, device->block_size, word | word << 32);
			*ret_object = (struct zs_object){.handle = ZS_NO_HANDLE};
			return 0;
		}
		error = load_object(device, stream, block, slot, buffer, ret_object);
	}
	return error;
}

/* Notes the access in the slot, unless it has changed since it was followed. */
static void touch(struct zs_device *device, uint64_t block, uint64_t slot)
{
	uint64_t touched;

	if (zs_slot_state(slot) != ZS_SLOT_OBJECT)
		return;
	touched = zs_age_touched(slot, zs_age_now());
	if (touched != slot)
		zs_table_replace(&device->table, block, &slot, touched);
}

static int load_from_backing(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t nr,
			     void *buffer, const struct zs_object *object, uint64_t *ret_nr)
{
	int error = zs_cold_load(device, stream, block, nr, buffer, object, ret_nr);

	for (uint64_t i = 0; !error && i < *ret_nr; i++)
		touch(device, block + i, zs_table_load(&device->table, block + i));
	return error;
}

/* The object is in the backing file; it is unpinned. */
static int load_cold(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t nr, void *buffer,
		     const struct zs_object *object, uint64_t *ret_nr)
{
	if (!zs_stream_is_nowait(stream))
		return load_from_backing(device, stream, block, nr, buffer, object, ret_nr);
	zs_obj_read_end(device->pool, object);
	return -EINPROGRESS;
}

/* One attempt. Returns as zs_block_load(), or -ESTALE: the block has changed meanwhile. */
static int try_load(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t nr, void *buffer,
		    uint64_t *ret_nr)
{
	uint64_t slot = zs_table_load(&device->table, block);
	struct zs_object object;
	int error;

	*ret_nr = 1;
	if (!slot) {
		memset(buffer, 0, device->block_size);
		return 0;
	}
	error = zs_block_load_slot(device, stream, block, &slot, buffer, &object);
	if (__builtin_expect(error == -EREMOTE, 0))
		return load_cold(device, stream, block, nr, buffer, &object, ret_nr);
	if (!error && object.handle.index)
		zs_obj_read_end(device->pool, &object);
	if (!error)
		touch(device, block, slot);
	if (error != -EBADMSG)
		return error;
	zs_trouble_damage(device, zs_stream_shard(stream), block, "reading");
	return -EIO;
}

int zs_block_load(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t nr, void *buffer,
		  uint64_t *ret_nr)
{
	int error;

	do {
		error = try_load(device, stream, block, nr, buffer, ret_nr);
	} while (__builtin_expect(error == -ESTALE, 0));
	return error;
}
