#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiters: threads for requests that have to wait for a disk, so that the transport's threads need not. There are none
 * until such a request comes, up to ZSD_WAITERS_MAX while there are many of them, and they end when there have been
 * none for some seconds.
 *
 * Requests are served in the order in which they came, but end in any. What a request is, and how it is answered, is
 * the transport's.
 *
 * Context: create, stop and destroy by one thread; the rest by any thread.
 */

#include <stddef.h>

#include "base/list.h"
#include "fuse_request.h"

struct zsd_waiters;

/* What a fast disk needs to be busy; a slow one is with less. */
#define ZSD_WAITERS_MAX 32

/* A request that waits; to be embedded. */
struct zsd_waiter_item {
	struct zs_list link; /* in the list of the waiters, under their lock */
};

/* Serves and answers a request: whoever has given it doesn't touch it any more. The server's thread may wait. */
typedef void zsd_waiter_serve(void *context, const struct zsd_fuse_server *server, struct zsd_waiter_item *item);
/* It was not begun when it was time to stop; it gets no answer. */
typedef void zsd_waiter_drop(void *context, struct zsd_waiter_item *item);

struct zsd_waiters_options {
	struct zsd_fuse_server server; /* its thread is not used; ops and frontend are borrowed */
	unsigned int first_index;      /* of the threads in ops->thread_begin() */
	zsd_waiter_serve *serve;
	zsd_waiter_drop *drop;
	void *context; /* of both */
};

/* Returns 0 or -ENOMEM. */
int zsd_waiters_create(const struct zsd_waiters_options *options, struct zsd_waiters **ret_waiters);

/*
 * Gives a request to them. Returns 0; -ENOMEM or -EAGAIN (there is no thread, and none can be made), or -ESHUTDOWN
 * (they have been stopped): then it is still the caller's.
 */
int zsd_waiters_add(struct zsd_waiters *waiters, struct zsd_waiter_item *item);

/* Finishes the requests at hand, drops the others, and ends the threads. NULL is allowed. */
void zsd_waiters_stop(struct zsd_waiters *waiters);

/* Stops them, if that has not been done. NULL is allowed. */
void zsd_waiters_destroy(struct zsd_waiters *waiters);

/* How many threads there are, for tests. */
unsigned int zsd_waiters_nr_threads(struct zsd_waiters *waiters);

/* How long a thread waits for a request before it ends. */
extern unsigned int zsd_waiters_idle_msec;
