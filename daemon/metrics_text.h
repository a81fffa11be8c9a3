#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text that metrics are written to; it grows meanwhile. Context: one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_store;

/* All 0 to begin with, but for open_metrics. failed: memory was short, and the rest was dropped. */
struct zsd_text {
	char *bytes;
	size_t length;
	size_t capacity;
	bool failed;
	bool open_metrics; /* immutable: which of the two formats */
};

void zsd_text_append(struct zsd_text *text, const char *bytes, size_t length);
/* For the few lines that there is only one of: 511 bytes at most. */
__attribute__((format(printf, 2, 3))) void zsd_text_format(struct zsd_text *text, const char *format, ...);
/* Of a family. name is without _total; the type says whether it has that. */
void zsd_text_head(struct zsd_text *text, const char *name, const char *type, const char *help);
/* A family that is one number. */
void zsd_text_gauge(struct zsd_text *text, const char *name, const char *help, double value);
void zsd_text_counter(struct zsd_text *text, const char *name, const char *help, uint64_t value);
void zsd_text_deinit(struct zsd_text *text);

/* Families of the backing file (metrics_backing.c); none if there is no such file. */
void zsd_metrics_write_backing(struct zsd_text *text, struct zs_store *store);
