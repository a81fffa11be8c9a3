#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dictionaries for zstd: what the blocks of a device have in common, so that each of them need not say it again. A
 * small block gains most: it is over before a codec has learnt much from it.
 *
 * A dictionary is immutable, and any number of threads may use it at a time; who makes one says when nobody does any
 * more. What decompression needs is made with it and shared; for compression each stream makes its own tables
 * (codec/stream.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_dictionary {
	uint64_t id;	     /* no two ever have the same, also one after the other; never 0 */
	const void *content; /* borrowed; may be damaged, see zs_dictionary_copy() */
	size_t size;
	uint64_t checksum; /* XXH3-64 of the content when it was made */
	void *decoder;
	size_t decoder_bytes; /* of memory */
};

/* content is borrowed until zs_dictionary_destroy(). Returns 0 or -ENOMEM. */
int zs_dictionary_create(uint64_t id, const void *content, size_t size, struct zs_dictionary **ret_dictionary);
/* NULL is allowed. */
void zs_dictionary_destroy(struct zs_dictionary *dictionary);

/*
 * False if the content is no longer what the dictionary was made of. Who has made tables from it before compresses and
 * decompresses as ever, since these are copies; but what needs it is lost with them. Takes some 5 us.
 */
bool zs_dictionary_is_sound(const struct zs_dictionary *dictionary);

/*
 * A copy of the content, for free(). Returns 0, -ENOMEM, or -EBADMSG if it is no longer what the dictionary was made
 * of: what is compressed with that could not be decompressed.
 */
int zs_dictionary_copy(const struct zs_dictionary *dictionary, void **ret_content);

/*
 * Learns from nr samples of sample_bytes each, one behind the other. Takes some seconds, and some 10 MiB of memory.
 * Returns 0 and the dictionary's size, capacity at most; -ENODATA (the samples are too few, or have nothing in common)
 * or -ENOMEM.
 */
int zs_dictionary_train(const void *samples, size_t sample_bytes, unsigned int nr, void *content, size_t capacity,
			size_t *ret_size);
