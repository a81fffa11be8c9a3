/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams: compressors by codec, level, block size and dictionary in a small table, where the one that was not used for
 * the longest time makes room for a new one; one decompressor a codec, since those serve every level and size.
 */

#include "codec/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "codec/dictionary.h"
#include "codec/times.h"

/*
 * Combinations of codec, level and block size that one thread keeps ready. A zstd:19 compressor of 64 KiB blocks takes
 * 1.4 MiB, most take less than 200 KiB.
 */
#define NR_COMPRESSORS 8

struct stream_compressor {
	const struct zs_codec *codec; /* NULL: unused entry */
	int level;
	size_t block_size;
	uint64_t dictionary; /* its id; 0 = none */
	void *compressor;
	uint64_t last_use; /* stream->clock at that time */
};

struct zs_stream {
	unsigned int shard; /* immutable */
	uint64_t clock;	    /* compressed blocks so far */
	struct zs_sampler samplers[ZS_CODEC_WORK_NR];
	bool nowait;
	bool retrying;
	void *io; /* NULL until it is needed */
	struct stream_compressor compressors[NR_COMPRESSORS];
	void *decompressors[ZS_CODEC_NR];
	_Alignas(ZS_CACHE_LINE) char payload[ZS_BLOCK_MAX_BYTES];
	_Alignas(ZS_CACHE_LINE) char block[ZS_BLOCK_MAX_BYTES];
};

int zs_stream_create(unsigned int shard, struct zs_stream **ret_stream)
{
	struct zs_stream *stream;

	if (zs_fault())
		return -ENOMEM;
	stream = aligned_alloc(_Alignof(struct zs_stream), sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	/* Only what is read before it is written: the scratch memory stays untouched until a block comes. */
	stream->shard = shard;
	stream->clock = 0;
	for (unsigned int work = 0; work < ZS_CODEC_WORK_NR; work++)
		zs_sampler_init(&stream->samplers[work], shard);
	stream->nowait = false;
	stream->retrying = false;
	stream->io = NULL;
	for (unsigned int i = 0; i < NR_COMPRESSORS; i++)
		stream->compressors[i] = (struct stream_compressor){0};
	for (unsigned int i = 0; i < ZS_CODEC_NR; i++)
		stream->decompressors[i] = NULL;
	*ret_stream = stream;
	return 0;
}

static void compressor_deinit(struct stream_compressor *entry)
{
	if (entry->codec)
		entry->codec->compressor_destroy(entry->compressor);
	*entry = (struct stream_compressor){0};
}

void zs_stream_destroy(struct zs_stream *stream)
{
	if (!stream)
		return;
	for (unsigned int i = 0; i < NR_COMPRESSORS; i++)
		compressor_deinit(&stream->compressors[i]);
	for (unsigned int i = 0; i < ZS_CODEC_NR; i++) {
		if (stream->decompressors[i])
			zs_codec_find(i)->decompressor_destroy(stream->decompressors[i]);
	}
	free(stream->io);
	free(stream);
}

unsigned int zs_stream_shard(const struct zs_stream *stream)
{
	return stream->shard;
}

/*
 * times
 */

struct timed {
	unsigned int weight; /* calls that this one stands for; 0: it is not timed */
	uint64_t began_nsec;
};

static uint64_t now_nsec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct timed timed_begin(struct zs_stream *stream, enum zs_codec_work work)
{
	struct timed timed = {.weight = zs_sampler_next(&stream->samplers[work])};

	if (__builtin_expect(timed.weight, 0))
		timed.began_nsec = now_nsec();
	return timed;
}

static void timed_end(const struct zs_stream *stream, const struct timed *timed, enum zs_codec_id codec,
		      enum zs_codec_work work)
{
	if (__builtin_expect(timed->weight, 0))
		zs_codec_add_nsec(stream->shard, codec, work, (now_nsec() - timed->began_nsec) * timed->weight);
}

/*
 * compressing
 */

/* An unused entry, or else the one that was not used for the longest time. */
static struct stream_compressor *stream_victim(struct zs_stream *stream)
{
	struct stream_compressor *victim = &stream->compressors[0];

	for (unsigned int i = 0; i < NR_COMPRESSORS; i++) {
		struct stream_compressor *entry = &stream->compressors[i];

		if (!entry->codec)
			return entry;
		if (entry->last_use < victim->last_use)
			victim = entry;
	}
	return victim;
}

static int stream_make_compressor(struct zs_stream *stream, const struct zs_codec_params *params,
				  const struct zs_dictionary *dictionary, size_t block_size,
				  struct stream_compressor **ret_entry)
{
	struct stream_compressor *victim = stream_victim(stream), made = {.level = params->level};
	int error;

	made.codec = zs_codec_find(params->codec);
	made.block_size = block_size;
	made.dictionary = dictionary ? dictionary->id : 0;
	zs_assert_msg(made.codec, "codec %u", params->codec);
	error = made.codec->compressor_create(params->level, block_size, &made.compressor);
	if (error)
		return error;
	if (dictionary && made.codec->compressor_load)
		error = made.codec->compressor_load(made.compressor, block_size, dictionary);
	if (error) {
		compressor_deinit(&made);
		return error;
	}
	compressor_deinit(victim);
	*victim = made;
	*ret_entry = victim;
	return 0;
}

static int stream_compressor(struct zs_stream *stream, const struct zs_codec_params *params,
			     const struct zs_dictionary *dictionary, size_t block_size,
			     struct stream_compressor **ret_entry)
{
	uint64_t id = dictionary ? dictionary->id : 0;

	for (unsigned int i = 0; i < NR_COMPRESSORS; i++) {
		struct stream_compressor *entry = &stream->compressors[i];

		if (entry->codec && entry->codec->id == params->codec && entry->level == params->level &&
		    entry->block_size == block_size && entry->dictionary == id) {
			*ret_entry = entry;
			return 0;
		}
	}
	return stream_make_compressor(stream, params, dictionary, block_size, ret_entry);
}

int zs_stream_compress_with(struct zs_stream *stream, const struct zs_codec_params *params,
			    const struct zs_dictionary *dictionary, const void *block, size_t block_size,
			    const void **ret_payload, size_t *ret_length)
{
	struct stream_compressor *entry;
	struct timed timed;
	int error;

	zs_assert(block_size && block_size <= ZS_BLOCK_MAX_BYTES);
	error = stream_compressor(stream, params, dictionary, block_size, &entry);
	if (error)
		return error;
	entry->last_use = ++stream->clock;
	timed = timed_begin(stream, ZS_CODEC_COMPRESS);
	/* One byte short of the block: a codec that can't save anything gives up early. */
	error = entry->codec->compress(entry->compressor, block, block_size, stream->payload, block_size - 1,
				       ret_length);
	timed_end(stream, &timed, entry->codec->id, ZS_CODEC_COMPRESS);
	if (error)
		return error;
	*ret_payload = stream->payload;
	return 0;
}

int zs_stream_compress(struct zs_stream *stream, const struct zs_codec_params *params, const void *block,
		       size_t block_size, const void **ret_payload, size_t *ret_length)
{
	return zs_stream_compress_with(stream, params, NULL, block, block_size, ret_payload, ret_length);
}

int zs_stream_compressor_bytes(struct zs_stream *stream, const struct zs_codec_params *params,
			       const struct zs_dictionary *dictionary, size_t block_size, size_t *ret_bytes)
{
	struct stream_compressor *entry;
	int error = stream_compressor(stream, params, dictionary, block_size, &entry);

	if (error)
		return error;
	*ret_bytes = entry->codec->compressor_bytes ? entry->codec->compressor_bytes(entry->compressor) : 0;
	return 0;
}

/*
 * decompressing
 */

static int stream_decompressor(struct zs_stream *stream, const struct zs_codec *codec, void **ret_decompressor)
{
	void **decompressor = &stream->decompressors[codec->id];

	if (!*decompressor && codec->decompressor_create) {
		int error = codec->decompressor_create(decompressor);

		if (error)
			return error;
	}
	*ret_decompressor = *decompressor;
	return 0;
}

int zs_stream_decompress_with(struct zs_stream *stream, enum zs_codec_id id, const struct zs_dictionary *dictionary,
			      const void *payload, size_t length, void *block, size_t block_size)
{
	const struct zs_codec *codec = zs_codec_find(id);
	struct timed timed;
	void *decompressor;
	int error;

	zs_assert(block_size && block_size <= ZS_BLOCK_MAX_BYTES);
	/* No payload is as long as its block: it would have been stored raw. */
	if (!codec || length >= block_size || (dictionary && !codec->decompress_with))
		return -EBADMSG;
	error = stream_decompressor(stream, codec, &decompressor);
	if (error)
		return error;
	timed = timed_begin(stream, ZS_CODEC_DECOMPRESS);
	if (dictionary)
		error = codec->decompress_with(decompressor, dictionary, payload, length, block, block_size);
	else
		error = codec->decompress(decompressor, payload, length, block, block_size);
	timed_end(stream, &timed, id, ZS_CODEC_DECOMPRESS);
	return error;
}

int zs_stream_decompress(struct zs_stream *stream, enum zs_codec_id id, const void *payload, size_t length, void *block,
			 size_t block_size)
{
	return zs_stream_decompress_with(stream, id, NULL, payload, length, block, block_size);
}

void *zs_stream_block(struct zs_stream *stream)
{
	return stream->block;
}

void zs_stream_set_nowait(struct zs_stream *stream, bool nowait)
{
	stream->nowait = nowait;
}

bool zs_stream_is_nowait(const struct zs_stream *stream)
{
	return stream->nowait;
}

void zs_stream_set_retrying(struct zs_stream *stream, bool retrying)
{
	stream->retrying = retrying;
}

bool zs_stream_is_retrying(const struct zs_stream *stream)
{
	return stream->retrying;
}

void *zs_stream_io(struct zs_stream *stream)
{
	if (!stream->io && !zs_fault())
		stream->io = aligned_alloc(ZS_PAGE_SIZE, ZS_STREAM_IO_BYTES);
	return stream->io;
}
