/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Training.
 *
 *   SAMPLE   walks over the device and copies some of its blocks, chosen by a hash of their numbers: every fourth of
 *            them to try the dictionary on, the others to learn from
 *   LEARN    without the device, by a thread of its own (store/learner.h)
 *   TRY      compresses and decompresses each trial with the dictionary and without
 *   KEEP     publishes it, if it is worth it
 *
 * Blocks in the backing file are not read for it, and those that are filled with one word have nothing to teach.
 */

#include "store/train.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/clock.h"
#include "codec/dictionary.h"
#include "codec/stream.h"
#include "store/block_internal.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/learner.h"
#include "store/slot.h"

/* libzstd's advice (zdict.h): about 100 times the size of the dictionary. */
#define SAMPLES_FACTOR 100
/* To try it on: enough for an error of some percent, and soon done. */
#define TRIALS_MAX     1024
#define TRIALS_BYTES   ((size_t)4 << 20)
#define TRIAL_INTERVAL 4
/* Fewer tell nothing about the others. */
#define SAMPLES_MIN 32
/* How many blocks are passed by between two looks at the clock. */
#define LOOK_INTERVAL 1024

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
	atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/*
 * life
 */

static int alloc_job(struct zs_train *job)
{
	job->samples = zs_malloc((size_t)job->samples_max * job->block_size);
	job->trials = zs_malloc((size_t)job->trials_max * job->block_size);
	job->costs = zs_malloc(job->trials_max * sizeof(job->costs[0]));
	job->content = zs_malloc(job->request.size_bytes);
	if (job->samples && job->trials && job->costs && job->content)
		return 0;
	zs_train_end(job);
	return -ENOMEM;
}

static void plan(struct zs_train *job, struct zs_device *device)
{
	struct zs_device_stats stats;
	uint64_t wanted;

	zs_device_stats(device, &stats);
	job->block_size = device->block_size;
	job->nr_blocks = device->table.nr_blocks;
	job->samples_max = (uint32_t)zs_max((uint64_t)job->request.size_bytes * SAMPLES_FACTOR / job->block_size,
					    4 * SAMPLES_MIN);
	job->trials_max = (uint32_t)zs_min(TRIALS_MAX, TRIALS_BYTES / job->block_size);
	/* So many that with every fourth one tried there is just enough to learn from. */
	wanted = (uint64_t)job->samples_max + job->samples_max / (TRIAL_INTERVAL - 1);
	job->sample_share = zs_min((wanted << 32) / zs_max(stats.object_blocks, 1), UINT64_C(1) << 32);
	atomic_store(&job->blocks, job->nr_blocks);
}

int zs_train_begin(struct zs_train *job, struct zs_store *store, const struct zs_train_request *request)
{
	struct zs_device *device;

	if (request->size_bytes < ZS_DICTIONARY_MIN_BYTES || request->size_bytes > ZS_DICTIONARY_MAX_BYTES)
		return -ERANGE;
	if (!zs_codec_params_are_valid(&request->codec) || !zs_codec_uses_dictionary(request->codec.codec))
		return -EINVAL;
	device = zs_device_get(store, request->device_id, NULL);
	if (!device)
		return -ENODEV;
	*job = (struct zs_train){.request = *request};
	plan(job, device);
	zs_device_put(device, NULL);
	return alloc_job(job);
}

void zs_train_end(struct zs_train *job)
{
	zs_learner_end(zs_take(job->learner));
	free(zs_take(job->samples));
	free(zs_take(job->trials));
	free(zs_take(job->costs));
	zs_dictionary_destroy(zs_take(job->dictionary));
	free(zs_take(job->content));
}

void zs_train_progress(const struct zs_train *job, struct zs_train_progress *ret_progress)
{
	*ret_progress = (struct zs_train_progress){
		.blocks = load(&job->blocks),
		.blocks_done = load(&job->blocks_done),
		.learnt_blocks = load(&job->learnt_blocks),
		.tried_blocks = load(&job->tried_blocks),
		.before_bytes = load(&job->before_bytes),
		.after_bytes = load(&job->after_bytes),
		.read_before_nsec = load(&job->read_before_nsec),
		.read_after_nsec = load(&job->read_after_nsec),
		.gain_bytes = load(&job->gain_bytes),
		.cost_bytes = load(&job->cost_bytes),
		.version = atomic_load_explicit(&job->version, memory_order_relaxed),
	};
}

/*
 * sampling
 */

/* Evenly all over the device: Fibonacci hashing, as in Knuth 6.4. */
static bool is_chosen(const struct zs_train *job, uint64_t block, uint64_t slot)
{
	uint64_t hash = block * UINT64_C(0x9e3779b97f4a7c15);

	return zs_slot_is_sound(slot) && zs_slot_state(slot) == ZS_SLOT_OBJECT && !(slot & ZS_SLOT_FILL) &&
	       hash >> 32 < job->sample_share;
}

/* Where the next block that is taken goes; NULL if there is no room for it. */
static char *next_room(const struct zs_train *job)
{
	if (job->nr_taken % TRIAL_INTERVAL == 0 && job->nr_trials < job->trials_max)
		return job->trials + (size_t)job->nr_trials * job->block_size;
	return job->nr_samples < job->samples_max ? job->samples + (size_t)job->nr_samples * job->block_size : NULL;
}

/*
 * Memory that a block takes as it is; if its dictionary is damaged in the arena, which nobody may use any more, what it
 * takes without any: it is to be stored anew.
 */
static uint32_t cost_of(struct zs_device *device, const struct zs_object *object)
{
	unsigned int number = object->info.dictionary;
	struct zs_dictionary *dictionary;
	bool is_sound;

	if (!number)
		return (uint32_t)zs_pool_cost(object->info.size);
	if (zs_dictionary_get(device->store, number, &dictionary))
		return (uint32_t)zs_pool_cost(device->block_size);
	is_sound = zs_dictionary_is_sound(dictionary);
	zs_dictionary_put(device->store, number);
	return (uint32_t)zs_pool_cost(is_sound ? object->info.size : device->block_size);
}

/* Blocks that can't be read, or are in the backing file, are left out. */
static void take_block(struct zs_train *job, struct zs_device *device, struct zs_stream *stream, uint64_t block,
		       uint64_t slot)
{
	char *room = next_room(job);
	struct zs_object object;
	int error = room ? zs_block_load_slot(device, stream, block, &slot, room, &object) : -ENOSPC;

	if (!error && object.handle.index) {
		if (room == job->trials + (size_t)job->nr_trials * job->block_size)
			job->costs[job->nr_trials++] = cost_of(device, &object);
		else
			job->nr_samples++;
		job->nr_taken++;
	}
	if ((!error || error == -EREMOTE) && object.handle.index)
		zs_obj_read_end(device->pool, &object);
}

/* True when all of the device was looked at. */
static bool sample(struct zs_train *job, struct zs_device *device, struct zs_stream *stream, uint64_t end)
{
	uint64_t block = job->next;

	for (unsigned int passed = 1; block < job->nr_blocks; passed++) {
		uint64_t slot = zs_table_load(&device->table, block);
		bool chosen = is_chosen(job, block, slot);

		if (chosen)
			take_block(job, device, stream, block, slot);
		block = zs_min(zs_table_next(&device->table, block + 1), job->nr_blocks);
		if ((chosen || passed % LOOK_INTERVAL == 0) && zs_clock_nsec() >= end)
			break;
	}
	add(&job->blocks_done, block - job->next);
	job->next = block;
	return block == job->nr_blocks;
}

/*
 * learning
 */

static int begin_learning(struct zs_train *job)
{
	const struct zs_lesson lesson = {
		.samples = job->samples,
		.sample_bytes = job->block_size,
		.nr_samples = job->nr_samples,
		.content = job->content,
		.capacity = job->request.size_bytes - sizeof(struct zs_dictionary_entry),
	};
	int error;

	if (job->nr_samples < SAMPLES_MIN || !job->nr_trials)
		return -ENODATA;
	error = zs_learner_start(&lesson, &job->learner);
	if (error)
		return error;
	zs_take(job->samples);
	zs_take(job->content);
	return 0;
}

/* Goes on to the next phase when it is done. */
static int learn(struct zs_train *job, struct zs_store *store, uint64_t end)
{
	size_t size;
	int error = job->learner ? 0 : begin_learning(job);

	error = error ?: zs_learner_wait(job->learner, end, &job->content, &size);
	if (error == -EINPROGRESS)
		return 0;
	if (error)
		return error;
	zs_learner_end(zs_take(job->learner));
	atomic_store_explicit(&job->learnt_blocks, job->nr_samples, memory_order_relaxed);
	job->phase = ZS_TRAIN_TRY;
	return zs_dictionary_create(zs_dictionary_new_id(store), job->content, size, &job->dictionary);
}

/*
 * trying
 */

/* Memory of a block that is recompressed so, or stays as it is; adds how long it takes to read it. */
static int try_one(const struct zs_train *job, struct zs_stream *stream, const char *block,
		   const struct zs_dictionary *dictionary, uint64_t *cost, _Atomic uint64_t *read_nsec)
{
	char *result = zs_stream_block(stream);
	const void *payload;
	uint64_t begin;
	size_t length;
	int error;

	error = zs_stream_compress_with(stream, &job->request.codec, dictionary, block, job->block_size, &payload,
					&length);
	if (error)
		return error == -ENOSPC ? 0 : error;
	begin = zs_clock_nsec();
	error = zs_stream_decompress_with(stream, job->request.codec.codec, dictionary, payload, length, result,
					  job->block_size);
	add(read_nsec, zs_clock_nsec() - begin);
	if (error)
		return error;
	zs_assert(!memcmp(block, result, job->block_size));
	if (!zs_pool_is_huge(length, job->block_size))
		*cost = zs_min(*cost, zs_pool_cost(length));
	return 0;
}

static int try_block(struct zs_train *job, struct zs_stream *stream, const struct zs_dictionary *current)
{
	const char *block = job->trials + job->next * job->block_size;
	uint64_t before = job->costs[job->next], after = before;
	int error = try_one(job, stream, block, current, &before, &job->read_before_nsec);

	/* The current one was damaged since it was looked at. */
	if (!error || error == -EBADMSG)
		error = try_one(job, stream, block, job->dictionary, &after, &job->read_after_nsec);
	if (error)
		return error;
	add(&job->before_bytes, before);
	add(&job->after_bytes, after);
	add(&job->tried_blocks, 1);
	job->next++;
	return 0;
}

/* What the whole device would gain, and what that costs. */
static int judge(struct zs_train *job, struct zs_device *device, struct zs_stream *stream)
{
	uint64_t before = load(&job->before_bytes), after = load(&job->after_bytes);
	size_t plain_bytes, loaded_bytes;
	struct zs_device_stats stats;
	int error;

	error = zs_stream_compressor_bytes(stream, &job->request.codec, NULL, job->block_size, &plain_bytes);
	if (!error)
		error = zs_stream_compressor_bytes(stream, &job->request.codec, job->dictionary, job->block_size,
						   &loaded_bytes);
	if (error)
		return error;
	zs_device_stats(device, &stats);
	add(&job->cost_bytes, zs_dictionary_pages(job->dictionary) * ZS_PAGE_SIZE +
				      (loaded_bytes > plain_bytes ? loaded_bytes - plain_bytes : 0));
	if (before > after)
		add(&job->gain_bytes,
		    (uint64_t)((double)(before - after) / job->nr_trials * (double)stats.object_blocks));
	return 0;
}

static int try_all(struct zs_train *job, struct zs_device *device, struct zs_stream *stream, uint64_t end)
{
	struct zs_dictionary *current;
	unsigned int number = zs_dictionary_current(device, &current);
	int error = 0;

	/* One that is damaged in the arena serves nobody any more, though the stream may have tables from before. */
	if (number && !zs_dictionary_is_sound(current))
		current = NULL;
	while (!error && job->next < job->nr_trials) {
		error = try_block(job, stream, current);
		if (zs_clock_nsec() >= end)
			break;
	}
	zs_dictionary_put(device->store, number);
	if (error || job->next < job->nr_trials)
		return error;
	job->phase = ZS_TRAIN_KEEP;
	return judge(job, device, stream);
}

static int keep(struct zs_train *job, struct zs_device *device)
{
	uint32_t version;
	int error;

	job->phase = ZS_TRAIN_DONE;
	if (load(&job->gain_bytes) <= load(&job->cost_bytes))
		return 0;
	/* Versions that nothing needs any more must not be in its way. */
	zs_store_retire_dictionaries(device->store);
	error = zs_dictionary_publish(device, job->dictionary, &version);
	if (error)
		return error;
	zs_take(job->dictionary);
	atomic_store_explicit(&job->version, version, memory_order_relaxed);
	return 0;
}

/* A step of a phase that needs the device. */
static int step(struct zs_train *job, struct zs_device *device, struct zs_stream *stream, uint64_t end)
{
	switch (job->phase) {
	case ZS_TRAIN_SAMPLE:
		if (!sample(job, device, stream, end))
			return 0;
		job->phase = ZS_TRAIN_LEARN;
		job->next = 0;
		return 0;
	case ZS_TRAIN_TRY:
		return try_all(job, device, stream, end);
	default:
		return keep(job, device);
	}
}

int zs_train_slice(struct zs_train *job, struct zs_store *store, struct zs_stream *stream, uint64_t nsec)
{
	uint64_t end = zs_clock_nsec() + nsec;
	struct zs_device *device;
	int error;

	if (job->phase == ZS_TRAIN_LEARN)
		return learn(job, store, end) ?: 1;
	device = zs_device_get(store, job->request.device_id, stream);
	if (!device)
		return -ENODEV;
	error = step(job, device, stream, end);
	zs_device_put(device, stream);
	return error ?: job->phase != ZS_TRAIN_DONE;
}
