/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The segments of the backing file. */

#include "store/segments.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/residue.h"

/* Segments that a page of the table has words for. */
#define WORDS_PER_PAGE (ZS_PAGE_SIZE / sizeof(uint64_t))

/*
 * the file's attributes
 */

static struct zs_backing_entry *entry_of(const struct zs_arena *arena)
{
	return zs_arena_at(arena, ZS_REGION_SEGMENTS, 0);
}

static uint64_t attributes_checksum(const struct zs_backing_attributes *attributes)
{
	return XXH3_64bits(attributes, offsetof(struct zs_backing_attributes, checksum));
}

/* Reading an untouched page of the arena would make memory for it. */
static bool has_entry(const struct zs_arena *arena)
{
	uint64_t offset = 0, length;

	return zs_arena_next_data(arena, ZS_REGION_SEGMENTS, &offset, &length) && !offset;
}

/* Of an arena whose entry has memory. */
static const struct zs_backing_attributes *valid_attributes(const struct zs_arena *arena, int *ret_error)
{
	const struct zs_backing_attributes *attributes;
	uint64_t current;

	*ret_error = 0;
	current = atomic_load_explicit(&entry_of(arena)->current, memory_order_acquire);
	if (!current)
		return NULL;
	attributes = &entry_of(arena)->attributes[zs_residue_value(current) & 1];
	if (zs_residue_is_sound(current) && attributes->checksum == attributes_checksum(attributes))
		return attributes;
	*ret_error = -EBADMSG;
	return NULL;
}

const struct zs_backing_attributes *zs_segments_attributes(const struct zs_arena *arena, int *ret_error)
{
	*ret_error = 0;
	return has_entry(arena) ? valid_attributes(arena, ret_error) : NULL;
}

const struct zs_backing_attributes *zs_segments_own_attributes(const struct zs_segments *segments)
{
	int error;

	return valid_attributes(segments->arena, &error);
}

static void punch_table(const struct zs_arena *arena)
{
	zs_arena_punch(arena, ZS_REGION_SEGMENTS, ZS_PAGE_SIZE, arena->region_bytes[ZS_REGION_SEGMENTS] - ZS_PAGE_SIZE);
}

int zs_segments_set_attributes(const struct zs_arena *arena, const struct zs_backing_attributes *attributes)
{
	struct zs_backing_entry *entry = entry_of(arena);
	struct zs_backing_attributes *copy;
	uint64_t current;
	int error = zs_arena_populate(arena, ZS_REGION_SEGMENTS, 0, ZS_PAGE_SIZE);

	if (error)
		return error;
	current = zs_residue_value(atomic_load_explicit(&entry->current, memory_order_relaxed));
	/* What a file before this one has left. */
	if (!current)
		punch_table(arena);
	/* 1 to 2^32, so that it is never 0 */
	current = current % (UINT64_C(1) << 32) + 1;
	copy = &entry->attributes[current & 1];
	*copy = *attributes;
	copy->checksum = attributes_checksum(copy);
	/* release: the copy is whole before it is the valid one */
	atomic_store_explicit(&entry->current, zs_residue_seal(current), memory_order_release);
	return 0;
}

int zs_segments_lock_attributes(const struct zs_arena *arena)
{
	return mlock(entry_of(arena), ZS_PAGE_SIZE);
}

void zs_segments_forget(const struct zs_arena *arena)
{
	if (!has_entry(arena))
		return;
	atomic_store_explicit(&entry_of(arena)->current, 0, memory_order_release);
	zs_arena_punch(arena, ZS_REGION_SEGMENTS, 0, arena->region_bytes[ZS_REGION_SEGMENTS]);
}

/*
 * states, under lock
 */

static enum zs_segment_state state_of(const struct zs_segments *segments, uint32_t index)
{
	return (enum zs_segment_state)(atomic_load_explicit(&segments->words[index], memory_order_relaxed) & 3);
}

static void store_word(struct zs_segments *segments, uint32_t index, enum zs_segment_state state, uint64_t sequence)
{
	/* release: whoever reads a later record of this use finds its sequence */
	atomic_store_explicit(&segments->words[index], zs_residue_seal(state | sequence << 2), memory_order_release);
}

static void set_state(struct zs_segments *segments, uint32_t index, enum zs_segment_state state)
{
	segments->nr_state[state_of(segments, index)]--;
	segments->nr_state[state]++;
	store_word(segments, index, state, zs_segment_sequence(segments, index));
}

static void push(struct zs_segments *segments, uint32_t *list, uint32_t *nr, uint32_t index)
{
	segments->segments[index].next = *list;
	*list = index;
	(*nr)++;
}

static uint32_t pop(struct zs_segments *segments, uint32_t *list, uint32_t *nr)
{
	uint32_t index = *list;

	if (!index)
		return 0;
	*list = segments->segments[index].next;
	(*nr)--;
	return index;
}

/* A valid one of which nothing is live: it is the last thing that happens to it before it is taken or freed. */
static void list_if_empty(struct zs_segments *segments, uint32_t index)
{
	if (state_of(segments, index) == ZS_SEGMENT_VALID && !segments->segments[index].live_units)
		push(segments, &segments->empty, &segments->nr_empty, index);
}

/*
 * life
 */

uint64_t zs_segments_max_bytes(const struct zs_arena *arena, uint32_t segment_bytes)
{
	uint64_t words = (arena->region_bytes[ZS_REGION_SEGMENTS] - ZS_PAGE_SIZE) / sizeof(uint64_t);

	return zs_min(words * segment_bytes, ZS_BACKING_MAX_BYTES);
}

/*
 * A word that is damaged tells nothing: its segment is never used again, and what is in it is not read, since no record
 * has a sequence of 0. Nor is its sequence given out again, should it have been the last one.
 */
static void adopt_word(struct zs_segments *segments, uint32_t index)
{
	uint64_t word = atomic_load_explicit(&segments->words[index], memory_order_relaxed);
	enum zs_segment_state state = state_of(segments, index);

	if (!zs_residue_is_sound(word)) {
		store_word(segments, index, ZS_SEGMENT_INFLIGHT, 0);
		segments->nr_state[ZS_SEGMENT_INFLIGHT]++;
		segments->sequence += UINT64_C(1) << 32;
		return;
	}
	if (state == ZS_SEGMENT_INFLIGHT) {
		state = ZS_SEGMENT_QUARANTINED;
		store_word(segments, index, state, zs_segment_sequence(segments, index));
	}
	segments->sequence = zs_max(segments->sequence, zs_segment_sequence(segments, index));
	segments->nr_state[state]++;
}

/* Looks only where the table has memory; segments before that which have none were never used, and are free. */
static void adopt_table(struct zs_segments *segments)
{
	uint64_t offset = ZS_PAGE_SIZE, length;
	uint32_t index, end;

	for (; zs_arena_next_data(segments->arena, ZS_REGION_SEGMENTS, &offset, &length); offset += length) {
		index = (uint32_t)((offset - ZS_PAGE_SIZE) / sizeof(uint64_t));
		end = (uint32_t)zs_min(index + length / sizeof(uint64_t), segments->max_nr);
		for (; index < end; index++) {
			if (atomic_load_explicit(&segments->words[index], memory_order_relaxed))
				segments->fresh = index + 1;
		}
	}
	for (index = 1; index < segments->fresh; index++)
		adopt_word(segments, index);
}

int zs_segments_init(struct zs_segments *segments, struct zs_arena *arena, uint32_t segment_bytes, uint64_t size_bytes)
{
	uint64_t max_bytes = zs_segments_max_bytes(arena, segment_bytes);

	if (max_bytes < (uint64_t)ZS_SEGMENTS_MIN * segment_bytes)
		return -ENOSPC;
	*segments = (struct zs_segments){
		.arena = arena,
		.words = zs_arena_at(arena, ZS_REGION_SEGMENTS, ZS_PAGE_SIZE),
		.segment_bytes = segment_bytes,
		.segment_units = (uint32_t)(segment_bytes / ZS_UNIT_BYTES),
		.max_nr = (uint32_t)(max_bytes / segment_bytes),
		.fresh = 1,
	};
	segments->segments = zs_reserve((uint64_t)segments->max_nr * sizeof(segments->segments[0]));
	if (!segments->segments)
		return -ENOMEM;
	zs_lock_init(&segments->lock, ZS_LOCK_BACKING);
	adopt_table(segments);
	zs_segments_set_size(segments, size_bytes);
	return 0;
}

void zs_segments_deinit(struct zs_segments *segments)
{
	if (!segments->segments)
		return;
	zs_reserve_free(segments->segments, (uint64_t)segments->max_nr * sizeof(segments->segments[0]));
	zs_lock_deinit(&segments->lock);
	segments->segments = NULL;
}

void zs_segments_adopt_end(struct zs_segments *segments)
{
	ZS_LOCK_SCOPE(&segments->lock);

	segments->free = segments->nr_free = segments->empty = segments->nr_empty = 0;
	/* From the end, so that the first ones are used first. */
	for (uint32_t index = segments->fresh - 1; index; index--) {
		if (state_of(segments, index) == ZS_SEGMENT_FREE)
			push(segments, &segments->free, &segments->nr_free, index);
		list_if_empty(segments, index);
	}
}

void zs_segments_set_size(struct zs_segments *segments, uint64_t size_bytes)
{
	ZS_LOCK_SCOPE(&segments->lock);

	segments->nr = (uint32_t)zs_min(size_bytes / segments->segment_bytes, segments->max_nr);
}

/*
 * use
 */

static uint32_t nr_fresh(const struct zs_segments *segments)
{
	return segments->nr > segments->fresh ? segments->nr - segments->fresh : 0;
}

static uint32_t nr_available(const struct zs_segments *segments)
{
	return segments->nr_free + segments->nr_empty + nr_fresh(segments);
}

uint64_t zs_segments_unused_bytes(const struct zs_segments *segments)
{
	uint64_t bytes = (uint64_t)segments->nr * segments->segment_bytes;

	return bytes - zs_min(bytes, segments->live_units * ZS_UNIT_BYTES);
}

/* One that was never used; its word may be the first one in its page of the table. */
static int take_fresh(struct zs_segments *segments, uint32_t *ret_index)
{
	uint64_t page = ZS_PAGE_SIZE + zs_align_down(segments->fresh, WORDS_PER_PAGE) * sizeof(uint64_t);
	int error = zs_arena_populate(segments->arena, ZS_REGION_SEGMENTS, page, ZS_PAGE_SIZE);

	if (error)
		return error;
	segments->nr_state[ZS_SEGMENT_FREE]++;
	*ret_index = segments->fresh++;
	return 0;
}

int zs_segments_take(struct zs_segments *segments, uint32_t reserve, uint32_t *ret_index)
{
	uint32_t index;
	int error;
	ZS_LOCK_SCOPE(&segments->lock);

	if (nr_available(segments) <= reserve) {
		/* Collection has the reserve, and asks for more only to make room of it. */
		if (reserve)
			segments->refused_unused_bytes = zs_segments_unused_bytes(segments);
		return -ENOSPC;
	}
	/* Holes last: what has room in the file system already needs no more of it. */
	index = pop(segments, &segments->empty, &segments->nr_empty);
	if (!index)
		index = pop(segments, &segments->free, &segments->nr_free);
	if (!index) {
		error = take_fresh(segments, &index);
		if (error)
			return error;
	}
	segments->nr_state[state_of(segments, index)]--;
	segments->nr_state[ZS_SEGMENT_INFLIGHT]++;
	segments->segments[index] = (struct zs_segment){0};
	store_word(segments, index, ZS_SEGMENT_INFLIGHT, ++segments->sequence);
	*ret_index = index;
	return 0;
}

void zs_segments_close(struct zs_segments *segments, uint32_t index)
{
	ZS_LOCK_SCOPE(&segments->lock);

	zs_assert(state_of(segments, index) == ZS_SEGMENT_INFLIGHT);
	set_state(segments, index, ZS_SEGMENT_VALID);
	list_if_empty(segments, index);
}

bool zs_segments_has_empty(struct zs_segments *segments)
{
	ZS_LOCK_SCOPE(&segments->lock);

	return segments->nr_empty;
}

bool zs_segments_next_empty(struct zs_segments *segments, uint32_t *ret_index)
{
	ZS_LOCK_SCOPE(&segments->lock);

	*ret_index = pop(segments, &segments->empty, &segments->nr_empty);
	return *ret_index;
}

void zs_segments_free(struct zs_segments *segments, uint32_t index)
{
	ZS_LOCK_SCOPE(&segments->lock);

	zs_assert(!segments->segments[index].live_units);
	set_state(segments, index, ZS_SEGMENT_FREE);
	push(segments, &segments->free, &segments->nr_free, index);
}

void zs_segments_end_quarantine(struct zs_segments *segments)
{
	ZS_LOCK_SCOPE(&segments->lock);

	for (uint32_t index = 1; segments->nr_state[ZS_SEGMENT_QUARANTINED] && index < segments->fresh; index++) {
		if (state_of(segments, index) != ZS_SEGMENT_QUARANTINED)
			continue;
		set_state(segments, index, ZS_SEGMENT_VALID);
		list_if_empty(segments, index);
	}
}

uint32_t zs_segments_available(struct zs_segments *segments)
{
	ZS_LOCK_SCOPE(&segments->lock);

	return nr_available(segments);
}

void zs_segments_start_round(struct zs_segments *segments)
{
	ZS_LOCK_SCOPE(&segments->lock);

	segments->round++;
}

static bool is_candidate(const struct zs_segments *segments, uint32_t index)
{
	const struct zs_segment *segment = &segments->segments[index];

	return segment->live_units && segment->live_units != segment->stuck_units &&
	       segment->round != segments->round && state_of(segments, index) == ZS_SEGMENT_VALID;
}

bool zs_segments_find_victim(struct zs_segments *segments, uint32_t max_units, uint32_t *ret_index)
{
	uint32_t least = max_units + 1;
	ZS_LOCK_SCOPE(&segments->lock);

	for (uint32_t index = 1; index < segments->fresh; index++) {
		if (segments->segments[index].live_units >= least || !is_candidate(segments, index))
			continue;
		least = segments->segments[index].live_units;
		*ret_index = index;
	}
	return least <= max_units;
}

void zs_segments_note_tried(struct zs_segments *segments, uint32_t index, bool damage)
{
	struct zs_segment *segment = &segments->segments[index];
	ZS_LOCK_SCOPE(&segments->lock);

	segment->round = segments->round;
	segment->stuck_units = damage ? segment->live_units : 0;
}

/*
 * records
 */

/* Under lock: true if a record may lie there. */
static bool may_hold(const struct zs_segments *segments, uint64_t unit, uint32_t units)
{
	uint32_t index = zs_segment_of(segments, unit);
	uint64_t at = unit % segments->segment_units;

	/* The quotient may have been cut. */
	if (unit >> ZS_PLACE_UNIT_BITS || !index || index >= segments->fresh || units < zs_record_units(1))
		return false;
	return state_of(segments, index) != ZS_SEGMENT_FREE && at >= ZS_SEGMENT_FIRST_UNIT &&
	       at + units <= segments->segment_units;
}

bool zs_segments_holds(struct zs_segments *segments, uint64_t unit, uint32_t units)
{
	ZS_LOCK_SCOPE(&segments->lock);

	return may_hold(segments, unit, units) &&
	       segments->segments[zs_segment_of(segments, unit)].live_units + units <=
		       segments->segment_units - ZS_SEGMENT_FIRST_UNIT;
}

void zs_segments_add_live(struct zs_segments *segments, uint32_t index, uint32_t units, uint32_t nr)
{
	ZS_LOCK_SCOPE(&segments->lock);

	segments->segments[index].live_units += units;
	segments->live_units += units;
	segments->nr_live += nr;
}

bool zs_segments_remove_live(struct zs_segments *segments, uint64_t unit, uint32_t units)
{
	uint32_t index = zs_segment_of(segments, unit);
	ZS_LOCK_SCOPE(&segments->lock);

	if (!may_hold(segments, unit, units) || segments->segments[index].live_units < units)
		return false;
	segments->segments[index].live_units -= units;
	segments->live_units -= units;
	segments->nr_live--;
	list_if_empty(segments, index);
	return true;
}

/* Asserts that a list has so many segments in this state. */
static void check_list(const struct zs_segments *segments, uint32_t list, uint32_t nr, enum zs_segment_state state)
{
	for (uint32_t index = list; index; index = segments->segments[index].next) {
		zs_assert(nr-- && index < segments->fresh && state_of(segments, index) == state);
		zs_assert(!segments->segments[index].live_units);
	}
	zs_assert(!nr);
}

void zs_segments_check(struct zs_segments *segments)
{
	uint32_t nr_state[ZS_SEGMENT_NR_STATES] = {0}, nr_empty = 0;
	uint64_t live_units = 0;
	ZS_LOCK_SCOPE(&segments->lock);

	for (uint32_t index = 1; index < segments->fresh; index++) {
		uint32_t live = segments->segments[index].live_units;

		zs_assert(zs_residue_is_sound(atomic_load(&segments->words[index])));
		zs_assert(zs_segment_sequence(segments, index) <= segments->sequence);
		zs_assert(live <= segments->segment_units - ZS_SEGMENT_FIRST_UNIT);
		nr_state[state_of(segments, index)]++;
		nr_empty += state_of(segments, index) == ZS_SEGMENT_VALID && !live;
		live_units += live;
	}
	for (unsigned int state = 0; state < ZS_SEGMENT_NR_STATES; state++)
		zs_assert(nr_state[state] == segments->nr_state[state]);
	zs_assert(live_units == segments->live_units);
	zs_assert(nr_empty == segments->nr_empty && nr_state[ZS_SEGMENT_FREE] == segments->nr_free);
	check_list(segments, segments->free, segments->nr_free, ZS_SEGMENT_FREE);
	check_list(segments, segments->empty, segments->nr_empty, ZS_SEGMENT_VALID);
}
