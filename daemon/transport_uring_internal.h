#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings and their entries; for transport_uring*.c only. */

#include <liburing.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/bits.h"
#include "fuse_abi.h"
#include "fuse_request.h"
#include "placement.h"
#include "pulse.h"
#include "transport_uring.h"
#include "waiters.h"

/*
 * An entry brings one request at a time. It belongs to one queue for ever, and at each moment to one thread: the one
 * that registered it, or that answered its last request, gets the next one; or a waiter, until that has answered it.
 */
struct zsd_ring_entry {
	struct zsd_fuse_ring_header *header; /* a page of its own */
	char *payload;			     /* ZSD_FUSE_MAX_IO_BYTES */
	struct iovec parts[2];		     /* the two, for the kernel to read when they are registered */
	unsigned int nr_refused;	     /* times in a row that the kernel did not take the answer; of who has it */
	/* enum zsd_ring_message: what another thread is to do with it. Released by zsd_ring_send(), acquired by it. */
	_Atomic unsigned int message;
	uint16_t queue;
	uint16_t home;		       /* index of the ring whose queue this is */
	struct zsd_waiter_item waiter; /* of a request that has to wait, like done */
	size_t done;		       /* bytes of it that are done; of who has the entry */
};

/* What a completion says, in the low bits of its user data; the rest is the entry. */
enum zsd_ring_message {
	ZSD_RING_FUSE,	 /* by the kernel: it has a request; or the error of our command */
	ZSD_RING_SERVE,	 /* by another thread: answer its request */
	ZSD_RING_COMMIT, /* by another thread: give the answer that is in it to the kernel */
	ZSD_RING_UNSENT, /* by io_uring: it did not get to the other thread */
};
#define ZSD_RING_MESSAGE_MASK UINT64_C(3)

/* One thread. Owned by it, except where noted. */
struct zsd_ring {
	struct zsd_uring *uring;
	unsigned int index; /* placement.nr_threads: the slow lane */
	struct io_uring io;
	bool has_io; /* io is initialised */
	struct zsd_fuse_server server;
	char *scratch;		 /* a rare request in one piece, and ZSD_FUSE_SLACK_BYTES */
	bool leaving;		 /* it takes no requests any more, since it is told to stop, or has failed */
	bool draining;		 /* it looks only for what other threads have sent before they left */
	bool failed;		 /* io_uring does nothing for us any more */
	unsigned int pause_msec; /* before what was refused is offered again */
	int result;		 /* of registering; before started is posted */
	pthread_t thread;
	bool has_thread;
	struct zsd_pulse pulse;

	/* Any thread: may be given work. A hint. */
	_Alignas(ZS_NO_SHARE) _Atomic bool asleep;
};

struct zsd_uring {
	struct zsd_uring_options options;
	struct zsd_placement placement;
	int stop_fd;		     /* eventfd that all rings watch */
	sem_t go;		     /* posted for each thread when it may register its entries, or is to end */
	sem_t started;		     /* posted by each thread when its entries are registered, or not */
	bool is_started;	     /* the threads are to register; written before go is posted */
	pthread_barrier_t leaving;   /* where they meet when none of them sends any more; made with is_started */
	_Atomic uint64_t nr_refused; /* relaxed, statistics */
	_Atomic bool stopping;	     /* relaxed; any thread */
	_Atomic bool failed;	     /* relaxed; any thread */
	char *buffers;		     /* mapping of the memfd: all headers, then all payloads */
	int buffers_fd;
	size_t buffers_bytes;
	struct zsd_ring_entry *entries; /* those of one queue next to each other */
	unsigned int depth;		/* entries of a queue */
	unsigned int nr_entries;
	struct zsd_ring *rings;	     /* placement.nr_threads, and the slow lane */
	struct zsd_waiters *waiters; /* for requests that have to wait; immutable like all but the counters */
};

/*
 * Entries of a queue. A request that waits for the slow lane keeps its entry: three may, and the fourth serves others.
 * There are not more, as the kernel takes them in turn: with 16, reads of 1 MiB were an eighth slower at QD8 and QD16.
 */
extern unsigned int zsd_ring_depth;
/* More with options.may_wait, so that as many requests of a queue may wait for a disk, and no others for them. */
#define ZSD_RING_WAITING_MAX (ZSD_WAITERS_MAX + 8)

/* Of a rare request: its payload is names and the like. */
#define ZSD_RING_SCRATCH_BYTES ((size_t)128 << 10)

/* Rings: all of placement.threads, and then the slow lane, which is the home of no queue. */
static inline unsigned int zsd_uring_nr_rings(const struct zsd_uring *uring)
{
	return uring->placement.nr_threads + 1;
}

static inline bool zsd_ring_is_slow_lane(const struct zsd_ring *ring)
{
	return ring->index == ring->uring->placement.nr_threads;
}

/*
 * transport_uring_io.c: what a ring asks of io_uring. Context: its thread, but for init and deinit.
 */

/* Makes ring->io, which only its thread will use. Returns 0 or an errno of io_uring_setup(2). */
int zsd_ring_init(struct zsd_ring *ring);
void zsd_ring_deinit(struct zsd_ring *ring);

/* Makes the calling thread its user. Returns 0 or an errno of io_uring_register(2). */
int zsd_ring_enable(struct zsd_ring *ring);

/* How many of the following there is room for until the next submit. */
unsigned int zsd_ring_room(const struct zsd_ring *ring);
void zsd_ring_command(struct zsd_ring *ring, struct zsd_ring_entry *entry, enum zsd_fuse_ring_operation operation);
void zsd_ring_send(struct zsd_ring *ring, struct zsd_ring *target, struct zsd_ring_entry *entry,
		   enum zsd_ring_message message);
void zsd_ring_watch_stop(struct zsd_ring *ring);

/* As zsd_ring_send(), at once, by a thread that has no ring. Returns 0 or an errno that won't pass. */
int zsd_ring_post(struct zsd_ring *target, struct zsd_ring_entry *entry, enum zsd_ring_message message);

/*
 * Submit; the second one also takes in what other threads have sent, the third one waits for a completion. Return 0,
 * also if something is left to be submitted by the next one, or an errno of io_uring_enter(2) that won't pass.
 */
int zsd_ring_submit(struct zsd_ring *ring);
int zsd_ring_collect(struct zsd_ring *ring);
int zsd_ring_wait(struct zsd_ring *ring);

/* Sleeps for a moment: that many milliseconds. */
void zsd_ring_pause(unsigned int msec);

/*
 * transport_uring_ring.c
 */

/*
 * The thread's life: registers its entries, posts started, and serves until it is told to stop. It gives nothing to
 * other threads then, and waits until that is true of all of them.
 */
void zsd_ring_run(struct zsd_ring *ring);

/* Requests can't be answered any more, what and error say why: says so, which ends the daemon. Context: any thread. */
void zsd_uring_fail(struct zsd_uring *uring, const char *what, int error);
