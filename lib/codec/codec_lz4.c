/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lz4: the fast codec. Its level is liblz4's acceleration. */

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>

#include "base/check.h"
#include "codec/codec.h"

/* liblz4 clamps at this value (its LZ4_ACCELERATION_MAX, which lz4.h does not export). */
#define ACCELERATION_MAX 65537

struct lz4_compressor {
	int acceleration;   /* immutable */
	LZ4_stream_t state; /* 16 KiB hash table; initialised by liblz4 for each block */
};

static int lz4_compressor_create(int level, size_t block_size, void **ret_compressor)
{
	struct lz4_compressor *compressor = zs_malloc(sizeof(*compressor));

	if (!compressor)
		return -ENOMEM;
	compressor->acceleration = level;
	*ret_compressor = compressor;
	return 0;
}

static void lz4_compressor_destroy(void *compressor)
{
	free(compressor);
}

static int lz4_compress(void *context, const void *source, size_t size, void *destination, size_t capacity,
			size_t *ret_length)
{
	struct lz4_compressor *compressor = context;
	int length = LZ4_compress_fast_extState(&compressor->state, source, destination, (int)size, (int)capacity,
						compressor->acceleration);

	if (length <= 0)
		return -ENOSPC;
	*ret_length = (size_t)length;
	return 0;
}

static int lz4_decompress(void *context, const void *source, size_t length, void *destination, size_t size)
{
	return LZ4_decompress_safe(source, destination, (int)length, (int)size) == (int)size ? 0 : -EBADMSG;
}

const struct zs_codec zs_codec_lz4 = {
	.name = "lz4",
	.level_word = "acceleration",
	.id = ZS_CODEC_LZ4,
	.level_min = 1,
	.level_max = ACCELERATION_MAX,
	.level_default = 1,
	.compressor_create = lz4_compressor_create,
	.compressor_destroy = lz4_compressor_destroy,
	.compress = lz4_compress,
	.decompress = lz4_decompress,
};
