#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests over io_uring: one thread and one ring for each CPU that we may use (placement.h), which answer all requests
 * but the few that the kernel only sends the classic way.
 *
 * Context: one thread.
 */

#include <stddef.h>

struct zsd_frontend_ops;
struct zsd_fuse_session;
struct zsd_uring;

/* All borrowed until zsd_uring_destroy(). */
struct zsd_uring_options {
	int fuse_fd;
	struct zsd_fuse_session *session;
	const struct zsd_frontend_ops *ops;
	void *frontend;
	unsigned int max_threads; /* at least 1 */
	unsigned int first_index; /* of the threads in ops->thread_begin() */
};

/* What to do when zsd_uring_create() fails. */
#define ZSD_URING_REMEDY "check 'sysctl kernel.io_uring_disabled' and 'ulimit -n'"

/*
 * Makes buffers and rings; the kernel's FUSE doesn't know of them yet. Returns 0, -ENOMEM, or an errno of
 * io_uring_setup(2), of which -EPERM, -ENOSYS and -EINVAL say that this kernel has it not, or not for us.
 */
int zsd_uring_create(const struct zsd_uring_options *options, struct zsd_uring **ret_uring);

/*
 * Starts the threads and registers the buffers with the kernel, after INIT has been answered. Once, and after a failure
 * only destroy. Returns 0, -EAGAIN (no more threads), -ENOMEM, or what the kernel says of the buffers.
 */
int zsd_uring_start(struct zsd_uring *uring);

/*
 * Lets each thread finish the requests at hand, and ends them. What the kernel hands out meanwhile fails when the
 * connection ends. NULL is allowed.
 */
void zsd_uring_destroy(struct zsd_uring *uring);

/* "2 threads over io_uring, ..." into text of that size; answers text. */
const char *zsd_uring_describe(const struct zsd_uring *uring, char *text, size_t size);
