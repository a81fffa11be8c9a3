#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A slot: the 8 bytes that say what a block is. Storing it is the commit of every change to the block.
 *
 *   bits  0-31  handle of the object, or the 32-bit word that fills the block
 *   bits 32-33  state: 0 empty, 1 object, 2 same-filled, 3 lost
 *   bit  34     incompressible: the object is the raw block
 *   bit  35     idle: not accessed since it was marked so; of blocks with an object
 *   bit  36     dense: no denser codec of the device is worth a try (store/recompress.h)
 *   bit  37     fill: the object is one 8-byte word that fills the block
 *   bits 38-53  when the block was accessed last (store/age.h); of blocks with an object
 *   bits 54-63  residue of the rest, so that a flipped bit is found (base/residue.h)
 *
 * An empty slot is all zeros, and so is a table that nobody has touched. A lost block is one whose object was found
 * damaged when the arena was opened: it reads as EIO until it is overwritten or discarded.
 *
 * A block filled with an 8-byte word whose halves differ does not fit here: it is an object of 8 bytes with the codec
 * ZS_CODEC_FILL.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/residue.h"
#include "zsmalloc/handle.h"

enum zs_slot_state { ZS_SLOT_EMPTY, ZS_SLOT_OBJECT, ZS_SLOT_SAME, ZS_SLOT_LOST };

#define ZS_SLOT_NONE	       UINT64_C(0)
#define ZS_SLOT_STATE_SHIFT    32
#define ZS_SLOT_INCOMPRESSIBLE (UINT64_C(1) << 34)
#define ZS_SLOT_IDLE	       (UINT64_C(1) << 35)
#define ZS_SLOT_DENSE	       (UINT64_C(1) << 36)
#define ZS_SLOT_FILL	       (UINT64_C(1) << 37)
#define ZS_SLOT_TICK_SHIFT     38
#define ZS_SLOT_TICK_MASK      (UINT64_C(0xffff) << ZS_SLOT_TICK_SHIFT)

/* The flags that say when the object was accessed. */
static inline uint64_t zs_slot_tick_flags(uint16_t tick)
{
	return (uint64_t)tick << ZS_SLOT_TICK_SHIFT;
}

/* flags: ZS_SLOT_INCOMPRESSIBLE, ZS_SLOT_DENSE, ZS_SLOT_FILL, ZS_SLOT_IDLE, zs_slot_tick_flags(). */
static inline uint64_t zs_slot_object(struct zs_handle handle, uint64_t flags)
{
	return zs_residue_seal(handle.index | (uint64_t)ZS_SLOT_OBJECT << ZS_SLOT_STATE_SHIFT | flags);
}

/* The slot of the same object, with another tick, and idle or not. */
static inline uint64_t zs_slot_retick(uint64_t slot, uint16_t tick, uint64_t idle)
{
	slot = zs_residue_value(slot) & ~(ZS_SLOT_TICK_MASK | ZS_SLOT_IDLE);
	return zs_residue_seal(slot | zs_slot_tick_flags(tick) | idle);
}

static inline uint64_t zs_slot_with(uint64_t slot, uint64_t flags)
{
	return zs_residue_seal(zs_residue_value(slot) | flags);
}

static inline uint64_t zs_slot_same(uint32_t word)
{
	return zs_residue_seal(word | (uint64_t)ZS_SLOT_SAME << ZS_SLOT_STATE_SHIFT);
}

static inline uint64_t zs_slot_lost(void)
{
	return zs_residue_seal((uint64_t)ZS_SLOT_LOST << ZS_SLOT_STATE_SHIFT);
}

static inline bool zs_slot_is_sound(uint64_t slot)
{
	return zs_residue_is_sound(slot);
}

static inline enum zs_slot_state zs_slot_state(uint64_t slot)
{
	return (enum zs_slot_state)(slot >> ZS_SLOT_STATE_SHIFT & 3);
}

static inline struct zs_handle zs_slot_handle(uint64_t slot)
{
	return (struct zs_handle){.index = (uint32_t)slot};
}

static inline uint16_t zs_slot_tick(uint64_t slot)
{
	return (uint16_t)(slot >> ZS_SLOT_TICK_SHIFT);
}

static inline uint32_t zs_slot_word(uint64_t slot)
{
	return (uint32_t)slot;
}
