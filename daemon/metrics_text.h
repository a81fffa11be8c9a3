#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A text that grows as it is written. Context: one thread. */

#include <stdbool.h>
#include <stddef.h>

/* All 0 to begin with. failed: memory was short, and the rest was dropped. */
struct zsd_text {
	char *bytes;
	size_t length;
	size_t capacity;
	bool failed;
};

void zsd_text_append(struct zsd_text *text, const char *bytes, size_t length);
void zsd_text_deinit(struct zsd_text *text);
