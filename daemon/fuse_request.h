#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frequent FUSE requests: checked, handed to the frontend and answered without libfuse, without allocation and
 * without a lock. How the bytes come and go is the transport's; every transport uses this.
 *
 * A request is whatever the kernel sent: nothing in it is believed before it is checked. Context: any thread, with a
 * server of its own.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse_abi.h"

struct zsd_frontend_ops;

/* The largest READ and WRITE that we ask the kernel for: its own default limit (sysctl fs.fuse.max_pages_limit). */
#define ZSD_FUSE_MAX_IO_BYTES ((size_t)1 << 20)

/* What a thread serves requests with. */
struct zsd_fuse_server {
	const struct zsd_frontend_ops *ops;
	void *frontend;
	void *thread; /* of ops->thread_begin() */
	/*
	 * Counts what makes no sense or asks for what there is not: of what the frontend refuses, ranges beyond the end
	 * of a file, and not lack of room. May be NULL. Relaxed, shared by the threads.
	 */
	_Atomic uint64_t *nr_refused;
};

/* A request in its parts, as both transports have it. */
struct zsd_fuse_request {
	const struct zsd_fuse_in_header *header;
	const void *argument; /* the fixed part of this opcode, 8-byte aligned */
	size_t argument_length;
	const void *payload; /* what follows it: the data of a WRITE */
	size_t payload_length;
	void *output; /* where the data of a READ goes; may not overlap the argument */
	size_t output_capacity;
	size_t done; /* bytes of a READ or WRITE that are done already: see ZSD_FUSE_WAIT */
};

struct zsd_fuse_reply {
	struct zsd_fuse_out_header header;
	const void *body; /* into small or into the request's output */
	size_t body_length;
	size_t done; /* for ZSD_FUSE_WAIT only */
	union {
		struct zsd_fuse_open_out open;
		struct zsd_fuse_write_out write;
		struct zsd_fuse_lseek_out lseek;
	} small;
};

enum zsd_fuse_verdict {
	ZSD_FUSE_REPLY,	 /* *ret_reply is to be sent */
	ZSD_FUSE_SILENT, /* done; the kernel expects no answer */
	ZSD_FUSE_RARE,	 /* not ours: libfuse serves it */
	ZSD_FUSE_WAIT,	 /* to be served once more, with this reply's done, by a thread that may wait */
};

/*
 * Finds the parts of a request that was read in one piece. False if it has no sound header, which is for the following
 * function then. Sets all of *ret_request but the output.
 */
bool zsd_fuse_split(const void *bytes, size_t length, struct zsd_fuse_request *ret_request);

/*
 * Counts a request without a sound header. True if there is so much of it that whoever asked can be told, with
 * *ret_reply: EIO.
 */
bool zsd_fuse_refuse_unsound(const struct zsd_fuse_server *server, const void *bytes, size_t length,
			     struct zsd_fuse_reply *ret_reply);

/*
 * Whether a request takes so long that others should not wait behind it: a discard of much. All others are for 1 MiB
 * at most.
 */
bool zsd_fuse_takes_long(const struct zsd_fuse_request *request);

/* Counts a request that a transport refuses itself. Answers error. */
int zsd_fuse_refuse(const struct zsd_fuse_server *server, int error);

/* Serves one request. */
enum zsd_fuse_verdict zsd_fuse_serve(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
				     struct zsd_fuse_reply *ret_reply);

/* Whether the server's thread may wait; which it may not at first. */
void zsd_fuse_allow_wait(const struct zsd_fuse_server *server, bool may_wait);

/* The same, waiting if it has to: what was to be served once more, and there is nobody else for it. */
void zsd_fuse_serve_waiting(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
			    struct zsd_fuse_reply *ret_reply);

/* The kernel did not take the reply, since whoever asked is gone: an open that it doesn't know of ends here. */
void zsd_fuse_undelivered(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
			  const struct zsd_fuse_reply *reply);
