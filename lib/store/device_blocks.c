/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which blocks of a device are in use, and how. Slots are read as they are, while others change them. */

#include <errno.h>

#include "base/bits.h"
#include "store/age.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "zsmalloc/pool.h"

/* The first block >= block that is empty or not, as data says; nr_blocks if there is none. */
static uint64_t seek_block(const struct zs_device *device, uint64_t block, bool data)
{
	const struct zs_table *table = &device->table;

	while (block < table->nr_blocks) {
		uint64_t next = zs_table_next(table, block);

		if (!data && next > block)
			return block;
		block = next;
		if (block < table->nr_blocks && (zs_table_load(table, block) != ZS_SLOT_NONE) == data)
			return block;
		block++;
	}
	return table->nr_blocks;
}

int zs_device_seek(struct zs_device *device, uint64_t offset, bool data, uint64_t *ret_offset)
{
	uint64_t block;

	if (offset >= device->size_bytes)
		return -ENXIO;
	block = seek_block(device, offset >> device->block_shift, data);
	if (block == device->table.nr_blocks && data)
		return -ENXIO;
	*ret_offset = zs_max(offset, block << device->block_shift);
	return 0;
}

static enum zs_block_kind kind_of(const struct zs_device *device, uint64_t slot)
{
	struct zs_place place;

	if (zs_slot_state(slot) == ZS_SLOT_LOST)
		return ZS_BLOCK_LOST;
	if (zs_slot_state(slot) == ZS_SLOT_SAME || slot & ZS_SLOT_FILL)
		return ZS_BLOCK_SAME;
	if (zs_obj_place(device->store->heap, zs_slot_handle(slot), &place))
		return ZS_BLOCK_WRITTEN_BACK;
	return slot & ZS_SLOT_INCOMPRESSIBLE ? ZS_BLOCK_INCOMPRESSIBLE : ZS_BLOCK_COMPRESSED;
}

/* The beginning of the tick in which a block was accessed; the same whenever it is asked. */
static uint64_t used_sec(uint64_t slot)
{
	uint64_t now = zs_age_clock_sec(), begin = now / ZS_TICK_SEC * ZS_TICK_SEC;
	uint64_t age = zs_age_between(zs_slot_tick(slot), zs_age_tick(now));

	return age <= begin ? begin - age : 0;
}

bool zs_device_next_block(struct zs_device *device, uint64_t *block, struct zs_block_state *ret_state)
{
	uint64_t slot = ZS_SLOT_NONE;

	/* Discarded between the two looks: on to the next one. */
	for (;; ++*block) {
		*block = seek_block(device, *block, true);
		if (*block == device->table.nr_blocks)
			return false;
		slot = zs_table_load(&device->table, *block);
		if (slot != ZS_SLOT_NONE)
			break;
	}
	*ret_state = (struct zs_block_state){.kind = kind_of(device, slot)};
	/* The others have neither age nor marks. */
	if (zs_slot_state(slot) == ZS_SLOT_OBJECT) {
		ret_state->is_idle = slot & ZS_SLOT_IDLE;
		ret_state->is_dense = slot & ZS_SLOT_DENSE;
		ret_state->used_sec = used_sec(slot);
	}
	return true;
}
