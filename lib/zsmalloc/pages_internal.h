#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of zsmalloc/pages.h share: giving memory back. */

#include <stdint.h>

#include "zsmalloc/pages.h"

/* Gives the memory of free pages back. */
void pages_punch(struct zs_pages *pages, uint32_t page, uint64_t nr);
/* Sorts the first count runs of pages->batch and punches them. Under pages->punch. */
void pages_punch_batch(struct zs_pages *pages, unsigned int count);
