/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frontend of a store's devices: reads, writes and discards.
 *
 *   the thread   may not wait                            may wait
 *   is from      the transport, for all requests         the transport, for those that the others could not end
 *   cold block   -EINPROGRESS                            is read
 *   no room      -EINPROGRESS, if room is to be made     room is made, the rest tried again, some rounds; ENOSPC
 *   big request  helpers join in                         on its own: neighbours are read from the file together
 *
 * The device is not borrowed while room is made, so that it can be removed meanwhile.
 */

#include <errno.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/clock.h"
#include "codec/stream.h"
#include "frontend_internal.h"
#include "split.h"
#include "store/device.h"
#include "tasks.h"

/* Others may take the room that was made. Each round frees some, so that only a crowd could lose so often. */
#define ROUNDS_MAX 64
/* Too many tasks: some will have ended by then. */
#define BUSY_PAUSE_NSEC 10000000

/* One call. */
struct call {
	struct zsd_frontend *frontend;
	struct zs_stream *stream;
	uint64_t node;
	uint64_t offset;
	uint64_t began_nsec;
	bool needs_room;	/* -ENOSPC is for lack of it */
	uint64_t short_of;	/* see zs_device_short_of() */
	unsigned int nr_rounds; /* of making room */
	unsigned int nr_failed; /* of them, in a row */
	uint64_t length;
	size_t *done; /* of a write */
	/* What is done with a device that may be changed; returns 0 or -errno. */
	int (*change)(struct call *call, struct zs_device *device);
	const void *buffer; /* of a write */
	bool keep_size;	    /* of a discard */
};

/*
 * latency: from the request's parts being known to its answer being ready, that is looking up the device and all the
 * store's work. What the kernel adds can't be seen from here: its copies, and waking up this thread and who asked. Of
 * a request that another thread goes on with, it is that thread's part.
 */

/* Memory that the kernel shares, no system call. */
/* Only what succeeded is counted: a refusal is quick, and would hide what requests take. */
static void add_latency(const struct call *call, struct zs_device *device, enum zs_operation operation)
{
	zs_device_add_latency(device, call->stream, operation, zs_clock_nsec() - call->began_nsec);
}

/* room */

static bool may_wait(const struct call *call)
{
	return call->frontend->has_backing && !zs_stream_is_nowait(call->stream);
}

/* The call has found none; notes where. Answers -ENOSPC. */
static int note_full(struct call *call, struct zs_device *device)
{
	call->needs_room = call->frontend->tasks;
	if (call->needs_room && may_wait(call))
		call->short_of = zs_device_short_of(device);
	return -ENOSPC;
}

/* What making room has answered: 0 if it is worth another try. */
static int judge(struct call *call, int r)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NSEC};

	switch (r) {
	case 0:
		call->nr_failed = 0;
		return 0;
	case -EBUSY:
		nanosleep(&pause, NULL);
		return 0;
	case -ECANCELED:
		return -ECONNABORTED;
	case -EDQUOT:
		return -ENOSPC;
	case -ENODEV:
		/* If it was ours the next try says so. */
		return 0;
	default:
		/* Somebody else may have freed all that there was a moment ago. */
		return call->nr_failed++ ? -ENOSPC : 0;
	}
}

/* Nothing helps. Answers -ENOSPC. */
static int give_up(const struct call *call)
{
	struct zs_device *device = zsd_frontend_get(call->frontend, call->node, call->stream);

	if (device) {
		zs_device_refused(device, call->stream);
		zs_device_put(device, call->stream);
	}
	return -ENOSPC;
}

/* Returns 0 (to be tried again), -EINPROGRESS, -ENOSPC, or -ECONNABORTED. */
static int make_room(struct call *call)
{
	struct zsd_frontend *frontend = call->frontend;
	int r;

	if (!may_wait(call))
		return -EINPROGRESS;
	if (atomic_load_explicit(&frontend->stopping, memory_order_relaxed))
		return -ECONNABORTED;
	if (call->nr_rounds++ == ROUNDS_MAX)
		return give_up(call);
	call->needs_room = false;
	r = judge(call, zsd_tasks_make_room(frontend->tasks, call->short_of));
	return r == -ENOSPC ? give_up(call) : r;
}

/* read */

/* Within the device. */
static int read_range(const struct call *call, struct zs_device *device, char *buffer, size_t length, size_t *done)
{
	size_t more = 0;
	int r;

	zs_assert(*done <= length);
	if (*done)
		r = zs_device_read_more(device, call->stream, call->offset + *done, buffer + *done, length - *done);
	else
		r = zsd_split_read(may_wait(call) ? NULL : call->frontend->jobs, device, call->stream, call->offset,
				   buffer, length, &more);
	*done += more;
	if (r)
		return r;
	*done = length;
	add_latency(call, device, ZS_OPERATION_READ);
	return 0;
}

int zsd_frontend_read(void *argument, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		      size_t *done)
{
	const struct call call = {
		.frontend = argument, .stream = thread, .offset = offset, .began_nsec = zs_clock_nsec()};
	struct zs_device *device = zsd_frontend_get(argument, node, thread);
	uint64_t size;
	int r = 0;

	/* Reports have no device: the data path pays nothing for them. */
	if (!device)
		return zsd_is_report(node) ? zsd_reports_read(argument, node, offset, buffer, length, done) : -ENODEV;
	size = zs_device_size(device);
	if (length && offset < size)
		r = read_range(&call, device, buffer, zs_min(length, size - offset), done);
	zs_device_put(device, thread);
	zsd_frontend_note_access(argument);
	return r;
}

/* write and discard */

static int change_once(struct call *call)
{
	struct zs_device *device = zsd_frontend_get(call->frontend, call->node, call->stream);
	int r;

	if (!device)
		return zsd_is_report(call->node) ? -EPERM : -ENODEV;
	r = zs_device_is_read_only(device) ? -EROFS : call->change(call, device);
	zs_device_put(device, call->stream);
	return r;
}

static int change(struct call *call)
{
	int r = change_once(call);

	while (r == -ENOSPC && call->needs_room)
		r = make_room(call) ?: change_once(call);
	zsd_frontend_note_change(call->frontend);
	return r;
}

/* Within the device. */
static int write_range(struct call *call, struct zs_device *device, size_t length)
{
	const char *buffer = call->buffer;
	size_t more = 0, done = *call->done;
	int r;

	zs_assert(done <= length);
	if (done)
		r = zs_device_write_more(device, call->stream, call->offset + done, buffer + done, length - done,
					 &more);
	else
		r = zsd_split_write(may_wait(call) ? NULL : call->frontend->jobs, device, call->stream, call->offset,
				    buffer, length, &more);
	*call->done += more;
	if (r == -ENOSPC || (!r && *call->done < length))
		return note_full(call, device);
	if (!r)
		add_latency(call, device, ZS_OPERATION_WRITE);
	return r;
}

static int write_to(struct call *call, struct zs_device *device)
{
	uint64_t size = zs_device_size(device);

	if (!call->length)
		return 0;
	if (call->offset >= size)
		return -ERANGE;
	return write_range(call, device, zs_min(call->length, size - call->offset));
}

int zsd_frontend_write(void *argument, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		       size_t *done)
{
	struct call call = {
		.frontend = argument,
		.stream = thread,
		.node = node,
		.offset = offset,
		.began_nsec = zs_clock_nsec(),
		.change = write_to,
		.buffer = buffer,
		.length = length,
		.done = done,
	};
	int r = change(&call);

	/* A short write. */
	return r == -ENOSPC && *done ? 0 : r;
}

/* Within the device. */
static int discard_range(struct call *call, struct zs_device *device, uint64_t length)
{
	int r = zs_device_discard(device, call->stream, call->offset, length);

	if (r == -ENOSPC)
		return note_full(call, device);
	if (!r)
		add_latency(call, device, ZS_OPERATION_DISCARD);
	return r;
}

static int discard_of(struct call *call, struct zs_device *device)
{
	uint64_t size = zs_device_size(device);

	if (!call->keep_size && (call->offset > size || call->length > size - call->offset))
		return -ERANGE;
	if (call->offset >= size)
		return 0;
	return discard_range(call, device, zs_min(call->length, size - call->offset));
}

int zsd_frontend_discard(void *argument, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	struct call call = {
		.frontend = argument,
		.stream = thread,
		.node = node,
		.offset = offset,
		.began_nsec = zs_clock_nsec(),
		.change = discard_of,
		.length = length,
		.keep_size = keep_size,
	};

	return change(&call);
}
