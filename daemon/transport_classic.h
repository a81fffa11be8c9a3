#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The classic way of requests: read(2) and writev(2) on /dev/fuse, by threads with a descriptor each. It is also how
 * the few requests come that the kernel never sends over io_uring.
 *
 * Context: create and destroy by one thread; the rest by any thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct zsd_classic;
struct zsd_frontend_ops;
struct zsd_fuse_session;

/* All borrowed until zsd_classic_destroy(). */
struct zsd_classic_options {
	int fuse_fd;  /* of a mount whose INIT has been answered */
	int ended_fd; /* eventfd that is written to when the kernel has ended the connection */
	struct zsd_fuse_session *session;
	const struct zsd_frontend_ops *ops;
	void *frontend;
	uint64_t poll_max_nsec;	 /* how long a thread may look for a request before it sleeps, 0 = not at all */
	unsigned int nr_threads; /* at least 1; they have the indices from 0 in ops->thread_begin() */
	/*
	 * One thread more, for requests that take long; its index is nr_threads. Those that come and go, for requests
	 * that have to wait, have the indices behind.
	 */
	bool has_lane;
};

/* Starts the threads. Returns 0, -ENOMEM or -EAGAIN (no more threads). */
int zsd_classic_create(const struct zsd_classic_options *options, struct zsd_classic **ret_classic);

/* Lets each thread finish the request at hand, and ends them. NULL is allowed. */
void zsd_classic_destroy(struct zsd_classic *classic);

/* As zsd_transport_roll_call(). */
unsigned int zsd_classic_roll_call(struct zsd_classic *classic);

/* How many threads have a /dev/fuse descriptor of their own instead of sharing the mount's. */
unsigned int zsd_classic_nr_clones(const struct zsd_classic *classic);

/* Requests that were malformed, or asked for what there is not. */
uint64_t zsd_classic_nr_refused(const struct zsd_classic *classic);
