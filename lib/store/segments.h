#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The segments of the backing file: what each of them is used for, and what the arena knows of the file.
 *
 * In the arena, for a process that comes after this one, are the file's attributes, and a word a segment:
 *
 *   bits 0-1   state      see below
 *   bits 2-53  sequence   number of this use of the segment: seeds the seals of its records; 0 = it was never used
 *   above      residue    see base/residue.h
 *
 *   state        the segment                      holds records   next
 *   FREE         is a hole in the file            no              INFLIGHT, by zs_segments_take()
 *   INFLIGHT     is open, or being written to     maybe           VALID, when all writes are over
 *   VALID        is full                          maybe           FREE; INFLIGHT; both only when it is empty
 *   QUARANTINED  was in flight when the process   maybe           VALID, when late writes are over
 *                before this one was killed
 *
 * How much of a segment is live is derived: counted anew as the records of a reopened arena are adopted. An empty
 * segment (VALID, nothing live) is on a list, and is given back to the file system or used again, whichever is first.
 *
 * Context: any thread. One lock guards it all; nobody waits for the file under it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "store/backing_format.h"
#include "zsmalloc/arena.h"

enum zs_segment_state {
	ZS_SEGMENT_FREE,
	ZS_SEGMENT_INFLIGHT,
	ZS_SEGMENT_VALID,
	ZS_SEGMENT_QUARANTINED,
	ZS_SEGMENT_NR_STATES,
};

#define ZS_BACKING_KEY_BYTES 32
#define ZS_BACKING_ENCRYPTED UINT32_C(1)
#define ZS_BACKING_COUNTED   UINT32_C(2) /* the budget has a count */

struct zs_backing_attributes {
	uint8_t id[ZS_BACKING_ID_BYTES];
	uint32_t segment_bytes;
	uint32_t flags; /* ZS_BACKING_ENCRYPTED, ZS_BACKING_COUNTED */
	uint64_t budget_day, budget_written_bytes, budget_limit_bytes, budget_remaining_bytes;
	uint8_t key[ZS_BACKING_KEY_BYTES]; /* random if encrypted; it is in memory only, and dies with the arena */
	uint64_t checksum;		   /* XXH3-64 of all above */
};

/* The first page of the region. */
struct zs_backing_entry {
	_Atomic uint64_t current; /* sealed; 0 = no file, else bit 0 says which of attributes is valid */
	struct zs_backing_attributes attributes[2];
};

static_assert(sizeof(struct zs_backing_attributes) == 96, "part of the arena's layout");

/* One without records, one to write to, and two that are kept for collection. */
#define ZS_SEGMENTS_MIN 4

struct zs_segment {
	uint32_t live_units;  /* guarded by segments->lock, as all of these */
	uint32_t stuck_units; /* live when it was collected last, if it has damage; more of it must be freed first */
	uint32_t round;	      /* of collection in which it was tried last */
	uint32_t next;	      /* on the list that it is on; 0 ends it */
};

struct zs_segments {
	struct zs_arena *arena;
	_Atomic uint64_t *words; /* in the arena, after the entry's page. Stored under lock, loaded by anybody */
	uint32_t segment_bytes;	 /* constant, as segment_units and max_nr */
	uint32_t segment_units;
	uint32_t max_nr; /* the table and `segments` have room for */
	struct zs_lock lock;
	uint32_t nr; /* the file has, the first one included, which holds no records. Guarded by lock, as all below */
	uint32_t fresh;				 /* from here on none was ever used */
	uint32_t nr_state[ZS_SEGMENT_NR_STATES]; /* of those before fresh */
	uint32_t free, nr_free;			 /* list of free ones before fresh */
	uint32_t empty, nr_empty;		 /* list of valid ones without a live record */
	uint64_t sequence;			 /* the last one that was given out */
	uint64_t live_units, nr_live;
	uint64_t refused_unused_bytes; /* not in use when none could be taken the last time, but by collection */
	uint32_t round;		       /* of collection */
	struct zs_segment *segments;
};

/*
 * the file's attributes
 */

/* The valid copy, or NULL if the arena has no file; ret_error: 0, or -EBADMSG if it is damaged. */
const struct zs_backing_attributes *zs_segments_attributes(const struct zs_arena *arena, int *ret_error);
/*
 * The same of an open file, without a system call: looking for the entry takes a lock of the kernel's which giving
 * memory back takes as well, and for long.
 */
const struct zs_backing_attributes *zs_segments_own_attributes(const struct zs_segments *segments);
/* The commit: one store. The first ones come with an empty table. Returns 0 or -ENOMEM. */
int zs_segments_set_attributes(const struct zs_arena *arena, const struct zs_backing_attributes *attributes);
/* Keeps the page with the key out of swap. Returns 0, or -1 with errno as mlock(2). */
int zs_segments_lock_attributes(const struct zs_arena *arena);
/* The arena has no file any more. */
void zs_segments_forget(const struct zs_arena *arena);

/*
 * life
 */

/* Reads the table: what was in flight is in quarantine from then on. Returns 0, -ENOSPC (no room for 4) or -ENOMEM. */
int zs_segments_init(struct zs_segments *segments, struct zs_arena *arena, uint32_t segment_bytes, uint64_t size_bytes);
void zs_segments_deinit(struct zs_segments *segments);
/* Lists what is empty, when all that is live was added. */
void zs_segments_adopt_end(struct zs_segments *segments);
/* At most so many can be used by this file; never fewer than there are. */
uint64_t zs_segments_max_bytes(const struct zs_arena *arena, uint32_t segment_bytes);
void zs_segments_set_size(struct zs_segments *segments, uint64_t size_bytes);

/*
 * use
 */

/* One to write to; but `reserve` of them are kept. Returns 0, -ENOSPC or -ENOMEM. */
int zs_segments_take(struct zs_segments *segments, uint32_t reserve, uint32_t *ret_index);
/* All writes to it are over. */
void zs_segments_close(struct zs_segments *segments, uint32_t index);
bool zs_segments_has_empty(struct zs_segments *segments);
/* An empty one, to be given back: it is nobody else's until zs_segments_free(). False if there is none. */
bool zs_segments_next_empty(struct zs_segments *segments, uint32_t *ret_index);
void zs_segments_free(struct zs_segments *segments, uint32_t index);
/* Late writes are over. */
void zs_segments_end_quarantine(struct zs_segments *segments);
/* How many could be taken. */
uint32_t zs_segments_available(struct zs_segments *segments);
/* What live records leave of the file. Under lock. */
uint64_t zs_segments_unused_bytes(const struct zs_segments *segments);

/* From here on all are candidates for collection again, but for those that are damaged. */
void zs_segments_start_round(struct zs_segments *segments);
/* The valid one with the least live units, max_units at most, that was not tried in this round. */
bool zs_segments_find_victim(struct zs_segments *segments, uint32_t max_units, uint32_t *ret_index);
/* It was tried; damage: something in it can't be moved, so it isn't worth another try while as much of it is live. */
void zs_segments_note_tried(struct zs_segments *segments, uint32_t index, bool damage);

/*
 * records
 */

/* False if no record can be there. */
bool zs_segments_holds(struct zs_segments *segments, uint64_t unit, uint32_t units);
/* nr records of so many units in all. */
void zs_segments_add_live(struct zs_segments *segments, uint32_t index, uint32_t units, uint32_t nr);
/* False if no record can be there: its name was damaged, and nothing was done. */
bool zs_segments_remove_live(struct zs_segments *segments, uint64_t unit, uint32_t units);

static inline uint64_t zs_segment_offset(const struct zs_segments *segments, uint32_t index)
{
	return (uint64_t)index * segments->segment_bytes;
}

static inline uint32_t zs_segment_of(const struct zs_segments *segments, uint64_t unit)
{
	return (uint32_t)(unit / segments->segment_units);
}

/* Of the segment's present use. It stays so while something in it is live. */
static inline uint64_t zs_segment_sequence(const struct zs_segments *segments, uint32_t index)
{
	return (atomic_load_explicit(&segments->words[index], memory_order_relaxed) & ((UINT64_C(1) << 54) - 1)) >> 2;
}

/* Asserts all invariants. Context: no other thread. */
void zs_segments_check(struct zs_segments *segments);
