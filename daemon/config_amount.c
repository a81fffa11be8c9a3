/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Amounts of memory as zsd.conf has them. */

#include "config_amount.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/size.h"

/* Longer than any amount that makes sense. */
#define AMOUNT_BYTES   64
#define PART_UNIT      (UINT64_C(64) << 10)
#define FUNCTION_CHARS 4 /* of "min(" */

int zsd_amount_parse_size(const char *value, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES])
{
	switch (zs_size_parse(value, ret_bytes)) {
	case 0:
		return 0;
	case -ENOMSG:
		return zsd_options_refuse(reason, "a size without a unit; did you mean %sG?", value);
	case -ERANGE:
		return zsd_options_refuse(reason, "too large; use less than 8192P");
	default:
		return zsd_options_refuse(reason, "not a size; write it as in 512M or 8G");
	}
}

static bool is_percentage(const char *value)
{
	size_t length = strlen(value);

	return length && value[length - 1] == '%';
}

int zsd_amount_parse_percentage(const char *value, unsigned int max, unsigned int *ret_percentage)
{
	unsigned int percentage = 0;

	if (!is_percentage(value) || *value == '%')
		return -EINVAL;
	for (; *value != '%'; value++) {
		if (!isdigit((unsigned char)*value))
			return -EINVAL;
		percentage = percentage * 10 + (unsigned int)(*value - '0');
		if (percentage > max)
			return -EINVAL;
	}
	/* Nothing behind it, and "0%" is nothing. */
	if (value[1] || !percentage)
		return -EINVAL;
	*ret_percentage = percentage;
	return 0;
}

/* A size, or "30%": a part of the machine's memory. */
static int parse_one(const char *value, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES])
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned int percentage;

	if (!is_percentage(value))
		return zsd_amount_parse_size(value, ret_bytes, reason);
	if (zsd_amount_parse_percentage(value, 100, &percentage))
		return zsd_options_refuse(reason, "not a part of the memory; use 1%% to 100%%");
	*ret_bytes = machine / 100 * percentage / PART_UNIT * PART_UNIT;
	return 0;
}

/* Without the blanks around it. Answers text, or NULL if it is too long. */
static const char *copy_argument(const char *from, const char *to, char text[static AMOUNT_BYTES])
{
	from += strspn(from, " \t");
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	if (to < from || to - from >= AMOUNT_BYTES)
		return NULL;
	memcpy(text, from, (size_t)(to - from));
	text[to - from] = 0;
	return text;
}

static int parse_two(const char *value, uint64_t bytes[static 2], char reason[static ZSD_REASON_BYTES])
{
	const char *arguments = value + FUNCTION_CHARS, *comma = strchr(value, ',');
	const char *end = value + strlen(value) - 1;
	char text[2][AMOUNT_BYTES];
	int error;

	if (!comma || *end != ')' || !copy_argument(arguments, comma, text[0]) ||
	    !copy_argument(comma + 1, end, text[1]) || strpbrk(text[1], ",()"))
		return zsd_options_refuse(reason, "not two amounts; write it as in min(50%%, 4G)");
	error = parse_one(text[0], &bytes[0], reason);
	return error ?: parse_one(text[1], &bytes[1], reason);
}

int zsd_amount_parse(const char *value, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES])
{
	bool is_min = strncmp(value, "min(", FUNCTION_CHARS) == 0;
	uint64_t bytes[2];
	int error;

	if (!is_min && strncmp(value, "max(", FUNCTION_CHARS) != 0)
		return parse_one(value, ret_bytes, reason);
	error = parse_two(value, bytes, reason);
	if (error)
		return error;
	*ret_bytes = is_min ? zs_min(bytes[0], bytes[1]) : zs_max(bytes[0], bytes[1]);
	return 0;
}
