#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests of the classic transport that have to wait for a disk or for room: they are copied, and waiters (waiters.h)
 * serve and answer them.
 *
 * Context: create, stop and destroy by one thread; the rest by any thread.
 */

#include "fuse_request.h"

struct zsd_classic_wait;

/*
 * ops and frontend of server are borrowed, its thread is not used. first_index: of the waiters in ops->thread_begin().
 * Returns 0 or -ENOMEM.
 */
int zsd_classic_wait_create(const struct zsd_fuse_server *server, unsigned int first_index,
			    struct zsd_classic_wait **ret_wait);
/* Finishes the requests at hand; those that are not begun get no answer. NULL is allowed. */
void zsd_classic_wait_stop(struct zsd_classic_wait *wait);
void zsd_classic_wait_destroy(struct zsd_classic_wait *wait);

/*
 * Takes over a request that was not ended (ZSD_FUSE_WAIT): copies it, with what was done of it, and will answer it on
 * fd, which stays open until destroy. Returns 0, or -ENOMEM (or too much waits already), -EAGAIN or -ESHUTDOWN: then it
 * is still the caller's.
 */
int zsd_classic_wait_add(struct zsd_classic_wait *wait, const struct zsd_fuse_request *request, int fd);
