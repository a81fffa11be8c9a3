#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Codecs: one block in, one compressed payload out.
 *
 * Three lifetimes are kept apart: struct zs_codec_params is chosen once per device and shared by all threads; a
 * compressor or decompressor belongs to one thread and is reused for every block (zs_stream owns them); everything else
 * is per call. No call allocates memory once these exist.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers in object headers in the arena: never reused for something else. */
enum zs_codec_id {
	ZS_CODEC_RAW = 0,  /* the block as it is */
	ZS_CODEC_FILL = 1, /* one 8-byte word that fills the block; made by the store, not by a codec */
	ZS_CODEC_LZ4 = 2,
	ZS_CODEC_ZSTD = 3,
	ZS_CODEC_NR,
};

struct zs_codec_params {
	uint8_t codec; /* enum zs_codec_id */
	int level;     /* lz4: acceleration, 1 is densest; zstd: level, higher is denser */
};

struct zs_dictionary;

struct zs_codec {
	const char *name;
	const char *level_word; /* what the number behind the colon is called in messages */
	enum zs_codec_id id;
	int level_min;
	int level_max;
	int level_default;

	/* Working memory for blocks of block_size bytes at this level. Returns 0 or -ENOMEM. */
	int (*compressor_create)(int level, size_t block_size, void **ret_compressor);
	void (*compressor_destroy)(void *compressor);

	/* Working memory to decompress blocks of any level and size; both are NULL if the codec needs none. */
	int (*decompressor_create)(void **ret_decompressor);
	void (*decompressor_destroy)(void *decompressor);

	/*
	 * Compresses size bytes into destination. Returns 0 and the length, or -ENOSPC if it doesn't fit into
	 * capacity, which is how incompressible blocks show.
	 */
	int (*compress)(void *compressor, const void *source, size_t size, void *destination, size_t capacity,
			size_t *ret_length);

	/* Decompresses exactly size bytes. Returns 0 or -EBADMSG (not a sound payload, or another length). */
	int (*decompress)(void *decompressor, const void *source, size_t length, void *destination, size_t size);

	/*
	 * Dictionaries (codec/dictionary.h); all three are NULL if the codec uses none. compressor_load() gives a new
	 * compressor one, for good, and returns 0, -ENOMEM or -EBADMSG (its content is damaged); compressor_bytes() is
	 * the memory that it takes then.
	 */
	int (*compressor_load)(void *compressor, size_t block_size, const struct zs_dictionary *dictionary);
	size_t (*compressor_bytes)(const void *compressor);
	int (*decompress_with)(void *decompressor, const struct zs_dictionary *dictionary, const void *source,
			       size_t length, void *destination, size_t size);
};

extern const struct zs_codec zs_codec_lz4;
extern const struct zs_codec zs_codec_zstd;

/* The codec of an object header's id, or NULL (raw, fill, unknown). */
const struct zs_codec *zs_codec_find(enum zs_codec_id id);

/*
 * Reads "lz4", "lz4:ACCELERATION", "zstd" or "zstd:LEVEL". Returns 0, -ENOENT (no such algorithm), -EINVAL (not a
 * number behind the colon) or -ERANGE (not a level of the algorithm; *ret_codec is set then, for the message; it may be
 * NULL).
 */
int zs_codec_parse(const char *text, struct zs_codec_params *ret_params, const struct zs_codec **ret_codec);

/* Codec and level in one word, for places that change with one store. The word 0 is no codec. */
static inline uint32_t zs_codec_pack(const struct zs_codec_params *params)
{
	return params->codec | (uint32_t)params->level << 8;
}

static inline struct zs_codec_params zs_codec_unpack(uint32_t word)
{
	return (struct zs_codec_params){.codec = (uint8_t)word, .level = (int32_t)word >> 8};
}

/* True if the codec compresses and has this level: what zs_codec_parse() answers always is. */
bool zs_codec_params_are_valid(const struct zs_codec_params *params);

/* True if a dictionary makes a difference to the codec. */
bool zs_codec_uses_dictionary(uint8_t id);

#define ZS_CODEC_TEXT_BYTES 24
/* Writes "lz4" or "zstd:19": the level only where it isn't the default. Answers text. */
const char *zs_codec_format(const struct zs_codec_params *params, char text[static ZS_CODEC_TEXT_BYTES]);
