/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frontend of a store's devices: threads, holes and opens. Data is in frontend_data.c.
 *
 * Every call borrows the device for as long as it lasts, so that it can be removed at any time: what is at work is
 * waited for, and who comes later gets ENODEV.
 */

#include "frontend_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "jobs.h"
#include "store/device.h"

/* activity */

static void report(_Atomic int *watch)
{
	int fd = atomic_exchange(watch, -1);
	uint64_t one = 1;

	/* An eventfd takes 8 bytes or is full, which wakes the reader as well. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

static void note(_Atomic int *watch)
{
	if (__builtin_expect(atomic_load_explicit(watch, memory_order_relaxed) >= 0, 0))
		report(watch);
}

static void note_activity(struct zsd_frontend *frontend)
{
	for (unsigned int i = 0; i < ZSD_WATCHER_NR; i++)
		note(&frontend->activity_fds[i]);
}

void zsd_frontend_note_access(struct zsd_frontend *frontend)
{
	note_activity(frontend);
}

void zsd_frontend_note_change(struct zsd_frontend *frontend)
{
	note_activity(frontend);
	note(&frontend->change_fd);
}

/* threads */

static int thread_begin(void *argument, unsigned int index, void **ret_thread)
{
	const struct zsd_frontend *frontend = argument;
	struct zs_stream *stream;
	int r = zs_stream_create(index, &stream);

	if (r)
		return r;
	zs_stream_set_nowait(stream, frontend->has_backing);
	zs_stream_set_retrying(stream, frontend->tasks);
	*ret_thread = stream;
	return 0;
}

static void thread_end(void *argument, void *thread)
{
	zs_stream_destroy(thread);
}

static void thread_allow_wait(void *argument, void *thread, bool may_wait)
{
	const struct zsd_frontend *frontend = argument;

	zs_stream_set_nowait(thread, frontend->has_backing && !may_wait);
}

/* holes */

static bool has_page_cache(struct zs_device *device)
{
	struct zs_device_info info;

	zs_device_info(device, &info);
	return info.page_cache;
}

/* Where a shared map was written to, and the kernel has not told us yet, would be a hole. */
static int seek_without_holes(struct zs_device *device, uint64_t offset, bool data, uint64_t *ret_offset)
{
	uint64_t size = zs_device_size(device);

	if (offset >= size)
		return -ENXIO;
	*ret_offset = data ? offset : size;
	return 0;
}

static int seek_data(void *argument, void *thread, uint64_t node, uint64_t offset, bool data, uint64_t *ret_offset)
{
	struct zs_device *device = zsd_frontend_get(argument, node, thread);
	int r;

	if (!device)
		return -ENODEV;
	if (has_page_cache(device))
		r = seek_without_holes(device, offset, data, ret_offset);
	else
		r = zs_device_seek(device, offset, data, ret_offset);
	zs_device_put(device, thread);
	return r;
}

/* opens */

static int open_file(void *argument, uint64_t node, bool to_write, uint64_t *ret_handle, bool *ret_page_cache)
{
	struct zsd_frontend *frontend = argument;
	struct zs_device *device = zsd_frontend_get(frontend, node, NULL);
	int r;

	if (!device && zsd_is_report(node)) {
		*ret_page_cache = false;
		return zsd_reports_open(frontend, node, ret_handle);
	}
	if (!device)
		return -ESTALE;
	r = to_write && zs_device_is_read_only(device) ? -EROFS
						       : zsd_opens_add(&frontend->opens, node - ZSD_NODE_OFFSET);
	if (!r) {
		*ret_handle = node;
		*ret_page_cache = has_page_cache(device);
	}
	zs_device_put(device, NULL);
	return r;
}

static void release_file(void *argument, uint64_t node)
{
	struct zsd_frontend *frontend = argument;

	if (node & ZSD_HANDLE_BIT)
		zsd_reports_release(frontend, node);
	else if (node >= ZSD_NODE_OFFSET && !zsd_is_report(node))
		zsd_opens_remove(&frontend->opens, node - ZSD_NODE_OFFSET);
}

/* public functions */

int zsd_frontend_create(struct zs_store *store, struct zsd_frontend **ret_frontend)
{
	struct zsd_frontend *frontend = zs_calloc(1, sizeof(*frontend));

	if (!frontend)
		return -ENOMEM;
	frontend->store = store;
	for (unsigned int i = 0; i < ZSD_WATCHER_NR; i++)
		atomic_init(&frontend->activity_fds[i], -1);
	atomic_init(&frontend->change_fd, -1);
	atomic_init(&frontend->directory_changed_nsec, zsd_frontend_now_nsec());
	pthread_mutex_init(&frontend->times_lock, NULL);
	zsd_reports_init(&frontend->reports);
	*ret_frontend = frontend;
	return 0;
}

void zsd_frontend_destroy(struct zsd_frontend *frontend)
{
	if (!frontend)
		return;
	zsd_jobs_destroy(frontend->jobs);
	pthread_mutex_destroy(&frontend->times_lock);
	zsd_reports_deinit(&frontend->reports);
	free(frontend);
}

int zsd_frontend_start_helpers(struct zsd_frontend *frontend, unsigned int nr_cpus)
{
	return zsd_jobs_create(nr_cpus, &frontend->jobs);
}

void zsd_frontend_set_facts(struct zsd_frontend *frontend, const struct zsd_metrics_facts *facts)
{
	frontend->reports.facts = facts;
}

void zsd_frontend_set_backing(struct zsd_frontend *frontend, struct zsd_tasks *tasks)
{
	frontend->has_backing = true;
	frontend->tasks = tasks;
}

bool zsd_frontend_makes_room(const struct zsd_frontend *frontend)
{
	return frontend->tasks;
}

void zsd_frontend_stop_waiting(struct zsd_frontend *frontend)
{
	atomic_store_explicit(&frontend->stopping, true, memory_order_relaxed);
}

void zsd_frontend_helper_stats(struct zsd_frontend *frontend, struct zsd_jobs_stats *ret_stats)
{
	*ret_stats = (struct zsd_jobs_stats){0};
	if (frontend->jobs)
		zsd_jobs_stats(frontend->jobs, ret_stats);
}

uint64_t zsd_frontend_node(uint64_t id)
{
	return id + ZSD_NODE_OFFSET;
}

unsigned int zsd_frontend_open_count(struct zsd_frontend *frontend, uint64_t id)
{
	return zsd_opens_count(&frontend->opens, id);
}

int zsd_frontend_close_device(struct zsd_frontend *frontend, uint64_t id, bool force, unsigned int *ret_open_count)
{
	return zsd_opens_close(&frontend->opens, id, force, ret_open_count);
}

void zsd_frontend_reopen_device(struct zsd_frontend *frontend, uint64_t id)
{
	zsd_opens_reopen(&frontend->opens, id);
}

void zsd_frontend_directory_changed(struct zsd_frontend *frontend)
{
	atomic_store(&frontend->directory_changed_nsec, zsd_frontend_now_nsec());
	/* What a device had that was removed is to be given back, also where nobody uses the others. */
	zsd_frontend_note_change(frontend);
}

void zsd_frontend_watch_activity(struct zsd_frontend *frontend, enum zsd_watcher watcher, int eventfd)
{
	atomic_store(&frontend->activity_fds[watcher], eventfd);
}

void zsd_frontend_watch_changes(struct zsd_frontend *frontend, int eventfd)
{
	atomic_store(&frontend->change_fd, eventfd);
}

const struct zsd_frontend_ops zsd_store_frontend_ops = {
	.thread_begin = thread_begin,
	.thread_end = thread_end,
	.thread_allow_wait = thread_allow_wait,
	.read = zsd_frontend_read,
	.write = zsd_frontend_write,
	.discard = zsd_frontend_discard,
	.seek = seek_data,
	.open = open_file,
	.release = release_file,
	.lookup = zsd_frontend_lookup,
	.getattr = zsd_frontend_getattr,
	.setattr = zsd_frontend_setattr,
	.next = zsd_frontend_next,
	.space = zsd_frontend_space,
};
