/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Walks over slots that concern ages. */

#include "store/age.h"

#include <errno.h>

#include "base/bits.h"
#include "store/device_internal.h"

/* Ticks tell 65535 moments apart: what seems longer ago than this many is a moment to come, of a thread ahead of us. */
#define TICKS_PAST 61000

/* What is noted for ever. It takes another two and a half days to seem to be a moment to come. */
#define LONG_SEC (3 * 24 * 3600)

_Atomic uint64_t zs_age_skew_sec;

const uint64_t zs_age_bounds_sec[ZS_AGE_BUCKETS - 1] = {
	60, 5 * 60, 15 * 60, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600,
};

uint64_t zs_age_between(uint16_t then, uint16_t now)
{
	/* 1 to UINT16_MAX, in a circle. */
	unsigned int ticks = (now + (unsigned int)UINT16_MAX - then) % UINT16_MAX;

	if (then == ZS_TICK_LONG)
		return UINT64_MAX;
	return ticks < TICKS_PAST ? (uint64_t)ticks * ZS_TICK_SEC : 0;
}

static bool has_age(uint64_t slot)
{
	return zs_slot_state(slot) == ZS_SLOT_OBJECT && zs_slot_is_sound(slot);
}

void zs_device_ages(struct zs_device *device, uint64_t first, uint64_t end, struct zs_ages *ages)
{
	const struct zs_table *table = &device->table;
	uint16_t now = zs_age_now();

	end = zs_min(end, table->nr_blocks);
	for (uint64_t block = zs_table_next(table, first); block < end; block = zs_table_next(table, block + 1)) {
		uint64_t slot = zs_table_load(table, block), age;
		unsigned int bucket = 0;

		if (!has_age(slot))
			continue;
		age = zs_age_between(zs_slot_tick(slot), now);
		while (bucket < ZS_AGE_BUCKETS - 1 && age >= zs_age_bounds_sec[bucket])
			bucket++;
		ages->blocks[bucket]++;
		ages->idle_blocks += (slot & ZS_SLOT_IDLE) != 0;
	}
}

int zs_device_mark_idle(struct zs_device *device, uint64_t first, uint64_t last, uint64_t age_sec, uint64_t *ret_marked)
{
	struct zs_table *table = &device->table;
	uint16_t now = zs_age_now();
	uint64_t marked = 0;

	if (last < first || last >= table->nr_blocks)
		return -ERANGE;
	for (uint64_t block = zs_table_next(table, first); block <= last; block = zs_table_next(table, block + 1)) {
		uint64_t slot = zs_table_load(table, block);

		if (!has_age(slot) || slot & ZS_SLOT_IDLE || zs_age_between(zs_slot_tick(slot), now) < age_sec)
			continue;
		/* A block that changes just now isn't idle. */
		marked += zs_table_replace(table, block, &slot, zs_slot_retick(slot, zs_slot_tick(slot), ZS_SLOT_IDLE));
	}
	*ret_marked = marked;
	return 0;
}

uint64_t zs_device_walk_on(const struct zs_device *device, uint64_t block)
{
	return zs_table_next(&device->table, block);
}

/* From the walk's block on; *nr_blocks at most, which gets less. True at the end of the device. */
static bool age_device(struct zs_device *device, struct zs_age_walk *walk, uint64_t *nr_blocks)
{
	struct zs_table *table = &device->table;
	uint16_t now = zs_age_now();
	uint64_t block = zs_table_next(table, walk->block);

	for (; block < table->nr_blocks && *nr_blocks; block = zs_table_next(table, block + 1), --*nr_blocks) {
		uint64_t slot = zs_table_load(table, block);
		uint16_t tick = zs_slot_tick(slot);

		if (has_age(slot) && tick != ZS_TICK_LONG && zs_age_between(tick, now) >= LONG_SEC)
			zs_table_replace(table, block, &slot, zs_slot_retick(slot, ZS_TICK_LONG, slot & ZS_SLOT_IDLE));
	}
	walk->block = block;
	return block >= table->nr_blocks;
}

bool zs_store_age(struct zs_store *store, struct zs_age_walk *walk, uint64_t nr_blocks)
{
	while (nr_blocks) {
		struct zs_device *device = walk->device_id ? zs_device_get(store, walk->device_id, NULL) : NULL;
		bool is_over = !device || age_device(device, walk, &nr_blocks);

		if (device)
			zs_device_put(device, NULL);
		if (!is_over)
			continue;
		walk->block = 0;
		if (!zs_store_next(store, &walk->cursor, &walk->device_id)) {
			*walk = (struct zs_age_walk){0};
			return false;
		}
		/* A device without any block takes some time, too. */
		nr_blocks -= nr_blocks > 0;
	}
	return true;
}
