/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving memory back.
 *
 * A punch of pages that are mapped makes the kernel interrupt each CPU that runs a thread of this process, so that it
 * forgets them (TLB in /proc/interrupts), and whoever reads blocks there is late: the interrupt and what has to be
 * looked up again take some 7 us. Free runs lie scattered among those that are in use: with 3.5 GiB written back by a
 * process that reads, that was 36,000 interrupts. So what is to be punched in large batches is taken out of the page
 * tables before, in few calls (zs_unmap()), and what is in use between close runs with it.
 */

#include <stdlib.h>

#include "base/check.h"
#include "zsmalloc/pages_internal.h"

/* The pages of one page table. */
#define SPAN_PAGES 512
/*
 * How many of them are unmapped and then punched. All of the batch would be fewer interrupts, but what is touched
 * meanwhile is mapped again with its 16 neighbours, those that wait for their punch included.
 */
#define GROUP_SPANS 16
/*
 * With fewer runs there are as many interrupts either way: one for each page table (zs_unmap()). Then what is between
 * them would be unmapped in vain, which made a replacement take 1.05 to 1.15 times as long (bench arena alloc).
 */
#define UNMAP_MIN_RUNS 256
/*
 * The price: a fault for each page in use that lies in between when it is written, and for 16 of them when one is read.
 * An interrupt and the system call's share of it take longer than some faults, and most of the pages are not touched
 * soon.
 */
#define SPAN_USED_PER_PART 64
/* Ranges of a span: one, or so many parts that this is not worth it. */
#define SPAN_RANGES (SPAN_PAGES / SPAN_USED_PER_PART)

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
	return span->nr_parts > (span->length - span->nr_freed) / SPAN_USED_PER_PART;
}

/* The runs that are neighbours of the first one, and it. Sets *ret_pages to how many pages they have. */
static unsigned int next_part(const struct zs_run *runs, unsigned int count, uint32_t *ret_pages)
{
	uint32_t end = runs[0].page;
	unsigned int i;

	for (i = 0; i < count && runs[i].page == end; i++)
		end += runs[i].nr;
	*ret_pages = end - runs[0].page;
	return i;
}

static void punch_runs(struct zs_pages *pages, const struct zs_run *runs, unsigned int count)
{
	uint32_t nr;

	for (unsigned int i = 0, next; i < count; i = next) {
		next = i + next_part(runs + i, count - i, &nr);
		pages_punch(pages, runs[i].page, nr);
	}
}

static struct iovec range_of(struct zs_pages *pages, uint32_t page, uint32_t nr)
{
	return (struct iovec){.iov_base = zs_pages_at(pages, page), .iov_len = (size_t)nr << ZS_PAGE_SHIFT};
}

/* The ranges of a span that are to be unmapped; answers how many there are. */
static unsigned int add_ranges(struct zs_pages *pages, const struct zs_run *runs, const struct span *span,
			       struct iovec *ranges)
{
	unsigned int count = 0;
	uint32_t nr;

	if (is_worth_unmapping(span)) {
		ranges[0] = range_of(pages, runs[0].page, span->length);
		return 1;
	}
	for (unsigned int i = 0, next; i < span->nr_runs; i = next) {
		next = i + next_part(runs + i, span->nr_runs - i, &nr);
		zs_assert(count < SPAN_RANGES);
		ranges[count++] = range_of(pages, runs[i].page, nr);
	}
	return count;
}

/* Unmaps what the first spans need; answers how many runs these are. */
static unsigned int unmap_group(struct zs_pages *pages, const struct zs_run *runs, unsigned int count)
{
	struct iovec ranges[GROUP_SPANS * SPAN_RANGES];
	unsigned int nr_runs = 0, nr_ranges = 0;

	for (unsigned int i = 0; i < GROUP_SPANS && nr_runs < count; i++) {
		struct span span = next_span(runs + nr_runs, count - nr_runs);

		nr_ranges += add_ranges(pages, runs + nr_runs, &span, ranges + nr_ranges);
		nr_runs += span.nr_runs;
	}
	zs_unmap(ranges, nr_ranges);
	return nr_runs;
}

void pages_punch(struct zs_pages *pages, uint32_t page, uint64_t nr)
{
	zs_arena_punch(pages->arena, ZS_REGION_PAGES, (uint64_t)page << ZS_PAGE_SHIFT, nr << ZS_PAGE_SHIFT);
}

void pages_punch_batch(struct zs_pages *pages, unsigned int count)
{
	struct zs_run *runs = pages->batch;

	qsort(runs, count, sizeof(runs[0]), compare_runs);
	if (count < UNMAP_MIN_RUNS) {
		punch_runs(pages, runs, count);
		return;
	}
	for (unsigned int i = 0, next; i < count; i = next) {
		next = i + unmap_group(pages, runs + i, count - i);
		punch_runs(pages, runs + i, next - i);
	}
}
