#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The slot table of a device: one slot a block, in the arena, with memory only where a slot was ever stored.
 *
 * Reading an untouched page of a memfd would make memory for it, so a private bitmap says which pages of the table
 * have some: looking at every block of an empty 1 TiB device costs nothing. Pages are counted against the heap's limit.
 *
 * Any thread; no locks: slots and bitmap are atomic.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/pool.h"

#define ZS_SLOTS_PER_PAGE (ZS_PAGE_SIZE / sizeof(uint64_t))

struct zs_table {
	struct zs_arena *arena; /* immutable while the device lives, as all but present */
	struct zs_heap *heap;
	uint64_t offset; /* in ZS_REGION_SLOTS */
	uint64_t nr_blocks;
	_Atomic uint64_t *slots;
	_Atomic uint64_t *present;   /* bit per page of the table: it has memory. release/acquire with its user */
	_Atomic uint64_t nr_present; /* relaxed, statistics */
};

static inline uint64_t zs_table_bytes(uint64_t nr_blocks)
{
	return zs_align_up(nr_blocks * sizeof(uint64_t), ZS_PAGE_SIZE);
}

/* A table at this place, all of it without memory. Returns 0 or -ENOMEM. */
int zs_table_init(struct zs_table *table, struct zs_arena *arena, struct zs_heap *heap, uint64_t offset,
		  uint64_t nr_blocks);
/* Frees what is private; the slots stay. */
void zs_table_deinit(struct zs_table *table);
/* Gives the memory of all slots back, or of those in the page of block. Context: nobody uses the table. */
void zs_table_punch(struct zs_table *table);
void zs_table_punch_page(struct zs_table *table, uint64_t block);

/* After a restart: finds the pages that have memory, and counts them. */
void zs_table_adopt(struct zs_table *table);

/* Makes memory for a block's slot if there is none yet. Returns 0, -ENOSPC or -ENOMEM. */
int zs_table_prepare(struct zs_table *table, uint64_t block, enum zs_urgency urgency);

/* The first block >= block whose slot has memory; nr_blocks if there is none. */
uint64_t zs_table_next(const struct zs_table *table, uint64_t block);

static inline bool zs_table_is_present(const struct zs_table *table, uint64_t block)
{
	uint64_t page = block / ZS_SLOTS_PER_PAGE;

	return atomic_load_explicit(&table->present[page / 64], memory_order_acquire) >> (page % 64) & 1;
}

static inline uint64_t zs_table_load(const struct zs_table *table, uint64_t block)
{
	if (!zs_table_is_present(table, block))
		return 0;
	/* acquire: the object that the slot names is written */
	return atomic_load_explicit(&table->slots[block], memory_order_acquire);
}

/* The commit: one store. The block's slot must have been prepared. Answers the slot that was replaced. */
static inline uint64_t zs_table_exchange(struct zs_table *table, uint64_t block, uint64_t slot)
{
	return atomic_exchange_explicit(&table->slots[block], slot, memory_order_acq_rel);
}

/* The commit, if the slot still is what *expected says; otherwise *expected is what it is now. */
static inline bool zs_table_replace(struct zs_table *table, uint64_t block, uint64_t *expected, uint64_t slot)
{
	return atomic_compare_exchange_strong_explicit(&table->slots[block], expected, slot, memory_order_acq_rel,
						       memory_order_acquire);
}
