/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page source. */

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "support/mapped.h"
#include "support/random.h"
#include "support/small_store.h"
#include "zsmalloc/pages.h"

static struct zs_arena arena;
static struct zs_pages pages;

static void create(uint64_t size_bytes)
{
	struct zs_arena_options options;

	test_arena_options(&options);
	options.region_bytes[ZS_REGION_PAGES] = size_bytes;
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_eq(zs_pages_init(&pages, &arena), 0);
}

static void pages_create(void)
{
	create((uint64_t)16 << 20);
}

static void pages_create_large(void)
{
	create((uint64_t)256 << 20);
}

static void pages_destroy(void)
{
	zs_pages_deinit(&pages);
	zs_arena_close(&arena);
}

TestSuite(pages, .init = pages_create, .fini = pages_destroy);

#define NR_PAGES 4096u

static uint32_t alloc(unsigned int nr)
{
	uint32_t page;

	cr_assert_eq(zs_pages_alloc(&pages, nr, ZS_URGENCY_NEW, &page), 0);
	return page;
}

Test(pages, runs_do_not_overlap_until_the_region_is_full)
{
	bool taken[NR_PAGES] = {false};
	unsigned int nr = 1, total = 0;
	uint32_t page = 4711;

	while (!zs_pages_alloc(&pages, nr, ZS_URGENCY_NEW, &page)) {
		for (unsigned int i = 0; i < nr; i++) {
			cr_assert(page + i < NR_PAGES && !taken[page + i]);
			taken[page + i] = true;
		}
		total += nr;
		nr = nr % 16 + 1;
	}
	cr_assert_gt(total, NR_PAGES - 16);
	cr_assert_eq(pages.nr_used, total);
	zs_pages_check(&pages);
	cr_assert_eq(zs_pages_alloc(&pages, nr, ZS_URGENCY_MUST, &page), -ENOSPC);
}

Test(pages, the_limit_is_exact_and_leaves_a_reserve_for_overwrites)
{
	uint32_t page;

	zs_pages_set_limit(&pages, 128);
	for (unsigned int i = 0; i < 126; i++)
		alloc(1);
	cr_assert_eq(zs_pages_alloc(&pages, 1, ZS_URGENCY_NEW, &page), -ENOSPC);
	cr_assert_eq(zs_pages_alloc(&pages, 3, ZS_URGENCY_RESERVE, &page), -ENOSPC);
	cr_assert_eq(zs_pages_alloc(&pages, 2, ZS_URGENCY_RESERVE, &page), 0);
	cr_assert_eq(zs_pages_alloc(&pages, 1, ZS_URGENCY_RESERVE, &page), -ENOSPC);
	cr_assert_eq(zs_pages_alloc(&pages, 4, ZS_URGENCY_MUST, &page), 0);
	cr_assert_eq(pages.limit_hits, 3);
	cr_assert_eq(pages.nr_used, 132);
	zs_pages_free(&pages, page, 4);
	zs_pages_check(&pages);
	cr_assert_eq(pages.nr_used, 128);
	zs_pages_set_limit(&pages, 0);
	alloc(64);
}

Test(pages, tables_and_handles_count_too)
{
	zs_pages_set_limit(&pages, 64);
	cr_assert_eq(zs_pages_charge(&pages, ZS_CHARGE_TABLE, 60, ZS_URGENCY_NEW), 0);
	cr_assert_eq(zs_pages_charge(&pages, ZS_CHARGE_HANDLE, 4, ZS_URGENCY_NEW), -ENOSPC);
	cr_assert_eq(zs_pages_charge(&pages, ZS_CHARGE_HANDLE, 3, ZS_URGENCY_NEW), 0);
	cr_assert_eq(zs_pages_charge(&pages, ZS_CHARGE_TABLE, UINT64_MAX, ZS_URGENCY_NEW), -ENOSPC);
	zs_pages_uncharge(&pages, ZS_CHARGE_TABLE, 60);
	cr_assert_eq(pages.nr_used, 3);
	cr_assert_eq(pages.nr_peak, 63);
	zs_pages_check(&pages);
}

Test(pages, giving_back_more_than_was_charged_stops_the_program, .signal = SIGABRT)
{
	zs_pages_uncharge(&pages, ZS_CHARGE_TABLE, 1);
}

/* Frees every other one of nr pages, all at once; answers how many of those between are not mapped then. */
static unsigned int free_every_other(unsigned int nr)
{
	unsigned int nr_unmapped = 0;
	uint32_t runs[1000];

	for (unsigned int i = 0; i < nr; i++) {
		runs[i] = alloc(1);
		memset(zs_pages_at(&pages, runs[i]), (int)(i % 255 + 1), ZS_PAGE_SIZE);
	}
	zs_pages_bulk_begin(&pages);
	for (unsigned int i = 0; i < nr; i += 2)
		zs_pages_free(&pages, runs[i], 1);
	zs_pages_bulk_end(&pages);
	for (unsigned int i = 1; i < nr; i += 2)
		nr_unmapped += !test_is_mapped(zs_pages_at(&pages, runs[i]));
	/* Touched only now: that maps the neighbours, too. */
	for (unsigned int i = 1; i < nr; i += 2) {
		const unsigned char *page = zs_pages_at(&pages, runs[i]);

		cr_assert_eq(page[0], i % 255 + 1);
		cr_assert_eq(page[ZS_PAGE_SIZE - 1], i % 255 + 1);
	}
	zs_pages_check(&pages);
	return nr_unmapped;
}

Test(pages, what_is_between_many_freed_runs_is_unmapped_with_them_and_keeps_its_content)
{
	cr_assert_gt(free_every_other(1000), 300);
}

Test(pages, what_is_between_a_few_freed_runs_stays_mapped)
{
	cr_assert_eq(free_every_other(500), 0);
	cr_assert_gt(pages.nr_punched, 100);
}

Test(pages, freed_memory_goes_back_to_the_system_but_for_a_reserve)
{
	uint64_t before = zs_arena_resident_bytes(&arena);
	uint32_t runs[200];

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(runs); i++)
		runs[i] = alloc(16);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before + 3200 * ZS_PAGE_SIZE);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(runs); i++)
		zs_pages_free(&pages, runs[i], 16);
	zs_pages_check(&pages);
	cr_assert_eq(pages.nr_used, 0);
	cr_assert_leq(pages.reserve.nr, 1024 + 16);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before + pages.reserve.nr * ZS_PAGE_SIZE);
	cr_assert_eq(pages.nr_punched, 3200 - pages.reserve.nr);
}

/* Takes nr runs of 16 pages and gives them back. */
static void take_and_free(unsigned int nr)
{
	uint32_t runs[NR_PAGES / 16];

	for (unsigned int i = 0; i < nr; i++)
		runs[i] = alloc(16);
	for (unsigned int i = 0; i < nr; i++)
		zs_pages_free(&pages, runs[i], 16);
}

Test(pages, the_reserve_is_small_if_little_is_used)
{
	take_and_free(200);
	cr_assert_leq(pages.reserve.nr, 128);
	cr_assert_geq(pages.reserve.nr, 64, "but it is there");
	cr_assert_leq(zs_arena_resident_bytes(&arena), 128 * ZS_PAGE_SIZE + ZS_PAGE_SIZE);
	zs_pages_check(&pages);
}

Test(pages, freeing_in_bulk_gives_memory_back_at_its_end)
{
	zs_pages_bulk_begin(&pages);
	zs_pages_bulk_begin(&pages);
	take_and_free(200);
	cr_assert_eq(pages.reserve.nr, 200 * 16);
	zs_pages_bulk_end(&pages);
	cr_assert_eq(pages.reserve.nr, 200 * 16, "another one is under way");
	zs_pages_bulk_end(&pages);
	cr_assert_leq(pages.reserve.nr, 128);
	cr_assert_leq(zs_arena_resident_bytes(&arena), 128 * ZS_PAGE_SIZE + ZS_PAGE_SIZE);
	zs_pages_check(&pages);
}

/* What the shrinker was asked for, and how often. */
static struct {
	unsigned int soon, urgent;
} wishes;

static void note_wish(void *context, bool urgent)
{
	cr_assert_eq(context, &wishes);
	wishes.soon += !urgent;
	wishes.urgent += urgent;
}

Test(pages, with_a_shrinker_who_frees_only_asks_for_it_once)
{
	uint64_t before = zs_arena_resident_bytes(&arena);

	zs_pages_set_shrinker(&pages, note_wish, &wishes);
	take_and_free(200);
	cr_assert_eq(pages.reserve.nr, 3200);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before + 3200 * ZS_PAGE_SIZE);
	cr_assert_eq(wishes.soon, 1);
	cr_assert_eq(wishes.urgent, 0);
	zs_pages_shrink(&pages);
	cr_assert_leq(pages.reserve.nr, 128);
	cr_assert_eq(pages.nr_punched, 3200 - pages.reserve.nr);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before + pages.reserve.nr * ZS_PAGE_SIZE);
	zs_pages_check(&pages);
	take_and_free(200);
	cr_assert_eq(wishes.soon, 2, "there is something again");
}

Test(pages, a_run_that_waits_for_its_punch_is_the_first_to_be_used_again)
{
	uint64_t resident;

	zs_pages_set_shrinker(&pages, note_wish, &wishes);
	take_and_free(200);
	resident = zs_arena_resident_bytes(&arena);
	for (unsigned int i = 0; i < 200; i++)
		alloc(16);
	cr_assert_eq(zs_arena_resident_bytes(&arena), resident);
	cr_assert_eq(pages.reserve.nr, 0);
	zs_pages_check(&pages);
}

Test(pages, what_waits_for_its_punch_takes_no_room_beyond_the_limit)
{
	const uint64_t limit = 2048, reserve = 128;
	uint64_t before = zs_arena_resident_bytes(&arena);
	uint32_t page;

	zs_pages_set_limit(&pages, limit);
	zs_pages_set_shrinker(&pages, note_wish, &wishes);
	for (unsigned int i = 0; i < 2000; i++)
		alloc(1);
	for (page = 0; page < 2000; page += 2)
		zs_pages_free(&pages, page, 1);
	cr_assert_eq(pages.reserve.nr, 1000);
	/* None of these can use what waits. */
	while (!zs_pages_alloc(&pages, 3, ZS_URGENCY_NEW, &page))
		cr_assert_leq(zs_arena_resident_bytes(&arena) - before, (limit + reserve) * ZS_PAGE_SIZE);
	cr_assert_gt(pages.nr_used, limit - limit / 64 - 3);
	zs_pages_check(&pages);
}

/* A reserve that is worth keeping is twice as large here as what may be beyond the limit. */
Test(pages, the_reserve_is_small_where_all_that_may_be_used_is_used, .init = pages_create_large)
{
	const uint64_t limit = 32768, beyond = 128;
	uint64_t before = zs_arena_resident_bytes(&arena), most = 0;
	uint32_t page;

	zs_pages_set_limit(&pages, limit);
	for (unsigned int i = 0; i < limit - 1000; i++)
		alloc(1);
	for (page = 0; page < 400; page += 2)
		zs_pages_free(&pages, page, 1);
	cr_assert_eq(pages.reserve.nr, 200);
	/* None of these can use the reserve. */
	while (!zs_pages_alloc(&pages, 3, ZS_URGENCY_RESERVE, &page))
		most = zs_max(most, zs_arena_resident_bytes(&arena) - before);
	cr_assert_gt(pages.nr_used, limit - 3);
	cr_assert_gt(most, limit * ZS_PAGE_SIZE);
	cr_assert_leq(most, (limit + beyond) * ZS_PAGE_SIZE);
	zs_pages_check(&pages);
}

Test(pages, a_shrinker_that_is_late_is_asked_to_hurry_and_then_not_waited_for)
{
	const unsigned int nr = 600;
	struct zs_arena_options options;
	uint32_t runs[600];
	uint64_t most = 0;

	pages_destroy();
	test_arena_options(&options);
	options.region_bytes[ZS_REGION_PAGES] = (uint64_t)64 << 20;
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_eq(zs_pages_init(&pages, &arena), 0);
	zs_pages_set_shrinker(&pages, note_wish, &wishes);
	for (unsigned int i = 0; i < nr; i++)
		runs[i] = alloc(16);
	for (unsigned int i = 0; i < nr; i++) {
		zs_pages_free(&pages, runs[i], 16);
		most = zs_max(most, pages.reserve.nr);
		cr_assert_eq(wishes.urgent, most > 4096);
	}
	cr_assert_eq(wishes.soon, 1 + (pages.reserve.nr > 128), "after the punch it is asked again");
	cr_assert_eq(most, 8192);
	cr_assert_lt(pages.reserve.nr, nr * 16 - 8192 + 128);
	zs_pages_check(&pages);
}

Test(pages, holes_are_used_again_whole_or_split)
{
	uint32_t page, runs[64]; /* of 64, so that no fresh page is left */

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(runs); i++)
		runs[i] = alloc(64);
	cr_assert_eq(zs_pages_alloc(&pages, 1, ZS_URGENCY_NEW, &page), -ENOSPC);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(runs); i++)
		zs_pages_free(&pages, runs[i], 64);
	zs_pages_check(&pages);
	for (unsigned int i = 0; i < 32; i++)
		memset(zs_pages_at(&pages, alloc(64)), 1, 64 * ZS_PAGE_SIZE);
	for (unsigned int i = 0; i < 100; i++)
		memset(zs_pages_at(&pages, alloc(3)), 1, 3 * ZS_PAGE_SIZE);
	zs_pages_check(&pages);
	cr_assert_eq(pages.nr_used, 32 * 64 + 300);
}

Test(pages, freed_memory_is_used_again_for_runs_of_another_length)
{
	uint64_t resident;
	uint32_t runs[6];

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(runs); i++)
		runs[i] = alloc(20);
	resident = zs_arena_resident_bytes(&arena);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(runs); i++)
		zs_pages_free(&pages, runs[i], 20);
	cr_assert_eq(pages.reserve.nr, 120);
	for (unsigned int i = 0; i < 2; i++)
		memset(zs_pages_at(&pages, alloc(57)), 1, 57 * ZS_PAGE_SIZE);
	memset(zs_pages_at(&pages, alloc(6)), 1, 6 * ZS_PAGE_SIZE);
	cr_assert_eq(pages.reserve.nr, 0);
	cr_assert_eq(pages.fresh, 120, "no new address space was needed");
	cr_assert_eq(zs_arena_resident_bytes(&arena), resident, "nor new memory");
	cr_assert_eq(pages.nr_populated, 120);
	cr_assert_eq(pages.nr_punched, 0);
	zs_pages_check(&pages);
}

static bool in_use[NR_PAGES];

static void set_in_use(uint32_t page, unsigned int nr, bool use)
{
	memset(in_use + page, use, nr);
}

static bool has_room(unsigned int nr)
{
	unsigned int length = 0;

	for (unsigned int page = 0; page < NR_PAGES && length < nr; page++)
		length = in_use[page] ? 0 : length + 1;
	return length == nr;
}

Test(pages, random_use_keeps_the_invariants_and_refuses_nothing_that_there_is_room_for)
{
	struct {
		uint32_t page;
		unsigned int nr;
	} runs[300];
	struct test_random random = {.state = 3};
	unsigned int nr = 0, refused = 0;
	uint64_t used = 0;

	for (unsigned int i = 0; i < 20000; i++) {
		bool more = test_random_chance(&random, i / 2000 % 2 ? 60 : 40);
		unsigned int at = nr ? (unsigned int)test_random_below(&random, nr) : 0;

		if (more && nr < ZS_ARRAY_SIZE(runs)) {
			runs[nr].nr = 1 + (unsigned int)test_random_below(&random, ZS_RUN_MAX_PAGES);
			if (zs_pages_alloc(&pages, runs[nr].nr, ZS_URGENCY_NEW, &runs[nr].page)) {
				cr_assert(!has_room(runs[nr].nr), "%u pages", runs[nr].nr);
				refused++;
				continue;
			}
			set_in_use(runs[nr].page, runs[nr].nr, true);
			used += runs[nr].nr;
			zs_pages_set_zspage(&pages, runs[nr].page, runs[nr].nr, nr + 1);
			nr++;
		} else if (nr) {
			cr_assert_neq(zs_pages_zspage(&pages, runs[at].page), 0);
			zs_pages_free(&pages, runs[at].page, runs[at].nr);
			cr_assert_eq(zs_pages_zspage(&pages, runs[at].page), 0);
			set_in_use(runs[at].page, runs[at].nr, false);
			used -= runs[at].nr;
			runs[at] = runs[--nr];
		}
		cr_assert_eq(pages.nr_used, used);
		if (i % 100 == 0)
			zs_pages_check(&pages);
	}
	cr_assert_gt(refused, 100);
}

Test(pages, a_lack_of_memory_changes_nothing)
{
	uint32_t page = 4711;

	zs_fault_arm(1);
	cr_assert_eq(zs_pages_alloc(&pages, 8, ZS_URGENCY_NEW, &page), -ENOMEM);
	zs_fault_arm(0);
	cr_assert_eq(page, 4711);
	cr_assert_eq(pages.nr_used, 0);
	zs_pages_check(&pages);
	alloc(8);
}

/* Takes all that there is in runs of nr pages, and gives it back. */
static void use_all(unsigned int nr)
{
	static uint32_t runs[NR_PAGES];
	unsigned int count = 0;

	while (!zs_pages_alloc(&pages, nr, ZS_URGENCY_NEW, &runs[count]))
		count++;
	cr_assert_geq(count * nr, NR_PAGES - NR_PAGES / 16, "%u runs of %u pages", count, nr);
	zs_pages_check(&pages);
	for (unsigned int i = 0; i < count; i++)
		zs_pages_free(&pages, runs[i], nr);
	zs_pages_check(&pages);
}

Test(pages, holes_that_are_neighbours_are_joined_before_a_longer_run_is_refused)
{
	static const unsigned int lengths[] = {1, 64, 3, 65, 1, 2, 33};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(lengths); i++)
		use_all(lengths[i]);
}

Test(pages, the_reserve_is_given_back_before_a_lack_of_memory_is_told)
{
	uint32_t page;

	take_and_free(4);
	cr_assert_eq(pages.reserve.nr, 64);
	zs_fault_arm(1);
	cr_assert_eq(zs_pages_alloc(&pages, 65, ZS_URGENCY_NEW, &page), 0);
	zs_fault_arm(0);
	cr_assert_eq(pages.reserve.nr, 0);
	zs_pages_check(&pages);
}

Test(pages, a_rebuild_keeps_what_is_adopted_and_frees_the_rest)
{
	uint32_t first = alloc(4), lost = alloc(30), last = alloc(2);
	uint64_t before;

	memset(zs_pages_at(&pages, first), 1, 4 * ZS_PAGE_SIZE);
	memset(zs_pages_at(&pages, lost), 2, 30 * ZS_PAGE_SIZE);
	memset(zs_pages_at(&pages, last), 3, 2 * ZS_PAGE_SIZE);
	before = zs_arena_resident_bytes(&arena);
	zs_pages_deinit(&pages);
	cr_assert_eq(zs_pages_init(&pages, &arena), 0);
	cr_assert(zs_pages_adopt(&pages, first, 4, 1));
	cr_assert_not(zs_pages_adopt(&pages, first, 4, 2), "a run has one owner");
	cr_assert_not(zs_pages_adopt(&pages, first + 3, 2, 2), "and no other has a part of it");
	cr_assert_not(zs_pages_adopt(&pages, NR_PAGES - 1, 2, 2), "runs lie inside");
	cr_assert_not(zs_pages_adopt(&pages, UINT32_MAX, 1, 2));
	cr_assert(zs_pages_adopt(&pages, last, 2, 2));
	zs_pages_rebuild_end(&pages);
	zs_pages_check(&pages);
	cr_assert_eq(pages.nr_used, 6);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before - 30 * ZS_PAGE_SIZE);
	cr_assert_eq(*(char *)zs_pages_at(&pages, first), 1);
	cr_assert_eq(*(char *)zs_pages_at(&pages, last), 3);
	cr_assert_eq(zs_pages_zspage(&pages, first + 3), 1);
	cr_assert_eq(zs_pages_zspage(&pages, last), 2);
	zs_pages_free(&pages, first, 4);
	zs_pages_free(&pages, last, 2);
	zs_pages_check(&pages);
}
