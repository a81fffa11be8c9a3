#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Big requests over CPUs: reads and writes of a device, in parts that other threads may take a share of (jobs.h). Small
 * ones stay on the thread that has them.
 *
 * Context: any thread that borrowed the device, with a stream of its own. All is done when a function returns.
 */

#include <stddef.h>
#include <stdint.h>

struct zs_device;
struct zs_stream;
struct zsd_jobs;

/* What is shorter stays on its thread. */
#define ZSD_SPLIT_MIN_BYTES ((size_t)64 << 10)
/* A part has so many bytes, or one block if that is more, and ends where a block does. */
#define ZSD_SPLIT_PART_BYTES ((size_t)16 << 10)

/*
 * As zs_device_read(); with -EINPROGRESS *ret_done says how many bytes at the start were read, and it is
 * zs_device_read_more() that goes on if that is not 0. jobs may be NULL: then nobody helps.
 */
int zsd_split_read(struct zsd_jobs *jobs, struct zs_device *device, struct zs_stream *stream, uint64_t offset,
		   void *buffer, size_t length, size_t *ret_done);

/*
 * As zs_device_write(): *ret_done counts the bytes before the first one that could not be written. As on a disk, some
 * behind it may have been written as well.
 */
int zsd_split_write(struct zsd_jobs *jobs, struct zs_device *device, struct zs_stream *stream, uint64_t offset,
		    const void *buffer, size_t length, size_t *ret_done);
