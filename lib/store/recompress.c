/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recompression.
 *
 * If it is to stop somewhere the largest objects come first: the range is walked over several times, each time for the
 * objects of one band of memory cost, in eighths of a raw block's. A walk notes the bands below its own in which there
 * is anything to do, and the others get no walk. What an object costs is in its handle word, so that a walk does not
 * touch the objects that it passes by.
 *
 * If all are wanted one walk is enough. After it the pool can be packed to 1.5 % less memory than after bands: what is
 * freed in the order of sizes is lent to smaller objects first.
 *
 * What was recompressed has gone to a lower band, where it is not tried again: it is dense, or noted as done.
 */

#include "store/recompress.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/dictionary.h"
#include "codec/stream.h"
#include "store/age.h"
#include "store/block_internal.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"

#define NR_BANDS 8

/* How many blocks are passed by between two looks at the clock. */
#define LOOK_INTERVAL 1024

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
	atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static enum zs_recompress_field wrong_field(const struct zs_device *device, const struct zs_recompress_request *request)
{
	unsigned int types = ZS_RECOMPRESS_IDLE | ZS_RECOMPRESS_HUGE | ZS_RECOMPRESS_ALL;

	if (!request->types || request->types & ~types)
		return ZS_RECOMPRESS_FIELD_TYPES;
	if (request->last < request->first || request->last >= device->table.nr_blocks)
		return ZS_RECOMPRESS_FIELD_RANGE;
	if (request->threshold_bytes > zs_pool_cost(device->block_size))
		return ZS_RECOMPRESS_FIELD_THRESHOLD;
	if (!request->nr_codecs || !zs_codecs_are_valid(request->codecs, request->nr_codecs))
		return ZS_RECOMPRESS_FIELD_CODECS;
	return ZS_RECOMPRESS_FIELD_NONE;
}

/* Not all of it is wanted. */
static bool is_limited(const struct zs_recompress_request *request)
{
	return request->max_blocks || request->max_saved_bytes;
}

static uint64_t nr_blocks(const struct zs_recompress *job)
{
	return job->request.last - job->request.first + 1;
}

int zs_recompress_begin(struct zs_recompress *job, struct zs_device *device,
			const struct zs_recompress_request *request, enum zs_recompress_field *ret_field)
{
	enum zs_recompress_field field = wrong_field(device, request);

	if (ret_field)
		*ret_field = field;
	if (field == ZS_RECOMPRESS_FIELD_RANGE || field == ZS_RECOMPRESS_FIELD_THRESHOLD)
		return -ERANGE;
	if (field)
		return -EINVAL;
	*job = (struct zs_recompress){
		.request = *request,
		.next = request->first,
		.nr_walks = is_limited(request) ? NR_BANDS : 1,
	};
	job->band = job->nr_walks;
	atomic_init(&job->blocks, nr_blocks(job));
	return 0;
}

void zs_recompress_end(struct zs_recompress *job)
{
	free(job->done);
	job->done = NULL;
}

void zs_recompress_progress(const struct zs_recompress *job, struct zs_recompress_progress *ret_progress)
{
	*ret_progress = (struct zs_recompress_progress){
		.blocks = atomic_load_explicit(&job->blocks, memory_order_relaxed),
		.blocks_done = atomic_load_explicit(&job->passed, memory_order_relaxed) / zs_max(job->nr_walks, 1U),
		.tried = atomic_load_explicit(&job->tried, memory_order_relaxed),
		.recompressed = atomic_load_explicit(&job->recompressed, memory_order_relaxed),
		.saved_bytes = atomic_load_explicit(&job->saved_bytes, memory_order_relaxed),
		.busy = atomic_load_explicit(&job->busy, memory_order_relaxed),
		.failed = atomic_load_explicit(&job->failed, memory_order_relaxed),
	};
}

/* Whether the slot alone makes the block one of those that are asked for. */
static bool is_wanted(const struct zs_recompress_request *request, uint64_t slot, uint16_t now)
{
	if (zs_slot_state(slot) != ZS_SLOT_OBJECT || !zs_slot_is_sound(slot) || slot & ZS_SLOT_FILL)
		return false;
	if (slot & ZS_SLOT_DENSE && !request->again)
		return false;
	if (request->types & ZS_RECOMPRESS_ALL)
		return true;
	if (request->types & ZS_RECOMPRESS_HUGE && slot & ZS_SLOT_INCOMPRESSIBLE)
		return true;
	return request->types & ZS_RECOMPRESS_IDLE && zs_age_is_idle(slot, request->age_sec, now);
}

static bool is_done(const struct zs_recompress *job, uint64_t block)
{
	uint64_t nr = block - job->request.first;

	return job->done && job->done[nr / 64] >> (nr % 64) & 1;
}

/* Without memory for that a lower band tries it once more. */
static void note_done(struct zs_recompress *job, uint64_t block)
{
	uint64_t nr = block - job->request.first;

	if (!job->done)
		job->done = zs_calloc(zs_div_round_up(nr_blocks(job), 64), sizeof(*job->done));
	if (job->done)
		job->done[nr / 64] |= UINT64_C(1) << (nr % 64);
}

/* From 1, the smallest; 0: it can't be told, or is too small. */
static unsigned int band_of(const struct zs_recompress *job, struct zs_device *device, uint64_t slot)
{
	size_t cost = zs_obj_cost(device->pool, zs_slot_handle(slot)), raw = zs_pool_cost(device->block_size);

	if (!cost || cost < job->request.threshold_bytes)
		return 0;
	return (unsigned int)zs_min(cost * job->nr_walks / (raw + 1), job->nr_walks - 1) + 1;
}

/* Whether the block has its turn now. That of lower bands comes. */
static bool is_next(struct zs_recompress *job, struct zs_device *device, uint64_t slot, uint16_t now)
{
	unsigned int band;

	if (!is_wanted(&job->request, slot, now) || is_done(job, job->next))
		return false;
	band = band_of(job, device, slot);
	if (band && band < job->band)
		job->found |= 1u << band;
	return band == job->band;
}

/* What is stored with a dictionary that is damaged in the arena would be lost at the next start. Said once. */
static void give_up_dictionary(struct zs_recompress *job, struct zs_device *device)
{
	unsigned int number = job->dictionary;
	const char *name = device->entry->name;

	if (atomic_compare_exchange_strong(&device->dictionary, &number, 0))
		zs_log_event(ZS_EVENT_DAMAGED, ZS_LOG_ERR, name, -EIO,
			     "device=%s: its dictionary is damaged in the arena; recompression goes on without it, "
			     "'zsctl train %s' makes another one",
			     name, name);
	zs_dictionary_put(device->store, job->dictionary);
	job->dictionary = 0;
	job->borrowed = NULL;
}

/* Compresses with one codec. Returns 0; -ENOSPC (it is not worth it) or -ENOMEM. */
static int try_codec(struct zs_recompress *job, struct zs_device *device, struct zs_stream *stream,
		     const struct zs_codec_params *codec, const struct zs_object *object, const void *content,
		     struct zs_object_info *ret_info, const void **ret_payload)
{
	size_t cost = zs_pool_cost(object->info.size), most = cost - 1, length;
	unsigned int dictionary = zs_codec_uses_dictionary(codec->codec) ? job->dictionary : 0;
	int error;

	error = zs_stream_compress_with(stream, codec, dictionary ? job->borrowed : NULL, content, device->block_size,
					ret_payload, &length);
	if (error == -EBADMSG && dictionary) {
		give_up_dictionary(job, device);
		return try_codec(job, device, stream, codec, object, content, ret_info, ret_payload);
	}
	if (error)
		return error;
	/* An old dictionary is not to be kept for what is no smaller with it. */
	if (object->info.dictionary && object->info.dictionary != dictionary)
		most = cost;
	if (zs_pool_is_huge(length, device->block_size) || zs_pool_cost(length) > most)
		return -ENOSPC;
	*ret_info = (struct zs_object_info){
		.size = (uint32_t)length, .codec = codec->codec, .dictionary = (uint16_t)dictionary};
	return 0;
}

/* Tries codec after codec on content. Returns 0 (recompressed), -ENODATA (none is worth it), or what went wrong. */
static int try_codecs(struct zs_recompress *job, struct zs_device *device, struct zs_stream *stream, uint64_t block,
		      uint64_t slot, const struct zs_object *object, const void *content)
{
	const struct zs_recompress_request *request = &job->request;
	size_t cost = zs_pool_cost(object->info.size);

	for (unsigned int i = 0; i < request->nr_codecs; i++) {
		struct zs_object_info info;
		const void *payload;
		int error;

		error = try_codec(job, device, stream, &request->codecs[i], object, content, &info, &payload);
		if (error == -ENOSPC)
			continue;
		if (error)
			return error;
		error = zs_block_recode(device, stream, block, slot, i + 1 == request->nr_codecs ? ZS_SLOT_DENSE : 0,
					&info, payload);
		if (error)
			return error;
		add(&job->saved_bytes, cost - zs_pool_cost(info.size));
		zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_RECOMPRESSION_SAVED,
			 cost - zs_pool_cost(info.size));
		if (i + 1 < request->nr_codecs || request->again)
			note_done(job, block);
		return 0;
	}
	return -ENODATA;
}

static void recompress_block(struct zs_recompress *job, struct zs_device *device, struct zs_stream *stream,
			     uint64_t block, uint64_t slot)
{
	uint64_t found = slot;
	void *content = zs_stream_block(stream);
	struct zs_object object;
	int error;

	error = zs_block_load_slot(device, stream, block, &found, content, &object);
	if (error == -EREMOTE) {
		/* It is not worth reading it for that. */
		zs_obj_read_end(device->pool, &object);
		return;
	}
	add(&job->tried, 1);
	if (error) {
		add(&job->failed, 1);
		return;
	}
	error = found == slot ? try_codecs(job, device, stream, block, slot, &object, content) : -EAGAIN;
	if (error == -ENODATA)
		zs_table_replace(&device->table, block, &slot, zs_slot_with(slot, ZS_SLOT_DENSE));
	if (object.handle.index)
		zs_obj_read_end(device->pool, &object);
	if (!error) {
		add(&job->recompressed, 1);
		zs_count(&device->shards, zs_stream_shard(stream), ZS_COUNT_RECOMPRESSED, 1);
	} else if (error != -ENODATA) {
		add(error == -EAGAIN ? &job->busy : &job->failed, 1);
	}
}

static bool is_finished(const struct zs_recompress *job)
{
	const struct zs_recompress_request *request = &job->request;

	return !job->band || (request->max_blocks && atomic_load(&job->recompressed) >= request->max_blocks) ||
	       (request->max_saved_bytes && atomic_load(&job->saved_bytes) >= request->max_saved_bytes);
}

/* The next walk is for the highest band in which anything was found, and those between need none. */
static void end_walk(struct zs_recompress *job)
{
	unsigned int band = job->found ? zs_ilog2(job->found) : 0;

	add(&job->passed, (job->band - 1 - band) * nr_blocks(job));
	job->next = job->request.first;
	job->band = band;
	job->found = 0;
}

/* The next block that may be wanted. */
static void advance(struct zs_recompress *job, const struct zs_device *device)
{
	uint64_t next = zs_table_next(&device->table, job->next + 1), end = job->request.last + 1;

	next = zs_min(next, end);
	add(&job->passed, next - job->next);
	job->next = next;
	if (next == end)
		end_walk(job);
}

bool zs_recompress_slice(struct zs_recompress *job, struct zs_device *device, struct zs_stream *stream, uint64_t nsec)
{
	uint64_t end = zs_clock_nsec() + nsec;
	uint16_t now = zs_age_now();

	job->dictionary = zs_dictionary_current(device, &job->borrowed);
	/* The stream may have tables from before it was damaged. At each slice costs little, and a slice is short. */
	if (job->dictionary && !zs_dictionary_is_sound(job->borrowed))
		give_up_dictionary(job, device);
	for (unsigned int passed = 1; !is_finished(job); passed++) {
		uint64_t slot = zs_table_load(&device->table, job->next);
		bool is_due = is_next(job, device, slot, now);

		if (is_due)
			recompress_block(job, device, stream, job->next, slot);
		advance(job, device);
		if ((is_due || passed % LOOK_INTERVAL == 0) && zs_clock_nsec() >= end)
			break;
	}
	zs_dictionary_put(device->store, job->dictionary);
	return !is_finished(job);
}
