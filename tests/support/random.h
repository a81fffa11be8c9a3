#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reproducible random numbers: the same seed gives the same test. splitmix64 (Steele, Lea and Flood 2014): 64 bits of
 * state, any seed is a good one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct test_random {
	uint64_t state;
};

static inline uint64_t test_random_next(struct test_random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0 to limit - 1. The bias of the modulo does not matter to a test. */
static inline uint64_t test_random_below(struct test_random *random, uint64_t limit)
{
	return test_random_next(random) % limit;
}

/* True in percent of 100 calls. */
static inline bool test_random_chance(struct test_random *random, unsigned int percent)
{
	return test_random_below(random, 100) < percent;
}

static inline void test_random_fill(struct test_random *random, void *buffer, size_t size)
{
	char *bytes = buffer;
	uint64_t word;

	for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
		word = test_random_next(random);
		memcpy(bytes, &word, sizeof(word));
	}
	word = test_random_next(random);
	memcpy(bytes, &word, size);
}
