#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs: a set of free pages, from which runs of any length are taken, and in which neighbours become one by themselves.
 *
 * A bit for each page, above that a bit for each 64 of them that are not all 0, and so on up to a single word, in
 * private memory that takes room where there was a page. Adding is setting bits; taking looks for the run that fits
 * best among the next ones, from where the last search ended on, so that no corner is used up while another is full of
 * short rests. The way from one run to the next is as short in a terabyte as in a megabyte.
 *
 * No locks: one thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>

/* 64 to the power of this are more pages than there can be. */
#define ZS_RUNS_LEVELS 6

struct zs_runs {
	/* The first has a bit for each page, each other one a bit for each word below that is not 0. */
	uint64_t *levels[ZS_RUNS_LEVELS];
	uint32_t nr_pages;
	uint32_t cursor; /* where the next search begins */
	uint64_t nr;	 /* pages in the set */
};

/* A run of the set. */
struct zs_run {
	uint32_t page;
	uint32_t nr;
};

/* An empty set of pages below nr_pages. Returns 0 or -ENOMEM. */
int zs_runs_init(struct zs_runs *runs, uint32_t nr_pages);
void zs_runs_deinit(struct zs_runs *runs);

/* Asserts that none of the pages is in the set. */
void zs_runs_add(struct zs_runs *runs, uint32_t page, uint32_t nr);
/* Asserts that all of the pages are in it. */
void zs_runs_remove(struct zs_runs *runs, uint32_t page, uint32_t nr);

/*
 * Takes nr pages in a row out of the set, those of the shortest run that is long enough among the next `looks` ones;
 * false if none of these is.
 */
bool zs_runs_take(struct zs_runs *runs, uint32_t nr, unsigned int looks, uint32_t *ret_page);

/*
 * The first run at or after page, which may begin within one; false if there is none. One that is longer than `most` is
 * cut there.
 */
bool zs_runs_next(const struct zs_runs *runs, uint32_t page, uint32_t most, struct zs_run *ret_run);

/* Asserts that the levels and the count agree. */
void zs_runs_check(const struct zs_runs *runs);
