/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies past the processor's caches. */

#include <criterion/criterion.h>
#include <string.h>

#include "base/copy.h"
#include "support/random.h"

#define ROOM 6000

static char from[ROOM], to[ROOM] __attribute__((aligned(64))), expected[ROOM];

static void fill(void)
{
	struct test_random random = {.state = 5};

	test_random_fill(&random, from, sizeof(from));
}

TestSuite(copy, .init = fill);

static void expect_copy(size_t offset, size_t size)
{
	memset(to, 0x55, sizeof(to));
	memset(expected, 0x55, sizeof(expected));
	memcpy(expected + offset, from + offset % 7, size);
	zs_copy_uncached(to + offset, from + offset % 7, size);
	zs_copy_fence();
	cr_assert(!memcmp(to, expected, sizeof(to)), "%zu bytes to offset %zu", size, offset);
}

Test(copy, all_bytes_arrive_and_no_others_change)
{
	for (size_t size = 0; size < 5000; size += 1 + (size > 700) * 12)
		expect_copy(size % 131, size);
	for (size_t offset = 0; offset < 130; offset++) {
		expect_copy(offset, ZS_COPY_STREAM_MIN - 1);
		expect_copy(offset, ZS_COPY_STREAM_MIN);
		expect_copy(offset, ZS_COPY_STREAM_MIN + offset);
	}
}

#if ZS_COPY_STREAMS
Test(copy, lines_are_the_same_with_every_instruction_set)
{
	for (size_t size = 0; size <= 4096; size += 64) {
		memset(expected, 0x55, sizeof(expected));
		memcpy(expected, from + 1, size);
		memset(to, 0x55, sizeof(to));
		zs_stream_lines(to, from + 1, size);
		zs_copy_fence();
		cr_assert(!memcmp(to, expected, sizeof(to)), "%zu bytes", size);
		if (!__builtin_cpu_supports("avx512f"))
			continue;
		memset(to, 0x55, sizeof(to));
		zs_stream_lines_avx512(to, from + 1, size);
		zs_copy_fence();
		cr_assert(!memcmp(to, expected, sizeof(to)), "%zu bytes, AVX-512", size);
	}
}
#endif
