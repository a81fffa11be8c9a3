#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes as people write and read them: "8G", "1.5M", "512 KiB". K, M, G, T, P are powers of 1024. */

#include <stddef.h>
#include <stdint.h>

#define ZS_SIZE_TEXT_BYTES 16

/*
 * Reads a size. A unit is required (B, K, KiB, M, MiB, G, GiB, T, TiB, P, PiB; any case), so that "8" is never taken
 * for bytes by one reader and for gigabytes by another; a fraction is allowed if the result is a whole number of
 * bytes. Returns 0; -EINVAL (not a size), -ENOMSG (a number without a unit) or -ERANGE (2^63 or more).
 */
int zs_size_parse(const char *text, uint64_t *ret_bytes);

/* Writes bytes as lsblk(8) does: at most one decimal, one letter ("1.5G", "512K", "0B"). Answers text. */
const char *zs_size_format(uint64_t bytes, char text[static ZS_SIZE_TEXT_BYTES]);
