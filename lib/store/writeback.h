#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing blocks back: their objects are copied to the backing file, and when they are there, their memory is freed. A
 * block that is read, written or discarded meanwhile is none the worse for it.
 *
 * Context: one thread at a time, the one that owns the backing file's ring; the others go on with what they do. The
 * budget and the progress may be looked at by any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct zs_store;

/* Which blocks. Same-filled ones are never worth it. */
enum zs_writeback_type {
	ZS_WRITEBACK_ALL,
	ZS_WRITEBACK_IDLE,	     /* marked idle, or not accessed for idle_sec */
	ZS_WRITEBACK_HUGE,	     /* stored raw */
	ZS_WRITEBACK_HUGE_IDLE,	     /* both */
	ZS_WRITEBACK_INCOMPRESSIBLE, /* stored raw, and no codec of the device is left to try */
};

enum zs_writeback_order {
	ZS_WRITEBACK_BY_INDEX, /* as they lie in the device: what is read together is written together */
	ZS_WRITEBACK_LARGEST,  /* what frees most memory first; over all devices that are asked for */
	ZS_WRITEBACK_COLDEST,  /* the longest not accessed first; the same */
};

struct zs_writeback_range {
	uint64_t first, last; /* blocks, both included */
};

struct zs_writeback_request {
	const uint64_t *devices; /* ids; nr 0: all devices */
	unsigned int nr_devices;
	const struct zs_writeback_range *ranges; /* of each of the devices; nr 0: all of it */
	unsigned int nr_ranges;
	enum zs_writeback_type type;
	uint64_t idle_sec; /* 0: only what is marked idle */
	enum zs_writeback_order order;
	/* When to stop, counted as written_blocks and written_bytes; 0 = not for that. */
	uint64_t limit_blocks;
	uint64_t limit_bytes;
	uint64_t batch_bytes; /* being written at a time, as zs_backing_set_batch(); 0 = as the file's */
};

/* Kept up while it goes on; relaxed, for any thread to read. */
struct zs_writeback_progress {
	_Atomic uint64_t scanned_blocks;  /* looked at, if in an order more than once */
	_Atomic uint64_t written_blocks;  /* handed over to the file */
	_Atomic uint64_t written_bytes;	  /* their records */
	_Atomic uint64_t finished_blocks; /* in the file, and their memory is free */
	_Atomic uint64_t freed_bytes;	  /* of memory */
	_Atomic uint64_t replaced_blocks; /* overwritten or discarded meanwhile */
	_Atomic uint64_t busy_blocks;	  /* read all the time, and so left in memory */
	_Atomic uint64_t failed_blocks;	  /* could not be written, and are still in memory */
	_Atomic bool cancel;		  /* set by any thread: stop soon */
};

/*
 * Writes back what the request says and returns when all that was handed over is in the file. progress is zeroed by the
 * caller. Collects segments of the file when free ones get short. Returns 0 when there is nothing left to do or a limit
 * of the request is reached; otherwise the cause why it ended, having done what the progress says:
 *   -EOPNOTSUPP  there is no backing file         -EINVAL    a range's first block is behind its last
 *   -ERANGE      a range ends behind the device   -ENODEV    no such device
 *   -ENOSPC      the backing file is full         -EDQUOT    the budget is used up
 *   -EIO         it answers errors                -ECANCELED cancelled
 *   -ENOMEM
 * The first five, and -ENOMEM, are found before anything is written; devices that are removed meanwhile are left out.
 */
int zs_store_writeback(struct zs_store *store, const struct zs_writeback_request *request,
		       struct zs_writeback_progress *progress);

/*
 * How much may be written to the file, collection included. Both limits hold if both are set: what is written counts
 * for both. It is kept in the arena, and in the file for a store that has it next.
 */
struct zs_writeback_budget {
	uint64_t day_bytes; /* each day (UTC); 0 = no such limit */
	uint64_t written_today_bytes;
	uint64_t refill_sec; /* when the next day begins, since 1970; a day later than that if the clock was set back */
	bool has_remaining;
	uint64_t remaining_bytes; /* in all, if has_remaining: never refilled but by setting it */
};

/* Who sets a limit. What a command has set stays until the configuration says something else than it did. */
enum zs_limit_source {
	ZS_LIMIT_BY_COMMAND,
	ZS_LIMIT_BY_CONFIG, /* it was changed, or set anew */
	ZS_LIMIT_AT_START,  /* what it says now: left alone if it said the same last time */
};

#define ZS_NO_TOTAL_LIMIT UINT64_MAX

/*
 * Set what may be written each day, 0 = any; and in all from now on, or ZS_NO_TOTAL_LIMIT. Records that are on their
 * way still count for what was before. Return 0 or -EOPNOTSUPP. For any thread; lock: the store's.
 */
int zs_store_set_daily_limit(struct zs_store *store, uint64_t bytes, enum zs_limit_source source);
int zs_store_set_total_limit(struct zs_store *store, uint64_t bytes, enum zs_limit_source source);
/* Writes what was set to the file. Waits for the disk. Context: the thread that writes back. */
void zs_store_keep_writeback_budget(struct zs_store *store);

/* Returns 0 or -EOPNOTSUPP. Lock: the store's. */
int zs_store_writeback_budget(struct zs_store *store, struct zs_writeback_budget *ret_budget);
/*
 * False if nothing can be written before tomorrow, or before the budget is set anew: it is used up, or what is left was
 * too little for the last block; or there is no backing file.
 */
bool zs_store_has_writeback_budget(struct zs_store *store);
