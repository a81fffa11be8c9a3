/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Slot tables. */

#include "store/table.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"

static uint64_t nr_pages(const struct zs_table *table)
{
	return zs_table_bytes(table->nr_blocks) / ZS_PAGE_SIZE;
}

static uint64_t present_bytes(const struct zs_table *table)
{
	return zs_div_round_up(nr_pages(table), 64) * sizeof(uint64_t);
}

int zs_table_init(struct zs_table *table, struct zs_arena *arena, struct zs_heap *heap, uint64_t offset,
		  uint64_t nr_blocks)
{
	*table = (struct zs_table){
		.arena = arena,
		.heap = heap,
		.offset = offset,
		.nr_blocks = nr_blocks,
		.slots = zs_arena_at(arena, ZS_REGION_SLOTS, offset),
	};
	table->present = zs_calloc(1, present_bytes(table));
	return table->present ? 0 : -ENOMEM;
}

void zs_table_deinit(struct zs_table *table)
{
	free((void *)table->present);
	*table = (struct zs_table){0};
}

void zs_table_punch(struct zs_table *table)
{
	zs_arena_punch(table->arena, ZS_REGION_SLOTS, table->offset, zs_table_bytes(table->nr_blocks));
	zs_heap_uncharge_table(table->heap, atomic_load(&table->nr_present));
	for (uint64_t i = 0; i < present_bytes(table) / sizeof(uint64_t); i++)
		atomic_store_explicit(&table->present[i], 0, memory_order_relaxed);
	atomic_store(&table->nr_present, 0);
}

void zs_table_punch_page(struct zs_table *table, uint64_t block)
{
	uint64_t page = block / ZS_SLOTS_PER_PAGE, bit = UINT64_C(1) << (page % 64);

	if (!zs_table_is_present(table, block))
		return;
	zs_arena_punch(table->arena, ZS_REGION_SLOTS, table->offset + page * ZS_PAGE_SIZE, ZS_PAGE_SIZE);
	atomic_fetch_and_explicit(&table->present[page / 64], ~bit, memory_order_relaxed);
	atomic_fetch_sub_explicit(&table->nr_present, 1, memory_order_relaxed);
	zs_heap_uncharge_table(table->heap, 1);
}

void zs_table_adopt(struct zs_table *table)
{
	uint64_t end = table->offset + zs_table_bytes(table->nr_blocks), at = table->offset, length, page;

	while (zs_arena_next_data(table->arena, ZS_REGION_SLOTS, &at, &length) && at < end) {
		length = zs_min(length, end - at);
		for (uint64_t i = 0; i < length / ZS_PAGE_SIZE; i++) {
			page = (at - table->offset) / ZS_PAGE_SIZE + i;
			table->present[page / 64] |= UINT64_C(1) << (page % 64);
		}
		table->nr_present += length / ZS_PAGE_SIZE;
		at += length;
	}
	zs_assert(!zs_heap_charge_table(table->heap, table->nr_present, ZS_URGENCY_MUST));
}

/* Two threads may prepare the same page: both make its memory, which is harmless, and one of them counts it. */
int zs_table_prepare(struct zs_table *table, uint64_t block, enum zs_urgency urgency)
{
	uint64_t page = block / ZS_SLOTS_PER_PAGE, bit = UINT64_C(1) << (page % 64);
	int error;

	if (zs_table_is_present(table, block))
		return 0;
	error = zs_heap_charge_table(table->heap, 1, urgency);
	if (error)
		return error;
	error = zs_arena_populate(table->arena, ZS_REGION_SLOTS, table->offset + page * ZS_PAGE_SIZE, ZS_PAGE_SIZE);
	if (error) {
		zs_heap_uncharge_table(table->heap, 1);
		return error;
	}
	/* release: who sees the bit finds zeros or slots */
	if (atomic_fetch_or_explicit(&table->present[page / 64], bit, memory_order_acq_rel) & bit)
		zs_heap_uncharge_table(table->heap, 1);
	else
		atomic_fetch_add_explicit(&table->nr_present, 1, memory_order_relaxed);
	return 0;
}

uint64_t zs_table_next(const struct zs_table *table, uint64_t block)
{
	uint64_t page = block / ZS_SLOTS_PER_PAGE, end = nr_pages(table), word;

	if (block >= table->nr_blocks)
		return table->nr_blocks;
	if (zs_table_is_present(table, block))
		return block;
	for (page++; page < end; page = zs_align_down(page, 64) + 64) {
		word = atomic_load_explicit(&table->present[page / 64], memory_order_acquire) >> (page % 64);
		if (word)
			return (page + (uint64_t)__builtin_ctzll(word)) * ZS_SLOTS_PER_PAGE;
	}
	return table->nr_blocks;
}
