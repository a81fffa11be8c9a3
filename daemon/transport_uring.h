#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests over io_uring: one thread and one ring for each CPU that we may use (placement.h), which answer all requests
 * but the few that the kernel only sends the classic way.
 *
 * Context: one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zsd_frontend_ops;
struct zsd_fuse_session;
struct zsd_placement;
struct zsd_uring;

/* All borrowed until zsd_uring_destroy(). */
struct zsd_uring_options {
	int fuse_fd;
	int ended_fd; /* eventfd that is written to when requests can't be answered any more */
	struct zsd_fuse_session *session;
	const struct zsd_frontend_ops *ops;
	void *frontend;
	unsigned int max_threads;	       /* at least 1 */
	unsigned int first_index;	       /* of the threads in ops->thread_begin() */
	bool may_wait;			       /* requests may have to wait for a disk */
	const struct zsd_placement *placement; /* not kept; NULL: what the machine has, max_threads at most */
};

/*
 * Makes buffers, rings and threads, so that hardly anything is left that may fail; the kernel's FUSE doesn't know of
 * them yet. Returns 0, -ENOMEM, -EAGAIN (no more threads), or an errno of io_uring_setup(2), of which -EPERM, -ENOSYS
 * and -EINVAL say that this kernel has it not, or not for us.
 */
int zsd_uring_create(const struct zsd_uring_options *options, struct zsd_uring **ret_uring);

/* What to look at when that fails. */
const char *zsd_uring_remedy(int error);

/*
 * Registers the buffers with the kernel, after INIT has been answered. Once, and after a failure only destroy. Returns
 * 0, -ENOMEM, or what the kernel says of the buffers.
 */
int zsd_uring_start(struct zsd_uring *uring);

/*
 * Lets each thread finish the requests at hand, and ends them. What the kernel hands out meanwhile fails when the
 * connection ends. NULL is allowed.
 */
void zsd_uring_destroy(struct zsd_uring *uring);

/* Whether it has written to ended_fd: requests can't be answered any more. Context: any thread. */
bool zsd_uring_has_failed(const struct zsd_uring *uring);

/* Requests that were malformed, or asked for what there is not. Context: any thread. */
uint64_t zsd_uring_nr_refused(const struct zsd_uring *uring);

/* As zsd_transport_roll_call(). */
unsigned int zsd_uring_roll_call(struct zsd_uring *uring);

/* "2 threads over io_uring, ..." into text of that size; answers text. */
const char *zsd_uring_describe(const struct zsd_uring *uring, char *text, size_t size);
