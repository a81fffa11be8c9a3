#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backing file: where cold objects are, packed as records into the segments of a log. A regular file, which grows
 * as it is needed and has holes where nothing is; or a block device.
 *
 * It knows objects by their handles and says where they are; handle words are changed by its users. A record takes room
 * from when it is appended until it is freed, and can be read all that time: whoever frees it makes sure that nobody
 * reads it any more (a pin of the handle does, see zsmalloc/handle.h).
 *
 *   writing   zs_backing_append() copies a record into a buffer, zs_backing_reap() tells when it is in the file. Only
 *             then may the object's memory be freed
 *   failing   a write that fails leaves nothing behind. After three in a row nothing is written for a while: appending
 *             answers -EIO at once; after one for lack of room -ENOSPC, until a segment was given back or 10 s later
 *   freeing   a segment without a record that is live is used again, or given back to the file system
 *   dying     what was in flight when a process was killed may still be written after that. Segments that were open are
 *             put into quarantine until that is surely over: they are read, but not used again
 *
 * Context: append, submit, reap, collect and punch are for one thread, which owns the ring; all else is for any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bits.h"
#include "store/backing_format.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/handle.h"

struct zs_backing;

/* A record as its users know it: an object, and whose it is. */
struct zs_record {
	struct zs_handle handle;
	uint32_t meta;	   /* of the object header, as in memory; says the payload's size */
	uint32_t checksum; /* as well; not looked at when it is written */
	uint64_t device_id;
	uint64_t block; /* the file keeps the low 32 bits */
	const void *payload;
};

struct zs_backing_options {
	const char *path;
	uint64_t size_bytes;	/* 0 = as large as it gets; else at least four segments */
	uint32_t segment_bytes; /* 0 = 1 MiB; a power of two, 256 KiB to 16 MiB. An open file keeps what it has */
	bool buffered;		/* through the page cache, even if the file system can do without */
	bool encrypt;
};

/* Which of the options a refusal is about, so that the caller can name it. */
enum zs_backing_field {
	ZS_BACKING_FIELD_NONE,
	ZS_BACKING_FIELD_PATH,
	ZS_BACKING_FIELD_SIZE,
	ZS_BACKING_FIELD_SEGMENT,
	ZS_BACKING_FIELD_ENCRYPT,
};

struct zs_backing_stats {
	uint64_t size_bytes; /* the file may become as large */
	uint64_t file_bytes; /* what it takes of its file system; of a device, what is in use */
	uint32_t segment_bytes;
	uint64_t free_segments; /* of all that fit into size_bytes */
	uint64_t inflight_segments, valid_segments, quarantined_segments;
	uint64_t live_bytes;		/* records, headers included */
	uint64_t dead_bytes;		/* in segments that are in use, but no record */
	uint64_t live_records;		/* all but those that are not submitted yet, as in the two above */
	uint64_t writes, written_bytes; /* all that went to the file */
	uint64_t appended_records, appended_bytes;
	uint64_t payload_bytes; /* of the records appended */
	uint64_t reads, read_bytes, read_records;
	uint64_t collected_segments, collected_records, collected_bytes; /* read to be collected; copied */
	uint64_t punched_bytes;
	uint64_t write_errors; /* writes that failed, all of those below */
	uint64_t write_io_errors, write_space_errors, write_short, write_canceled, write_again;
	uint64_t failed_records; /* records of these writes */
	uint64_t read_errors;	 /* the file answered an error, or ended */
	uint64_t corrupt_records;
	bool is_direct, is_encrypted, is_device;
	int paused; /* 0, -EIO or -ENOSPC: what appending answers now */
};

/*
 * life
 *
 * zs_backing_open() makes an empty backing file of an empty file, or of one that a store has left that is gone; if the
 * arena has one already, it must be that file. Nothing is changed if it refuses, and *ret_field says which option is to
 * blame; ret_field may be NULL. A file system in memory, and one that can't do without the page cache, is used with a
 * warning. Returns 0 or
 *   -ENOENT, -EACCES, -EROFS, ... as open(2)
 *   -EISDIR, -ENOTBLK     a directory; neither a regular file nor a block device
 *   -EBUSY                another process has it, or it is mounted
 *   -EMEDIUMTYPE          there is something in it that is not ours
 *   -ESTALE               it is not the file that the arena knows, or its header is damaged
 *   -EOVERFLOW            smaller than four segments: size, or the device
 *   -EFBIG                size: larger than the device
 *   -EINVAL               segment_bytes
 *   -EOPNOTSUPP           encrypt: libsodium does not work here
 *   -ENOSPC               no segment fits into the arena's table
 *   -EIO, -ENOMEM
 * After an arena was opened again its records have to be adopted, before anything else is done.
 */
int zs_backing_open(struct zs_arena *arena, const struct zs_backing_options *options, enum zs_backing_field *ret_field,
		    struct zs_backing **ret_backing);
/* Waits for all writes, and tells of their records as zs_backing_reap() does. */
void zs_backing_close(struct zs_backing *backing);

/* Counts a live record of a reopened arena. -EBADMSG: nothing can be there. */
int zs_backing_adopt(struct zs_backing *backing, const struct zs_place *place);
/* All have been adopted: what nothing live is in is free. */
void zs_backing_adopt_end(struct zs_backing *backing);

/* How large it may become; less than it is takes effect as segments become free. Returns 0, -EOVERFLOW, -EFBIG. */
int zs_backing_set_size(struct zs_backing *backing, uint64_t size_bytes);

/*
 * How many bytes are being written at a time, at most: ZS_BATCH_MIN_BYTES to ZS_BATCH_MAX_BYTES, the default; it is
 * rounded down to whole writes of ZS_BATCH_MIN_BYTES. For any thread; what is on its way goes on.
 */
#define ZS_BATCH_MIN_BYTES ((uint64_t)256 << 10)
#define ZS_BATCH_MAX_BYTES ((uint64_t)4 << 20)
void zs_backing_set_batch(struct zs_backing *backing, uint64_t bytes);
uint64_t zs_backing_batch(const struct zs_backing *backing);

/*
 * appending: the cold thread only
 */

/* The same for what is appended from now on; 0: as zs_backing_set_batch() has it. */
void zs_backing_use_batch(struct zs_backing *backing, uint64_t bytes);

/* One for each record: where it is now, or why it isn't (-EIO, -ENOSPC, ...; place is free already then). */
typedef void zs_backing_done(void *context, void *cookie, const struct zs_place *place, int error);
void zs_backing_set_done(struct zs_backing *backing, zs_backing_done *done, void *context);
/* Some records before done, with its context: what it needs in memory can be asked for. NULL: nobody asks. */
typedef void zs_backing_soon(void *context, void *cookie);
void zs_backing_set_soon(struct zs_backing *backing, zs_backing_soon *soon);

/*
 * Appends a record; its payload may change as soon as this returns. Waits for a write if all buffers are in use, and
 * tells of its records then. Returns 0 (the record will be told of), -ENOSPC or -EIO (it will not).
 */
int zs_backing_append(struct zs_backing *backing, const struct zs_record *record, void *cookie);
/* What the record of an object with this meta takes of the file. */
uint64_t zs_backing_record_bytes(const struct zs_backing *backing, uint32_t meta);
/* What is in the buffer goes out, up to the end of a page: half a page is lost each time. */
void zs_backing_submit(struct zs_backing *backing);
/* Tells of all records whose writes are over; wait: of all that were submitted. */
void zs_backing_reap(struct zs_backing *backing, bool wait);
/* How many bytes of records can be appended before it is full, at least. */
uint64_t zs_backing_room(struct zs_backing *backing);
/* True if no segment can be taken, and none is in quarantine. Any thread. */
bool zs_backing_is_full(struct zs_backing *backing);
/*
 * How much more of the file is not in use than when a record was refused for lack of room the last time: blocks were
 * freed, or it has grown. Collection makes room of it, if enough of it is together. Any thread.
 */
uint64_t zs_backing_freed(struct zs_backing *backing);
/* How many records were submitted and not told of. */
uint64_t zs_backing_pending(const struct zs_backing *backing);

/*
 * reading: any thread
 */

/* What a buffer for one record must have; its address is that of a page. */
#define ZS_BACKING_READ_BYTES ((ZS_RECORD_MAX_BYTES / ZS_PAGE_SIZE + 3) * ZS_PAGE_SIZE)
/* More than that is not read at once. */
#define ZS_BACKING_RANGE_BYTES ((size_t)256 << 10)

/*
 * Reads a record whose handle is pinned. *ret_record's payload is in the buffer, and its checksum is right. Returns 0,
 * -EIO (the file can't be read there) or -EBADMSG (what is there is not this record): counted, not logged.
 */
int zs_backing_read(struct zs_backing *backing, const struct zs_place *place, void *buffer, size_t capacity,
		    struct zs_record *ret_record);
/*
 * Reads nr records by one system call. Their places must be in the order of the file, and from the first to the last
 * fit into the buffer: see zs_place_joins(). Each has its own result; if the file can't be read there it is -EIO for
 * all of them, and the caller may ask for each alone.
 */
void zs_backing_read_range(struct zs_backing *backing, const struct zs_place *places, unsigned int nr, void *buffer,
			   size_t capacity, struct zs_record *ret_records, int *ret_errors);

/* True if one read into a buffer of capacity bytes gets all from first to next, which follows last closely. */
static inline bool zs_place_joins(const struct zs_place *first, const struct zs_place *last,
				  const struct zs_place *next, size_t capacity)
{
	uint64_t gap = next->unit - (last->unit + last->units);

	return next->unit >= last->unit + last->units && gap <= ZS_PAGE_SIZE / ZS_UNIT_BYTES &&
	       (next->unit + next->units - first->unit) * ZS_UNIT_BYTES + 2 * ZS_PAGE_SIZE <=
		       zs_min(capacity, ZS_BACKING_RANGE_BYTES);
}

/*
 * freeing
 */

/* The record is dead; any thread. Never waits for the file. A place where no record can be is counted as corrupt. */
void zs_backing_free(struct zs_backing *backing, const struct zs_place *place);
/* Gives segments in which nothing is live back to the file system. Waits for writes. Returns how many. */
unsigned int zs_backing_punch(struct zs_backing *backing);

/* What collection asks and tells. */
struct zs_backing_mover {
	/* True if the handle says that its object is at this place. */
	bool (*is_live)(void *context, struct zs_handle handle, const struct zs_place *place);
	/* The record is at both; one store of the handle word. False if it isn't at `from` any more, or pinned. */
	bool (*relocate)(void *context, struct zs_handle handle, const struct zs_place *from,
			 const struct zs_place *to);
	/*
	 * There is no room to copy it to: the object is put back into memory, by one store of the handle word. False if
	 * it isn't at `from` any more, is pinned, or memory is short. May be NULL; nothing is collected then that way.
	 */
	bool (*restore)(void *context, const struct zs_record *record, const struct zs_place *from);
	void *context;
};

/*
 * Empties up to nr_segments of those with the least live data, of which at least percent must be dead, by copying what
 * is live to the end of the log, or into memory if there is no other room. Returns how many segments it has looked at,
 * 0 if none has so much that is dead; -ENOSPC or -EIO as zs_backing_append(), or -ENOMEM. Records that can't be read
 * stay where they are.
 */
int zs_backing_collect(struct zs_backing *backing, const struct zs_backing_mover *mover, unsigned int percent,
		       unsigned int nr_segments);

/*
 * budget: how much may be written, for its users. It is kept in the arena, by one store; and in the file, from where a
 * store takes it whose arena has no file yet. 0s at first.
 */
struct zs_backing_budget {
	uint64_t day;		  /* as its user counts them */
	uint64_t written_bytes;	  /* on that day */
	uint64_t limit_bytes;	  /* a day; 0 = none */
	uint64_t remaining_bytes; /* if is_counted: in all, and never refilled */
	bool is_counted;
	/* What the configuration said last, 0 = none: to tell what is new there. In the file only. */
	uint64_t configured_limit_bytes, configured_total_bytes;
};
/* Context: one thread at a time. */
void zs_backing_get_budget(struct zs_backing *backing, struct zs_backing_budget *ret_budget);
void zs_backing_set_budget(struct zs_backing *backing, const struct zs_backing_budget *budget);
/* Writes it to the disk, if it isn't there; tells the log if that fails. Context: the cold thread. */
void zs_backing_keep_budget(struct zs_backing *backing, const struct zs_backing_budget *budget);

/*
 * insides
 */

void zs_backing_stats(struct zs_backing *backing, struct zs_backing_stats *ret_stats);
/* The path that it was opened by. */
const char *zs_backing_path(const struct zs_backing *backing);
/* Asserts all invariants. Context: no other thread uses it. */
void zs_backing_check(struct zs_backing *backing);

/*
 * What tests have the system answer. write: told what a write has answered, bytes or -errno, says what it shall have
 * been; -EINPROGRESS: not yet, ask me again. read: instead of pread(2), with its errno as -errno. now_ns: instead of
 * CLOCK_BOOTTIME. Each may be NULL.
 */
struct zs_backing_faults {
	int (*write)(void *context, int result);
	ssize_t (*read)(void *context, int fd, void *buffer, size_t size, uint64_t offset);
	uint64_t (*now_ns)(void *context);
	void *context;
};
void zs_backing_set_faults(struct zs_backing *backing, const struct zs_backing_faults *faults);
