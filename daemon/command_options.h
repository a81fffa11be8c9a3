#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device options from text and numbers, and in words what is wrong with them: shared by the Add command and zsd.conf.
 *
 * Every function returns 0, or -EINVAL and a reason of the form "why; what to do". The caller puts in front what it
 * is about, in its own terms: a parameter, or a line of a file.
 */

#include "store/store.h"

#define ZSD_REASON_BYTES 192

/* Writes why a value is refused. Answers -EINVAL. */
int zsd_options_refuse(char reason[static ZSD_REASON_BYTES], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* lz4, no limits, 4 KiB blocks, 0600, owned by the daemon's user. Name and size are left to the caller. */
void zsd_options_init(struct zs_device_options *options);

/* "lz4", "lz4:4", "zstd:19" */
int zsd_options_set_algorithm(struct zs_device_options *options, const char *text,
			      char reason[static ZSD_REASON_BYTES]);

/* Up to three of them, one after the other: "zstd:3 zstd:19"; "none" for none. */
int zsd_options_set_recompress(struct zs_device_options *options, const char *text,
			       char reason[static ZSD_REASON_BYTES]);
#define ZSD_CODECS_TEXT_BYTES (ZS_RECOMPRESS_CODECS * ZS_CODEC_TEXT_BYTES)
/* The same the other way round. Answers text. */
const char *zsd_options_recompress_text(const struct zs_codec_params *codecs, unsigned int nr,
					char text[static ZSD_CODECS_TEXT_BYTES]);

/* Permission bits in octal, as chmod(1) takes them: "0660". */
int zsd_options_set_mode(struct zs_device_options *options, const char *text, char reason[static ZSD_REASON_BYTES]);

/* "USER" (with the user's own group) or "USER:GROUP", names or numbers. */
int zsd_options_set_owner(struct zs_device_options *options, const char *text, char reason[static ZSD_REASON_BYTES]);

/* "none" or "kernel" */
int zsd_options_set_cache(struct zs_device_options *options, const char *text, char reason[static ZSD_REASON_BYTES]);
const char *zsd_options_cache_name(bool page_cache);

int zsd_options_check_group(const char *name, char reason[static ZSD_REASON_BYTES]);

/* What of a device isn't as these options would have made it, in the words of the type Device; NULL: nothing. */
const char *zsd_options_difference(const struct zs_device_options *options, const struct zs_device_info *info);

/* Name, block size, size and group; *ret_field says which of them is bad. */
int zsd_options_check(const struct zs_device_options *options, enum zs_device_field *ret_field,
		      char reason[static ZSD_REASON_BYTES]);
