#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <emmintrin.h>

static inline void zs_copy_payload(void *to, const void *from, size_t size)
{
	char *t = to;
	const char *f = from;
	size_t head;

	if (size < 512) {
		memcpy(to, from, size);
		return;
	}
	head = -(uintptr_t)t & 63;
	memcpy(t, f, head);
	t += head;
	f += head;
	size -= head;
	for (; size >= 64; t += 64, f += 64, size -= 64) {
		__m128i a = _mm_loadu_si128((const __m128i *)f), b = _mm_loadu_si128((const __m128i *)(f + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(f + 32)), d = _mm_loadu_si128((const __m128i *)(f + 48));
		_mm_stream_si128((__m128i *)t, a);
		_mm_stream_si128((__m128i *)(t + 16), b);
		_mm_stream_si128((__m128i *)(t + 32), c);
		_mm_stream_si128((__m128i *)(t + 48), d);
	}
	memcpy(t, f, size);
}
