/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of free pages. */

#include <criterion/criterion.h>
#include <limits.h>
#include <signal.h>

#include "base/bits.h"
#include "support/random.h"
#include "zsmalloc/runs.h"

/* Not a multiple of the 64 bits of a word, nor the number of words one of those of a group. */
#define NR_PAGES 5003u

static struct zs_runs runs;

static void runs_create(void)
{
	cr_assert_eq(zs_runs_init(&runs, NR_PAGES), 0);
}

static void runs_destroy(void)
{
	zs_runs_check(&runs);
	zs_runs_deinit(&runs);
}

TestSuite(runs, .init = runs_create, .fini = runs_destroy);

static uint32_t take(uint32_t nr)
{
	uint32_t page;

	return zs_runs_take(&runs, nr, UINT_MAX, &page) ? page : UINT32_MAX;
}

Test(runs, an_empty_set_has_nothing_to_take)
{
	uint32_t page = 4711;
	struct zs_run run;

	cr_assert_not(zs_runs_take(&runs, 1, UINT_MAX, &page));
	cr_assert_not(zs_runs_next(&runs, 0, 1, &run));
	cr_assert_not(zs_runs_next(&runs, NR_PAGES, 1, &run));
	cr_assert_eq(page, 4711);
}

Test(runs, neighbours_become_one_run)
{
	zs_runs_add(&runs, 70, 10);
	zs_runs_add(&runs, 50, 10);
	cr_assert_eq(take(11), UINT32_MAX);
	zs_runs_add(&runs, 60, 10);
	cr_assert_eq(take(31), UINT32_MAX);
	cr_assert_eq(take(30), 50);
	cr_assert_eq(runs.nr, 0);
}

Test(runs, what_is_left_of_a_run_stays)
{
	zs_runs_add(&runs, NR_PAGES - 200, 200);
	cr_assert_eq(take(64), NR_PAGES - 200);
	cr_assert_eq(take(137), UINT32_MAX);
	cr_assert_eq(take(136), NR_PAGES - 136);
	cr_assert_eq(take(1), UINT32_MAX);
}

Test(runs, the_first_and_the_last_page_are_pages_like_others)
{
	zs_runs_add(&runs, 0, 1);
	zs_runs_add(&runs, NR_PAGES - 1, 1);
	cr_assert_eq(take(2), UINT32_MAX);
	cr_assert_eq(take(1), 0);
	cr_assert_eq(take(1), NR_PAGES - 1);
}

Test(runs, a_search_takes_the_run_that_fits_best)
{
	zs_runs_add(&runs, 100, 8);
	zs_runs_add(&runs, 200, 5);
	zs_runs_add(&runs, 300, 4);
	zs_runs_add(&runs, 400, 3);
	cr_assert_eq(take(4), 300);
	cr_assert_eq(take(4), 200);
	cr_assert_eq(take(4), 100);
	cr_assert_eq(take(4), 104);
	cr_assert_eq(take(4), UINT32_MAX);
	cr_assert_eq(take(3), 400);
}

Test(runs, a_search_goes_on_where_the_last_one_ended_and_begins_again)
{
	zs_runs_add(&runs, 100, 4);
	zs_runs_add(&runs, 1000, 4);
	zs_runs_add(&runs, 2000, 4);
	cr_assert_eq(take(4), 100);
	zs_runs_add(&runs, 100, 4);
	cr_assert_eq(take(4), 1000);
	cr_assert_eq(take(4), 2000);
	cr_assert_eq(take(4), 100);
	/* A run that begins before the place where the search begins is one run. */
	zs_runs_add(&runs, 96, 16);
	cr_assert_eq(take(16), 96);
}

Test(runs, a_search_that_may_not_look_further_takes_the_best_so_far)
{
	uint32_t page;

	for (uint32_t i = 0; i < 10; i++)
		zs_runs_add(&runs, i * 10, 1);
	zs_runs_add(&runs, 100, 4);
	cr_assert_not(zs_runs_take(&runs, 2, 10, &page));
	cr_assert(zs_runs_take(&runs, 2, 1, &page), "the next search begins behind them");
	cr_assert_eq(page, 100);
	cr_assert(zs_runs_take(&runs, 2, 1, &page));
	cr_assert_eq(page, 102);
}

Test(runs, a_run_longer_than_a_search_measures_is_used_up)
{
	zs_runs_add(&runs, 10, 4000);
	for (uint32_t i = 0; i < 40; i++)
		cr_assert_eq(take(100), 10 + i * 100);
	cr_assert_eq(runs.nr, 0);
}

Test(runs, next_cuts_and_may_begin_within_a_run)
{
	struct zs_run run;

	zs_runs_add(&runs, 10, 190);
	cr_assert(zs_runs_next(&runs, 0, 100, &run));
	cr_assert(run.page == 10 && run.nr == 100);
	cr_assert(zs_runs_next(&runs, run.page + run.nr, UINT32_MAX, &run));
	cr_assert(run.page == 110 && run.nr == 90);
	cr_assert_not(zs_runs_next(&runs, 200, UINT32_MAX, &run));
}

Test(runs, what_lies_far_apart_in_eight_tebibytes_is_found_in_order)
{
	static const uint32_t at[] = {5, 63, 64, 4096, 262143, 262144, 1u << 24, 1u << 30, 0x7ffffffe};
	struct zs_runs large;
	struct zs_run run = {0};

	cr_assert_eq(zs_runs_init(&large, 0x7fffffff), 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(at); i++)
		zs_runs_add(&large, at[i], 1);
	zs_runs_check(&large);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(at); i += run.nr) {
		cr_assert(zs_runs_next(&large, run.page + run.nr, UINT32_MAX, &run), "%u", at[i]);
		cr_assert_eq(run.page, at[i]);
	}
	cr_assert_not(zs_runs_next(&large, run.page + run.nr, UINT32_MAX, &run));
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(at); i++) {
		zs_runs_remove(&large, at[i], 1);
		zs_runs_check(&large);
	}
	cr_assert_not(zs_runs_next(&large, 0, UINT32_MAX, &run));
	zs_runs_deinit(&large);
}

Test(runs, a_page_that_is_added_twice_stops_the_program, .signal = SIGABRT)
{
	zs_runs_add(&runs, 100, 10);
	zs_runs_add(&runs, 109, 1);
}

Test(runs, a_page_that_is_not_there_is_not_removed, .signal = SIGABRT)
{
	zs_runs_add(&runs, 100, 10);
	zs_runs_remove(&runs, 100, 11);
}

Test(runs, pages_outside_stop_the_program, .signal = SIGABRT)
{
	zs_runs_add(&runs, NR_PAGES - 1, 2);
}

/* The longest run of the model. */
static uint32_t longest(const bool *free_pages)
{
	uint32_t most = 0, nr = 0;

	for (uint32_t page = 0; page < NR_PAGES; page++) {
		nr = free_pages[page] ? nr + 1 : 0;
		most = (uint32_t)zs_max(most, nr);
	}
	return most;
}

Test(runs, random_use_is_that_of_an_array_of_flags)
{
	static bool free_pages[NR_PAGES];
	struct test_random random = {.state = 5};
	uint64_t free_nr = 0;

	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t page = (uint32_t)test_random_below(&random, NR_PAGES);
		uint32_t nr = 1 + (uint32_t)test_random_below(&random, 80), from = page;

		if (test_random_chance(&random, 50)) {
			while (page < NR_PAGES && page < from + nr && !free_pages[page])
				free_pages[page++] = true;
			zs_runs_add(&runs, from, page - from);
			free_nr += page - from;
		} else {
			page = take(nr);
			cr_assert_eq(page == UINT32_MAX, longest(free_pages) < nr);
			for (uint32_t at = page; page != UINT32_MAX && at < page + nr; at++) {
				cr_assert(free_pages[at]);
				free_pages[at] = false;
				free_nr--;
			}
		}
		cr_assert_eq(runs.nr, free_nr);
		if (i % 100 == 0)
			zs_runs_check(&runs);
	}
}
