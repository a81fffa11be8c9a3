#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data of known compressibility. */

#include <stddef.h>

#include "support/random.h"

enum test_data {
	TEST_DATA_ZERO,	  /* zeros */
	TEST_DATA_FILL,	  /* one random 64-bit word, again and again */
	TEST_DATA_FILL32, /* one random 32-bit word, again and again: also same-filled */
	TEST_DATA_ALMOST, /* TEST_DATA_FILL with one byte changed: compresses best, is not same-filled */
	TEST_DATA_TEXT,	  /* words: a third or so */
	TEST_DATA_MIXED,  /* text and noise in stretches of 64 bytes: three quarters or so */
	TEST_DATA_NOISE,  /* does not compress */
	TEST_DATA_NR,
};

/* size is a multiple of 8 for the fills to be seen as such. */
void test_data_make(enum test_data kind, struct test_random *random, void *buffer, size_t size);

/* A random kind, then test_data_make(). */
enum test_data test_data_make_any(struct test_random *random, void *buffer, size_t size);

/* Ready-made data of all kinds, where making it would take longer than using it. */
#define TEST_BANK_BYTES ((size_t)512 << 10)

struct test_bank {
	char *bytes[TEST_DATA_NR];
};

void test_bank_init(struct test_bank *bank, struct test_random *random);
void test_bank_deinit(struct test_bank *bank);
/* A piece of it, from anywhere. */
void test_bank_copy(const struct test_bank *bank, enum test_data kind, struct test_random *random, void *buffer,
		    size_t size);
