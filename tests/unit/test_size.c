/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes as people write and read them. */

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>

#include "base/bits.h"
#include "base/size.h"

static const uint64_t untouched = UINT64_C(0x5a5a5a5a);

Test(size, a_number_with_a_unit_is_a_size)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"0B", 0},
		{"1B", 1},
		{"4096b", 4096},
		{"1K", 1024},
		{"1k", 1024},
		{"1KiB", 1024},
		{"1kib", 1024},
		{"4 K", 4096},
		{"512M", UINT64_C(512) << 20},
		{"8G", UINT64_C(8) << 30},
		{"1.5G", UINT64_C(3) << 29},
		{"0.5K", 512},
		{"1.0000M", UINT64_C(1) << 20},
		{"1T", UINT64_C(1) << 40},
		{"1PiB", UINT64_C(1) << 50},
		{"8191P", UINT64_C(8191) << 50},
		{"0000000000000000000001K", 1024},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		uint64_t bytes = untouched;

		cr_expect_eq(zs_size_parse(cases[i].text, &bytes), 0, "%s", cases[i].text);
		cr_expect_eq(bytes, cases[i].bytes, "%s: %" PRIu64, cases[i].text, bytes);
	}
}

Test(size, anything_else_is_refused_and_touches_nothing)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"", -EINVAL},
		{" ", -EINVAL},
		{"G", -EINVAL},
		{"8", -ENOMSG},
		{"0", -ENOMSG},
		{"8 ", -ENOMSG},
		{"1.5", -ENOMSG},
		{"-1G", -EINVAL},
		{"+1G", -EINVAL},
		{" 1G", -EINVAL},
		{"1GB", -EINVAL},
		{"1GG", -EINVAL},
		{"1Gi", -EINVAL},
		{"1BiB", -EINVAL},
		{"1X", -EINVAL},
		{"1.G", -EINVAL},
		{".5G", -EINVAL},
		{"1.5B", -EINVAL},
		{"0.3K", -EINVAL},
		{"0x10K", -EINVAL},
		{"1e3K", -EINVAL},
		{"1,5G", -EINVAL},
		{"8G ", -EINVAL},
		{"8192P", -ERANGE},
		{"9223372036854775808B", -ERANGE},
		{"1G\n", -EINVAL},
		{"\xc2\xbd", -EINVAL},
		{"99999999999999999999999999P", -ERANGE},
		{"0.00000000001K", -EINVAL},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		uint64_t bytes = untouched;

		cr_expect_eq(zs_size_parse(cases[i].text, &bytes), cases[i].error, "'%s'", cases[i].text);
		cr_expect_eq(bytes, untouched, "'%s'", cases[i].text);
	}
}

Test(size, a_size_is_printed_short)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0B"},
		{1, "1B"},
		{1023, "1023B"},
		{1024, "1K"},
		{1025, "1K"},
		{1536, "1.5K"},
		{4096, "4K"},
		{10 * 1024 + 512, "10.5K"},
		{1023 * 1024, "1023K"},
		{1048575, "1M"},
		{UINT64_C(1) << 20, "1M"},
		{UINT64_C(8) << 30, "8G"},
		{UINT64_C(3) << 29, "1.5G"},
		{UINT64_C(5) << 50, "5P"},
		{UINT64_C(1) << 60, "1024P"},
		{UINT64_MAX, "16384P"},
	};
	char text[ZS_SIZE_TEXT_BYTES];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++)
		cr_expect_str_eq(zs_size_format(cases[i].bytes, text), cases[i].text, "%" PRIu64 ": %s", cases[i].bytes,
				 text);
}

Test(size, what_is_printed_can_be_read_and_is_near)
{
	char text[ZS_SIZE_TEXT_BYTES];

	for (uint64_t bytes = 1; bytes < UINT64_C(1) << 60; bytes += bytes / 3 + 1) {
		uint64_t back, difference;

		zs_size_format(bytes, text);
		/* 1.3K is no whole number of bytes, so that it is for people only. */
		if (zs_size_parse(text, &back))
			continue;
		difference = back > bytes ? back - bytes : bytes - back;
		cr_assert_leq(difference, bytes / 20 + 1, "%" PRIu64 " is printed as %s", bytes, text);
	}
}
