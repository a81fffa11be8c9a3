/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counters and checks of the backing file. */

#include <string.h>

#include "base/check.h"
#include "store/backing_internal.h"

static uint64_t count_of(const struct zs_backing *backing, enum zs_backing_count what)
{
	return atomic_load_explicit(&backing->counts[what], memory_order_relaxed);
}

static void add_segments(struct zs_backing *backing, struct zs_backing_stats *stats)
{
	struct zs_segments *segments = &backing->segments;
	uint64_t used;
	ZS_LOCK_SCOPE(&segments->lock);

	stats->size_bytes = (uint64_t)segments->nr * segments->segment_bytes;
	stats->segment_bytes = segments->segment_bytes;
	stats->free_segments = segments->nr_free +
			       (segments->nr > segments->fresh ? segments->nr - segments->fresh : 0);
	stats->inflight_segments = segments->nr_state[ZS_SEGMENT_INFLIGHT];
	stats->valid_segments = segments->nr_state[ZS_SEGMENT_VALID];
	stats->quarantined_segments = segments->nr_state[ZS_SEGMENT_QUARANTINED];
	stats->live_bytes = segments->live_units * ZS_UNIT_BYTES;
	stats->live_records = segments->nr_live;
	used = stats->inflight_segments + stats->valid_segments + stats->quarantined_segments;
	stats->dead_bytes = used * segments->segment_bytes - stats->live_bytes;
	stats->file_bytes = used * segments->segment_bytes;
}

static void add_counts(const struct zs_backing *backing, struct zs_backing_stats *stats)
{
	stats->writes = count_of(backing, ZS_BACKING_COUNT_WRITES);
	stats->written_bytes = count_of(backing, ZS_BACKING_COUNT_WRITTEN_BYTES);
	stats->appended_records = count_of(backing, ZS_BACKING_COUNT_APPENDED_RECORDS);
	stats->appended_bytes = count_of(backing, ZS_BACKING_COUNT_APPENDED_BYTES);
	stats->payload_bytes = count_of(backing, ZS_BACKING_COUNT_PAYLOAD_BYTES);
	stats->reads = count_of(backing, ZS_BACKING_COUNT_READS);
	stats->read_bytes = count_of(backing, ZS_BACKING_COUNT_READ_BYTES);
	stats->read_records = count_of(backing, ZS_BACKING_COUNT_READ_RECORDS);
	stats->collected_segments = count_of(backing, ZS_BACKING_COUNT_COLLECTED_SEGMENTS);
	stats->collected_records = count_of(backing, ZS_BACKING_COUNT_COLLECTED_RECORDS);
	stats->collected_bytes = count_of(backing, ZS_BACKING_COUNT_COLLECTED_BYTES);
	stats->punched_bytes = count_of(backing, ZS_BACKING_COUNT_PUNCHED_BYTES);
	stats->write_io_errors = count_of(backing, ZS_BACKING_COUNT_IO_ERRORS);
	stats->write_space_errors = count_of(backing, ZS_BACKING_COUNT_SPACE_ERRORS);
	stats->write_short = count_of(backing, ZS_BACKING_COUNT_SHORT);
	stats->write_canceled = count_of(backing, ZS_BACKING_COUNT_CANCELED);
	stats->write_again = count_of(backing, ZS_BACKING_COUNT_AGAIN);
	stats->write_errors = stats->write_io_errors + stats->write_space_errors + stats->write_short +
			      stats->write_canceled + stats->write_again;
	stats->failed_records = count_of(backing, ZS_BACKING_COUNT_FAILED_RECORDS);
	stats->read_errors = count_of(backing, ZS_BACKING_COUNT_READ_ERRORS);
	stats->corrupt_records = count_of(backing, ZS_BACKING_COUNT_CORRUPT);
}

void zs_backing_stats(struct zs_backing *backing, struct zs_backing_stats *ret_stats)
{
	struct zs_backing_stats stats = {
		.is_direct = backing->file.is_direct,
		.is_encrypted = backing->is_encrypted,
		.is_device = backing->file.is_device,
		.paused = zs_log_pause_error(backing),
	};

	add_segments(backing, &stats);
	add_counts(backing, &stats);
	if (!backing->file.is_device)
		stats.file_bytes = zs_backing_file_bytes(&backing->file);
	*ret_stats = stats;
}

uint64_t zs_backing_room(struct zs_backing *backing)
{
	const struct zs_log *log = &backing->log;
	uint64_t available = zs_segments_available(&backing->segments), room = 0;
	uint32_t used = log->segment_used + (log->is_filling ? log->chunks[log->next % ZS_CHUNKS].bytes : 0);

	if (available > ZS_SEGMENTS_RESERVE)
		room = (available - ZS_SEGMENTS_RESERVE) * (backing->segments.segment_bytes - ZS_RECORD_MAX_BYTES);
	/* The longest record may not fit at the end of a segment, nor use up the last page of a write. */
	if (log->segment && used + ZS_RECORD_MAX_BYTES < backing->segments.segment_bytes)
		room += backing->segments.segment_bytes - used - ZS_RECORD_MAX_BYTES;
	return room;
}

bool zs_backing_is_full(struct zs_backing *backing)
{
	struct zs_backing_stats stats = {0};

	add_segments(backing, &stats);
	return zs_segments_available(&backing->segments) <= ZS_SEGMENTS_RESERVE && !stats.quarantined_segments;
}

uint64_t zs_backing_freed(struct zs_backing *backing)
{
	struct zs_segments *segments = &backing->segments;
	uint64_t unused_bytes;
	ZS_LOCK_SCOPE(&segments->lock);

	unused_bytes = zs_segments_unused_bytes(segments);
	return unused_bytes - zs_min(unused_bytes, segments->refused_unused_bytes);
}

uint64_t zs_backing_pending(const struct zs_backing *backing)
{
	const struct zs_log *log = &backing->log;
	uint64_t nr = 0;

	for (uint64_t i = log->first; i < log->next; i++)
		nr += log->chunks[i % ZS_CHUNKS].nr;
	return nr;
}

void zs_backing_check(struct zs_backing *backing)
{
	const struct zs_log *log = &backing->log;

	zs_segments_check(&backing->segments);
	zs_assert(log->next - log->first + log->is_filling <= ZS_CHUNKS);
	zs_assert(log->segment || !log->is_filling);
	zs_assert(log->segment_used <= backing->segments.segment_bytes);
}
