#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of the kernel in memory; for fake_rings.c and fake_liburing.c only. */

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fuse_abi.h"
#include "support/fake_rings.h"

#define RINGS_MAX   80
#define ENTRIES_MAX (FAKE_QUEUES_MAX * 16)
#define FIRST_FD    10000
/* Kinds of them, in the low bits of their data. */
#define MESSAGES_MAX 4

struct request {
	struct zs_list link; /* in its queue, until an entry takes it */
	struct fake_call *call;
	uint64_t unique;
	bool done;
};

struct entry {
	struct zs_list link; /* in its queue while it is free */
	unsigned int queue;
	struct zsd_fuse_ring_header *header;
	char *payload;
	struct request *request; /* NULL: free */
	struct ring *ring;
	uint64_t user_data;
};

struct ring {
	struct io_uring *io; /* NULL: unused */
	unsigned int khead, sq_tail, cq_head, cq_tail;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	bool has_owner, has_entries;
	pthread_t owner;
	int watched_fd; /* -1: none */
	uint64_t watched_data;
};

struct failure {
	int error;
	unsigned int after, left, nr;
};

struct fake_kernel {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* there is a completion or an answer */
	int fuse_fd;		/* an eventfd that is never written to */
	bool ended;
	uint64_t unique, nr_answers;
	unsigned int nr_queues, nr_entries, nr_messages, nr_brought;
	unsigned int nr_between_homes[MESSAGES_MAX];
	struct zs_list requests[FAKE_QUEUES_MAX], idle[FAKE_QUEUES_MAX];
	struct entry entries[ENTRIES_MAX];
	struct ring rings[RINGS_MAX];
	struct failure failures[FAKE_OPERATION_NR];
	void (*before_message)(void);
};

extern struct fake_kernel kernel;

void fake_lock(void);
void fake_unlock(void);

/* 0, or what this one is to fail with. */
int fake_fails(enum fake_operation operation);
void fake_complete(struct ring *ring, uint64_t data, int result);
/* Gives a queue's requests to its free entries. */
void fake_dispatch(unsigned int queue);
void fake_finish(struct request *request, int error);
