#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of tasks.h share. */

#include <pthread.h>
#include <stdatomic.h>

#include "tasks.h"

struct zsd_task {
	uint64_t number; /* 0: there was none in this place yet */
	enum zsd_task_kind kind;
	enum zsd_task_state state;
	int error;
	uint64_t device_id;
	char device[ZS_DEVICE_NAME_BYTES];
	enum zsd_task_reason reason;
	unsigned int share_percent;
	bool cancel;
	/* The thread's while it is RUNNING, but for their progress. */
	struct zs_recompress recompress;
	struct zsd_task_writeback wanted;
	struct zs_writeback_progress writeback;
	struct zs_train_request training;
	struct zs_train train;
};

struct zsd_tasks {
	struct zs_store *store;
	struct zs_stream *stream; /* the thread's */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;  /* guards the rest */
	pthread_cond_t wanted; /* a task was added or cancelled, or stopping */
	bool stopping;
	pthread_cond_t ended; /* a task has, or stopping */
	bool tidy;	      /* wanted */
	bool keep;	      /* the budget is to be written to the file */
	uint64_t last;	      /* number of the newest task */
	uint64_t running;     /* the next one to run */
	struct zsd_task ring[ZSD_TASKS_MAX];
	struct zsd_task_sums sums[ZSD_REASON_NR];
};

static inline struct zsd_task *zsd_task_place(struct zsd_tasks *tasks, uint64_t number)
{
	return &tasks->ring[number % ZSD_TASKS_MAX];
}

static inline uint64_t zsd_task_load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline bool zsd_task_has_ended(const struct zsd_task *task)
{
	return !task->number || task->state > ZSD_TASK_RUNNING;
}

/* The thread: of struct zsd_tasks. */
void *zsd_tasks_run(void *context);
