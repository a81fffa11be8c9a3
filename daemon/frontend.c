/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frontend of a store's devices: data and opens.
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
#include "split.h"
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

/* After the change, so that whoever looks upon it finds it. */
static void note_change(struct zsd_frontend *frontend)
{
	note(&frontend->activity_fd);
	note(&frontend->change_fd);
}

/*
 * latency: from the request's parts being known to its answer being ready, that is looking up the device and all the
 * store's work. What the kernel adds can't be seen from here: its copies, and waking up this thread and who asked.
 */

/* Memory that the kernel shares, no system call. */
static uint64_t now_nsec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Only what succeeded is counted: a refusal is quick, and would hide what requests take. */
static void add_latency(struct zs_device *device, struct zs_stream *stream, enum zs_operation operation,
			uint64_t began_nsec)
{
	zs_device_add_latency(device, stream, operation, now_nsec() - began_nsec);
}

/* data */

static int thread_begin(void *argument, unsigned int index, void **ret_thread)
{
	struct zs_stream *stream;
	int r = zs_stream_create(index, &stream);

	if (r)
		return r;
	*ret_thread = stream;
	return 0;
}

static void thread_end(void *argument, void *thread)
{
	zs_stream_destroy(thread);
}

static int read_data(void *argument, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *ret_done)
{
	struct zsd_frontend *frontend = argument;
	uint64_t size, began_nsec = now_nsec();
	struct zs_device *device = zsd_frontend_get(frontend, node, thread);
	int r = 0;

	/* Reports have no device: the data path pays nothing for them. */
	if (!device && zsd_is_report(node))
		return zsd_reports_read(frontend, node, offset, buffer, length, ret_done);
	if (!device)
		return -ENODEV;
	size = zs_device_size(device);
	length = offset >= size ? 0 : zs_min(length, size - offset);
	if (length)
		r = zsd_split_read(frontend->jobs, device, thread, offset, buffer, length);
	if (length && !r)
		add_latency(device, thread, ZS_OPERATION_READ, began_nsec);
	zs_device_put(device, thread);
	note(&frontend->activity_fd);
	if (!r)
		*ret_done = length;
	return r;
}

static int write_data(void *argument, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *ret_done)
{
	struct zsd_frontend *frontend = argument;
	uint64_t size, began_nsec = now_nsec();
	struct zs_device *device = zsd_frontend_get(frontend, node, thread);
	int r;

	if (!device)
		return zsd_is_report(node) ? -EPERM : -ENODEV;
	size = zs_device_size(device);
	if (!length) {
		*ret_done = 0;
		r = 0;
	} else if (offset >= size) {
		r = -ENOSPC;
	} else {
		r = zsd_split_write(frontend->jobs, device, thread, offset, buffer, zs_min(length, size - offset),
				    ret_done);
	}
	if (length && !r)
		add_latency(device, thread, ZS_OPERATION_WRITE, began_nsec);
	zs_device_put(device, thread);
	note_change(frontend);
	return r;
}

static int discard_data(void *argument, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	struct zsd_frontend *frontend = argument;
	uint64_t size, began_nsec = now_nsec();
	struct zs_device *device = zsd_frontend_get(frontend, node, thread);
	int r = 0;

	if (!device)
		return zsd_is_report(node) ? -EPERM : -ENODEV;
	size = zs_device_size(device);
	if (!keep_size && (offset > size || length > size - offset))
		r = -ENOSPC;
	else if (offset < size)
		r = zs_device_discard(device, thread, offset, zs_min(length, size - offset));
	if (offset < size && !r)
		add_latency(device, thread, ZS_OPERATION_DISCARD, began_nsec);
	zs_device_put(device, thread);
	note_change(frontend);
	return r;
}

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

static int open_file(void *argument, uint64_t node, bool *ret_page_cache)
{
	struct zsd_frontend *frontend = argument;
	struct zs_device *device = zsd_frontend_get(frontend, node, NULL);
	int r;

	if (!device && zsd_is_report(node)) {
		*ret_page_cache = false;
		return zsd_reports_open(frontend, node);
	}
	if (!device)
		return -ESTALE;
	r = zsd_opens_add(&frontend->opens, node - ZSD_NODE_OFFSET);
	if (!r)
		*ret_page_cache = has_page_cache(device);
	zs_device_put(device, NULL);
	return r;
}

static void release_file(void *argument, uint64_t node)
{
	struct zsd_frontend *frontend = argument;

	if (node >= ZSD_NODE_OFFSET && !zsd_is_report(node))
		zsd_opens_remove(&frontend->opens, node - ZSD_NODE_OFFSET);
}

/* public functions */

int zsd_frontend_create(struct zs_store *store, struct zsd_frontend **ret_frontend)
{
	struct zsd_frontend *frontend = zs_calloc(1, sizeof(*frontend));

	if (!frontend)
		return -ENOMEM;
	frontend->store = store;
	atomic_init(&frontend->activity_fd, -1);
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

void zsd_frontend_helper_stats(struct zsd_frontend *frontend, struct zsd_jobs_stats *ret_stats)
{
	*ret_stats = (struct zsd_jobs_stats){0};
	if (frontend->jobs)
		zsd_jobs_stats(frontend->jobs, ret_stats);
}

void zsd_frontend_set_facts(struct zsd_frontend *frontend, const struct zsd_metrics_facts *facts)
{
	frontend->reports.facts = facts;
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

void zsd_frontend_directory_changed(struct zsd_frontend *frontend)
{
	atomic_store(&frontend->directory_changed_nsec, zsd_frontend_now_nsec());
}

void zsd_frontend_watch_activity(struct zsd_frontend *frontend, int eventfd)
{
	atomic_store(&frontend->activity_fd, eventfd);
}

void zsd_frontend_watch_changes(struct zsd_frontend *frontend, int eventfd)
{
	atomic_store(&frontend->change_fd, eventfd);
}

const struct zsd_frontend_ops zsd_store_frontend_ops = {
	.thread_begin = thread_begin,
	.thread_end = thread_end,
	.read = read_data,
	.write = write_data,
	.discard = discard_data,
	.seek = seek_data,
	.open = open_file,
	.release = release_file,
	.lookup = zsd_frontend_lookup,
	.getattr = zsd_frontend_getattr,
	.setattr = zsd_frontend_setattr,
	.next = zsd_frontend_next,
	.space = zsd_frontend_space,
};
