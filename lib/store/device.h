#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device: bytes in, bytes out. Ranges are cut into whole blocks here; a partly covered block is read, modified and
 * stored again.
 *
 * Context: any thread that borrowed the device (zs_device_get()), with a stream of its own. Concurrent calls may
 * overlap: each block is replaced as a whole, by one 8-byte store, so a reader sees the old block or the new one.
 * Offsets and lengths are in bytes and need no alignment. Ranges beyond the end are the caller's mistake where no errno
 * is listed for it.
 *
 * Cold blocks (store/cold.h) are read from the backing file, by the calling thread. With a stream that must not wait
 * for it (zs_stream_set_nowait()) the calls that move data answer -EINPROGRESS instead, and a thread that may wait goes
 * on: a read or a discard is given to it as it was; of a write *ret_done says how much is done already, and it gets the
 * rest, by zs_device_write_more() if that is not 0.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/latency.h"

struct zs_codec_params;
struct zs_device;
struct zs_device_info;
struct zs_device_stats;
struct zs_stream;

/*
 * Never-written and discarded blocks read as zeros. Returns 0, -EINVAL (range), -EIO (damaged block, or one that can't
 * be read from the backing file), -EINPROGRESS or -ENOMEM.
 */
int zs_device_read(struct zs_device *device, struct zs_stream *stream, uint64_t offset, void *buffer, size_t length);

/*
 * Returns 0 and the bytes written, which are fewer than length only if room ran out on the way; -ENOSPC if nothing
 * was written or the range passes the end; -EIO (the rest of a partly written block is damaged), -EINPROGRESS,
 * -ENOMEM. A block that could not be stored keeps its old content.
 */
int zs_device_write(struct zs_device *device, struct zs_stream *stream, uint64_t offset, const void *buffer,
		    size_t length, size_t *ret_done);

/*
 * As the two above, for a range that continues a request whose beginning was given to one of them: its bytes are
 * counted, but not one more read or write.
 */
int zs_device_read_more(struct zs_device *device, struct zs_stream *stream, uint64_t offset, void *buffer,
			size_t length);
int zs_device_write_more(struct zs_device *device, struct zs_stream *stream, uint64_t offset, const void *buffer,
			 size_t length, size_t *ret_done);

/*
 * For who divides a request among threads: as the first two, for a part of it, and nothing is counted. When all parts
 * have ended the request is counted, once, with the bytes before the first part that was not done: what lies behind it
 * will be asked for again.
 */
int zs_device_read_part(struct zs_device *device, struct zs_stream *stream, uint64_t offset, void *buffer,
			size_t length);
int zs_device_write_part(struct zs_device *device, struct zs_stream *stream, uint64_t offset, const void *buffer,
			 size_t length, size_t *ret_done);
void zs_device_count_read(struct zs_device *device, struct zs_stream *stream, size_t bytes);
void zs_device_count_write(struct zs_device *device, struct zs_stream *stream, size_t bytes);

/*
 * Makes a range read as zeros and frees its memory: discard and write-zeroes alike. The part of the range beyond the
 * end is ignored. Returns 0; -ENOSPC, -EIO, -EINPROGRESS, -ENOMEM from a partly covered block at either end.
 */
int zs_device_discard(struct zs_device *device, struct zs_stream *stream, uint64_t offset, uint64_t length);

/*
 * The first offset >= offset in a block that is not empty (data) or is empty (hole); the end of the device counts as a
 * hole. Returns 0 or -ENXIO (offset at or beyond the end; no data up to the end).
 */
int zs_device_seek(struct zs_device *device, uint64_t offset, bool data, uint64_t *ret_offset);

/* What a block is stored as. */
enum zs_block_kind {
	ZS_BLOCK_SAME,
	ZS_BLOCK_COMPRESSED,
	ZS_BLOCK_INCOMPRESSIBLE,
	ZS_BLOCK_WRITTEN_BACK,
	ZS_BLOCK_LOST, /* found damaged when the arena was opened */
};

struct zs_block_state {
	enum zs_block_kind kind;
	bool is_idle;	   /* marked, and not accessed since */
	bool is_dense;	   /* the last codec for recompression was tried */
	uint64_t used_sec; /* when it was accessed, CLOCK_MONOTONIC, to ZS_TICK_SEC; 0: long ago, or never seen to be */
};

/* The first block at or after *block that is not empty; false, and *block is the end, if there is none. */
bool zs_device_next_block(struct zs_device *device, uint64_t *block, struct zs_block_state *ret_state);

/*
 * Where memory has to become free after a write found no room: returns the id of the device itself, if its own limit is
 * in the way; if it is its group's, of the group's device that has most in memory for what it may have, as
 * zs_store_group_device(); 0 for any device of the pool.
 * Lock: the store's.
 */
uint64_t zs_device_short_of(struct zs_device *device);

/* Counts a write that was refused for lack of room: for who has tried again, and gives up. */
void zs_device_refused(struct zs_device *device, struct zs_stream *stream);

uint64_t zs_device_id(const struct zs_device *device);
/* Size in bytes; constant for the device's life. */
uint64_t zs_device_size(const struct zs_device *device);
/* Bytes of a block; as constant. */
size_t zs_device_block_size(const struct zs_device *device);
void zs_device_info(struct zs_device *device, struct zs_device_info *ret_info);
void zs_device_stats(struct zs_device *device, struct zs_device_stats *ret_stats);
/*
 * True if somebody else has borrowed the device as well. If not, the requests that zs_device_stats() has counted just
 * before are over, and their latencies are there, too.
 */
bool zs_device_is_shared(const struct zs_device *device);

/*
 * Notes how long a request took: whoever answers requests knows what belongs to one. A call of this file is not timed
 * by itself.
 */
void zs_device_add_latency(struct zs_device *device, struct zs_stream *stream, enum zs_operation operation,
			   uint64_t nsec);
/* All requests since the device was made. */
void zs_device_latency(struct zs_device *device, enum zs_operation operation, struct zs_latency *ret_latency);

/* Adds what they took, bucket by bucket; see base/histogram.h. */
void zs_device_histogram(struct zs_device *device, enum zs_operation operation, struct zs_histogram_sum *sum);

/*
 * Changes the memory limit; 0 = none. Below the present use it refuses new data only. Returns 0, or -EOPNOTSUPP: the
 * device was made without a limit, and its use is not counted.
 */
int zs_device_set_limit(struct zs_device *device, uint64_t memory_limit_bytes);

/* Permission bits and owner of the device's file; each is one 8-byte store in the arena. */
void zs_device_set_mode(struct zs_device *device, uint32_t mode);
void zs_device_set_owner(struct zs_device *device, uint32_t uid, uint32_t gid);

/*
 * Whether the content may not change. As mode and owner it is only kept here, by one 8-byte store in the arena: who
 * serves the device asks before a write or a discard, and each time that one goes on after waiting for a disk.
 */
void zs_device_set_read_only(struct zs_device *device, bool read_only);
/* Context: any thread that borrowed the device; no lock. */
bool zs_device_is_read_only(const struct zs_device *device);

/* What writes use from now on; what is stored stays as it is. Returns 0 or -EINVAL. */
int zs_device_set_codec(struct zs_device *device, const struct zs_codec_params *codec);
/* What recompression uses from now on, in order; nr 0 = none. Returns 0 or -EINVAL. */
int zs_device_set_recompress(struct zs_device *device, const struct zs_codec_params *codecs, unsigned int nr);
