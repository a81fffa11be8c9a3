/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Slot tables: memory only where a slot was stored. */

#include <criterion/criterion.h>
#include <errno.h>

#include "base/check.h"
#include "store/slot.h"
#include "store/table.h"
#include "support/small_store.h"

#define NR_BLOCKS (200 * ZS_SLOTS_PER_PAGE + 3)

static struct zs_arena arena;
static struct zs_heap *heap;
static struct zs_table table;

static void table_create(void)
{
	struct zs_arena_options options;

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_eq(zs_heap_create(&arena, true, &heap), 0);
	cr_assert_eq(zs_table_init(&table, &arena, heap, 16 * ZS_PAGE_SIZE, NR_BLOCKS), 0);
}

static void table_destroy(void)
{
	zs_table_deinit(&table);
	zs_heap_destroy(heap);
	zs_arena_close(&arena);
}

TestSuite(table, .init = table_create, .fini = table_destroy);

static uint64_t charged_pages(void)
{
	struct zs_heap_stats stats;

	zs_heap_stats(heap, &stats);
	return stats.slot_table_pages;
}

Test(table, looking_at_every_block_takes_no_memory)
{
	uint64_t before = zs_arena_resident_bytes(&arena);

	for (uint64_t block = 0; block < NR_BLOCKS; block++)
		cr_assert_eq(zs_table_load(&table, block), ZS_SLOT_NONE);
	cr_assert_eq(zs_table_next(&table, 0), NR_BLOCKS);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before);
	cr_assert_eq(charged_pages(), 0);
}

Test(table, a_page_is_made_and_counted_once)
{
	uint64_t before = zs_arena_resident_bytes(&arena);

	for (uint64_t block = 0; block < 2 * ZS_SLOTS_PER_PAGE; block++) {
		cr_assert_eq(zs_table_prepare(&table, block, ZS_URGENCY_NEW), 0);
		cr_assert_eq(zs_table_exchange(&table, block, zs_slot_same((uint32_t)block)), ZS_SLOT_NONE);
	}
	cr_assert_eq(charged_pages(), 2);
	cr_assert_eq(table.nr_present, 2);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before + 2 * ZS_PAGE_SIZE);
	cr_assert_eq(zs_table_load(&table, 700), zs_slot_same(700));
}

Test(table, next_finds_the_pages_with_memory)
{
	static const uint64_t pages[] = {0, 1, 62, 63, 64, 65, 127, 128, 200};
	uint64_t block = 0;

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(pages); i++)
		cr_assert_eq(zs_table_prepare(&table, pages[i] * ZS_SLOTS_PER_PAGE, ZS_URGENCY_NEW), 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(pages); i++) {
		block = zs_table_next(&table, block);
		cr_assert_eq(block, pages[i] * ZS_SLOTS_PER_PAGE);
		cr_assert_eq(zs_table_next(&table, block + 1), block + 1);
		block = (pages[i] + 1) * ZS_SLOTS_PER_PAGE;
	}
	cr_assert_eq(zs_table_next(&table, block), NR_BLOCKS);
	cr_assert_eq(zs_table_next(&table, NR_BLOCKS - 1), NR_BLOCKS - 1);
	cr_assert_eq(zs_table_next(&table, NR_BLOCKS), NR_BLOCKS);
	cr_assert_eq(zs_table_next(&table, UINT64_MAX), NR_BLOCKS);
}

Test(table, next_looks_at_every_page_from_any_start)
{
	for (uint64_t start = 0; start <= 200; start += 9) {
		for (uint64_t page = start + 1; page <= 200; page++) {
			cr_assert_eq(zs_table_prepare(&table, page * ZS_SLOTS_PER_PAGE, ZS_URGENCY_NEW), 0);
			cr_assert_eq(zs_table_next(&table, start * ZS_SLOTS_PER_PAGE), page * ZS_SLOTS_PER_PAGE);
			zs_table_punch(&table);
		}
	}
}

Test(table, replace_is_refused_when_the_slot_is_another_one)
{
	uint64_t expected = ZS_SLOT_NONE;

	cr_assert_eq(zs_table_prepare(&table, 5, ZS_URGENCY_NEW), 0);
	cr_assert(zs_table_replace(&table, 5, &expected, zs_slot_same(1)));
	cr_assert_not(zs_table_replace(&table, 5, &expected, zs_slot_same(2)));
	cr_assert_eq(expected, zs_slot_same(1));
	cr_assert(zs_table_replace(&table, 5, &expected, zs_slot_same(2)));
}

Test(table, no_room_and_no_memory_change_nothing)
{
	zs_heap_set_limit(heap, ZS_PAGE_SIZE);
	cr_assert_eq(zs_table_prepare(&table, 0, ZS_URGENCY_NEW), 0);
	cr_assert_eq(zs_table_prepare(&table, ZS_SLOTS_PER_PAGE, ZS_URGENCY_NEW), -ENOSPC);
	zs_heap_set_limit(heap, 0);
	zs_fault_arm(1);
	cr_assert_eq(zs_table_prepare(&table, ZS_SLOTS_PER_PAGE, ZS_URGENCY_NEW), -ENOMEM);
	zs_fault_arm(0);
	cr_assert_eq(charged_pages(), 1);
	cr_assert_eq(table.nr_present, 1);
	cr_assert_eq(zs_table_load(&table, ZS_SLOTS_PER_PAGE), ZS_SLOT_NONE);
	cr_assert_eq(zs_table_prepare(&table, ZS_SLOTS_PER_PAGE, ZS_URGENCY_NEW), 0);
}

Test(table, after_a_restart_its_pages_are_found)
{
	struct zs_table again;

	for (uint64_t page = 0; page < 200; page += 7) {
		cr_assert_eq(zs_table_prepare(&table, page * ZS_SLOTS_PER_PAGE + 9, ZS_URGENCY_NEW), 0);
		zs_table_exchange(&table, page * ZS_SLOTS_PER_PAGE + 9, zs_slot_same((uint32_t)page));
	}
	cr_assert_eq(zs_table_init(&again, &arena, heap, 16 * ZS_PAGE_SIZE, NR_BLOCKS), 0);
	zs_table_adopt(&again);
	cr_assert_eq(again.nr_present, table.nr_present);
	for (uint64_t page = 0; page < 200; page++)
		cr_assert_eq(zs_table_load(&again, page * ZS_SLOTS_PER_PAGE + 9),
			     page % 7 ? ZS_SLOT_NONE : zs_slot_same((uint32_t)page));
	zs_table_deinit(&again);
}

Test(table, punching_gives_all_back)
{
	uint64_t before = zs_arena_resident_bytes(&arena);

	for (uint64_t block = 0; block < NR_BLOCKS; block += 100)
		cr_assert_eq(zs_table_prepare(&table, block, ZS_URGENCY_NEW), 0);
	cr_assert_eq(charged_pages(), 201);
	zs_table_punch(&table);
	cr_assert_eq(charged_pages(), 0);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before);
	cr_assert_eq(zs_table_next(&table, 0), NR_BLOCKS);
}
