#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handles: stable names of objects, and the handle words that say where the objects are.
 *
 * A handle is the 32-bit index of a 64-bit word in the arena; 0 names nothing. The word:
 *
 *   bits  0-8   pins      readers that need the object to stay where it is
 *   bit   9     lock      a mover owns the object; pinning waits for it
 *   bits 10-11  state     see below
 *   bits 12-63  location  page (32) | class (8) | index in the zspage (12)
 *               or place  unit in the backing file (39) | length in units (13)
 *
 *   state    the object                         pins may rise   next
 *   FREE     there is none: bits 12-63 belong   no              LIVE, by zs_handle_publish()
 *            to the slab cache; or it is being
 *            written, and they say where; bit 0
 *            then says that its place is fresh
 *   LIVE     is in memory at location           yes             DOOMED, by zs_handle_doom()
 *                                                               BACKED, by zs_handle_replace()
 *   BACKED   is in the backing file at place    yes             DOOMED, as above
 *                                                               LIVE or elsewhere, by zs_handle_replace()
 *   DOOMED   is no longer referenced by a slot  no              FREE, by who doomed it or by the last
 *                                                               of its readers
 *
 * So an object can't be pinned before it is written, it is freed by the last of its readers, and nobody ever waits for
 * one. Pins and lock mean nothing after a restart: the scan clears them.
 *
 * A doomed object is where it was: its lock bit, which no mover can want any more, says that this is in the backing
 * file. What is pinned stays where it is, there as in memory: only who has the one pin may replace the word, or anybody
 * if there is none.
 */

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

struct zs_handle {
	uint32_t index;
};

#define ZS_NO_HANDLE ((struct zs_handle){0})

enum zs_handle_state { ZS_HANDLE_FREE, ZS_HANDLE_LIVE, ZS_HANDLE_BACKED, ZS_HANDLE_DOOMED };

#define ZS_HANDLE_PINS_MASK	 UINT64_C(0x1ff)
#define ZS_HANDLE_LOCK		 (UINT64_C(1) << 9)
#define ZS_HANDLE_STATE_SHIFT	 10
#define ZS_HANDLE_LOCATION_SHIFT 12
#define ZS_LOCATION_INDEX_BITS	 12
#define ZS_LOCATION_CLASS_BITS	 8

/* Where an object is. */
struct zs_location {
	uint32_t page;	/* first page of the zspage */
	uint16_t index; /* of the object in the zspage */
	uint8_t class;	/* index of the size class; compaction never changes it */
};

/* The backing file is addressed in units. */
#define ZS_PLACE_UNIT_BYTES 16
#define ZS_PLACE_UNITS_MAX  UINT32_C(0x1fff)
#define ZS_PLACE_END	    (UINT64_C(1) << 39)

/* Where an object is in the backing file: its record, all of it. */
struct zs_place {
	uint64_t unit;	/* below ZS_PLACE_END: 8 TiB */
	uint32_t units; /* 1 to ZS_PLACE_UNITS_MAX: 128 KiB */
};

static inline uint64_t zs_place_bytes(uint32_t units)
{
	return (uint64_t)units * ZS_PLACE_UNIT_BYTES;
}

static inline enum zs_handle_state zs_handle_state(uint64_t word)
{
	return (enum zs_handle_state)((word >> ZS_HANDLE_STATE_SHIFT) & 3);
}

static inline unsigned int zs_handle_pins(uint64_t word)
{
	return (unsigned int)(word & ZS_HANDLE_PINS_MASK);
}

static inline struct zs_location zs_handle_location(uint64_t word)
{
	return (struct zs_location){
		.index = (uint16_t)((word >> 12) & 0xfff),
		.class = (uint8_t)((word >> 24) & 0xff),
		.page = (uint32_t)(word >> 32),
	};
}

static inline uint64_t zs_handle_word(enum zs_handle_state state, struct zs_location location, unsigned int pins)
{
	return pins | (uint64_t)state << ZS_HANDLE_STATE_SHIFT | (uint64_t)location.index << 12 |
	       (uint64_t)location.class << 24 | (uint64_t)location.page << 32;
}

static inline struct zs_place zs_handle_place(uint64_t word)
{
	return (struct zs_place){.units = (uint32_t)(word >> 12 & ZS_PLACE_UNITS_MAX), .unit = word >> 25};
}

/* The word of an object in the backing file. */
static inline uint64_t zs_handle_backed_word(struct zs_place place, unsigned int pins)
{
	zs_debug_assert(place.units && place.units <= ZS_PLACE_UNITS_MAX && place.unit < ZS_PLACE_END);
	return pins | (uint64_t)ZS_HANDLE_BACKED << ZS_HANDLE_STATE_SHIFT | (uint64_t)place.units << 12 |
	       place.unit << 25;
}

/* True if the object is, or was when it was doomed, in the backing file. */
static inline bool zs_handle_is_backed(uint64_t word)
{
	enum zs_handle_state state = zs_handle_state(word);

	return state == ZS_HANDLE_BACKED || (state == ZS_HANDLE_DOOMED && word & ZS_HANDLE_LOCK);
}

/* True if there is an object that a slot may refer to: LIVE or BACKED. */
static inline bool zs_handle_is_referable(uint64_t word)
{
	return (unsigned int)zs_handle_state(word) - ZS_HANDLE_LIVE <= ZS_HANDLE_BACKED - ZS_HANDLE_LIVE;
}

/*
 * Keeps the object where it is until zs_handle_unpin(). Returns 0 and the word, or -EAGAIN if there is no object
 * behind the handle (any more): the caller looks again where it had the handle from.
 */
static inline int zs_handle_pin(_Atomic uint64_t *word, uint64_t *ret_word)
{
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);

	for (;;) {
		if (!zs_handle_is_referable(old))
			return -EAGAIN;
		if (__builtin_expect((old & ZS_HANDLE_LOCK) || zs_handle_pins(old) == ZS_HANDLE_PINS_MASK, 0)) {
			sched_yield();
			old = atomic_load_explicit(word, memory_order_relaxed);
			continue;
		}
		/* acquire: pairs with the release of zs_handle_publish() */
		if (atomic_compare_exchange_weak_explicit(word, &old, old + 1, memory_order_acquire,
							  memory_order_relaxed))
			break;
	}
	*ret_word = old + 1;
	return 0;
}

/* True if the caller held the last pin of a doomed object and must free it now. */
static inline bool zs_handle_unpin(_Atomic uint64_t *word)
{
	/* release: what was done with the object is over; acquire: the last one sees that of all the others */
	uint64_t old = atomic_fetch_sub_explicit(word, 1, memory_order_acq_rel);

	zs_debug_assert(zs_handle_pins(old));
	return zs_handle_state(old) == ZS_HANDLE_DOOMED && zs_handle_pins(old) == 1;
}

/* Says where a new object is that its owner is going to write: it can't be pinned yet. */
static inline void zs_handle_reserve(_Atomic uint64_t *word, struct zs_location location, bool fresh)
{
	atomic_store_explicit(word, zs_handle_word(ZS_HANDLE_FREE, location, fresh), memory_order_relaxed);
}

/* Of a reserved object: nothing was ever stored in its place, which has just been made and is in the cache. */
static inline bool zs_handle_is_fresh(uint64_t word)
{
	return zs_handle_state(word) == ZS_HANDLE_FREE && zs_handle_pins(word);
}

/* The object is written. release: pairs with the acquire of zs_handle_pin(). */
static inline void zs_handle_publish(_Atomic uint64_t *word, struct zs_location location)
{
	atomic_store_explicit(word, zs_handle_word(ZS_HANDLE_LIVE, location, 0), memory_order_release);
}

/*
 * The object is no longer referenced. Returns 0 and the word as it was, or -ESTALE if there is no object. The
 * caller may look at the object until it calls zs_handle_release(), and frees it if that says so.
 */
static inline int zs_handle_doom(_Atomic uint64_t *word, uint64_t *ret_old)
{
	const uint64_t doomed = (uint64_t)ZS_HANDLE_DOOMED << ZS_HANDLE_STATE_SHIFT;
	uint64_t new, old = atomic_load_explicit(word, memory_order_relaxed);

	for (;;) {
		if (!zs_handle_is_referable(old))
			return -ESTALE;
		if (__builtin_expect((old & ZS_HANDLE_LOCK) || zs_handle_pins(old) == ZS_HANDLE_PINS_MASK, 0)) {
			sched_yield();
			old = atomic_load_explicit(word, memory_order_relaxed);
			continue;
		}
		/* Without readers it is the caller's alone, as nobody can come any more; else it needs a pin, too. */
		new = (old | doomed) + !!zs_handle_pins(old);
		new |= zs_handle_state(old) == ZS_HANDLE_BACKED ? ZS_HANDLE_LOCK : 0;
		if (atomic_compare_exchange_weak_explicit(word, &old, new, memory_order_acq_rel, memory_order_relaxed))
			break;
	}
	*ret_old = old;
	return 0;
}

/* Ends what zs_handle_doom() began, old being what it answered. True if the caller must free the object now. */
static inline bool zs_handle_release(_Atomic uint64_t *word, uint64_t old)
{
	return !zs_handle_pins(old) || zs_handle_unpin(word);
}

/*
 * Takes the object of a mover's choice: true if it is live, still at location, and nobody uses it. Whoever wants to pin
 * it waits until zs_handle_move().
 */
static inline bool zs_handle_trylock(_Atomic uint64_t *word, struct zs_location location)
{
	uint64_t idle = zs_handle_word(ZS_HANDLE_LIVE, location, 0);

	return atomic_compare_exchange_strong_explicit(word, &idle, idle | ZS_HANDLE_LOCK, memory_order_acquire,
						       memory_order_relaxed);
}

/* The commit of a move: one store says where the copy is, and unlocks. */
static inline void zs_handle_move(_Atomic uint64_t *word, struct zs_location location)
{
	zs_handle_publish(word, location);
}

/*
 * The commit of an object's way into the backing file, out of it or within it. from and to have the pins of those who
 * know that the object moves: one, or none. False if it is not there any more or somebody else has it pinned.
 */
static inline bool zs_handle_replace(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
	/* release: what was copied is whole; acquire: nobody reads what is freed now */
	return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_acq_rel, memory_order_relaxed);
}
