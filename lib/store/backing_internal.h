#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing store's parts: file, segments, log. See backing.h for what they do together. */

#include <stdatomic.h>

#include "base/counter.h"
#include "store/backing.h"
#include "store/backing_file.h"
#include "store/segments.h"
#include "store/uring.h"

/*
 * Writes of 256 KiB, 16 at a time: half a page lost for each is less than 1 %, and 8 are a seventh slower where a disk
 * is fast. Together they are 4 MiB, which an ordinary user may have registered (8 MiB, RLIMIT_MEMLOCK). Buffers in huge
 * pages were tried: the kernel makes few large requests of them, which takes a fifth longer, though a reader that
 * shares its CPU with the disk's interrupts is interrupted a third as often.
 */
#define ZS_CHUNK_BYTES	 ((uint32_t)256 << 10)
#define ZS_CHUNKS	 16
#define ZS_CHUNK_RECORDS 1024
/* For collection, so that it can do something when nobody else can. A kill in the middle of it may cost one. */
#define ZS_SEGMENTS_RESERVE 2

/* A record in a chunk. */
struct zs_pending {
	void *cookie;
	struct zs_place place;
	struct zs_place from; /* units 0: appended by the user, else by collection */
	struct zs_handle handle;
};

/* A write. */
struct zs_chunk {
	char *buffer;
	uint32_t bytes; /* filled; whole pages when it is written */
	uint32_t nr;	/* pending */
	uint32_t units; /* of these records, live from when it is written on */
	uint64_t offset;
	uint32_t segment;
	bool is_last; /* of its segment */
	bool is_over; /* result is known */
	int result;
	struct zs_pending *pending; /* ZS_CHUNK_RECORDS */
};

/*
 * The end of the file, as it grows. The chunks are a ring: first .. next - 1 are being written, in the order of the
 * file, and told of in this order; next is the one that is filled if is_filling.
 */
struct zs_log {
	struct zs_uring *uring;
	char *buffers;
	struct zs_pending *pending;
	struct zs_chunk chunks[ZS_CHUNKS];
	uint64_t first, next;		 /* modulo ZS_CHUNKS */
	_Atomic unsigned int max_writes; /* at a time, 1 to ZS_CHUNKS; relaxed, set by any thread */
	unsigned int run_max_writes;	 /* the same for now; 0 = not said */
	bool is_filling;
	uint32_t segment;	/* open for appending; 0 = none */
	uint32_t segment_used;	/* bytes of it that are in chunks */
	unsigned int nr_failed; /* writes in a row */
	_Atomic uint64_t pause_until_ns;
	_Atomic int pause_error; /* 0 = none; as of the last append, see zs_log_pause_error() */
};

/* Relaxed, statistics. */
enum zs_backing_count {
	ZS_BACKING_COUNT_WRITES,
	ZS_BACKING_COUNT_WRITTEN_BYTES,
	ZS_BACKING_COUNT_APPENDED_RECORDS,
	ZS_BACKING_COUNT_APPENDED_BYTES,
	ZS_BACKING_COUNT_PAYLOAD_BYTES,
	ZS_BACKING_COUNT_READS,
	ZS_BACKING_COUNT_READ_BYTES,
	ZS_BACKING_COUNT_READ_RECORDS,
	ZS_BACKING_COUNT_COLLECTED_SEGMENTS,
	ZS_BACKING_COUNT_COLLECTED_RECORDS,
	ZS_BACKING_COUNT_COLLECTED_BYTES,
	ZS_BACKING_COUNT_PUNCHED_BYTES,
	ZS_BACKING_COUNT_IO_ERRORS,
	ZS_BACKING_COUNT_SPACE_ERRORS,
	ZS_BACKING_COUNT_SHORT,
	ZS_BACKING_COUNT_CANCELED,
	ZS_BACKING_COUNT_AGAIN,
	ZS_BACKING_COUNT_FAILED_RECORDS,
	ZS_BACKING_COUNT_READ_ERRORS,
	ZS_BACKING_COUNT_CORRUPT,
	ZS_BACKING_COUNT_NR,
};

struct zs_backing {
	struct zs_arena *arena;
	struct zs_backing_file file;
	struct zs_segments segments;
	struct zs_log log;		 /* the cold thread's */
	uint8_t id[ZS_BACKING_ID_BYTES]; /* constant, as the next three */
	uint64_t seal_key;		 /* of id */
	bool is_encrypted;
	uint8_t key[ZS_BACKING_KEY_BYTES];
	uint64_t configured_limit_bytes; /* of the budget; its user's, as the next one */
	uint64_t configured_total_bytes;
	struct zs_backing_budget kept; /* in the file; the cold thread's, as the next three */
	uint64_t kept_sequence;
	bool keeping_failed;
	char *page;		    /* aligned */
	uint64_t quarantine_end_ns; /* the cold thread's; 0 = over */
	zs_backing_done *done;	    /* the cold thread's, as the next two */
	zs_backing_soon *soon;
	void *done_context;
	const struct zs_backing_mover *mover;	/* while it collects */
	const struct zs_backing_faults *faults; /* constant while it is used */
	_Atomic uint64_t counts[ZS_BACKING_COUNT_NR];
};

static inline void zs_backing_count(struct zs_backing *backing, enum zs_backing_count what, uint64_t amount)
{
	atomic_fetch_add_explicit(&backing->counts[what], amount, memory_order_relaxed);
}

/* The same, of what only the cold thread counts. */
static inline void zs_backing_count_cold(struct zs_backing *backing, enum zs_backing_count what, uint64_t amount)
{
	zs_counter_add(&backing->counts[what], amount);
}

uint64_t zs_backing_now_ns(const struct zs_backing *backing);
/* Ends it, if it is time. */
void zs_backing_look_at_quarantine(struct zs_backing *backing);

/*
 * budget, backing_budget.c: reads what the file has of it, into the attributes, too, unless they are NULL. What can't
 * be read or is damaged counts as none.
 */
void zs_budget_load(struct zs_backing *backing, struct zs_backing_attributes *attributes);

/* log, backing_log.c */

/* Returns 0 or -ENOMEM. */
int zs_log_init(struct zs_backing *backing);
/* All chunks must be over. */
void zs_log_deinit(struct zs_backing *backing);
/* As zs_backing_append(); from->units not 0: for collection, from there. */
int zs_log_append(struct zs_backing *backing, const struct zs_record *record, const struct zs_place *from,
		  void *cookie);
/* Nothing is written for so long. */
void zs_log_pause(struct zs_backing *backing, int error, uint64_t nsec);
/* 0, or why nothing is written now. Any thread. */
int zs_log_pause_error(const struct zs_backing *backing);
/* No more goes to the segment that is open. Nothing may be waiting to be submitted. */
void zs_log_leave(struct zs_backing *backing);
/* Something was given back: there may be room again. */
void zs_log_note_room(struct zs_backing *backing);

/* records, backing_record.c */

/* Units that this record takes. */
uint32_t zs_record_length(const struct zs_backing *backing, uint32_t meta);
/* Writes the record that is to lie at place to `to`, with zeros up to a whole unit. */
void zs_record_encode(const struct zs_backing *backing, const struct zs_record *record, const struct zs_place *place,
		      char *to);
/*
 * Reads the header at this unit of a segment whose use has this sequence; bytes may follow from there. Returns 0, and
 * the place, or -EBADMSG.
 */
int zs_record_look(const struct zs_backing *backing, uint64_t sequence, uint64_t unit, const char *at, size_t bytes,
		   struct zs_place *ret_place);
/* Reads a record that zs_record_look() has found there, and decrypts it in place. Returns 0 or -EBADMSG. */
int zs_record_decode(const struct zs_backing *backing, uint64_t sequence, const struct zs_place *place, char *at,
		     struct zs_record *ret_record);

/* reading, backing_read.c */

/* As zs_backing_file_read(), counted; tests have their say. */
int zs_backing_read_bytes(struct zs_backing *backing, void *buffer, size_t size, uint64_t offset);
