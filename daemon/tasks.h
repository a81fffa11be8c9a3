#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tasks: long work on the data of a device, done by one thread in the order in which it was asked for, in slices of
 * some milliseconds with pauses in between. Everything that a user or a policy starts and then watches is one.
 *
 * A task borrows its device for a slice at a time, so that removing the device doesn't wait for the task. The last 64
 * tasks can be looked at, ended ones included. The thread is made with the first task.
 *
  * Context: any thread; create and destroy by one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/recompress.h"
#include "store/store.h"
#include "store/train.h"
#include "store/writeback.h"

struct zsd_tasks;

#define ZSD_TASKS_MAX 64

enum zsd_task_kind {
	ZSD_TASK_RECOMPRESS,
	ZSD_TASK_WRITEBACK,
	ZSD_TASK_TRAIN,
};

enum zsd_task_state {
	ZSD_TASK_WAITING,
	ZSD_TASK_RUNNING,
	ZSD_TASK_DONE,
	ZSD_TASK_CANCELLED,
	ZSD_TASK_FAILED, /* error says why: the device was removed, or memory is short */
};

/* Who wanted it. */
enum zsd_task_reason {
	ZSD_REASON_COMMAND,
	ZSD_REASON_IDLE,	 /* blocks were not accessed for long */
	ZSD_REASON_POOL_LIMIT,	 /* the pool comes near its limit */
	ZSD_REASON_DEVICE_LIMIT, /* a device comes near its own */
	ZSD_REASON_GROUP_LIMIT,	 /* a group does */
	ZSD_REASON_PRESSURE,	 /* the system is short of memory */
	ZSD_REASON_FULL,	 /* a request waits for room */
	ZSD_REASON_NR,
};
const char *zsd_task_reason_name(enum zsd_task_reason reason);

struct zsd_task_info {
	uint64_t number; /* never reused while the daemon runs; from 1 */
	enum zsd_task_kind kind;
	enum zsd_task_state state;
	int error;
	uint64_t device_id;
	char device[ZS_DEVICE_NAME_BYTES];
	enum zsd_task_reason reason;
	struct zs_recompress_progress recompress; /* of a recompression */
	struct zs_train_progress train;		  /* of a training */
	uint64_t scanned_blocks;		  /* all of a writeback, as struct zs_writeback_progress has them */
	uint64_t written_blocks, written_bytes;
	uint64_t finished_blocks, freed_bytes;
	uint64_t replaced_blocks, busy_blocks, failed_blocks;
};

#define ZSD_TASK_RANGES_MAX 64

/* What to write back: as struct zs_writeback_request, of one device or of all. */
struct zsd_task_writeback {
	uint64_t device_id; /* 0 = all devices */
	enum zs_writeback_type type;
	enum zs_writeback_order order;
	uint64_t idle_sec;
	uint64_t limit_blocks, limit_bytes, batch_bytes;
	unsigned int nr_ranges; /* 0 = all blocks */
	struct zs_writeback_range ranges[ZSD_TASK_RANGES_MAX];
};

int zsd_tasks_create(struct zs_store *store, struct zsd_tasks **ret_tasks);
/* Begins nothing more, cancels what is running, and lets go who waits for room. Any thread. */
void zsd_tasks_stop(struct zsd_tasks *tasks);
/* The same, and waits for the end. NULL is allowed. */
void zsd_tasks_destroy(struct zsd_tasks *tasks);

/*
 * Adds a task. share_percent: of one CPU that it may take, 1 to 100. Returns 0 and its number; -EINVAL or -ERANGE
 * (*ret_field), -ENODEV, -EBUSY (ZSD_TASKS_MAX wait or run), -ENOMEM or -EAGAIN (no thread).
 */
int zsd_tasks_recompress(struct zsd_tasks *tasks, uint64_t device_id, const struct zs_recompress_request *request,
			 unsigned int share_percent, enum zsd_task_reason reason, enum zs_recompress_field *ret_field,
			 uint64_t *ret_number);

/*
 * The same for writing back, which ends sooner than it is done if the file is full (-ENOSPC is its error then), the
 * budget used up (-EDQUOT), or the file fails (-EIO). Returns 0; -ENODEV, -EBUSY, -ENOMEM or -EAGAIN as above;
 * -EOPNOTSUPP (no backing file), -EINVAL or -ERANGE (a range).
 */
int zsd_tasks_writeback(struct zsd_tasks *tasks, const struct zsd_task_writeback *wanted, enum zsd_task_reason reason,
			uint64_t *ret_number);

/*
 * The same for training a dictionary. Returns 0; -ENODEV, -EBUSY, -ENOMEM or -EAGAIN as above; the rest is the task's
 * error, as zs_train_slice() says it.
 */
int zsd_tasks_train(struct zsd_tasks *tasks, const struct zs_train_request *request, enum zsd_task_reason reason,
		    uint64_t *ret_number);

/*
 * For a request that finds no room: has some memory freed by writing back what is coldest, of the pool or, if
 * device_id isn't 0, of a device; and waits for it. Requests that come together wait for the same task. Returns 0 (try
 * again), or why nothing could be freed, as zs_store_writeback(); -ENOSPC if nothing is left to write back.
 */
int zsd_tasks_make_room(struct zsd_tasks *tasks, uint64_t device_id);

/*
 * Has the budget written to the backing file soon: the caller doesn't wait for a disk. Without a thread, and memory to
 * make one, it is written with the next task that writes back.
 */
void zsd_tasks_keep_budget(struct zsd_tasks *tasks);

/* Has what is free in the backing file given back to its file system, when nothing else is to be done. */
void zsd_tasks_tidy(struct zsd_tasks *tasks);

/* What ended tasks of a reason have done so far, and compaction, which is no task. */
struct zsd_task_sums {
	uint64_t tasks;
	uint64_t compacted_bytes;
	uint64_t written_blocks, written_bytes, freed_bytes; /* of writebacks */
	uint64_t recompressed_blocks, saved_bytes;	     /* of recompressions */
};
void zsd_tasks_sums(struct zsd_tasks *tasks, enum zsd_task_reason reason, struct zsd_task_sums *ret_sums);
/* So much memory was freed by compaction that somebody else has done for this reason. */
void zsd_tasks_count_compacted(struct zsd_tasks *tasks, enum zsd_task_reason reason, uint64_t bytes);

/* Returns 0, or -ENOENT: there is no such task, or it ended long ago. */
int zsd_tasks_info(struct zsd_tasks *tasks, uint64_t number, struct zsd_task_info *ret_info);
/* All that are known, the oldest first: *cursor starts at 0. False at the end. */
bool zsd_tasks_next(struct zsd_tasks *tasks, uint64_t *cursor, struct zsd_task_info *ret_info);
/* It ends after its present slice. Returns 0, -ENOENT, or -EALREADY: it has ended. */
int zsd_tasks_cancel(struct zsd_tasks *tasks, uint64_t number);
