/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving memory back.
 *
 * A punch of pages that are mapped makes the kernel interrupt each CPU that runs a thread of this process, so that it
 * forgets them (TLB in /proc/interrupts), and whoever reads blocks there is late. Free runs lie scattered among those
 * that are in use: with 3.5 GiB written back by a process that reads, that was 36,000 interrupts, and 5,000 to 7,000
 * if what is close together is taken out of the page tables before, by one call. Several ranges in one call don't help
 * (process_madvise(2)): the kernel interrupts for each of them, as the pages are dirty.
 */

#include <stdlib.h>

#include "zsmalloc/pages_internal.h"

/*
 * What is unmapped at once: the pages of one page table. All of the batch would be fewer interrupts, but what is
 * touched meanwhile is mapped again with its 16 neighbours, those that wait for their punch included.
 */
#define SPAN_PAGES 512
/*
 * The price: a fault for each page in use that lies in between when it is written, and for 16 of them when one is read.
 * An interrupt and the system call's share of it take longer than some faults, and most of the pages are not touched
 * soon.
 */
#define SPAN_USED_PER_PART 64

/* Runs of a batch that lie in the same piece of address space. */
struct span {
	unsigned int nr_runs;
	unsigned int nr_parts; /* of what is freed: runs that are neighbours are one */
	uint32_t nr_freed;     /* pages of the runs */
	uint32_t length;       /* pages from the first run's first to the last one's last */
};

/* For qsort(), by address. */
static int compare_runs(const void *a, const void *b)
{
	const struct zs_run *left = a, *right = b;

	return (left->page > right->page) - (left->page < right->page);
}

static struct span next_span(const struct zs_run *runs, unsigned int count)
{
	uint32_t start = runs[0].page, end = UINT32_MAX;
	struct span span = {0};

	while (span.nr_runs < count && runs[span.nr_runs].page / SPAN_PAGES == start / SPAN_PAGES) {
		const struct zs_run *run = &runs[span.nr_runs++];

		span.nr_parts += run->page != end;
		span.nr_freed += run->nr;
		end = run->page + run->nr;
	}
	span.length = end - start;
	return span;
}

static bool is_worth_unmapping(const struct span *span)
{
	return span->nr_parts > 1 && span->nr_parts > (span->length - span->nr_freed) / SPAN_USED_PER_PART;
}

/* Neighbours in one call. */
static void punch_runs(struct zs_pages *pages, const struct zs_run *runs, unsigned int count)
{
	uint32_t start, end;

	for (unsigned int i = 0; i < count;) {
		start = runs[i].page;
		for (end = start; i < count && runs[i].page == end; i++)
			end += runs[i].nr;
		pages_punch(pages, start, end - start);
	}
}

void pages_punch(struct zs_pages *pages, uint32_t page, uint64_t nr)
{
	zs_arena_punch(pages->arena, ZS_REGION_PAGES, (uint64_t)page << ZS_PAGE_SHIFT, nr << ZS_PAGE_SHIFT);
}

void pages_punch_batch(struct zs_pages *pages, unsigned int count)
{
	struct zs_run *runs = pages->batch;
	struct span span;

	qsort(runs, count, sizeof(runs[0]), compare_runs);
	for (unsigned int i = 0; i < count; i += span.nr_runs) {
		span = next_span(runs + i, count - i);
		if (is_worth_unmapping(&span))
			zs_arena_unmap(pages->arena, ZS_REGION_PAGES, (uint64_t)runs[i].page << ZS_PAGE_SHIFT,
				       (uint64_t)span.length << ZS_PAGE_SHIFT);
		punch_runs(pages, runs + i, span.nr_runs);
	}
}
