#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Training: a dictionary is learnt from some blocks of a device, tried on others, and kept only if it saves more than
 * it costs.
 *
 *   gain   what it saves in memory, once all blocks of the device that are there were recompressed: extrapolated from
 *          the blocks that it was tried on and that it has not learnt from. Without it these would be recompressed with
 *          the same codec and the dictionary that is current, if there is one, or stay as they are. Dictionaries that
 *          are damaged in the arena don't count, nor what they have saved
 *   cost   the dictionary in the arena, the tables for decompression, and those for compression, which the thread that
 *          recompresses keeps
 *
 * Context: the thread that writes back, since old versions are given back before a new one is kept; the device is
 * borrowed for a slice, and not while the dictionary is learnt. Progress may be read by any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "store/dictionaries.h"

struct zs_dictionary;
struct zs_learner;
struct zs_store;
struct zs_stream;

#define ZS_TRAIN_SIZE_DEFAULT ((uint32_t)64 << 10)

struct zs_train_request {
	uint64_t device_id;
	uint32_t size_bytes;	      /* of the dictionary, from ZS_DICTIONARY_MIN_BYTES to ZS_DICTIONARY_MAX_BYTES */
	struct zs_codec_params codec; /* one that uses dictionaries */
};

struct zs_train_progress {
	uint64_t blocks; /* to look at, and looked at */
	uint64_t blocks_done;
	uint64_t learnt_blocks; /* that it has learnt from */
	uint64_t tried_blocks;	/* that it was tried on, and their memory without it and with it */
	uint64_t before_bytes, after_bytes;
	uint64_t read_before_nsec, read_after_nsec; /* to decompress all that were tried */
	uint64_t gain_bytes, cost_bytes;	    /* 0 before it is tried */
	uint32_t version;			    /* that is kept; 0 = not kept, or not yet */
};

enum zs_train_phase { ZS_TRAIN_SAMPLE, ZS_TRAIN_LEARN, ZS_TRAIN_TRY, ZS_TRAIN_KEEP, ZS_TRAIN_DONE };

struct zs_train {
	struct zs_train_request request; /* immutable from here to sample_share */
	uint32_t block_size;
	uint64_t nr_blocks;   /* of the device */
	uint32_t samples_max; /* to learn from, and to try */
	uint32_t trials_max;
	uint64_t sample_share; /* of the blocks, in 2^32ths, that is taken */
	/* The thread's. */
	enum zs_train_phase phase;
	uint64_t next; /* block to look at, or trial */
	uint32_t nr_taken, nr_samples, nr_trials;
	char *samples;		    /* [samples_max] blocks */
	char *trials;		    /* [trials_max] blocks */
	uint32_t *costs;	    /* [trials_max] memory that they take as they are */
	char *content;		    /* of the dictionary */
	struct zs_learner *learner; /* NULL: not learning; samples and content are its own meanwhile */
	struct zs_dictionary *dictionary;
	/* relaxed, statistics */
	_Atomic uint64_t blocks, blocks_done, learnt_blocks, tried_blocks, before_bytes, after_bytes;
	_Atomic uint64_t read_before_nsec, read_after_nsec, gain_bytes, cost_bytes;
	_Atomic uint32_t version;
};

/*
 * Returns 0; -ENODEV, -ERANGE (size), -EINVAL (the codec uses no dictionaries) or -ENOMEM. zs_train_end() frees what a
 * job has, at any time, and may be called twice; a job that is all zeros has nothing.
 */
int zs_train_begin(struct zs_train *job, struct zs_store *store, const struct zs_train_request *request);
void zs_train_end(struct zs_train *job);

/*
 * Works for about so long, or waits while another thread learns, which takes seconds. Returns 1 if there is more to
 * do, 0 if the dictionary was kept or refused (progress says which), or why it could not be told: -ENODATA (too few
 * blocks, or nothing that they have in common), -EBUSY (the device has ZS_DICTIONARY_VERSIONS that are needed),
 * -ENFILE (all devices together have as many as there can be), -ENOSPC (a limit), -ENODEV (removed), -EAGAIN (no
 * thread), -EALREADY (one that was cancelled while it learnt goes on still), -ENOMEM.
 */
int zs_train_slice(struct zs_train *job, struct zs_store *store, struct zs_stream *stream, uint64_t nsec);

void zs_train_progress(const struct zs_train *job, struct zs_train_progress *ret_progress);
