/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes as people write and read them. */

#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char units[] = "BKMGTP";

/* The shift that a unit stands for, or -1: one letter of the list, or that letter with "iB" behind it. */
static int unit_shift(const char *text)
{
	const char *unit = *text ? strchr(units, toupper((unsigned char)*text)) : NULL;

	if (!unit)
		return -1;
	if (text[1] && (unit == units || strcasecmp(text + 1, "iB") != 0))
		return -1;
	return (int)(unit - units) * 10;
}

int zs_size_parse(const char *text, uint64_t *ret_bytes)
{
	uint64_t whole = 0, fraction = 0, scale = 1;
	const char *at = text;
	__uint128_t bytes;
	int shift;

	if (!isdigit((unsigned char)*at))
		return -EINVAL;
	for (; isdigit((unsigned char)*at); at++) {
		if (whole > (UINT64_MAX - 9) / 10)
			return -ERANGE;
		whole = whole * 10 + (uint64_t)(*at - '0');
	}
	if (*at == '.') {
		at++;
		if (!isdigit((unsigned char)*at))
			return -EINVAL;
		/* Nine digits are more than any size that is a whole number of blocks needs. */
		for (; isdigit((unsigned char)*at); at++) {
			if (scale >= 1000000000)
				return -EINVAL;
			fraction = fraction * 10 + (uint64_t)(*at - '0');
			scale *= 10;
		}
	}
	while (*at == ' ')
		at++;
	if (!*at)
		return -ENOMSG;
	shift = unit_shift(at);
	if (shift < 0)
		return -EINVAL;
	bytes = (__uint128_t)whole * scale + fraction;
	if (bytes >> (127 - shift))
		return -ERANGE;
	bytes <<= shift;
	if (bytes % scale)
		return -EINVAL;
	bytes /= scale;
	if (bytes >> 63)
		return -ERANGE;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

const char *zs_size_format(uint64_t bytes, char text[static ZS_SIZE_TEXT_BYTES])
{
	unsigned int unit = 0;
	uint64_t whole, tenths;

	while (unit + 2 < sizeof(units) && bytes >> (10 * (unit + 1)))
		unit++;
	whole = bytes >> (10 * unit);
	tenths = unit ? (((bytes >> (10 * (unit - 1))) & 1023) * 10 + 512) >> 10 : 0;
	if (tenths == 10) {
		whole++;
		tenths = 0;
		if (whole == 1024 && unit + 2 < sizeof(units)) {
			whole = 1;
			unit++;
		}
	}
	/* Three digits say enough: 123M, not 123.4M. */
	if (tenths && whole < 100)
		snprintf(text, ZS_SIZE_TEXT_BYTES, "%llu.%llu%c", (unsigned long long)whole, (unsigned long long)tenths,
			 units[unit]);
	else
		snprintf(text, ZS_SIZE_TEXT_BYTES, "%llu%c", (unsigned long long)whole, units[unit]);
	return text;
}
