#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A transport: brings the requests of one FUSE mount to a frontend and the answers back, with threads of its own.
 *
 * Context: create and destroy by one thread; the rest by any thread. The thread that creates must have blocked the
 * signals that it wants to handle itself: the transport's threads inherit its mask. SIGUSR1 is used inside to make
 * them leave.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zsd_frontend_ops;
struct zsd_transport;

enum zsd_transport_kind {
	ZSD_TRANSPORT_CLASSIC, /* read(2) and writev(2) on /dev/fuse: any kernel */
	ZSD_TRANSPORT_URING,   /* FUSE over io_uring: Linux 6.14 with fuse.enable_uring=Y */
	ZSD_TRANSPORT_AUTO,    /* the latter where it can be had */
	ZSD_NR_TRANSPORT_KINDS,
};

/* As users write it: classic, uring, auto. */
extern const char *const zsd_transport_names[ZSD_NR_TRANSPORT_KINDS];

/* Returns 0, or -EINVAL if there is no such kind. */
int zsd_transport_parse(const char *name, enum zsd_transport_kind *ret_kind);

struct zsd_transport_options {
	int fuse_fd;		 /* of a mount that no request was read from yet (daemon/mount.h); borrowed */
	unsigned int nr_threads; /* at least 1; over io_uring one for each CPU that we may use is the most */
	enum zsd_transport_kind kind;
	bool may_wait;	  /* requests may have to wait for a disk: see -EINPROGRESS in daemon/frontend.h */
	bool may_remount; /* with ZSD_TRANSPORT_AUTO: -ECONNRESET is of use */
	/*
	 * Classic: how long a thread that has served a request may look for the next one before it sleeps, at most
	 * ZSD_POLL_LIMIT_NSEC; 0 = not at all.
	 */
	uint64_t poll_max_nsec;
};

/* About what waking a thread on another CPU takes, twice. */
#define ZSD_POLL_DEFAULT_NSEC 50000
#define ZSD_POLL_LIMIT_NSEC   1000000
#define ZSD_POLL_REMEDY	      "use 0, or 1us to 1000us"

/* Reads "0", or a time up to the limit in us or ms: "50us". Returns 0 or -EINVAL. */
int zsd_poll_parse(const char *text, uint64_t *ret_nsec);

/*
 * Serves the mount behind fuse_fd until zsd_transport_destroy(); ops and frontend are borrowed until then. The mount
 * can be used when this returns. Returns 0, -ENODEV (unmounted meanwhile), -EPROTO (not a fresh mount), -EOPNOTSUPP
 * (io_uring was asked for and can't be had; the reason has been logged), -ENOMEM, or -EAGAIN (no more threads). With
 * may_remount, too, -ECONNRESET: the kernel has taken our word for io_uring and doesn't take our buffers, what has been
 * logged; this mount will never be served, and another one should be the classic way.
 */
int zsd_transport_create(const struct zsd_transport_options *options, const struct zsd_frontend_ops *ops,
			 void *frontend, struct zsd_transport **ret_transport);

/*
 * Lets every thread finish the request it has at hand, then ends all of them, and closes what was cloned from fuse_fd.
 * Requests that no thread has read yet fail with ECONNABORTED when the caller closes fuse_fd. Detach the mount first.
 */
void zsd_transport_destroy(struct zsd_transport *transport);

/*
 * Becomes readable when the kernel has ended the connection: somebody unmounted or aborted it; or when requests can't
 * be answered any more, so that the mount should go. Borrowed.
 */
int zsd_transport_ended_fd(const struct zsd_transport *transport);

/* The latter: the reason has been logged. */
bool zsd_transport_has_failed(const struct zsd_transport *transport);

/* Requests that were refused: malformed, or for what there is not; by the way in which they came. */
struct zsd_transport_stats {
	uint64_t classic_refused;
	uint64_t uring_refused;
};

void zsd_transport_stats(const struct zsd_transport *transport, struct zsd_transport_stats *ret_stats);

#define ZSD_TRANSPORT_TEXT_BYTES 128

/*
 * How many threads have not moved on since the last call of this. One that sleeps is woken up, so that
 * it has moved on by the next call, if it can. None at the first call. Context: the thread that created it.
 */
unsigned int zsd_transport_roll_call(struct zsd_transport *transport);

/* How it serves, for people: "2 threads, ...". Answers text. */
const char *zsd_transport_describe(const struct zsd_transport *transport, char text[static ZSD_TRANSPORT_TEXT_BYTES]);

/*
 * Tells the kernel that a file is gone, so that nobody finds its name in a cache. Context: no thread of the transport,
 * and nobody who holds a lock that a frontend operation takes: the kernel may wait for a lookup that is on its way.
 */
void zsd_transport_forget_name(struct zsd_transport *transport, uint64_t node, const char *name);
