/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zstd: the dense codec.
 *
 * libzstd sizes a context's tables when a block is compressed, for that level and block size, and gives them up again
 * after a run of much smaller blocks. A compressor therefore serves one block size, and compresses one block when it is
 * made: afterwards nothing is allocated, and there is nothing left to fail for lack of memory.
 */

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "codec/codec.h"
#include "codec/dictionary.h"

/* Below this libzstd only stops searching: what is left is lz4's work. */
#define LEVEL_MIN (-7)
/* ZSTD_maxCLevel() since zstd 1.3.4. */
#define LEVEL_MAX 22

static void cctx_freep(ZSTD_CCtx **cctx)
{
	ZSTD_freeCCtx(*cctx);
}

/*
 * The block's length is in its slot's device, its checksum in the object header: the frame needs neither, which saves 5
 * bytes a block.
 */
static bool cctx_configure(ZSTD_CCtx *cctx, int level)
{
	return !ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_contentSizeFlag, 0)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 0)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_dictIDFlag, 0));
}

/* Compresses a block of zeros, so that all tables are there. */
static int cctx_warm_up(ZSTD_CCtx *cctx, size_t block_size)
{
	ZS_CLEANUP_FREE char *block = zs_calloc(2, block_size);

	if (!block)
		return -ENOMEM;
	return ZSTD_isError(ZSTD_compress2(cctx, block + block_size, block_size, block, block_size)) ? -ENOMEM : 0;
}

static int zstd_compressor_create(int level, size_t block_size, void **ret_compressor)
{
	ZS_CLEANUP(cctx_freep) ZSTD_CCtx *cctx = zs_fault() ? NULL : ZSTD_createCCtx();
	int error;

	if (!cctx)
		return -ENOMEM;
	zs_assert(cctx_configure(cctx, level));
	error = cctx_warm_up(cctx, block_size);
	if (error)
		return error;
	*ret_compressor = zs_take(cctx);
	return 0;
}

static void zstd_compressor_destroy(void *compressor)
{
	ZSTD_freeCCtx(compressor);
}

/*
 * The tables are copies of its own: a stream's compressor must not care how long the dictionary lives. They are made
 * from a copy that was verified, since the content lies in the arena.
 */
static int zstd_compressor_load(void *compressor, size_t block_size, const struct zs_dictionary *dictionary)
{
	ZS_CLEANUP_FREE void *content = NULL;
	int error = zs_dictionary_copy(dictionary, &content);

	if (error)
		return error;
	if (zs_fault() || ZSTD_isError(ZSTD_CCtx_loadDictionary(compressor, content, dictionary->size)))
		return -ENOMEM;
	return cctx_warm_up(compressor, block_size);
}

static size_t zstd_compressor_bytes(const void *compressor)
{
	return ZSTD_sizeof_CCtx(compressor);
}

static int zstd_decompressor_create(void **ret_decompressor)
{
	ZSTD_DCtx *dctx = zs_fault() ? NULL : ZSTD_createDCtx();

	if (!dctx)
		return -ENOMEM;
	*ret_decompressor = dctx;
	return 0;
}

static void zstd_decompressor_destroy(void *decompressor)
{
	ZSTD_freeDCtx(decompressor);
}

static int zstd_compress(void *compressor, const void *source, size_t size, void *destination, size_t capacity,
			 size_t *ret_length)
{
	size_t length = ZSTD_compress2(compressor, destination, capacity, source, size);

	/* The destination is the only thing that can be too small. */
	if (ZSTD_isError(length))
		return -ENOSPC;
	*ret_length = length;
	return 0;
}

static int zstd_decompress(void *decompressor, const void *source, size_t length, void *destination, size_t size)
{
	/* An error code is a size close to SIZE_MAX, so one comparison is enough. */
	return ZSTD_decompressDCtx(decompressor, destination, size, source, length) == size ? 0 : -EBADMSG;
}

static int zstd_decompress_with(void *decompressor, const struct zs_dictionary *dictionary, const void *source,
				size_t length, void *destination, size_t size)
{
	return ZSTD_decompress_usingDDict(decompressor, destination, size, source, length, dictionary->decoder) == size
		       ? 0
		       : -EBADMSG;
}

const struct zs_codec zs_codec_zstd = {
	.name = "zstd",
	.level_word = "level",
	.id = ZS_CODEC_ZSTD,
	.level_min = LEVEL_MIN,
	.level_max = LEVEL_MAX,
	.level_default = 3,
	.compressor_create = zstd_compressor_create,
	.compressor_destroy = zstd_compressor_destroy,
	.decompressor_create = zstd_decompressor_create,
	.decompressor_destroy = zstd_decompressor_destroy,
	.compress = zstd_compress,
	.decompress = zstd_decompress,
	.compressor_load = zstd_compressor_load,
	.compressor_bytes = zstd_compressor_bytes,
	.decompress_with = zstd_decompress_with,
};
