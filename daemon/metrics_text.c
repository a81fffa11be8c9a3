/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A text that grows as it is written. */

#include "metrics_text.h"

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

void zsd_text_deinit(struct zsd_text *text)
{
	free(text->bytes);
}
