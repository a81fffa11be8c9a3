/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Big requests over CPUs.
 *
 * Parts are cut where blocks end, so that each block is read or replaced by one thread and as a whole, as ever. They
 * are begun in their order, and a failure ends that; so everything before the first failure has been done, and the
 * first failure is the one that a single thread would have met. A helper that has no memory for a codec's context is
 * no failure: the owner has one, and runs that part again. A helper waits for the backing file if the owner would.
 *
 * Parts behind the first failure may have been done as well. Who goes on does them once more, so they are not counted.
 */

#include "split.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/bits.h"
#include "codec/stream.h"
#include "jobs.h"
#include "store/device.h"

/* A failure is one word, so that the first of several is found without a lock: the bytes before it, and the errno. */
#define ERRNO_BITS 12
#define NO_FAILURE UINT64_MAX

struct request {
	struct zsd_job job;
	struct zs_device *device;
	struct zs_stream *stream; /* the owner's */
	uint64_t offset;
	size_t length;
	size_t part_bytes; /* a power of two, and whole blocks */
	char *target;	   /* of a read */
	const char *source;
	_Atomic uint64_t failure; /* relaxed: the end of the job orders it */
};

static void fail(struct request *request, size_t done, int error)
{
	uint64_t failure = (uint64_t)done << ERRNO_BITS | (unsigned int)-error;
	uint64_t first = atomic_load_explicit(&request->failure, memory_order_relaxed);

	while (failure < first && !atomic_compare_exchange_weak_explicit(&request->failure, &first, failure,
									 memory_order_relaxed, memory_order_relaxed))
		continue;
}

/* Where a part begins, counted from the request's offset; the first and the last one may be shorter than the others. */
static size_t start_of(const struct request *request, unsigned int part)
{
	size_t before = request->offset & (request->part_bytes - 1);

	return part ? zs_min(part * request->part_bytes - before, request->length) : 0;
}

static void take_mode(const struct request *request, struct zs_stream *stream)
{
	if (stream == request->stream)
		return;
	zs_stream_set_nowait(stream, zs_stream_is_nowait(request->stream));
	zs_stream_set_retrying(stream, zs_stream_is_retrying(request->stream));
}

/* The end of a part, of which so many bytes of the request lie before the error. */
static enum zsd_part end_part(struct request *request, const struct zs_stream *stream, size_t done, int error)
{
	if (!error)
		return ZSD_PART_DONE;
	if (error == -ENOMEM && stream != request->stream)
		return ZSD_PART_RETURNED;
	fail(request, done, error);
	return ZSD_PART_FAILED;
}

static enum zsd_part read_part(struct zsd_job *job, struct zs_stream *stream, unsigned int part)
{
	struct request *request = zs_container_of(job, struct request, job);
	size_t start = start_of(request, part), length = start_of(request, part + 1) - start;
	uint64_t offset = request->offset + start;
	char *target = request->target + start;
	int error;

	take_mode(request, stream);
	error = zs_device_read_part(request->device, stream, offset, target, length);
	return end_part(request, stream, start, error);
}

static enum zsd_part write_part(struct zsd_job *job, struct zs_stream *stream, unsigned int part)
{
	struct request *request = zs_container_of(job, struct request, job);
	size_t start = start_of(request, part), length = start_of(request, part + 1) - start, done = 0;
	uint64_t offset = request->offset + start;
	const char *source = request->source + start;
	int error;

	take_mode(request, stream);
	error = zs_device_write_part(request->device, stream, offset, source, length, &done);
	/* Fewer bytes: room ran out. */
	if (!error && done < length)
		error = -ENOSPC;
	return end_part(request, stream, start + done, error);
}

/* Returns 0 or what failed first, and how many bytes lie before that. */
static int run(struct zsd_jobs *jobs, struct request *request, struct zs_stream *stream, size_t *ret_done)
{
	uint64_t last = request->offset + request->length - 1, failure;

	request->stream = stream;
	request->part_bytes = zs_max(ZSD_SPLIT_PART_BYTES, zs_device_block_size(request->device));
	request->job.nr_parts = (unsigned int)(last / request->part_bytes - request->offset / request->part_bytes) + 1;
	atomic_init(&request->failure, NO_FAILURE);
	zsd_jobs_run(jobs, &request->job, stream);
	failure = atomic_load_explicit(&request->failure, memory_order_relaxed);
	*ret_done = failure == NO_FAILURE ? request->length : (size_t)(failure >> ERRNO_BITS);
	return failure == NO_FAILURE ? 0 : -(int)(failure & ((1 << ERRNO_BITS) - 1));
}

static bool is_big(const struct zsd_jobs *jobs, const struct zs_device *device, uint64_t offset, size_t length)
{
	uint64_t size = zs_device_size(device);

	/* What passes the end is for the device to refuse, as a whole. */
	return jobs && length >= ZSD_SPLIT_MIN_BYTES && length <= size && offset <= size - length;
}

int zsd_split_read(struct zsd_jobs *jobs, struct zs_device *device, struct zs_stream *stream, uint64_t offset,
		   void *buffer, size_t length, size_t *ret_done)
{
	struct request request = {
		.job.run_part = read_part,
		.device = device,
		.offset = offset,
		.length = length,
		.target = buffer,
	};
	size_t done = 0;
	int error;

	if (!is_big(jobs, device, offset, length)) {
		error = zs_device_read(device, stream, offset, buffer, length);
	} else {
		error = run(jobs, &request, stream, &done);
		if (!error || (error == -EINPROGRESS && done))
			zs_device_count_read(device, stream, done);
	}
	if (error == -EINPROGRESS)
		*ret_done = done;
	return error;
}

int zsd_split_write(struct zsd_jobs *jobs, struct zs_device *device, struct zs_stream *stream, uint64_t offset,
		    const void *buffer, size_t length, size_t *ret_done)
{
	struct request request = {
		.job.run_part = write_part,
		.device = device,
		.offset = offset,
		.length = length,
		.source = buffer,
	};
	size_t done;
	int error;

	if (!is_big(jobs, device, offset, length))
		return zs_device_write(device, stream, offset, buffer, length, ret_done);
	error = run(jobs, &request, stream, &done);
	/* Running out of room half-way is a short write. */
	if (error == -ENOSPC && done)
		error = 0;
	if (error && error != -EINPROGRESS)
		return error;
	if (done)
		zs_device_count_write(device, stream, done);
	*ret_done = done;
	return error;
}
