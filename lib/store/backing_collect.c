/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Collection of the backing file: segments of which little is live are read, and what is live is appended.
 *
 * A segment is read once, as a whole, and its records are found by their seals, one behind the other. Where there is
 * none, in what pads a write or after damage, each unit is tried.
 * It isn't used again before its last record was looked at: only this thread takes segments, and it does so for a
 * record that is live there.
 *
 * Segments are kept for this, but they can be used up: by a copy that was begun when the process was killed, and by one
 * that could not be finished since records were pinned. Then the least live segment goes back into memory.
 */

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "store/backing_internal.h"

/* What is being collected. */
struct victim {
	uint32_t segment;
	uint64_t sequence;
	uint64_t first_unit; /* of the segment */
	char *bytes;
	bool has_damage; /* something live in it can't be moved */
};

static int read_victim(struct zs_backing *backing, struct victim *victim)
{
	uint64_t offset = zs_segment_offset(&backing->segments, victim->segment);
	int error;

	victim->sequence = zs_segment_sequence(&backing->segments, victim->segment);
	victim->first_unit = offset / ZS_UNIT_BYTES;
	error = zs_backing_read_bytes(backing, victim->bytes, backing->segments.segment_bytes, offset);
	victim->has_damage = error;
	if (error)
		zs_log(ZS_LOG_ERR, "backing file %s: the segment at %llu can't be read", backing->file.path,
		       (unsigned long long)offset);
	return error;
}

static int move_record(struct zs_backing *backing, struct victim *victim, const struct zs_place *place, char *at)
{
	const struct zs_backing_mover *mover = backing->mover;
	const struct zs_record_header *header = (const void *)at;
	struct zs_record record;
	int error;

	if (!mover->is_live(mover->context, (struct zs_handle){header->handle}, place))
		return 0;
	if (zs_record_decode(backing, victim->sequence, place, at, &record)) {
		victim->has_damage = true;
		zs_backing_count(backing, ZS_BACKING_COUNT_CORRUPT, 1);
		zs_log(ZS_LOG_ERR, "backing file %s: block %llu of device %llu is damaged, at %llu", backing->file.path,
		       (unsigned long long)header->block, (unsigned long long)header->device_id,
		       (unsigned long long)(place->unit * ZS_UNIT_BYTES));
		return 0;
	}
	error = zs_log_append(backing, &record, place, NULL);
	/* In memory only if no segment is left here: a disk that is full for a moment is no reason. */
	if (error != -ENOSPC || !mover->restore || atomic_load(&backing->log.pause_error))
		return error;
	if (mover->restore(mover->context, &record, place))
		zs_backing_free(backing, place);
	return 0;
}

/* Appends what is live in it. */
static int move_records(struct zs_backing *backing, struct victim *victim)
{
	uint32_t unit = ZS_SEGMENT_FIRST_UNIT, end = backing->segments.segment_units;
	struct zs_place place;
	int error = 0;

	while (!error && unit < end) {
		char *at = victim->bytes + unit * ZS_UNIT_BYTES;

		if (zs_record_look(backing, victim->sequence, victim->first_unit + unit, at,
				   (end - unit) * ZS_UNIT_BYTES, &place)) {
			unit++;
			continue;
		}
		error = move_record(backing, victim, &place, at);
		unit += place.units;
	}
	return error;
}

static int collect_one(struct zs_backing *backing, struct victim *victim)
{
	int error = read_victim(backing, victim) ? 0 : move_records(backing, victim);

	/* What was moved is over before the next one is looked for. */
	zs_backing_submit(backing);
	zs_backing_reap(backing, true);
	zs_segments_note_tried(&backing->segments, victim->segment, victim->has_damage);
	zs_backing_count(backing, ZS_BACKING_COUNT_COLLECTED_SEGMENTS, 1);
	return error;
}

int zs_backing_collect(struct zs_backing *backing, const struct zs_backing_mover *mover, unsigned int percent,
		       unsigned int nr_segments)
{
	uint32_t max_units = (uint32_t)((uint64_t)backing->segments.segment_units * (100 - percent) / 100);
	ZS_CLEANUP_FREE char *bytes = NULL;
	struct victim victim;
	unsigned int nr = 0;
	int error = 0;

	bytes = zs_fault() ? NULL : aligned_alloc(ZS_PAGE_SIZE, backing->segments.segment_bytes);
	if (!bytes)
		return -ENOMEM;
	victim.bytes = bytes;
	backing->mover = mover;
	zs_segments_start_round(&backing->segments);
	while (!error && nr < nr_segments && zs_segments_find_victim(&backing->segments, max_units, &victim.segment)) {
		error = collect_one(backing, &victim);
		nr++;
	}
	backing->mover = NULL;
	return error ?: (int)nr;
}
