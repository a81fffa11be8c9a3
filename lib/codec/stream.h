#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream is what one thread needs to move blocks: codec contexts, made when a codec and level is first used, and
 * scratch memory. It belongs to one thread at a time and takes no lock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"

struct zs_dictionary;
struct zs_stream;

/* The largest block. */
#define ZS_BLOCK_MAX_BYTES ((size_t)64 << 10)

/* shard spreads counters over threads: any number, best one per thread. Returns 0 or -ENOMEM. */
int zs_stream_create(unsigned int shard, struct zs_stream **ret_stream);
void zs_stream_destroy(struct zs_stream *stream);

unsigned int zs_stream_shard(const struct zs_stream *stream);

/*
 * Compresses one block into the stream's scratch memory. Returns 0, the payload and its length; -ENOSPC if it is not
 * smaller than the block; -ENOMEM if the codec's context can't be made, and -EBADMSG if that is so because the
 * dictionary's content is damaged.
 */
int zs_stream_compress(struct zs_stream *stream, const struct zs_codec_params *params, const void *block,
		       size_t block_size, const void **ret_payload, size_t *ret_length);

/* Decompresses a payload of the codec with this id. Returns 0, -EBADMSG (damaged, or unknown codec) or -ENOMEM. */
int zs_stream_decompress(struct zs_stream *stream, enum zs_codec_id codec, const void *payload, size_t length,
			 void *block, size_t block_size);

/*
 * The same with a dictionary, if it isn't NULL. Codecs that use none compress without (zs_codec_uses_dictionary()), and
 * their payloads are damaged if they are said to need one.
 */
int zs_stream_compress_with(struct zs_stream *stream, const struct zs_codec_params *params,
			    const struct zs_dictionary *dictionary, const void *block, size_t block_size,
			    const void **ret_payload, size_t *ret_length);
int zs_stream_decompress_with(struct zs_stream *stream, enum zs_codec_id codec, const struct zs_dictionary *dictionary,
			      const void *payload, size_t length, void *block, size_t block_size);

/*
 * Memory that the stream keeps to compress so, made now if it wasn't there. Returns 0 or -ENOMEM; 0 bytes are answered
 * for a codec that uses no dictionaries.
 */
int zs_stream_compressor_bytes(struct zs_stream *stream, const struct zs_codec_params *params,
			       const struct zs_dictionary *dictionary, size_t block_size, size_t *ret_bytes);

/* Scratch memory of ZS_BLOCK_MAX_BYTES for a partly written block; zs_stream_compress() does not touch it. */
void *zs_stream_block(struct zs_stream *stream);

/*
 * A thread that must not wait for a disk says so: what it asks for is then refused where it would have to.
 * See store/device.h.
 */
void zs_stream_set_nowait(struct zs_stream *stream, bool nowait);
bool zs_stream_is_nowait(const struct zs_stream *stream);

/* A thread that tries again what finds no room says so: it isn't counted as refused then, see zs_device_refused(). */
void zs_stream_set_retrying(struct zs_stream *stream, bool retrying);
bool zs_stream_is_retrying(const struct zs_stream *stream);

/* Page-aligned scratch memory for what comes from a disk, made at the first use; NULL if memory is short. */
#define ZS_STREAM_IO_BYTES ((size_t)264 << 10)
void *zs_stream_io(struct zs_stream *stream);
