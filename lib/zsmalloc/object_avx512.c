/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hash of object.c, compiled for processors with AVX-512 (see meson.build). */

#include "zsmalloc/object.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t zs_object_hash_avx512(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}
