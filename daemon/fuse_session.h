#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libfuse's session over a mount: INIT, and the rare requests (fuse_names.h). libfuse reads nothing itself; requests
 * are handed to it as the kernel's classic protocol has them, and its answers go where the calling thread says.
 *
 * Context: create and destroy by one thread, init by one thread before any other call; the rest by any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct iovec;
struct zsd_frontend_ops;
struct zsd_fuse_session;

/* Room behind a request, for what libfuse may look for there: more than any fixed argument has. */
#define ZSD_FUSE_SLACK_BYTES 256

/* Where the answer to a request goes. The calls have writev(2)'s results, errno included. */
struct zsd_fuse_sink {
	ssize_t (*write)(void *argument, struct iovec *parts, int nr_parts);
	void *argument;
};

/* Borrows fuse_fd, ops and frontend until destroy. Returns 0, -ENOMEM, or an errno of fcntl(2). */
int zsd_fuse_session_create(int fuse_fd, const struct zsd_frontend_ops *ops, void *frontend,
			    struct zsd_fuse_session **ret_session);
void zsd_fuse_session_destroy(struct zsd_fuse_session *session);

/*
 * Answers a request that zsd_fuse_serve() left over. Without a sink the answer goes to the session's descriptor.
 * ZSD_FUSE_SLACK_BYTES behind the request are overwritten with zeros: libfuse does not look whether a name ends, or an
 * argument is all there.
 */
void zsd_fuse_session_serve(struct zsd_fuse_session *session, void *bytes, size_t length,
			    const struct zsd_fuse_sink *sink);

/*
 * Answers INIT, which has the same room behind it; over_rings accepts the kernel's offer to send all else over
 * io_uring. Returns 0; -EAGAIN if INIT will come once more, in another version; -EPROTO if this is no INIT.
 */
int zsd_fuse_session_init(struct zsd_fuse_session *session, void *bytes, size_t length, bool over_rings);

/* Whether an INIT request offers to send requests over io_uring; no other INIT will follow it then. */
bool zsd_fuse_offers_rings(const void *bytes, size_t length);

/* See zsd_transport_forget_name(). */
void zsd_fuse_session_forget_name(struct zsd_fuse_session *session, uint64_t node, const char *name);
