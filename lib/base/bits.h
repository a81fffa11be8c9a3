#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arithmetic on sizes and bits. All alignments are powers of two. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZS_PAGE_SHIFT 12
#define ZS_PAGE_SIZE  ((size_t)1 << ZS_PAGE_SHIFT)
/* Fields written by different threads are kept this far apart; two lines, since x86 prefetches them in pairs. */
#define ZS_CACHE_LINE 64
#define ZS_NO_SHARE   128

#define ZS_ARRAY_SIZE(array)		       (sizeof(array) / sizeof((array)[0]))
#define zs_container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline bool zs_is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static inline uint64_t zs_align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static inline uint64_t zs_align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

static inline uint64_t zs_div_round_up(uint64_t value, uint64_t divisor)
{
	return value / divisor + (value % divisor != 0);
}

/* Position of the highest set bit; value must not be 0. */
static inline unsigned int zs_ilog2(uint64_t value)
{
	return 63u - (unsigned int)__builtin_clzll(value);
}

static inline uint64_t zs_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t zs_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}
