#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies past the processor's caches.
 *
 * An object that replaces another one lies anywhere in gigabytes of memory: ordinary stores would first read each of
 * its lines, to overwrite them whole, and would push out of the cache what the next request needs. Measured with
 * `dev bench arena`, a replacement takes 1.2 times as long with memcpy(3).
 *
 * x86-64 has stores for it since its first day (SSE2). They may become visible after later stores, so zs_copy_fence()
 * comes before the store that publishes the copy. Elsewhere, and where a sanitizer has to see each access, it is
 * memcpy(3), and the fence nothing.
 *
 * A store is over for the processor when there is a place for it in the store buffer, which has 50 to 112: an object is
 * some 150 stores of 16 bytes, but only some 40 of a whole line. With these (AVX-512) it goes on at once, and what
 * comes between copy and fence takes place while the copy is on its way.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ZS_COPY_STREAMS 0
#elif defined(__SSE2__)
#define ZS_COPY_STREAMS 1
#include <immintrin.h>

#include "base/processor.h"
#else
#define ZS_COPY_STREAMS 0
#endif

/* Below this, the lines at both ends, which are stored the ordinary way, are most of the copy. */
#define ZS_COPY_STREAM_MIN ((size_t)512)

#if ZS_COPY_STREAMS
/* to is aligned to a cache line, size is a multiple of it. */
static inline void zs_stream_lines(char *to, const char *from, size_t size)
{
	for (; size; to += 64, from += 64, size -= 64) {
		__m128i a = _mm_loadu_si128((const __m128i *)(const void *)from);
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(from + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(const void *)(from + 32));
		__m128i d = _mm_loadu_si128((const __m128i *)(const void *)(from + 48));

		_mm_stream_si128((__m128i *)(void *)to, a);
		_mm_stream_si128((__m128i *)(void *)(to + 16), b);
		_mm_stream_si128((__m128i *)(void *)(to + 32), c);
		_mm_stream_si128((__m128i *)(void *)(to + 48), d);
	}
}

/* The same with a store for each line. */
static inline __attribute__((target("avx512f"))) void zs_stream_lines_avx512(char *to, const char *from, size_t size)
{
	for (; size; to += 64, from += 64, size -= 64)
		_mm512_stream_si512((__m512i *)(void *)to, _mm512_loadu_si512(from));
}
#endif

/* Copies; not visible to other threads before zs_copy_fence(). */
static inline void zs_copy_uncached(void *to, const void *from, size_t size)
{
#if ZS_COPY_STREAMS
	if (size >= ZS_COPY_STREAM_MIN) {
		size_t head = -(uintptr_t)to & 63, lines = (size - head) & ~(size_t)63;

		memcpy(to, from, head);
		if (zs_processor_has_avx512())
			zs_stream_lines_avx512((char *)to + head, (const char *)from + head, lines);
		else
			zs_stream_lines((char *)to + head, (const char *)from + head, lines);
		memcpy((char *)to + head + lines, (const char *)from + head + lines, size - head - lines);
		return;
	}
#endif
	memcpy(to, from, size);
}

static inline void zs_copy_fence(void)
{
#if ZS_COPY_STREAMS
	_mm_sfence();
#endif
}
