#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The slow lane of the classic transport: a thread for requests that take long, so that others need not wait behind
 * them (zsd_fuse_takes_long()). It serves them one at a time, first come, first served.
 *
 * Context: create and destroy by one thread; the rest by any thread.
 */

#include "fuse_request.h"

struct zsd_classic_lane;

/*
 * Starts the thread; ops and frontend of server are borrowed, its thread is not used. index: of this one in
 * ops->thread_begin(). Returns 0, -ENOMEM or -EAGAIN (no more threads).
 */
int zsd_classic_lane_create(const struct zsd_fuse_server *server, unsigned int index,
			    struct zsd_classic_lane **ret_lane);

/* Finishes the request at hand; those that are not begun get no answer. NULL is allowed. */
void zsd_classic_lane_destroy(struct zsd_classic_lane *lane);

/*
 * Takes a request over that has no payload: copies it, and will answer it on fd, which stays open until destroy.
 * Returns 0, or -ENOMEM: then it is still the caller's.
 */
int zsd_classic_lane_add(struct zsd_classic_lane *lane, const struct zsd_fuse_request *request, int fd);
