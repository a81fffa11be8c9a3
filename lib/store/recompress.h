#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recompression: blocks that are not in use much are stored again with a denser codec.
 *
 * A job takes the blocks of a range of a device once, in slices done by whoever has time; the largest objects first (in
 * eighths of a raw block) if it is to stop somewhere. The codecs are tried in order, and the first one is taken whose
 * object takes less memory, so belongs to a smaller size class, header included. A block whose last codec has been
 * tried is marked dense in its slot and not looked at again before it is overwritten, or asked for again with another
 * list. A raw block that is dense is incompressible.
 *
 * Codecs that can use a dictionary do so with the device's current one (store/dictionaries.h), if it has one. Objects
 * that need an older one are also replaced where the new one takes just as much memory. One that turns out to be
 * damaged is current no longer: it is looked at before each slice.
 *
 * A block is replaced as by a write, with one 8-byte store, unless it has changed meanwhile. Age and idle mark stay.
 *
 * Context: the thread that calls has borrowed the device, with a stream of its own. Progress may be read by any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "store/store.h"

struct zs_device;
struct zs_dictionary;
struct zs_stream;

/* Which blocks; added up, any of them is enough. */
enum zs_recompress_type {
	ZS_RECOMPRESS_IDLE = 1, /* marked idle, or of age_sec */
	ZS_RECOMPRESS_HUGE = 2, /* stored raw */
	ZS_RECOMPRESS_ALL = 4,
};

struct zs_recompress_request {
	unsigned int types;
	uint64_t first, last;	  /* blocks */
	uint64_t age_sec;	  /* idle since; 0 = only what is marked */
	uint32_t threshold_bytes; /* memory that an object takes at least; 0 = any */
	/* When to stop, the largest objects first: blocks recompressed, bytes saved. 0, 0: all, as they lie */
	uint64_t max_blocks, max_saved_bytes;
	bool again;		/* dense ones as well */
	unsigned int nr_codecs; /* 1 to ZS_RECOMPRESS_CODECS */
	struct zs_codec_params codecs[ZS_RECOMPRESS_CODECS];
};

/* What was asked for wrongly. */
enum zs_recompress_field {
	ZS_RECOMPRESS_FIELD_NONE,
	ZS_RECOMPRESS_FIELD_TYPES,
	ZS_RECOMPRESS_FIELD_RANGE,
	ZS_RECOMPRESS_FIELD_THRESHOLD,
	ZS_RECOMPRESS_FIELD_CODECS,
};

struct zs_recompress_progress {
	uint64_t blocks; /* to look at, and looked at so far: a part of a block each time that it is passed by */
	uint64_t blocks_done;
	uint64_t tried;	       /* blocks */
	uint64_t recompressed; /* blocks */
	uint64_t saved_bytes;  /* of memory */
	uint64_t busy;	       /* blocks that changed meanwhile */
	uint64_t failed;       /* blocks that could not be read, or had no memory for their new object */
};

struct zs_recompress {
	struct zs_recompress_request request; /* immutable */
	uint64_t next;			      /* block; the caller's, like band */
	unsigned int nr_walks;		      /* at most, see recompress.c; immutable */
	unsigned int band;		      /* of sizes */
	unsigned int found;		      /* by this walk: bits of the lower bands with something to do */
	uint64_t *done;			      /* bit per block of the range: was recompressed; NULL = none yet */
	unsigned int dictionary;	      /* number of the device's, borrowed during a slice; 0 = none */
	struct zs_dictionary *borrowed;
	_Atomic uint64_t blocks, passed, tried, recompressed, saved_bytes, busy, failed; /* relaxed, statistics */
};

/* Returns 0, -EINVAL or -ERANGE; *ret_field says what is wrong (may be NULL). */
int zs_recompress_begin(struct zs_recompress *job, struct zs_device *device,
			const struct zs_recompress_request *request, enum zs_recompress_field *ret_field);

/* Works for about so long, a block at least. True if there is more to do. */
bool zs_recompress_slice(struct zs_recompress *job, struct zs_device *device, struct zs_stream *stream, uint64_t nsec);

/* Frees what slices have allocated, whether they have come to an end or not. Progress may still be read. */
void zs_recompress_end(struct zs_recompress *job);

void zs_recompress_progress(const struct zs_recompress *job, struct zs_recompress_progress *ret_progress);
