/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block: storing, modifying, discarding. Loading is in block_load.c.
 *
 * Storing: same-filled? -> compress -> huge? -> allocate object and handle -> copy -> store the slot -> free the old
 * object. The slot's 8-byte store is the only commit point: a process killed between any two instructions leaves the
 * old block or the new one, and garbage that the next open reclaims.
 *
 * Modifying: the old object stays pinned until the slot is replaced. So its handle can't be reused meanwhile, and a
 * slot that still has the old value has the old content, too (no ABA).
 *
 * Memory of a store is charged in this order, and undone in reverse: slot table page, limits of device and group
 * (store/charge.h), handle and object.
 */

#include "store/block.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "codec/stream.h"
#include "store/age.h"
#include "store/block_internal.h"
#include "store/charge.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/room.h"
#include "store/slot.h"
#include "store/trouble.h"

/* What a block is about to be stored as. */
struct candidate {
	const void *payload; /* NULL: no object, slot is final */
	struct zs_object_info info;
	uint64_t flags;	      /* of the slot, with an object */
	uint64_t slot;	      /* of a same-filled block; else set when the object exists */
	struct zs_handle soon; /* of an object that is freed soon and was not asked for yet, or ZS_NO_HANDLE */
	/* Whose limit has refused the last try; NULL: the heap's. */
	const struct zs_budget *refused;
};

/* What slots say by themselves. */
struct tally {
	uint64_t same;
	uint64_t objects;
	uint64_t huge;
};

static void tally_slot(struct tally *tally, uint64_t slot)
{
	bool object = zs_slot_state(slot) == ZS_SLOT_OBJECT, fill = object && slot & ZS_SLOT_FILL;

	tally->same += zs_slot_state(slot) == ZS_SLOT_SAME || fill;
	tally->objects += object && !fill;
	tally->huge += object && slot & ZS_SLOT_INCOMPRESSIBLE;
}

/* Adds (sign 1) or takes off (sign -1, that is UINT64_MAX). */
static void count_tally(struct zs_device *device, unsigned int shard, struct tally tally, uint64_t sign)
{
	if (tally.same)
		zs_count(&device->shards, shard, ZS_COUNT_SAME, tally.same * sign);
	if (tally.objects)
		zs_count(&device->shards, shard, ZS_COUNT_OBJECTS, tally.objects * sign);
	if (tally.huge)
		zs_count(&device->shards, shard, ZS_COUNT_HUGE, tally.huge * sign);
}

static void count_slot(struct zs_device *device, unsigned int shard, uint64_t slot, uint64_t sign)
{
	struct tally tally = {0};

	tally_slot(&tally, slot);
	count_tally(device, shard, tally, sign);
}

/* Adds or takes off what an object costs. */
static void count_object(struct zs_device *device, unsigned int shard, const struct zs_object_info *info, uint64_t sign)
{
	uint32_t size = info->size;

	zs_count_codec(&device->shards, shard, info->codec, size, sign);
	if (__builtin_expect(info->dictionary, 0))
		zs_dictionary_count_object(device->store, info->dictionary, sign);
	zs_count(&device->shards, shard, ZS_COUNT_COMPRESSED_BYTES, size * sign);
	zs_device_add_cost(device, shard, (zs_pool_cost(size) + sizeof(uint64_t)) * sign);
}

/*
 * storing
 */

/* True if the block repeats its first 8 bytes; one overlapping comparison, which the C library vectorises. */
static bool is_same_filled(const void *buffer, size_t size)
{
	const char *bytes = buffer;

	return !memcmp(bytes, bytes + size - sizeof(uint64_t), sizeof(uint64_t)) &&
	       !memcmp(bytes, bytes + sizeof(uint64_t), size - sizeof(uint64_t));
}

static int choose(struct zs_device *device, struct zs_stream *stream, const void *buffer,
		  struct candidate *ret_candidate)
{
	const struct zs_codec_params codec = zs_device_codec(device);
	struct candidate candidate = {.payload = buffer};
	const void *payload;
	size_t length;
	uint64_t word;
	int error;

	if (is_same_filled(buffer, device->block_size)) {
		memcpy(&word, buffer, sizeof(word));
		candidate.info = (struct zs_object_info){.size = sizeof(word), .codec = ZS_CODEC_FILL};
		candidate.flags = ZS_SLOT_FILL;
		if ((uint32_t)word == word >> 32)
			candidate = (struct candidate){.slot = zs_slot_same((uint32_t)word)};
		candidate.flags |= zs_slot_tick_flags(zs_age_now());
		*ret_candidate = candidate;
		return 0;
	}
	error = zs_stream_compress(stream, &codec, buffer, device->block_size, &payload, &length);
	if (error && error != -ENOSPC)
		return error;
	candidate.info = (struct zs_object_info){.size = device->block_size, .codec = ZS_CODEC_RAW};
	candidate.flags = ZS_SLOT_INCOMPRESSIBLE;
	if (!error && !zs_pool_is_huge(length, device->block_size)) {
		candidate.payload = payload;
		candidate.flags = 0;
		candidate.info = (struct zs_object_info){.size = (uint32_t)length, .codec = codec.codec};
	}
	candidate.flags |= zs_slot_tick_flags(zs_age_now());
	*ret_candidate = candidate;
	return 0;
}

/* Makes the candidate's object, or nothing at all. */
static int make_object(struct zs_device *device, struct candidate *candidate, enum zs_urgency urgency)
{
	uint64_t cost = zs_pool_cost(candidate->info.size) + sizeof(uint64_t);
	struct zs_handle handle;
	int error;

	candidate->refused = NULL;
	error = zs_charge_or_tell(device, cost, urgency, &candidate->refused);
	if (error)
		return error;
	error = zs_room_alloc(device, candidate->info.size, urgency, &handle);
	if (error) {
		zs_uncharge(device, cost);
		return error;
	}
	candidate->info.owner = (uint16_t)zs_device_owner(device);
	zs_obj_replace(device->pool, handle, &candidate->info, candidate->payload, candidate->soon);
	candidate->slot = zs_slot_object(handle, candidate->flags);
	return 0;
}

/* In memory it had only its handle. */
static void free_backed(struct zs_device *device, unsigned int shard, uint32_t units)
{
	zs_uncharge(device, sizeof(uint64_t));
	zs_device_add_cost(device, shard, -sizeof(uint64_t));
	zs_cold_count(device, shard, units, UINT64_MAX);
}

void zs_device_free_object(struct zs_device *device, unsigned int shard, struct zs_handle handle)
{
	struct zs_object_info info;

	zs_pool_free(device->pool, handle, &info);
	if (info.units) {
		free_backed(device, shard, info.units);
		return;
	}
	if (!info.size) {
		zs_count(&device->shards, shard, ZS_COUNT_CORRUPT, 1);
		return;
	}
	zs_uncharge(device, zs_pool_cost(info.size) + sizeof(uint64_t));
	count_object(device, shard, &info, UINT64_MAX);
}

/* Frees what a slot held that is no longer in the table. */
static void drop_slot(struct zs_device *device, unsigned int shard, uint64_t slot, bool may_defer)
{
	struct zs_handle handle = zs_slot_handle(slot);

	count_slot(device, shard, slot, UINT64_MAX);
	if (zs_slot_state(slot) != ZS_SLOT_OBJECT)
		return;
	if (!may_defer || !zs_deferred_block(&device->store->deferred, shard, device, handle))
		zs_device_free_object(device, shard, handle);
}

/* What the object in memory that a slot holds is charged as. zs_obj_cost() may be more, where it was lent its room. */
static size_t charged_cost(struct zs_device *device, uint64_t slot)
{
	struct zs_object object;
	size_t cost;

	if (zs_slot_state(slot) != ZS_SLOT_OBJECT || zs_obj_read_begin(device->pool, zs_slot_handle(slot), &object))
		return 0;
	cost = object.payload ? zs_pool_cost(object.info.size) : 0;
	zs_obj_read_end(device->pool, &object);
	return cost;
}

/*
 * How hard to try when the first try met a limit: a block that is there already may use the reserve, and one that
 * doesn't grow must be stored in any case, since it gives back as much as it takes.
 */
static enum zs_urgency urgency_for(struct zs_device *device, uint64_t old, const struct candidate *candidate)
{
	if (!zs_slot_is_sound(old) || zs_slot_state(old) == ZS_SLOT_EMPTY)
		return ZS_URGENCY_NEW;
	if (charged_cost(device, old) >= zs_pool_cost(candidate->info.size))
		return ZS_URGENCY_MUST;
	return ZS_URGENCY_RESERVE;
}

static int prepare_once(struct zs_device *device, uint64_t block, uint64_t old, struct candidate *candidate)
{
	enum zs_urgency urgency;
	int error;

	error = zs_room_prepare(device, block);
	if (error || !candidate->payload)
		return error;
	error = make_object(device, candidate, ZS_URGENCY_NEW);
	if (error != -ENOSPC)
		return error;
	urgency = urgency_for(device, old, candidate);
	return urgency == ZS_URGENCY_NEW ? error : make_object(device, candidate, urgency);
}

/*
 * Makes all that the candidate needs to be committed in place of old: object, charges, memory for the slot. The object
 * is counted from here on, the slot when it is committed.
 */
static int prepare(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t old,
		   struct candidate *candidate)
{
	int error = prepare_once(device, block, old, candidate);
	bool helped = true;

	/* What waits to be freed still counts; nobody is refused because of it, also if it is free just now. */
	while (error == -ENOSPC && helped) {
		helped = zs_deferred_help(&device->store->deferred, candidate->refused);
		error = prepare_once(device, block, old, candidate);
	}
	while (error == -ENOMEM && zs_room_relieve(device->store))
		error = prepare_once(device, block, old, candidate);
	if (!error && candidate->payload)
		count_object(device, zs_stream_shard(stream), &candidate->info, 1);
	return error;
}

/* A damaged slot was replaced, and can't say any more what it held. */
static void lose_slot(struct zs_device *device, struct zs_stream *stream, uint64_t block)
{
	zs_pool_note_leak(device->pool);
	zs_trouble_damage(device, zs_stream_shard(stream), block, "replaced; its object is lost until the next start");
}

/* Counts a commit that has happened, and frees what it replaced. */
static void committed(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t old,
		      const struct candidate *candidate)
{
	unsigned int shard = zs_stream_shard(stream);

	count_slot(device, shard, candidate->slot, 1);
	if (zs_slot_is_sound(old))
		drop_slot(device, shard, old, false);
	else
		lose_slot(device, stream, block);
}

static int count_failure(struct zs_device *device, struct zs_stream *stream, int error)
{
	if (error == -ENOSPC && !zs_stream_is_retrying(stream))
		zs_device_refused(device, stream);
	return error;
}

/* The object that a block has, or none; asks for the word that says where it is. */
static struct zs_handle expect(struct zs_device *device, uint64_t block)
{
	uint64_t slot = zs_table_load(&device->table, block);
	struct zs_handle handle = zs_slot_state(slot) == ZS_SLOT_OBJECT ? zs_slot_handle(slot) : ZS_NO_HANDLE;

	if (handle.index)
		zs_handle_prefetch(device->pool, handle);
	return handle;
}

int zs_block_store(struct zs_device *device, struct zs_stream *stream, uint64_t block, unsigned int turn,
		   const void *buffer)
{
	/* What freeing them needs comes while this block is compressed and copied. */
	struct zs_handle own = turn & ZS_TURN_AFTER ? ZS_NO_HANDLE : expect(device, block);
	struct zs_handle next = turn & ZS_TURN_BEFORE ? expect(device, block + 1) : ZS_NO_HANDLE;
	uint64_t old = zs_table_load(&device->table, block);
	struct candidate candidate;
	int error;

	error = choose(device, stream, buffer, &candidate);
	candidate.soon = next.index ? next : own;
	if (next.index && own.index)
		zs_obj_prefetch(device->pool, own);
	if (!error)
		error = prepare(device, stream, block, old, &candidate);
	if (error)
		return count_failure(device, stream, error);
	old = zs_table_exchange(&device->table, block, candidate.slot);
	committed(device, stream, block, old, &candidate);
	return 0;
}

int zs_block_recode(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t slot, uint64_t flags,
		    const struct zs_object_info *info, const void *payload)
{
	struct candidate candidate = {
		.payload = payload,
		.info = *info,
		.flags = flags | zs_slot_tick_flags(zs_slot_tick(slot)) | (slot & ZS_SLOT_IDLE),
	};
	unsigned int shard = zs_stream_shard(stream);
	int error = make_object(device, &candidate, ZS_URGENCY_NEW);

	/* It gives back more than it takes. */
	if (error == -ENOSPC)
		error = make_object(device, &candidate, ZS_URGENCY_MUST);
	if (error)
		return error;
	count_object(device, shard, info, 1);
	if (!zs_table_replace(&device->table, block, &slot, candidate.slot)) {
		zs_device_free_object(device, shard, zs_slot_handle(candidate.slot));
		return -EAGAIN;
	}
	committed(device, stream, block, slot, &candidate);
	return 0;
}

/*
 * modifying
 */

/* A part of a block, and what is to be there; data NULL stands for zeros. */
struct part {
	uint64_t block;
	size_t offset;
	size_t length;
	const void *data;
};

/* Lock: one of store->modify. Not for a cold block: nobody waits for a file that is read by somebody else. */
static struct zs_lock *modify_lock(struct zs_device *device, uint64_t block)
{
	return &device->store->modify[(block * 31 + device->index) % ZS_MODIFY_LOCKS];
}

/*
 * Changes what was loaded from old into the stream's block, and commits it. Returns -EAGAIN if somebody else has
 * replaced the block meanwhile. Under the lock.
 */
static int modify_loaded(struct zs_device *device, struct zs_stream *stream, const struct part *part, uint64_t old)
{
	char *buffer = zs_stream_block(stream);
	struct candidate candidate;
	int error;

	if (part->data)
		memcpy(buffer + part->offset, part->data, part->length);
	else
		memset(buffer + part->offset, 0, part->length);
	error = choose(device, stream, buffer, &candidate);
	if (!error)
		error = prepare(device, stream, part->block, old, &candidate);
	if (error)
		return error;
	if (zs_table_replace(&device->table, part->block, &old, candidate.slot)) {
		committed(device, stream, part->block, old, &candidate);
		return 0;
	}
	if (candidate.payload)
		zs_device_free_object(device, zs_stream_shard(stream), zs_slot_handle(candidate.slot));
	return -EAGAIN;
}

/* One attempt, unless the block is cold: then -EREMOTE, its object being pinned. */
static int modify_warm(struct zs_device *device, struct zs_stream *stream, const struct part *part, uint64_t *ret_old,
		       struct zs_object *ret_object)
{
	struct zs_object object = {.handle = ZS_NO_HANDLE};
	int error;
	ZS_LOCK_SCOPE(modify_lock(device, part->block));

	*ret_old = zs_table_load(&device->table, part->block);
	error = zs_block_load_slot(device, stream, part->block, ret_old, zs_stream_block(stream), &object);
	if (error == -EREMOTE)
		*ret_object = object;
	if (error)
		return error;
	error = modify_loaded(device, stream, part, *ret_old);
	if (object.handle.index)
		zs_obj_read_end(device->pool, &object);
	return error;
}

/* One attempt with a block that is in the backing file; its object stays pinned. */
static int modify_cold(struct zs_device *device, struct zs_stream *stream, const struct part *part, uint64_t old,
		       struct zs_object *object)
{
	int error;

	if (zs_stream_is_nowait(stream))
		return -EINPROGRESS;
	error = zs_cold_fetch(device, stream, part->block, object);
	if (!error)
		error = zs_block_unpack(device, stream, part->block, object, zs_stream_block(stream));
	if (error == -ESTALE)
		return -EAGAIN;
	if (error)
		return error;
	ZS_LOCK_SCOPE(modify_lock(device, part->block));
	return modify_loaded(device, stream, part, old);
}

static int try_modify(struct zs_device *device, struct zs_stream *stream, const struct part *part)
{
	struct zs_object object;
	uint64_t old;
	int error = modify_warm(device, stream, part, &old, &object);

	if (__builtin_expect(error != -EREMOTE, 1))
		return error;
	error = modify_cold(device, stream, part, old, &object);
	zs_obj_read_end(device->pool, &object);
	return error;
}

int zs_block_modify(struct zs_device *device, struct zs_stream *stream, uint64_t block, size_t offset, const void *data,
		    size_t length)
{
	const struct part part = {.block = block, .offset = offset, .length = length, .data = data};
	int error;

	/* Zeros into an empty block change nothing. */
	if (!data && !zs_table_load(&device->table, block))
		return 0;
	do {
		error = try_modify(device, stream, &part);
	} while (error == -EAGAIN);
	if (error != -EBADMSG)
		return error ? count_failure(device, stream, error) : 0;
	zs_trouble_damage(device, zs_stream_shard(stream), block, "modifying");
	return -EIO;
}

void zs_block_discard(struct zs_device *device, struct zs_stream *stream, uint64_t block)
{
	uint64_t old;

	if (!zs_table_load(&device->table, block))
		return;
	old = zs_table_exchange(&device->table, block, ZS_SLOT_NONE);
	if (zs_slot_is_sound(old))
		drop_slot(device, zs_stream_shard(stream), old, true);
	else
		lose_slot(device, stream, block);
}

void zs_block_discard_page(struct zs_device *device, struct zs_stream *stream, uint64_t first)
{
	unsigned int shard = zs_stream_shard(stream), nr = 0;
	uint64_t slots[ZS_SLOTS_PER_PAGE], slot;
	struct tally tally = {0};

	for (uint64_t block = first; block < first + ZS_SLOTS_PER_PAGE; block++) {
		if (!zs_table_load(&device->table, block))
			continue;
		slot = zs_table_exchange(&device->table, block, ZS_SLOT_NONE);
		if (!zs_slot_is_sound(slot)) {
			lose_slot(device, stream, block);
			continue;
		}
		tally_slot(&tally, slot);
		if (zs_slot_state(slot) == ZS_SLOT_OBJECT)
			slots[nr++] = slot;
	}
	count_tally(device, shard, tally, UINT64_MAX);
	if (zs_deferred_page(&device->store->deferred, device, slots, nr))
		return;
	for (unsigned int i = 0; i < nr; i++)
		zs_device_free_object(device, shard, zs_slot_handle(slots[i]));
}
