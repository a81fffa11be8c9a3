/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks are added, and waited for. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "codec/stream.h"
#include "store/cold.h"
#include "store/device.h"
#include "tasks_internal.h"
#include "threads.h"

/* What is written back at a time for a request that waits for room: soon done, and enough for a while. */
#define ROOM_BYTES ((uint64_t)16 << 20)

/* What idle data may not take: recompression of many devices must not keep a writeback from being asked for. */
#define PLACES_KEPT 8

/* A request that waits for room looks so often whether a longer writeback has made some. */
#define ROOM_LOOK_NSEC 20000000
#define ROOM_BLOCKS    256

/* Under tasks->lock: the thread waits for it. */
static int start_thread_locked(struct zsd_tasks *tasks)
{
	int r;

	if (tasks->has_thread)
		return 0;
	if (!tasks->stream) {
		r = zs_stream_create(0, &tasks->stream);
		if (r)
			return r;
	}
	/* Training a dictionary needs more than a request does. */
	r = zsd_thread_start_deep("zsd-tasks", zsd_tasks_run, tasks, &tasks->thread);
	tasks->has_thread = !r;
	return r;
}

static unsigned int count_free_locked(struct zsd_tasks *tasks)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < ZSD_TASKS_MAX; i++)
		nr += zsd_task_has_ended(&tasks->ring[i]);
	return nr;
}

/*
 * The place of the next task, all of it 0; NULL if all are taken, or those that are left are kept for others. Places
 * whose task goes on for long are stepped over, with their numbers. Under tasks->lock.
 */
static struct zsd_task *next_place_locked(struct zsd_tasks *tasks, enum zsd_task_reason reason)
{
	struct zsd_task *task;

	if (count_free_locked(tasks) < (reason == ZSD_REASON_IDLE ? PLACES_KEPT : 1))
		return NULL;
	while (!zsd_task_has_ended(zsd_task_place(tasks, tasks->last + 1)))
		tasks->last++;
	task = zsd_task_place(tasks, tasks->last + 1);
	memset(task, 0, sizeof(*task));
	return task;
}

static void queue_locked(struct zsd_tasks *tasks, struct zsd_task *task)
{
	task->number = ++tasks->last;
	pthread_cond_signal(&tasks->wanted);
}

/* Under tasks->lock. Returns 0 or -EBUSY. */
static int add_locked(struct zsd_tasks *tasks, struct zs_device *device, const struct zs_recompress_request *request,
		      unsigned int share_percent, enum zsd_task_reason reason, uint64_t *ret_number)
{
	struct zsd_task *task = next_place_locked(tasks, reason);
	struct zs_device_info info;

	if (!task)
		return -EBUSY;
	zs_device_info(device, &info);
	zs_assert(zs_recompress_begin(&task->recompress, device, request, NULL) == 0);
	task->kind = ZSD_TASK_RECOMPRESS;
	task->device_id = info.id;
	memcpy(task->device, info.name, sizeof(task->device));
	task->share_percent = share_percent;
	task->reason = reason;
	queue_locked(tasks, task);
	*ret_number = task->number;
	return 0;
}

static int add(struct zsd_tasks *tasks, struct zs_device *device, const struct zs_recompress_request *request,
	       unsigned int share_percent, enum zsd_task_reason reason, enum zs_recompress_field *ret_field,
	       uint64_t *ret_number)
{
	struct zs_recompress probe;
	int r = zs_recompress_begin(&probe, device, request, ret_field);

	if (r)
		return r;
	pthread_mutex_lock(&tasks->lock);
	r = start_thread_locked(tasks);
	if (!r)
		r = add_locked(tasks, device, request, share_percent, reason, ret_number);
	pthread_mutex_unlock(&tasks->lock);
	return r;
}

int zsd_tasks_recompress(struct zsd_tasks *tasks, uint64_t device_id, const struct zs_recompress_request *request,
			 unsigned int share_percent, enum zsd_task_reason reason, enum zs_recompress_field *ret_field,
			 uint64_t *ret_number)
{
	struct zs_device *device = zs_device_get(tasks->store, device_id, NULL);
	int r;

	zs_assert(share_percent && share_percent <= 100);
	*ret_field = ZS_RECOMPRESS_FIELD_NONE;
	if (!device)
		return -ENODEV;
	r = add(tasks, device, request, share_percent, reason, ret_field, ret_number);
	zs_device_put(device, NULL);
	return r;
}

/* What a writeback would refuse at once. Sets the device's name. */
static int check_writeback(struct zsd_tasks *tasks, const struct zsd_task_writeback *wanted,
			   char name[static ZS_DEVICE_NAME_BYTES])
{
	struct zs_device *device;
	struct zs_device_info info;

	*name = 0;
	if (!zs_store_backing(tasks->store))
		return -EOPNOTSUPP;
	if (!wanted->device_id)
		return wanted->nr_ranges ? -EINVAL : 0;
	device = zs_device_get(tasks->store, wanted->device_id, NULL);
	if (!device)
		return -ENODEV;
	zs_device_info(device, &info);
	zs_device_put(device, NULL);
	memcpy(name, info.name, sizeof(info.name));
	for (unsigned int i = 0; i < wanted->nr_ranges; i++) {
		if (wanted->ranges[i].first > wanted->ranges[i].last)
			return -EINVAL;
		if (wanted->ranges[i].last >= info.size_bytes / info.block_size)
			return -ERANGE;
	}
	return 0;
}

static int add_writeback_locked(struct zsd_tasks *tasks, const struct zsd_task_writeback *wanted,
				enum zsd_task_reason reason, const char *name, uint64_t *ret_number)
{
	int r = start_thread_locked(tasks);
	struct zsd_task *task = r ? NULL : next_place_locked(tasks, reason);

	if (!task)
		return r ?: -EBUSY;
	task->kind = ZSD_TASK_WRITEBACK;
	task->device_id = wanted->device_id;
	task->wanted = *wanted;
	memcpy(task->device, name, sizeof(task->device));
	task->reason = reason;
	queue_locked(tasks, task);
	*ret_number = task->number;
	return 0;
}

int zsd_tasks_writeback(struct zsd_tasks *tasks, const struct zsd_task_writeback *wanted, enum zsd_task_reason reason,
			uint64_t *ret_number)
{
	char name[ZS_DEVICE_NAME_BYTES];
	int r = check_writeback(tasks, wanted, name);

	zs_assert(wanted->nr_ranges <= ZSD_TASK_RANGES_MAX);
	if (r)
		return r;
	pthread_mutex_lock(&tasks->lock);
	r = add_writeback_locked(tasks, wanted, reason, name, ret_number);
	pthread_mutex_unlock(&tasks->lock);
	return r;
}

static int add_train_locked(struct zsd_tasks *tasks, const struct zs_train_request *request,
			    enum zsd_task_reason reason, const char *name, uint64_t *ret_number)
{
	int r = start_thread_locked(tasks);
	struct zsd_task *task = r ? NULL : next_place_locked(tasks, reason);

	if (!task)
		return r ?: -EBUSY;
	task->kind = ZSD_TASK_TRAIN;
	task->device_id = request->device_id;
	task->training = *request;
	task->share_percent = 100;
	strcpy(task->device, name);
	task->reason = reason;
	queue_locked(tasks, task);
	*ret_number = task->number;
	return 0;
}

int zsd_tasks_train(struct zsd_tasks *tasks, const struct zs_train_request *request, enum zsd_task_reason reason,
		    uint64_t *ret_number)
{
	struct zs_device *device = zs_device_get(tasks->store, request->device_id, NULL);
	struct zs_device_info info;
	int r;

	if (!device)
		return -ENODEV;
	zs_device_info(device, &info);
	zs_device_put(device, NULL);
	pthread_mutex_lock(&tasks->lock);
	r = add_train_locked(tasks, request, reason, info.name, ret_number);
	pthread_mutex_unlock(&tasks->lock);
	return r;
}

/*
 * room
 */

/* One that waits or runs. Under tasks->lock. */
static struct zsd_task *find_locked(struct zsd_tasks *tasks, enum zsd_task_reason reason, uint64_t device_id)
{
	for (unsigned int i = 0; i < ZSD_TASKS_MAX; i++) {
		struct zsd_task *task = &tasks->ring[i];

		if (!zsd_task_has_ended(task) && task->reason == reason && (!device_id || task->device_id == device_id))
			return task;
	}
	return NULL;
}

/* Blocks that the task at work has written back so far, if they help: of the device, or any with 0. */
static uint64_t at_work_locked(struct zsd_tasks *tasks, uint64_t device_id)
{
	const struct zsd_task *task = zsd_task_place(tasks, tasks->running);
	bool helps = !zsd_task_has_ended(task) && (!device_id || task->device_id == device_id);

	return helps ? zsd_task_load(&task->writeback.finished_blocks) : 0;
}

/* A policy's writeback of other data is ended for a device that has no room: the policy begins it again. */
static void hurry_locked(struct zsd_tasks *tasks, uint64_t device_id)
{
	struct zsd_task *task = zsd_task_place(tasks, tasks->running);

	if (device_id && !zsd_task_has_ended(task) && task->kind == ZSD_TASK_WRITEBACK &&
	    task->device_id != device_id && task->reason != ZSD_REASON_COMMAND && task->reason != ZSD_REASON_FULL)
		atomic_store_explicit(&task->writeback.cancel, true, memory_order_relaxed);
}

static void wait_a_moment_locked(struct zsd_tasks *tasks)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ROOM_LOOK_NSEC;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&tasks->ended, &tasks->lock, &until);
}

/* Until the task has ended, or another one has made room. Under tasks->lock, which is free meanwhile. */
static int wait_locked(struct zsd_tasks *tasks, uint64_t number, uint64_t device_id)
{
	const struct zsd_task *task = zsd_task_place(tasks, number);
	uint64_t before = at_work_locked(tasks, device_id);

	hurry_locked(tasks, device_id);
	while (!tasks->stopping && task->number == number && !zsd_task_has_ended(task)) {
		wait_a_moment_locked(tasks);
		if (at_work_locked(tasks, device_id) >= before + ROOM_BLOCKS)
			return 0;
	}
	if (tasks->stopping)
		return -ECANCELED;
	/* What came later than 63 others is of no interest: there is room again, or there is an error again. */
	if (task->number != number || zsd_task_load(&task->writeback.finished_blocks))
		return 0;
	return task->error ?: -ENOSPC;
}

int zsd_tasks_make_room(struct zsd_tasks *tasks, uint64_t device_id)
{
	const struct zsd_task_writeback wanted = {
		.device_id = device_id,
		.order = ZS_WRITEBACK_COLDEST,
		.limit_bytes = ROOM_BYTES,
	};
	char name[ZS_DEVICE_NAME_BYTES];
	int r = check_writeback(tasks, &wanted, name);
	const struct zsd_task *task;
	uint64_t number = 0;

	/* Or each request that finds no room would have all slots looked at in vain. */
	if (!r && !zs_store_has_writeback_budget(tasks->store))
		r = -EDQUOT;
	if (r)
		return r;
	pthread_mutex_lock(&tasks->lock);
	task = find_locked(tasks, ZSD_REASON_FULL, device_id);
	if (task)
		number = task->number;
	else
		r = add_writeback_locked(tasks, &wanted, ZSD_REASON_FULL, name, &number);
	r = r ?: wait_locked(tasks, number, device_id);
	pthread_mutex_unlock(&tasks->lock);
	return r;
}

void zsd_tasks_keep_budget(struct zsd_tasks *tasks)
{
	pthread_mutex_lock(&tasks->lock);
	start_thread_locked(tasks);
	tasks->keep = true;
	pthread_cond_signal(&tasks->wanted);
	pthread_mutex_unlock(&tasks->lock);
}

void zsd_tasks_tidy(struct zsd_tasks *tasks)
{
	pthread_mutex_lock(&tasks->lock);
	/* What was never written to needs no tidying: there is a thread if it was. */
	tasks->tidy = tasks->has_thread;
	pthread_cond_signal(&tasks->wanted);
	pthread_mutex_unlock(&tasks->lock);
}
