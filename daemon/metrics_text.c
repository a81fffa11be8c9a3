/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text that metrics are written to. */

#include "metrics_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define TEXT_MIN_BYTES ((size_t)64 << 10)

/* Makes room for so much more. */
static bool make_room(struct zsd_text *text, size_t length)
{
	size_t capacity = text->capacity ?: TEXT_MIN_BYTES;
	char *bytes;

	while (capacity - text->length < length)
		capacity *= 2;
	bytes = zs_fault() || text->failed ? NULL : realloc(text->bytes, capacity);
	text->failed = !bytes;
	if (!bytes)
		return false;
	text->bytes = bytes;
	text->capacity = capacity;
	return true;
}

void zsd_text_append(struct zsd_text *text, const char *bytes, size_t length)
{
	if (text->capacity - text->length < length && !make_room(text, length))
		return;
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
}

void zsd_text_format(struct zsd_text *text, const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	zs_assert(vsnprintf(line, sizeof(line), format, arguments) < (int)sizeof(line));
	va_end(arguments);
	zsd_text_append(text, line, strlen(line));
}

void zsd_text_head(struct zsd_text *text, const char *name, const char *type, const char *help)
{
	const char *total = strcmp(type, "counter") == 0 && !text->open_metrics ? "_total" : "";

	zsd_text_format(text, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, total, help, name, total, type);
}

void zsd_text_gauge(struct zsd_text *text, const char *name, const char *help, double value)
{
	zsd_text_head(text, name, "gauge", help);
	zsd_text_format(text, "%s %.17g\n", name, value);
}

void zsd_text_counter(struct zsd_text *text, const char *name, const char *help, uint64_t value)
{
	zsd_text_head(text, name, "counter", help);
	zsd_text_format(text, "%s_total %" PRIu64 "\n", name, value);
}

void zsd_text_deinit(struct zsd_text *text)
{
	free(text->bytes);
}
