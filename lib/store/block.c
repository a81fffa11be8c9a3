/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block.
 *
 * Storing: same-filled? -> compress -> huge? -> allocate object and handle -> copy -> store the slot -> free the old
 * object. The slot's 8-byte store is the only commit point: a process killed between any two instructions leaves the
 * old block or the new one, and garbage that the next open reclaims.
 *
 * Loading: slot -> pin the handle -> is the slot still the same? -> verify -> decompress -> unpin. The second look at
 * the slot is what makes the pin safe: between the first look and the pin the object may have been freed and the handle
 * given to another block.
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
#include "base/log.h"
#include "codec/stream.h"
#include "store/charge.h"
#include "store/device_internal.h"
#include "store/slot.h"

/* Tries to pin what a slot names before the slot counts as damaged: far more than any race can need. */
#define PIN_TRIES 10000

/* What is compacted at a time for a block that finds the pool full: a zspage of the largest, and some more. */
#define ROOM_PAGES 128

/* Damaged blocks of a device that are all named in the log; of further ones each time their number has doubled. */
#define DAMAGE_LOGGED 16

/* What a block is about to be stored as. */
struct candidate {
	const void *payload; /* NULL: no object, slot is final */
	struct zs_object_info info;
	uint64_t slot; /* of a same-filled block; else set when the object exists */
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
static void count_object(struct zs_device *device, unsigned int shard, uint32_t size, uint64_t sign)
{
	zs_count(&device->shards, shard, ZS_COUNT_COMPRESSED_BYTES, size * sign);
	zs_count(&device->shards, shard, ZS_COUNT_COST_BYTES, (zs_pool_cost(size) + sizeof(uint64_t)) * sign);
}

/* Counts every damaged block, and logs some: a client that reads one for ever must not fill the journal. */
static void report_damage(struct zs_device *device, struct zs_stream *stream, uint64_t block, const char *what)
{
	uint64_t count = zs_shards_sum(&device->shards, ZS_COUNT_CORRUPT) + 1;

	zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_CORRUPT, 1);
	if (count > DAMAGE_LOGGED && !zs_is_power_of_two(count))
		return;
	zs_log(ZS_LOG_ERR, "device=%s block=%llu damaged: %s", device->entry->name, (unsigned long long)block, what);
}

/*
 * loading
 */

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

static int unpack(struct zs_stream *stream, const struct zs_object *object, void *buffer, size_t block_size)
{
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
		return zs_stream_decompress(stream, object->info.codec, object->payload, object->info.size, buffer,
					    block_size);
	}
}

/*
 * Reads what *slot says, following it if it changes. With ret_object the object that was read stays pinned (its handle
 * is 0 if there was none), and the caller unpins it.
 */
static int load_slot(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t *slot, void *buffer,
		     struct zs_object *ret_object)
{
	struct zs_object object = {.handle = ZS_NO_HANDLE};
	int error = -EAGAIN;

	while (error == -EAGAIN) {
		if (!zs_slot_is_sound(*slot) || zs_slot_state(*slot) == ZS_SLOT_LOST)
			return -EBADMSG;
		if (zs_slot_state(*slot) != ZS_SLOT_OBJECT) {
			uint64_t word = zs_slot_word(*slot);

			fill(buffer, device->block_size, word | word << 32);
			break;
		}
		error = pin_object(device, block, slot, &object);
		if (error) {
			/* It was pinned for a moment, perhaps: what is there next may have no object to unpin. */
			object.handle = ZS_NO_HANDLE;
			continue;
		}
		error = unpack(stream, &object, buffer, device->block_size);
		if (error || !ret_object)
			zs_obj_read_end(device->pool, &object);
	}
	if (error == -EAGAIN)
		error = 0;
	if (!error && ret_object)
		*ret_object = object;
	return error;
}

int zs_block_load(struct zs_device *device, struct zs_stream *stream, uint64_t block, void *buffer)
{
	uint64_t slot = zs_table_load(&device->table, block);
	int error;

	if (!slot) {
		memset(buffer, 0, device->block_size);
		return 0;
	}
	error = load_slot(device, stream, block, &slot, buffer, NULL);
	if (error != -EBADMSG)
		return error;
	report_damage(device, stream, block, "reading");
	return -EIO;
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
	struct candidate candidate = {.payload = buffer};
	const void *payload;
	size_t length;
	uint64_t word;
	int error;

	if (is_same_filled(buffer, device->block_size)) {
		memcpy(&word, buffer, sizeof(word));
		candidate.info = (struct zs_object_info){.size = sizeof(word), .codec = ZS_CODEC_FILL};
		if ((uint32_t)word == word >> 32)
			candidate = (struct candidate){.slot = zs_slot_same((uint32_t)word)};
		*ret_candidate = candidate;
		return 0;
	}
	error = zs_stream_compress(stream, &device->codec, buffer, device->block_size, &payload, &length);
	if (error && error != -ENOSPC)
		return error;
	candidate.info = (struct zs_object_info){.size = device->block_size, .codec = ZS_CODEC_RAW};
	if (!error && !zs_pool_is_huge(length, device->block_size)) {
		candidate.payload = payload;
		candidate.info = (struct zs_object_info){.size = (uint32_t)length, .codec = device->codec.codec};
	}
	*ret_candidate = candidate;
	return 0;
}

/*
 * The pool's limit counts pages: objects that are replaced by others of another class leave holes behind, which are
 * closed before anybody is refused, or is let past the limit.
 */
static int alloc_object(struct zs_device *device, size_t size, enum zs_urgency urgency, struct zs_handle *ret_handle)
{
	int error = zs_pool_alloc(device->pool, size, urgency, ret_handle);

	if (error == -ENOSPC && zs_pool_compact(device->pool, ROOM_PAGES))
		error = zs_pool_alloc(device->pool, size, urgency, ret_handle);
	return error;
}

/* Makes the candidate's object, or nothing at all. */
static int make_object(struct zs_device *device, struct candidate *candidate, enum zs_urgency urgency)
{
	uint64_t cost = zs_pool_cost(candidate->info.size) + sizeof(uint64_t);
	struct zs_handle handle;
	int error;

	error = zs_charge(device, cost, urgency);
	if (error)
		return error;
	error = alloc_object(device, candidate->info.size, urgency, &handle);
	if (error) {
		zs_uncharge(device, cost);
		return error;
	}
	candidate->info.owner = (uint16_t)zs_device_owner(device);
	zs_obj_write(device->pool, handle, &candidate->info, candidate->payload);
	candidate->slot = zs_slot_object(handle, candidate->info.codec == ZS_CODEC_RAW	  ? ZS_SLOT_INCOMPRESSIBLE
						 : candidate->info.codec == ZS_CODEC_FILL ? ZS_SLOT_FILL
											  : 0);
	return 0;
}

void zs_device_free_object(struct zs_device *device, unsigned int shard, struct zs_handle handle)
{
	struct zs_object_info info;

	zs_pool_free(device->pool, handle, &info);
	if (!info.size) {
		zs_count(&device->shards, shard, ZS_COUNT_CORRUPT, 1);
		return;
	}
	zs_uncharge(device, zs_pool_cost(info.size) + sizeof(uint64_t));
	count_object(device, shard, info.size, UINT64_MAX);
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

/*
 * How hard to try when the first try met a limit: a block that is there already may use the reserve, and one that
 * doesn't grow must be stored in any case, since it gives back as much as it takes.
 */
static enum zs_urgency urgency_for(struct zs_device *device, uint64_t old, const struct candidate *candidate)
{
	if (!zs_slot_is_sound(old) || zs_slot_state(old) == ZS_SLOT_EMPTY)
		return ZS_URGENCY_NEW;
	if (zs_slot_state(old) == ZS_SLOT_OBJECT &&
	    zs_obj_cost(device->pool, zs_slot_handle(old)) >= zs_pool_cost(candidate->info.size))
		return ZS_URGENCY_MUST;
	return ZS_URGENCY_RESERVE;
}

static int prepare_once(struct zs_device *device, uint64_t block, uint64_t old, struct candidate *candidate)
{
	enum zs_urgency urgency;
	int error;

	error = zs_table_prepare(&device->table, block, ZS_URGENCY_NEW);
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

	/* What waits to be freed still counts; nobody is refused because of it, also if it is free just now. */
	if (error == -ENOSPC) {
		zs_deferred_flush(&device->store->deferred);
		error = prepare_once(device, block, old, candidate);
	}
	if (!error && candidate->payload)
		count_object(device, zs_stream_shard(stream), candidate->info.size, 1);
	return error;
}

/* A damaged slot was replaced, and can't say any more what it held. */
static void lose_slot(struct zs_device *device, struct zs_stream *stream, uint64_t block)
{
	zs_pool_note_leak(device->pool);
	report_damage(device, stream, block, "replaced; its object is lost until the next start");
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
	if (error == -ENOSPC)
		zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_NO_SPACE, 1);
	return error;
}

int zs_block_store(struct zs_device *device, struct zs_stream *stream, uint64_t block, const void *buffer)
{
	uint64_t old = zs_table_load(&device->table, block);
	struct candidate candidate;
	int error;

	/* What freeing the old object needs comes while this one is compressed and copied. */
	if (zs_slot_state(old) == ZS_SLOT_OBJECT)
		zs_handle_prefetch(device->pool, zs_slot_handle(old));
	error = choose(device, stream, buffer, &candidate);
	if (!error && zs_slot_state(old) == ZS_SLOT_OBJECT)
		zs_obj_prefetch(device->pool, zs_slot_handle(old));
	if (!error)
		error = prepare(device, stream, block, old, &candidate);
	if (error)
		return count_failure(device, stream, error);
	old = zs_table_exchange(&device->table, block, candidate.slot);
	committed(device, stream, block, old, &candidate);
	return 0;
}

/*
 * modifying
 */

/* One attempt. Returns -EAGAIN if somebody else replaced the block meanwhile. */
static int try_modify(struct zs_device *device, struct zs_stream *stream, uint64_t block, size_t offset,
		      const void *data, size_t length)
{
	struct zs_object object = {.handle = ZS_NO_HANDLE};
	uint64_t old = zs_table_load(&device->table, block);
	char *buffer = zs_stream_block(stream);
	struct candidate candidate;
	int error;

	error = load_slot(device, stream, block, &old, buffer, &object);
	if (error)
		return error;
	if (data)
		memcpy(buffer + offset, data, length);
	else
		memset(buffer + offset, 0, length);
	error = choose(device, stream, buffer, &candidate);
	if (!error)
		error = prepare(device, stream, block, old, &candidate);
	if (!error && !zs_table_replace(&device->table, block, &old, candidate.slot)) {
		if (candidate.payload)
			zs_device_free_object(device, zs_stream_shard(stream), zs_slot_handle(candidate.slot));
		error = -EAGAIN;
	} else if (!error) {
		committed(device, stream, block, old, &candidate);
	}
	if (object.handle.index)
		zs_obj_read_end(device->pool, &object);
	return error;
}

int zs_block_modify(struct zs_device *device, struct zs_stream *stream, uint64_t block, size_t offset, const void *data,
		    size_t length)
{
	struct zs_store *store = device->store;
	int error;

	/* Zeros into an empty block change nothing. */
	if (!data && !zs_table_load(&device->table, block))
		return 0;
	ZS_LOCK_SCOPE(&store->modify[(block * 31 + device->index) % ZS_MODIFY_LOCKS]);
	do {
		error = try_modify(device, stream, block, offset, data, length);
	} while (error == -EAGAIN);
	if (error != -EBADMSG)
		return error ? count_failure(device, stream, error) : 0;
	report_damage(device, stream, block, "modifying");
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
