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
#include "transport_uring.h"

/*
 * An entry brings one request at a time. It belongs to one queue for ever, and at each moment to one thread: the one
 * that registered it, or that answered its last request, gets the next one.
 */
struct zsd_ring_entry {
	struct zsd_fuse_ring_header *header; /* a page of its own */
	char *payload;			     /* ZSD_FUSE_MAX_IO_BYTES */
	struct iovec parts[2];		     /* the two, for the kernel to read when they are registered */
	/* enum zsd_ring_message: what another thread is to do with it. Released by send_to(), acquired by take(). */
	_Atomic unsigned int message;
	uint16_t queue;
	uint16_t home; /* index of the ring whose queue this is */
};

/* What a completion says, in the low bits of its user data; the rest is the entry. */
enum zsd_ring_message {
	ZSD_RING_FUSE,	 /* by the kernel: it has a request; or the error of our command */
	ZSD_RING_SERVE,	 /* by another thread: answer its request */
	ZSD_RING_COMMIT, /* by another thread: give the answer that is in it to the kernel */
	ZSD_RING_UNSENT, /* by io_uring: the thread that was meant to get it is gone */
};
#define ZSD_RING_MESSAGE_MASK UINT64_C(3)

/* One thread. Owned by it, except where noted. */
struct zsd_ring {
	struct zsd_uring *uring;
	unsigned int index;
	struct io_uring io;
	bool has_io; /* io is initialised */
	struct zsd_fuse_server server;
	char *scratch; /* a rare request in one piece */
	bool leaving;
	int result; /* of registering; before started is posted */
	pthread_t thread;
	bool has_thread;

	/* Any thread: may be given work. A hint. */
	_Alignas(ZS_NO_SHARE) _Atomic bool asleep;
};

struct zsd_uring {
	struct zsd_uring_options options;
	struct zsd_placement placement;
	int stop_fd;   /* eventfd that all rings watch */
	sem_t started; /* posted by each thread when its entries are registered, or not */
	char *buffers; /* mapping of the memfd: all headers, then all payloads */
	int buffers_fd;
	size_t buffers_bytes;
	struct zsd_ring_entry *entries; /* those of one queue next to each other */
	unsigned int nr_entries;
	struct zsd_ring *rings; /* placement.nr_threads */
};

/* Entries of a queue. */
extern unsigned int zsd_ring_depth;

/* Makes ring->io, which only its thread will use. Returns 0 or an errno of io_uring_setup(2). */
int zsd_ring_init(struct zsd_ring *ring);
void zsd_ring_deinit(struct zsd_ring *ring);

/* The thread's life: registers its entries, posts started, and serves until it is told to stop. */
void zsd_ring_run(struct zsd_ring *ring);
