/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data of known compressibility. */

#include "support/data.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"

#define STRETCH 64

static const char *const words[] = {
	"page ",  "block ", "slot ",   "object ", "handle ", "class ", "zspage ", "pool ",
	"write ", "read ",  "commit ", "free ",	  "the ",    "of ",    "and\n",	  "is ",
};

static void make_fill(uint64_t word, char *buffer, size_t size)
{
	for (size_t at = 0; at < size; at += sizeof(word))
		memcpy(buffer + at, &word, zs_min(sizeof(word), size - at));
}

static void make_text(struct test_random *random, char *buffer, size_t size)
{
	uint64_t bits = 0;

	for (size_t at = 0, length; at < size; at += length) {
		const char *word;

		if (!bits)
			bits = test_random_next(random);
		word = words[bits % ZS_ARRAY_SIZE(words)];
		bits /= ZS_ARRAY_SIZE(words);
		length = zs_min(strlen(word), size - at);
		memcpy(buffer + at, word, length);
	}
}

static void make_mixed(struct test_random *random, char *buffer, size_t size)
{
	for (size_t at = 0; at < size; at += STRETCH) {
		size_t length = zs_min(STRETCH, size - at);

		if (test_random_next(random) & 1)
			make_text(random, buffer + at, length);
		else
			test_random_fill(random, buffer + at, length);
	}
}

void test_data_make(enum test_data kind, struct test_random *random, void *buffer, size_t size)
{
	uint64_t word = test_random_next(random);
	char *bytes = buffer;

	switch (kind) {
	case TEST_DATA_ZERO:
		memset(buffer, 0, size);
		break;
	case TEST_DATA_FILL:
		make_fill(word, buffer, size);
		break;
	case TEST_DATA_FILL32:
		make_fill((word & UINT32_MAX) * UINT64_C(0x100000001), buffer, size);
		break;
	case TEST_DATA_ALMOST:
		make_fill(word, buffer, size);
		bytes[test_random_below(random, size)] ^= 1;
		break;
	case TEST_DATA_TEXT:
		make_text(random, buffer, size);
		break;
	case TEST_DATA_MIXED:
		make_mixed(random, buffer, size);
		break;
	default:
		test_random_fill(random, buffer, size);
		break;
	}
}

enum test_data test_data_make_any(struct test_random *random, void *buffer, size_t size)
{
	enum test_data kind = (enum test_data)test_random_below(random, TEST_DATA_NR);

	test_data_make(kind, random, buffer, size);
	return kind;
}

void test_bank_init(struct test_bank *bank, struct test_random *random)
{
	for (enum test_data kind = 0; kind < TEST_DATA_NR; kind++) {
		bank->bytes[kind] = malloc(TEST_BANK_BYTES);
		zs_assert(bank->bytes[kind]);
		test_data_make(kind, random, bank->bytes[kind], TEST_BANK_BYTES);
	}
}

void test_bank_deinit(struct test_bank *bank)
{
	for (enum test_data kind = 0; kind < TEST_DATA_NR; kind++)
		free(bank->bytes[kind]);
}

void test_bank_copy(const struct test_bank *bank, enum test_data kind, struct test_random *random, void *buffer,
		    size_t size)
{
	memcpy(buffer, bank->bytes[kind] + test_random_below(random, (TEST_BANK_BYTES - size) / 8 + 1) * 8, size);
}
