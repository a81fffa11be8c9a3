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

static uint64_t level_words(const struct zs_runs *runs, unsigned int level)
{
	uint64_t nr = runs->nr_pages;

	for (unsigned int i = 0; i <= level; i++)
		nr = zs_div_round_up(nr, BITS);
	return nr;
}

int zs_runs_init(struct zs_runs *runs, uint32_t nr_pages)
{
	*runs = (struct zs_runs){.nr_pages = nr_pages};
	for (unsigned int level = 0; level < ZS_RUNS_LEVELS; level++) {
		runs->levels[level] = zs_reserve(level_words(runs, level) * sizeof(uint64_t));
		if (!runs->levels[level]) {
			zs_runs_deinit(runs);
			return -ENOMEM;
		}
	}
	return 0;
}

void zs_runs_deinit(struct zs_runs *runs)
{
	for (unsigned int level = 0; level < ZS_RUNS_LEVELS; level++) {
		zs_reserve_free(runs->levels[level], level_words(runs, level) * sizeof(uint64_t));
		runs->levels[level] = NULL;
	}
}

/* Says above that a word is not 0 any more. */
static void note_filled(struct zs_runs *runs, uint32_t bit)
{
	for (unsigned int level = 1; level < ZS_RUNS_LEVELS; level++, bit /= BITS) {
		uint64_t *word = &runs->levels[level][bit / BITS], old = *word;

		*word |= UINT64_C(1) << bit % BITS;
		if (old)
			return;
	}
}

/* Says above that a word is 0 now. */
static void note_emptied(struct zs_runs *runs, uint32_t bit)
{
	for (unsigned int level = 1; level < ZS_RUNS_LEVELS; level++, bit /= BITS) {
		uint64_t *word = &runs->levels[level][bit / BITS];

		*word &= ~(UINT64_C(1) << bit % BITS);
		if (*word)
			return;
	}
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
	while (nr) {
		uint32_t word = page / BITS, first = page % BITS, here = (uint32_t)zs_min(nr, BITS - first);
		uint64_t mask = mask_of(first, here);

		zs_assert(!(runs->levels[0][word] & mask));
		if (!runs->levels[0][word])
			note_filled(runs, word);
		runs->levels[0][word] |= mask;
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

		zs_assert((runs->levels[0][word] & mask) == mask);
		runs->levels[0][word] &= ~mask;
		if (!runs->levels[0][word])
			note_emptied(runs, word);
		page += here;
		nr -= here;
	}
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

/* The first page of the set at or after page, or nr_pages: up to where there is another bit, and down again. */
static uint32_t next_page(const struct zs_runs *runs, uint32_t page)
{
	uint64_t bit = page, nr_bits = runs->nr_pages, rest = 0;
	unsigned int level = 0;

	for (; level < ZS_RUNS_LEVELS && bit < nr_bits; level++, bit = bit / BITS + 1) {
		rest = runs->levels[level][bit / BITS] >> bit % BITS;
		if (rest)
			break;
		nr_bits = zs_div_round_up(nr_bits, BITS);
	}
	if (!rest)
		return runs->nr_pages;
	bit += (unsigned int)__builtin_ctzll(rest);
	while (level--)
		bit = bit * BITS + (unsigned int)__builtin_ctzll(runs->levels[level][bit]);
	return (uint32_t)bit;
}

bool zs_runs_next(const struct zs_runs *runs, uint32_t page, uint32_t most, struct zs_run *ret_run)
{
	page = next_page(runs, page);
	if (page == runs->nr_pages)
		return false;
	ret_run->page = page;
	ret_run->nr = next_clear(runs->levels[0], page, page + (uint32_t)zs_min(most, runs->nr_pages - page)) - page;
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

/* Asserts that a level says what the one below it has; of words, from first on and before end. */
static void check_level(const struct zs_runs *runs, unsigned int level, uint64_t first, uint64_t end)
{
	for (uint64_t bit = first; bit < end; bit++)
		zs_assert(!runs->levels[level - 1][bit] == !(runs->levels[level][bit / BITS] >> bit % BITS & 1));
}

void zs_runs_check(const struct zs_runs *runs)
{
	uint64_t nr_words = level_words(runs, 0), end, nr = 0;

	/* The first level may be large. Where nothing is above it is not looked at; a bit there is missed in nr. */
	for (uint64_t word = 0; word < nr_words; word = end) {
		end = zs_min(word + BITS, nr_words);
		if (!runs->levels[1][word / BITS])
			continue;
		check_level(runs, 1, word, end);
		for (; word < end; word++)
			nr += (uint64_t)__builtin_popcountll(runs->levels[0][word]);
	}
	zs_assert(nr == runs->nr);
	for (unsigned int level = 2; level < ZS_RUNS_LEVELS; level++)
		check_level(runs, level, 0, level_words(runs, level - 1));
}
