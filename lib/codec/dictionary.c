/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dictionaries: libzstd's own trainer, and its tables for decompression. */

#include "codec/dictionary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zdict.h>
#include <zstd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/cleanup.h"

int zs_dictionary_create(uint64_t id, const void *content, size_t size, struct zs_dictionary **ret_dictionary)
{
	ZS_CLEANUP_FREE struct zs_dictionary *dictionary = zs_malloc(sizeof(*dictionary));
	ZSTD_DDict *decoder;

	zs_assert(id);
	if (!dictionary)
		return -ENOMEM;
	/* It copies the content: what is read never sees what happens to the arena later. */
	decoder = zs_fault() ? NULL : ZSTD_createDDict(content, size);
	if (!decoder)
		return -ENOMEM;
	*dictionary = (struct zs_dictionary){
		.id = id,
		.content = content,
		.size = size,
		.checksum = XXH3_64bits(content, size),
		.decoder = decoder,
		.decoder_bytes = ZSTD_sizeof_DDict(decoder),
	};
	*ret_dictionary = zs_take(dictionary);
	return 0;
}

void zs_dictionary_destroy(struct zs_dictionary *dictionary)
{
	if (!dictionary)
		return;
	ZSTD_freeDDict(dictionary->decoder);
	free(dictionary);
}

bool zs_dictionary_is_sound(const struct zs_dictionary *dictionary)
{
	return XXH3_64bits(dictionary->content, dictionary->size) == dictionary->checksum;
}

int zs_dictionary_copy(const struct zs_dictionary *dictionary, void **ret_content)
{
	ZS_CLEANUP_FREE void *content = zs_malloc(dictionary->size);

	if (!content)
		return -ENOMEM;
	memcpy(content, dictionary->content, dictionary->size);
	/* Of the copy: nothing changes that between this look and its use. */
	if (XXH3_64bits(content, dictionary->size) != dictionary->checksum)
		return -EBADMSG;
	*ret_content = zs_take(content);
	return 0;
}

int zs_dictionary_train(const void *samples, size_t sample_bytes, unsigned int nr, void *content, size_t capacity,
			size_t *ret_size)
{
	ZS_CLEANUP_FREE size_t *sizes = zs_malloc(nr * sizeof(*sizes));
	size_t size;

	if (!sizes || zs_fault())
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++)
		sizes[i] = sample_bytes;
	size = ZDICT_trainFromBuffer(content, capacity, samples, sizes, nr);
	/* libzstd doesn't say whether memory or something to learn was missing; its memory is small and short-lived. */
	if (ZDICT_isError(size))
		return -ENODATA;
	*ret_size = size;
	return 0;
}
