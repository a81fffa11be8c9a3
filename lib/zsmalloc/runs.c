/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of free pages. */

#include "zsmalloc/runs.h"

#include <errno.h>
#include <stddef.h>

#include "base/bits.h"
#include "base/check.h"
#include "zsmalloc/arena.h"

#define BITS 64u
/* A search does not measure runs further, and does not look behind one that is so long. */
#define LONGEST 512u

static uint64_t pages_bytes(const struct zs_runs *runs)
{
	return zs_div_round_up(runs->nr_pages, BITS) * sizeof(uint64_t);
}

static uint64_t groups_bytes(const struct zs_runs *runs)
{
	return zs_div_round_up(pages_bytes(runs) / sizeof(uint64_t), BITS) * sizeof(uint64_t);
}

int zs_runs_init(struct zs_runs *runs, uint32_t nr_pages)
{
	*runs = (struct zs_runs){.nr_pages = nr_pages};
	runs->pages = zs_reserve(pages_bytes(runs));
	runs->groups = zs_reserve(groups_bytes(runs));
	if (runs->pages && runs->groups)
		return 0;
	zs_runs_deinit(runs);
	return -ENOMEM;
}

void zs_runs_deinit(struct zs_runs *runs)
{
	zs_reserve_free(runs->pages, pages_bytes(runs));
	zs_reserve_free(runs->groups, groups_bytes(runs));
	runs->pages = runs->groups = NULL;
}

/* The bits of a word from first on, as many as the run needs and the word has. */
static uint64_t mask_of(uint32_t first, uint32_t nr)
{
	return (nr < BITS ? (UINT64_C(1) << nr) - 1 : UINT64_MAX) << first;
}

void zs_runs_add(struct zs_runs *runs, uint32_t page, uint32_t nr)
{
	zs_assert(page <= runs->nr_pages && nr <= runs->nr_pages - page);
	runs->nr += nr;
	runs->end = (uint32_t)zs_max(runs->end, page + nr);
	while (nr) {
		uint32_t word = page / BITS, first = page % BITS, here = (uint32_t)zs_min(nr, BITS - first);
		uint64_t mask = mask_of(first, here);

		zs_assert(!(runs->pages[word] & mask));
		runs->pages[word] |= mask;
		runs->groups[word / BITS] |= UINT64_C(1) << word % BITS;
		page += here;
		nr -= here;
	}
}

void zs_runs_remove(struct zs_runs *runs, uint32_t page, uint32_t nr)
{
	zs_assert(page <= runs->nr_pages && nr <= runs->nr_pages - page && nr <= runs->nr);
	runs->nr -= nr;
	while (nr) {
		uint32_t word = page / BITS, first = page % BITS, here = (uint32_t)zs_min(nr, BITS - first);
		uint64_t mask = mask_of(first, here);

		zs_assert((runs->pages[word] & mask) == mask);
		runs->pages[word] &= ~mask;
		if (!runs->pages[word])
			runs->groups[word / BITS] &= ~(UINT64_C(1) << word % BITS);
		page += here;
		nr -= here;
	}
}

/* The first bit that is set at or after bit, or end. */
static uint32_t next_set(const uint64_t *words, uint32_t bit, uint32_t end)
{
	while (bit < end) {
		uint64_t rest = words[bit / BITS] >> bit % BITS;

		if (rest)
			return (uint32_t)zs_min(bit + (uint32_t)__builtin_ctzll(rest), end);
		bit = (bit / BITS + 1) * BITS;
	}
	return end;
}

/* The first bit that is not set at or after bit, or end. */
static uint32_t next_clear(const uint64_t *words, uint32_t bit, uint32_t end)
{
	while (bit < end) {
		uint64_t rest = ~words[bit / BITS] >> bit % BITS;

		if (rest)
			return (uint32_t)zs_min(bit + (uint32_t)__builtin_ctzll(rest), end);
		bit = (bit / BITS + 1) * BITS;
	}
	return end;
}

/* The first page of the set at or after page, or runs->end. */
static uint32_t next_page(const struct zs_runs *runs, uint32_t page)
{
	uint32_t word = page / BITS, nr_words = (uint32_t)zs_div_round_up(runs->end, BITS);

	if (page >= runs->end)
		return runs->end;
	if (runs->pages[word] >> page % BITS)
		return next_set(runs->pages, page, runs->end);
	word = next_set(runs->groups, word + 1, nr_words);
	return word < nr_words ? next_set(runs->pages, word * BITS, runs->end) : runs->end;
}

bool zs_runs_next(const struct zs_runs *runs, uint32_t page, uint32_t most, struct zs_run *ret_run)
{
	page = next_page(runs, page);
	if (page == runs->end)
		return false;
	ret_run->page = page;
	ret_run->nr = next_clear(runs->pages, page, page + (uint32_t)zs_min(most, runs->end - page)) - page;
	return true;
}

bool zs_runs_take(struct zs_runs *runs, uint32_t nr, unsigned int looks, uint32_t *ret_page)
{
	struct zs_run run, best = {.nr = UINT32_MAX};
	uint32_t page = runs->cursor;
	bool wrapped = false;

	if (runs->nr < nr)
		return false;
	while (looks-- && best.nr != nr && !(wrapped && page >= runs->cursor)) {
		if (!zs_runs_next(runs, page, LONGEST, &run)) {
			if (wrapped)
				break;
			wrapped = true;
			page = 0;
			continue;
		}
		page = run.page + run.nr;
		if (run.nr >= nr && run.nr < best.nr)
			best = run;
		/* What follows is not another run, but the rest of this one. */
		if (run.nr == LONGEST)
			break;
	}
	if (best.nr == UINT32_MAX) {
		runs->cursor = page;
		return false;
	}
	zs_runs_remove(runs, best.page, nr);
	runs->cursor = best.page + nr;
	*ret_page = best.page;
	return true;
}

void zs_runs_check(const struct zs_runs *runs)
{
	uint64_t nr = 0;

	for (uint32_t word = 0; word < zs_div_round_up(runs->end, BITS); word++) {
		zs_assert(!runs->pages[word] == !(runs->groups[word / BITS] >> word % BITS & 1));
		nr += (uint64_t)__builtin_popcountll(runs->pages[word]);
	}
	zs_assert(nr == runs->nr);
}
