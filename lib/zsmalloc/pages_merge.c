/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holes that are neighbours.
 *
 * A hole is kept for runs of its own length, and cut for shorter ones when the region has no untouched end left. What
 * was cut stays cut, so that after many shifts of the mix of lengths there may be room enough and no hole for a long
 * run. Then all holes are sorted, joined, and cut anew, so that nothing is left over by runs of the length that was
 * wanted. That costs the sorting, and happens only if a hole is new since the last time.
 */

#include <stdlib.h>

#include "zsmalloc/pages_internal.h"

int pages_compare_runs(const void *a, const void *b)
{
	const struct zs_pages_run *left = a, *right = b;

	return (left->page > right->page) - (left->page < right->page);
}

void pages_add_holes(struct zs_pages *pages, uint32_t start, uint32_t end, unsigned int max)
{
	while (start < end) {
		uint32_t nr = (uint32_t)zs_min(end - start, max);

		pages_list_push(pages, &pages->holes[nr], start);
		start += nr;
	}
	pages->has_new_holes = true;
}

/* How many holes there are, if they aren't merged already: in whole ones of that length, and none is new since. */
static uint64_t count_unmerged_holes(struct zs_pages *pages, unsigned int max)
{
	uint64_t count = 0;
	ZS_LOCK_SCOPE(&pages->lock);

	if (!pages->has_new_holes && pages->merged_max == max)
		return 0;
	for (unsigned int nr = 1; nr <= ZS_RUN_MAX_PAGES; nr++) {
		for (uint32_t page = pages->holes[nr]; page != MAP_END;
		     page = atomic_load_explicit(&pages->map[page], memory_order_relaxed) & ~MAP_FREE)
			count++;
	}
	return count;
}

/* Takes all holes off their lists, but no more than max. They are counted as a batch meanwhile. */
static uint64_t take_holes(struct zs_pages *pages, struct zs_pages_run *runs, uint64_t max)
{
	uint64_t count = 0;
	ZS_LOCK_SCOPE(&pages->lock);

	for (unsigned int nr = ZS_RUN_MAX_PAGES; nr; nr--) {
		while (count < max && pages_list_pop(pages, &pages->holes[nr], &runs[count].page)) {
			pages->nr_batch += nr;
			runs[count++].nr = nr;
		}
	}
	return count;
}

/* Gives them back, neighbours as one. */
static void put_merged(struct zs_pages *pages, const struct zs_pages_run *runs, uint64_t count, unsigned int max)
{
	uint32_t start, end;
	ZS_LOCK_SCOPE(&pages->lock);

	for (uint64_t i = 0; i < count;) {
		start = runs[i].page;
		for (end = start; i < count && runs[i].page == end; i++)
			end += runs[i].nr;
		/* What is left of the untouched end is too short by itself. */
		if (end == pages->fresh)
			pages->fresh = end = pages->nr_pages;
		pages_add_holes(pages, start, end, max);
	}
	pages->nr_batch = 0;
	pages->has_new_holes = false;
	pages->merged_max = max;
}

void pages_merge_holes(struct zs_pages *pages, unsigned int nr)
{
	unsigned int length = ZS_RUN_MAX_PAGES / nr * nr;
	struct zs_pages_run *runs;
	uint64_t max, count;

	zs_pages_relieve(pages);
	ZS_LOCK_SCOPE(&pages->punch);
	max = count_unmerged_holes(pages, length);
	runs = max ? zs_reserve(max * sizeof(*runs)) : NULL;
	if (!runs)
		return;
	count = take_holes(pages, runs, max);
	qsort(runs, count, sizeof(runs[0]), pages_compare_runs);
	put_merged(pages, runs, count, length);
	zs_reserve_free(runs, max * sizeof(*runs));
}
