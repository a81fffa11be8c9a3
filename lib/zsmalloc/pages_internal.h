#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of zsmalloc/pages.h share: the lists of free runs, and giving their memory back. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "zsmalloc/pages.h"

#define MAP_FREE UINT32_C(0x80000000)
#define MAP_END	 UINT32_C(0x7fffffff)

/* Lists of runs, linked by the map entries of their first pages. Under pages->lock. */
static inline void pages_list_push(struct zs_pages *pages, uint32_t *list, uint32_t page)
{
	atomic_store_explicit(&pages->map[page], MAP_FREE | *list, memory_order_relaxed);
	*list = page;
}

static inline bool pages_list_pop(struct zs_pages *pages, uint32_t *list, uint32_t *ret_page)
{
	if (*list == MAP_END)
		return false;
	*ret_page = *list;
	*list = atomic_load_explicit(&pages->map[*list], memory_order_relaxed) & ~MAP_FREE;
	atomic_store_explicit(&pages->map[*ret_page], 0, memory_order_relaxed);
	return true;
}

/* Makes holes of max pages at most of those from start to end. Under pages->lock. */
void pages_add_holes(struct zs_pages *pages, uint32_t start, uint32_t end, unsigned int max);

/*
 * No hole is long enough for nr pages, and nothing is left but holes: makes longer ones of those that are neighbours,
 * and of the reserve. Who finds no hole because they are all being sorted waits for that by calling this, too. Takes
 * punch.
 */
void pages_merge_holes(struct zs_pages *pages, unsigned int nr);

/* For qsort(), by address. */
int pages_compare_runs(const void *a, const void *b);

/* Gives the memory of free pages back. */
void pages_punch(struct zs_pages *pages, uint32_t page, uint64_t nr);
/* Sorts the first count runs of pages->batch and punches them. Under pages->punch. */
void pages_punch_batch(struct zs_pages *pages, unsigned int count);
