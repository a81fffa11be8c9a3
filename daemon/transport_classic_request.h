#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request read from /dev/fuse, and its answer. Context: the thread whose port it is. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/bits.h"
#include "fuse_request.h"
#include "fuse_session.h"

struct zsd_classic_lane;
struct zsd_classic_wait;
struct zsd_pulse;

/*
 * A request is read to where the data of a WRITE begins on a page. The kernel refuses a smaller buffer than header,
 * argument and largest WRITE.
 */
#define ZSD_CLASSIC_DATA_OFFSET ZS_PAGE_SIZE
#define ZSD_CLASSIC_REQUEST_OFFSET                                                                                     \
	(ZSD_CLASSIC_DATA_OFFSET - sizeof(struct zsd_fuse_in_header) - sizeof(struct zsd_fuse_write_in))
#define ZSD_CLASSIC_REQUEST_BYTES (ZSD_CLASSIC_DATA_OFFSET + ZSD_FUSE_MAX_IO_BYTES - ZSD_CLASSIC_REQUEST_OFFSET)
#define ZSD_CLASSIC_BUFFER_BYTES  (ZSD_CLASSIC_REQUEST_OFFSET + ZSD_CLASSIC_REQUEST_BYTES + ZSD_FUSE_SLACK_BYTES)

/* Where a thread gets its requests, and what it serves them with. All borrowed, and immutable while it does. */
struct zsd_classic_port {
	int fd;
	struct zsd_fuse_server server;
	struct zsd_fuse_session *session;
	struct zsd_classic_lane *lane; /* NULL: what takes long is served as the rest */
	struct zsd_classic_wait *wait; /* NULL: what has to wait does so here */
	struct zsd_pulse *pulse;       /* of the thread */
	char *buffer;		       /* ZSD_CLASSIC_BUFFER_BYTES, page-aligned */
};

/* Where a request is read to. */
static inline void *zsd_classic_request(const struct zsd_classic_port *port)
{
	return port->buffer + ZSD_CLASSIC_REQUEST_OFFSET;
}

/* Returns the length of a request, or -errno; -EAGAIN if there is nothing to serve this time. */
ssize_t zsd_classic_receive(const struct zsd_classic_port *port);

/* Serves and answers a request of this length, which may be any. */
void zsd_classic_serve(const struct zsd_classic_port *port, size_t length);

/* Sends an answer to where its request came from. */
void zsd_classic_send(int fd, const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
		      struct zsd_fuse_reply *reply);
