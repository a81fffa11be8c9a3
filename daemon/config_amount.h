#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Amounts of memory as zsd.conf has them: a size ("4G"), a part of the machine's memory ("50%"), or the lesser or the
 * greater of two such: "min(50%, 4G)", "max(1%, 64M)". So one file fits machines that differ.
 */

#include <stdint.h>

#include "command_options.h"

/* Returns 0; or -EINVAL and a reason. A part is rounded down to 64 KiB, a multiple of all block sizes. */
int zsd_amount_parse(const char *value, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES]);

/* A size only. Likewise. */
int zsd_amount_parse_size(const char *value, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES]);

/* "30%": 1 to max. Returns 0 or -EINVAL. */
int zsd_amount_parse_percentage(const char *value, unsigned int max, unsigned int *ret_percentage);
