/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tasks. A ring of 64: the task with number n is at n modulo 64, and takes the place of one that has ended.
 *
 *   state      next                  by
 *   WAITING    RUNNING, CANCELLED    the thread; whoever cancels
 *   RUNNING    the three below       the thread
 *   DONE, CANCELLED, FAILED          the place is free for a new one; numbers whose place isn't are left out
 *
 * tasks->lock guards the ring and the states. The store's locks may be taken under it, never the other way round; what
 * a running task does, it does without it. Its progress is atomic.
 */

#include "tasks_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "base/thread.h"
#include "codec/stream.h"
#include "store/cold.h"
#include "store/device.h"

/* A slice is long against what it costs to change threads, and short against what a client would notice. */
#define SLICE_NSEC 2000000

const char *zsd_task_reason_name(enum zsd_task_reason reason)
{
	static const char *const names[] = {
		[ZSD_REASON_COMMAND] = "command",
		[ZSD_REASON_IDLE] = "idle",
		[ZSD_REASON_POOL_LIMIT] = "pool-limit",
		[ZSD_REASON_DEVICE_LIMIT] = "device-limit",
		[ZSD_REASON_GROUP_LIMIT] = "group-limit",
		[ZSD_REASON_PRESSURE] = "pressure",
		[ZSD_REASON_FULL] = "full",
	};

	return names[reason];
}

/*
 * the thread
 */

static int write_back(struct zsd_tasks *tasks, struct zsd_task *task)
{
	const struct zsd_task_writeback *wanted = &task->wanted;
	const struct zs_writeback_request request = {
		.devices = &wanted->device_id,
		.nr_devices = wanted->device_id ? 1 : 0,
		.ranges = wanted->ranges,
		.nr_ranges = wanted->nr_ranges,
		.type = wanted->type,
		.idle_sec = wanted->idle_sec,
		.order = wanted->order,
		.limit_blocks = wanted->limit_blocks,
		.limit_bytes = wanted->limit_bytes,
		.batch_bytes = wanted->batch_bytes,
	};

	return zs_store_writeback(tasks->store, &request, &task->writeback);
}

/* One slice without the lock; all of it for a writeback. Returns 1 (more to do), 0 (done) or a negative errno. */
static int work(struct zsd_tasks *tasks, struct zsd_task *task)
{
	struct zs_device *device;
	int more;

	if (task->kind == ZSD_TASK_WRITEBACK)
		return write_back(tasks, task);
	if (task->kind == ZSD_TASK_TRAIN)
		return zs_train_slice(&task->train, tasks->store, tasks->stream, SLICE_NSEC);
	device = zs_device_get(tasks->store, task->device_id, tasks->stream);
	if (!device)
		return -ENODEV;
	zs_stream_set_nowait(tasks->stream, true);
	more = zs_recompress_slice(&task->recompress, device, tasks->stream, SLICE_NSEC);
	zs_device_put(device, tasks->stream);
	return more;
}

/* A writeback that memory is short of, or that a request waits for, or NULL. Under tasks->lock. */
static struct zsd_task *urgent_locked(struct zsd_tasks *tasks)
{
	for (unsigned int i = 0; i < ZSD_TASKS_MAX; i++) {
		struct zsd_task *task = &tasks->ring[i];

		if (task->number && task->state == ZSD_TASK_WAITING && task->kind == ZSD_TASK_WRITEBACK &&
		    task->reason != ZSD_REASON_COMMAND && task->reason != ZSD_REASON_IDLE)
			return task;
	}
	return NULL;
}

/* So long that the task keeps to its share, or until something is wanted. Under tasks->lock. */
static void pause_locked(struct zsd_tasks *tasks, const struct zsd_task *task, uint64_t worked_nsec)
{
	uint64_t end = zs_clock_nsec() + worked_nsec * (100 - task->share_percent) / task->share_percent;
	struct timespec until = {.tv_sec = (time_t)(end / 1000000000), .tv_nsec = (long)(end % 1000000000)};

	if (task->share_percent == 100)
		return;
	while (!tasks->stopping && !task->cancel && !urgent_locked(tasks)) {
		if (pthread_cond_timedwait(&tasks->wanted, &tasks->lock, &until) == ETIMEDOUT)
			return;
	}
}

static void add_sums_locked(struct zsd_tasks *tasks, const struct zsd_task *task)
{
	struct zsd_task_sums *sums = &tasks->sums[task->reason];
	struct zs_recompress_progress recompress;

	zs_recompress_progress(&task->recompress, &recompress);
	sums->tasks++;
	sums->written_blocks += zsd_task_load(&task->writeback.finished_blocks);
	sums->written_bytes += zsd_task_load(&task->writeback.written_bytes);
	sums->freed_bytes += zsd_task_load(&task->writeback.freed_bytes);
	sums->recompressed_blocks += recompress.recompressed;
	sums->saved_bytes += recompress.saved_bytes;
}

static void log_writeback(const struct zsd_task *task)
{
	uint64_t blocks = zsd_task_load(&task->writeback.finished_blocks);
	char freed[ZS_SIZE_TEXT_BYTES], written[ZS_SIZE_TEXT_BYTES];

	zs_log(blocks || task->error ? ZS_LOG_INFO : ZS_LOG_DEBUG,
	       "written back: reason=%s device=%s blocks=%llu written=%s freed=%s%s%s",
	       zsd_task_reason_name(task->reason), *task->device ? task->device : "all", (unsigned long long)blocks,
	       zs_size_format(zsd_task_load(&task->writeback.written_bytes), written),
	       zs_size_format(zsd_task_load(&task->writeback.freed_bytes), freed), task->error ? "; ended by: " : "",
	       task->error ? strerror(-task->error) : "");
}

static void log_train(const struct zsd_task *task)
{
	char gain[ZS_SIZE_TEXT_BYTES], cost[ZS_SIZE_TEXT_BYTES];
	struct zs_train_progress train;

	zs_train_progress(&task->train, &train);
	zs_log(ZS_LOG_INFO, "trained: reason=%s device=%s version=%u gain=%s cost=%s: %s",
	       zsd_task_reason_name(task->reason), task->device, train.version, zs_size_format(train.gain_bytes, gain),
	       zs_size_format(train.cost_bytes, cost),
	       train.version	  ? "kept"
	       : task->error	  ? strerror(-task->error)
	       : train.cost_bytes ? "not kept"
				  : "cancelled");
}

/* What was done and why; those that found nothing to do come again and again. */
static void log_task(const struct zsd_task *task)
{
	struct zs_recompress_progress recompress;
	char saved[ZS_SIZE_TEXT_BYTES];

	if (task->kind == ZSD_TASK_WRITEBACK)
		return log_writeback(task);
	if (task->kind == ZSD_TASK_TRAIN)
		return log_train(task);
	zs_recompress_progress(&task->recompress, &recompress);
	zs_log(recompress.recompressed ? ZS_LOG_INFO : ZS_LOG_DEBUG,
	       "recompressed: reason=%s device=%s blocks=%llu saved=%s", zsd_task_reason_name(task->reason),
	       task->device, (unsigned long long)recompress.recompressed,
	       zs_size_format(recompress.saved_bytes, saved));
}

static void finish_locked(struct zsd_tasks *tasks, struct zsd_task *task, int more)
{
	bool cancelled = more > 0 || more == -ECANCELED;

	task->state = cancelled ? ZSD_TASK_CANCELLED : more < 0 ? ZSD_TASK_FAILED : ZSD_TASK_DONE;
	task->error = task->state == ZSD_TASK_FAILED ? more : 0;
	zs_recompress_end(&task->recompress);
	zs_train_end(&task->train);
	add_sums_locked(tasks, task);
	log_task(task);
	pthread_cond_broadcast(&tasks->ended);
}

static void run_locked(struct zsd_tasks *tasks, struct zsd_task *task);

/* What is urgent doesn't wait for a recompression: that one makes a pause for it. Under tasks->lock. */
static void run_urgent_locked(struct zsd_tasks *tasks)
{
	struct zsd_task *task;

	while (!tasks->stopping && (task = urgent_locked(tasks)))
		run_locked(tasks, task);
}

/* Under tasks->lock, which is free meanwhile. */
static void keep_budget_locked(struct zsd_tasks *tasks)
{
	if (!tasks->keep)
		return;
	tasks->keep = false;
	pthread_mutex_unlock(&tasks->lock);
	zs_store_keep_writeback_budget(tasks->store);
	pthread_mutex_lock(&tasks->lock);
}

/* Until the task has ended. Under tasks->lock, which is not held while it works. */
static void run_locked(struct zsd_tasks *tasks, struct zsd_task *task)
{
	uint64_t begin;
	int more = 1;

	task->state = ZSD_TASK_RUNNING;
	if (task->kind == ZSD_TASK_TRAIN)
		more = zs_train_begin(&task->train, tasks->store, &task->training) ?: 1;
	while (more > 0 && !task->cancel && !tasks->stopping) {
		pthread_mutex_unlock(&tasks->lock);
		begin = zs_clock_nsec();
		more = work(tasks, task);
		begin = zs_clock_nsec() - begin;
		pthread_mutex_lock(&tasks->lock);
		keep_budget_locked(tasks);
		if (more > 0)
			pause_locked(tasks, task, begin);
		if (more > 0)
			run_urgent_locked(tasks);
	}
	/* What it has made superfluous; this is the thread that writes back. */
	pthread_mutex_unlock(&tasks->lock);
	zs_store_retire_dictionaries(tasks->store);
	pthread_mutex_lock(&tasks->lock);
	finish_locked(tasks, task, more);
}

/* Nothing is to be done but tidying up, or nothing at all. Under tasks->lock. */
static void rest_locked(struct zsd_tasks *tasks)
{
	bool more;

	if (tasks->keep) {
		keep_budget_locked(tasks);
		return;
	}
	if (!tasks->tidy) {
		pthread_cond_wait(&tasks->wanted, &tasks->lock);
		return;
	}
	tasks->tidy = false;
	pthread_mutex_unlock(&tasks->lock);
	more = zs_store_tidy(tasks->store);
	pthread_mutex_lock(&tasks->lock);
	tasks->tidy = tasks->tidy || more;
}

void *zsd_tasks_run(void *context)
{
	struct zsd_tasks *tasks = context;

	zs_thread_set_background();
	pthread_mutex_lock(&tasks->lock);
	while (!tasks->stopping) {
		struct zsd_task *task = zsd_task_place(tasks, tasks->running);

		if (tasks->running > tasks->last) {
			rest_locked(tasks);
			continue;
		}
		/* A cancelled one may have made room for another. */
		if (task->number == tasks->running && task->state == ZSD_TASK_WAITING)
			run_locked(tasks, task);
		tasks->running++;
	}
	keep_budget_locked(tasks);
	pthread_mutex_unlock(&tasks->lock);
	return NULL;
}

void zsd_tasks_sums(struct zsd_tasks *tasks, enum zsd_task_reason reason, struct zsd_task_sums *ret_sums)
{
	pthread_mutex_lock(&tasks->lock);
	*ret_sums = tasks->sums[reason];
	pthread_mutex_unlock(&tasks->lock);
}

void zsd_tasks_count_compacted(struct zsd_tasks *tasks, enum zsd_task_reason reason, uint64_t bytes)
{
	pthread_mutex_lock(&tasks->lock);
	tasks->sums[reason].compacted_bytes += bytes;
	pthread_mutex_unlock(&tasks->lock);
}

/*
 * watching
 */

static void describe(const struct zsd_task *task, struct zsd_task_info *ret_info)
{
	*ret_info = (struct zsd_task_info){
		.number = task->number,
		.kind = task->kind,
		.state = task->state,
		.error = task->error,
		.device_id = task->device_id,
		.reason = task->reason,
	};
	memcpy(ret_info->device, task->device, sizeof(ret_info->device));
	zs_recompress_progress(&task->recompress, &ret_info->recompress);
	zs_train_progress(&task->train, &ret_info->train);
	ret_info->scanned_blocks = zsd_task_load(&task->writeback.scanned_blocks);
	ret_info->written_blocks = zsd_task_load(&task->writeback.written_blocks);
	ret_info->written_bytes = zsd_task_load(&task->writeback.written_bytes);
	ret_info->finished_blocks = zsd_task_load(&task->writeback.finished_blocks);
	ret_info->freed_bytes = zsd_task_load(&task->writeback.freed_bytes);
	ret_info->replaced_blocks = zsd_task_load(&task->writeback.replaced_blocks);
	ret_info->busy_blocks = zsd_task_load(&task->writeback.busy_blocks);
	ret_info->failed_blocks = zsd_task_load(&task->writeback.failed_blocks);
}

int zsd_tasks_info(struct zsd_tasks *tasks, uint64_t number, struct zsd_task_info *ret_info)
{
	const struct zsd_task *task = zsd_task_place(tasks, number);
	bool found;

	pthread_mutex_lock(&tasks->lock);
	found = number && task->number == number;
	if (found)
		describe(task, ret_info);
	pthread_mutex_unlock(&tasks->lock);
	return found ? 0 : -ENOENT;
}

bool zsd_tasks_next(struct zsd_tasks *tasks, uint64_t *cursor, struct zsd_task_info *ret_info)
{
	const struct zsd_task *found = NULL;

	pthread_mutex_lock(&tasks->lock);
	for (unsigned int i = 0; i < ZSD_TASKS_MAX; i++) {
		const struct zsd_task *task = &tasks->ring[i];

		if (task->number && task->number >= *cursor && (!found || task->number < found->number))
			found = task;
	}
	if (found) {
		*cursor = found->number + 1;
		describe(found, ret_info);
	}
	pthread_mutex_unlock(&tasks->lock);
	return found;
}

/* Of a task that runs. */
static void cancel_locked(struct zsd_task *task)
{
	task->cancel = true;
	atomic_store_explicit(&task->writeback.cancel, true, memory_order_relaxed);
}

int zsd_tasks_cancel(struct zsd_tasks *tasks, uint64_t number)
{
	struct zsd_task *task = zsd_task_place(tasks, number);
	int r = 0;

	pthread_mutex_lock(&tasks->lock);
	if (!number || task->number != number)
		r = -ENOENT;
	else if (zsd_task_has_ended(task))
		r = -EALREADY;
	else if (task->state == ZSD_TASK_WAITING)
		task->state = ZSD_TASK_CANCELLED;
	else
		cancel_locked(task);
	pthread_cond_signal(&tasks->wanted);
	pthread_mutex_unlock(&tasks->lock);
	return r;
}

/*
 * life
 */

int zsd_tasks_create(struct zs_store *store, struct zsd_tasks **ret_tasks)
{
	struct zsd_tasks *tasks = zs_calloc(1, sizeof(*tasks));
	pthread_condattr_t attributes;

	if (!tasks)
		return -ENOMEM;
	tasks->store = store;
	tasks->running = 1;
	pthread_mutex_init(&tasks->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&tasks->wanted, &attributes);
	pthread_cond_init(&tasks->ended, &attributes);
	pthread_condattr_destroy(&attributes);
	*ret_tasks = tasks;
	return 0;
}

void zsd_tasks_stop(struct zsd_tasks *tasks)
{
	pthread_mutex_lock(&tasks->lock);
	tasks->stopping = true;
	for (unsigned int i = 0; i < ZSD_TASKS_MAX; i++) {
		if (tasks->ring[i].number && tasks->ring[i].state == ZSD_TASK_RUNNING)
			cancel_locked(&tasks->ring[i]);
	}
	pthread_cond_signal(&tasks->wanted);
	pthread_cond_broadcast(&tasks->ended);
	pthread_mutex_unlock(&tasks->lock);
}

void zsd_tasks_destroy(struct zsd_tasks *tasks)
{
	if (!tasks)
		return;
	zsd_tasks_stop(tasks);
	if (tasks->has_thread)
		pthread_join(tasks->thread, NULL);
	zs_stream_destroy(tasks->stream);
	pthread_cond_destroy(&tasks->ended);
	pthread_cond_destroy(&tasks->wanted);
	pthread_mutex_destroy(&tasks->lock);
	free(tasks);
}
