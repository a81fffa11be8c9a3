/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Appending to the backing file.
 *
 * Records are told of in the order of the file: a write that is over waits for those before it. So collection and
 * writeback commit in the order in which they read, and no place is told of before the end of an earlier use of it.
 *
 *   room in the chunk and in the segment?     put it there
 *   room in the segment only                  the chunk is written, up to the end of a page; the next one begins there
 *   neither                                   the segment is closed as soon as its writes are over; take another one
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/log.h"
#include "store/backing_internal.h"

/* What is in flight between them all fails when a disk does: one more than once is no accident. */
#define FAILURES_MAX	3
#define PAUSE_MIN_NSEC	UINT64_C(1000000000)
#define PAUSE_MAX_NSEC	UINT64_C(60000000000)
#define PAUSE_FULL_NSEC UINT64_C(10000000000)
/* So much more at once: nothing is written meanwhile, for 2 to 3 ms. */
#define LENGTHEN_BYTES ((uint64_t)256 << 20)
/* Records between what is told of and what is announced: some 100 ns each, as long as memory takes. */
#define SOON 6
/* How often a write is asked for that tests hold back. */
#define POLL_NSEC 1000000

static struct zs_chunk *chunk_at(struct zs_log *log, uint64_t number)
{
	return &log->chunks[number % ZS_CHUNKS];
}

/*
 * life
 */

int zs_log_init(struct zs_backing *backing)
{
	struct zs_log *log = &backing->log;

	log->buffers = zs_fault() ? NULL : aligned_alloc(ZS_PAGE_SIZE, (size_t)ZS_CHUNKS * ZS_CHUNK_BYTES);
	log->pending = zs_malloc((size_t)ZS_CHUNKS * ZS_CHUNK_RECORDS * sizeof(log->pending[0]));
	if (!log->buffers || !log->pending)
		return -ENOMEM;
	log->max_writes = ZS_CHUNKS;
	for (unsigned int i = 0; i < ZS_CHUNKS; i++) {
		log->chunks[i].buffer = log->buffers + (size_t)i * ZS_CHUNK_BYTES;
		log->chunks[i].pending = log->pending + (size_t)i * ZS_CHUNK_RECORDS;
	}
	return zs_uring_create(backing->file.fd, log->buffers, ZS_CHUNKS, ZS_CHUNK_BYTES, &log->uring);
}

void zs_log_deinit(struct zs_backing *backing)
{
	struct zs_log *log = &backing->log;

	zs_assert(log->first == log->next && !log->is_filling);
	zs_uring_destroy(log->uring);
	free(log->buffers);
	free(log->pending);
}

/*
 * failing
 */

void zs_log_pause(struct zs_backing *backing, int error, uint64_t nsec)
{
	atomic_store(&backing->log.pause_until_ns, zs_backing_now_ns(backing) + nsec);
	atomic_store(&backing->log.pause_error, error);
}

void zs_log_note_room(struct zs_backing *backing)
{
	int error = -ENOSPC;

	atomic_compare_exchange_strong(&backing->log.pause_error, &error, 0);
}

int zs_log_pause_error(const struct zs_backing *backing)
{
	int error = atomic_load(&backing->log.pause_error);

	return error && zs_backing_now_ns(backing) < atomic_load(&backing->log.pause_until_ns) ? error : 0;
}

/* What an append is told; pause_error says the same until the next one. By the cold thread. */
static int end_pause(struct zs_backing *backing)
{
	if (!zs_log_pause_error(backing))
		atomic_store(&backing->log.pause_error, 0);
	return atomic_load(&backing->log.pause_error);
}

static enum zs_backing_count error_count(int result)
{
	switch (result) {
	case -ENOSPC:
	case -EDQUOT:
		return ZS_BACKING_COUNT_SPACE_ERRORS;
	case -ECANCELED:
		return ZS_BACKING_COUNT_CANCELED;
	case -EAGAIN:
		return ZS_BACKING_COUNT_AGAIN;
	default:
		return result < 0 ? ZS_BACKING_COUNT_IO_ERRORS : ZS_BACKING_COUNT_SHORT;
	}
}

/* 1 s after the third failure in a row, then twice as long each time. */
static uint64_t pause_nsec(unsigned int nr_failed)
{
	unsigned int shift = nr_failed - FAILURES_MAX;

	return shift > 6 ? PAUSE_MAX_NSEC : zs_min(PAUSE_MIN_NSEC << shift, PAUSE_MAX_NSEC);
}

/* Returns what its records are told. */
static int note_failure(struct zs_backing *backing, const struct zs_chunk *chunk, int result)
{
	struct zs_log *log = &backing->log;
	enum zs_backing_count what = error_count(result);
	int error = what == ZS_BACKING_COUNT_SPACE_ERRORS ? -ENOSPC : result < 0 ? result : -EIO;

	log->nr_failed++;
	zs_backing_count(backing, what, 1);
	zs_backing_count(backing, ZS_BACKING_COUNT_FAILED_RECORDS, chunk->nr);
	/* Not a line for each of thousands. */
	if (log->nr_failed <= FAILURES_MAX)
		zs_log_event(ZS_EVENT_BACKING_FAILS, ZS_LOG_ERR, NULL, error,
			     "backing file %s: writing %u bytes at %llu: %s; the data stays in memory",
			     backing->file.path, chunk->bytes, (unsigned long long)chunk->offset,
			     result < 0 ? strerror(-result) : "short write");
	if (error == -ENOSPC)
		zs_log_pause(backing, -ENOSPC, PAUSE_FULL_NSEC);
	else if (log->nr_failed >= FAILURES_MAX)
		zs_log_pause(backing, -EIO, pause_nsec(log->nr_failed));
	return error;
}

/*
 * telling
 */

/* A copy that collection has made: the handle word decides. */
static void finish_move(struct zs_backing *backing, const struct zs_pending *pending, int error)
{
	const struct zs_backing_mover *mover = backing->mover;

	if (error || !mover->relocate(mover->context, pending->handle, &pending->from, &pending->place)) {
		zs_backing_free(backing, &pending->place);
		return;
	}
	zs_backing_free(backing, &pending->from);
	zs_backing_count(backing, ZS_BACKING_COUNT_COLLECTED_RECORDS, 1);
	zs_backing_count(backing, ZS_BACKING_COUNT_COLLECTED_BYTES, pending->place.units * ZS_UNIT_BYTES);
}

static void tell(struct zs_backing *backing, const struct zs_pending *pending, int error)
{
	if (pending->from.units) {
		finish_move(backing, pending, error);
		return;
	}
	if (error)
		zs_backing_free(backing, &pending->place);
	backing->done(backing->done_context, pending->cookie, &pending->place, error);
}

static void tell_all(struct zs_backing *backing, const struct zs_chunk *chunk, int error)
{
	for (uint32_t i = 0; i < chunk->nr; i++) {
		if (backing->soon && chunk->nr - i > SOON && !chunk->pending[i + SOON].from.units)
			backing->soon(backing->done_context, chunk->pending[i + SOON].cookie);
		tell(backing, &chunk->pending[i], error);
	}
}

/* The oldest write is over. */
static void retire(struct zs_backing *backing, struct zs_chunk *chunk, int result)
{
	int error = 0;

	zs_backing_count(backing, ZS_BACKING_COUNT_WRITES, 1);
	if (result == (int)chunk->bytes) {
		backing->log.nr_failed = 0;
		zs_backing_count(backing, ZS_BACKING_COUNT_WRITTEN_BYTES, chunk->bytes);
	} else {
		error = note_failure(backing, chunk, result);
	}
	tell_all(backing, chunk, error);
	if (chunk->is_last)
		zs_segments_close(&backing->segments, chunk->segment);
}

static void note_over(void *context, unsigned int tag, int result)
{
	struct zs_log *log = context;

	log->chunks[tag].is_over = true;
	log->chunks[tag].result = result;
}

/* What tests say that it was. False: it isn't over yet. */
static bool final_result(struct zs_backing *backing, struct zs_chunk *chunk, int *ret_result)
{
	const struct zs_backing_faults *faults = backing->faults;

	*ret_result = faults && faults->write ? faults->write(faults->context, chunk->result) : chunk->result;
	return *ret_result != -EINPROGRESS;
}

/* Tells of writes as long as the oldest one is over. */
static void retire_all(struct zs_backing *backing)
{
	struct zs_log *log = &backing->log;
	struct zs_chunk *chunk;
	int result;

	for (; log->first < log->next; log->first++) {
		chunk = chunk_at(log, log->first);
		if (!chunk->is_over || !final_result(backing, chunk, &result))
			return;
		retire(backing, chunk, result);
	}
}

/* wait: until the oldest one is told of. */
static void reap(struct zs_backing *backing, bool wait)
{
	const struct timespec pause = {.tv_nsec = POLL_NSEC};
	struct zs_log *log = &backing->log;
	uint64_t first = log->first;

	for (;;) {
		zs_uring_reap(log->uring, wait && !chunk_at(log, first)->is_over, note_over, log);
		retire_all(backing);
		if (!wait || log->first > first)
			return;
		if (chunk_at(log, first)->is_over)
			nanosleep(&pause, NULL);
	}
}

void zs_backing_reap(struct zs_backing *backing, bool wait)
{
	uint64_t end = backing->log.next;

	reap(backing, false);
	while (wait && backing->log.first < end)
		reap(backing, true);
}

/*
 * chunks
 */

void zs_backing_submit(struct zs_backing *backing)
{
	struct zs_log *log = &backing->log;
	struct zs_chunk *chunk = chunk_at(log, log->next);
	uint32_t bytes = (uint32_t)zs_align_up(chunk->bytes, ZS_PAGE_SIZE);

	if (!log->is_filling)
		return;
	memset(chunk->buffer + chunk->bytes, 0, bytes - chunk->bytes);
	chunk->bytes = bytes;
	log->segment_used += bytes;
	log->is_filling = false;
	log->next++;
	/* Not record by record: the lock would wait until each of them is in the cache. */
	zs_segments_add_live(&backing->segments, chunk->segment, chunk->units, chunk->nr);
	zs_uring_write(log->uring, (unsigned int)(chunk - log->chunks), bytes, chunk->offset);
}

/* No more goes there; the last of its writes that isn't over closes it. */
void zs_log_leave(struct zs_backing *backing)
{
	struct zs_log *log = &backing->log;
	struct zs_chunk *last = chunk_at(log, log->next - 1);
	uint32_t segment = log->segment;

	zs_assert(!log->is_filling);
	if (!segment)
		return;
	log->segment = 0;
	if (log->first < log->next && last->segment == segment)
		last->is_last = true;
	else
		zs_segments_close(&backing->segments, segment);
}

/*
 * Writes behind the end of a file are slow, so it is longer; what was not written is a hole. The file system may
 * wait for all direct writes then, and some of them for this thread (it completes what it has submitted): so they are
 * waited for before that, here and wherever the file is punched.
 */
static void lengthen(struct zs_backing *backing, uint64_t bytes)
{
	struct zs_segments *segments = &backing->segments;
	uint64_t length = zs_min(zs_align_up(bytes, LENGTHEN_BYTES), (uint64_t)segments->nr * segments->segment_bytes);

	if (backing->file.is_device || atomic_load(&backing->file.length) >= bytes)
		return;
	zs_backing_reap(backing, true);
	zs_backing_file_lengthen(&backing->file, zs_max(length, bytes));
}

/* keep: segments that are left to collection. */
static int enter_segment(struct zs_backing *backing, uint32_t keep)
{
	struct zs_log *log = &backing->log;
	int error;

	zs_backing_look_at_quarantine(backing);
	error = zs_segments_take(&backing->segments, keep, &log->segment);
	if (error)
		return error;
	log->segment_used = 0;
	lengthen(backing, zs_segment_offset(&backing->segments, log->segment + 1));
	return 0;
}

static void put_segment_header(struct zs_backing *backing, struct zs_chunk *chunk)
{
	struct zs_segment_header *header = (void *)chunk->buffer;

	*header = (struct zs_segment_header){.sequence = zs_segment_sequence(&backing->segments, chunk->segment)};
	memcpy(header->magic, ZS_SEGMENT_MAGIC, sizeof(header->magic));
	memcpy(header->id, backing->id, sizeof(header->id));
	header->checksum = XXH3_64bits(header, offsetof(struct zs_segment_header, checksum));
	chunk->bytes = sizeof(*header);
}

static unsigned int max_writes(const struct zs_log *log)
{
	return log->run_max_writes ?: atomic_load_explicit(&log->max_writes, memory_order_relaxed);
}

/* The next chunk, at the end of the segment. Waits if as many are being written as may be. */
static void start_chunk(struct zs_backing *backing)
{
	struct zs_log *log = &backing->log;
	struct zs_chunk *chunk;

	while (log->next - log->first >= max_writes(log))
		reap(backing, true);
	chunk = chunk_at(log, log->next);
	chunk->bytes = 0;
	chunk->nr = 0;
	chunk->units = 0;
	chunk->segment = log->segment;
	chunk->offset = zs_segment_offset(&backing->segments, log->segment) + log->segment_used;
	chunk->is_last = chunk->is_over = false;
	log->is_filling = true;
	if (!log->segment_used)
		put_segment_header(backing, chunk);
}

/* True if so many bytes fit behind what is in the chunk, both into it and into the segment. */
static bool fits(const struct zs_backing *backing, const struct zs_chunk *chunk, size_t bytes)
{
	return chunk->nr < ZS_CHUNK_RECORDS && chunk->bytes + bytes <= ZS_CHUNK_BYTES &&
	       backing->log.segment_used + chunk->bytes + bytes <= backing->segments.segment_bytes;
}

/* A chunk that has room for so many bytes. */
static int make_room(struct zs_backing *backing, size_t bytes, uint32_t keep)
{
	struct zs_log *log = &backing->log;
	int error;

	if (log->is_filling && fits(backing, chunk_at(log, log->next), bytes))
		return 0;
	zs_backing_submit(backing);
	if (log->segment && log->segment_used + bytes > backing->segments.segment_bytes)
		zs_log_leave(backing);
	if (!log->segment) {
		error = enter_segment(backing, keep);
		if (error)
			return error;
	}
	start_chunk(backing);
	return 0;
}

/*
 * appending
 */

int zs_log_append(struct zs_backing *backing, const struct zs_record *record, const struct zs_place *from, void *cookie)
{
	struct zs_log *log = &backing->log;
	struct zs_place place = {.units = zs_record_length(backing, record->meta)};
	size_t bytes = place.units * ZS_UNIT_BYTES;
	struct zs_chunk *chunk;
	int error = end_pause(backing);

	if (!error)
		error = make_room(backing, bytes, from->units ? 0 : ZS_SEGMENTS_RESERVE);
	if (error)
		return error;
	chunk = chunk_at(log, log->next);
	place.unit = (chunk->offset + chunk->bytes) / ZS_UNIT_BYTES;
	zs_record_encode(backing, record, &place, chunk->buffer + chunk->bytes);
	chunk->bytes += (uint32_t)bytes;
	chunk->units += place.units;
	chunk->pending[chunk->nr++] = (struct zs_pending){
		.cookie = cookie, .place = place, .from = *from, .handle = record->handle};
	return 0;
}
