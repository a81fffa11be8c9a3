#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's side of FUSE over io_uring, in memory: it replaces liburing's functions in the program that it is linked
 * to. Queues, the entry that became free last is taken first, messages between rings, and the end of the connection are
 * as in Linux; time and errors are the test's. Unlike a real kernel it shows the thread sanitizer what orders what.
 *
 * It aborts where the kernel would refuse or lose something: an unknown command, an answer without a request, a
 * completion without room, a submission by another thread than the ring's.
 *
 * Context: any thread, unless a function says otherwise.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_QUEUES_MAX 64

/* A new kernel that has this many queues. Nobody may be waiting in the one before. */
void fake_rings_begin(unsigned int nr_queues);

/* For struct zsd_uring_options. */
int fake_rings_fuse_fd(void);

/* What a client asks for and gets. */
struct fake_call {
	unsigned int queue;
	uint32_t opcode;
	uint64_t node;
	const void *argument;
	size_t argument_length;
	const void *payload; /* of the request */
	size_t payload_length;
	void *output; /* for the payload of the answer; may be NULL */
	size_t output_capacity;

	int error; /* of the answer; -ECONNABORTED if the connection ended before there was one */
	size_t output_length;
};

/* Asks, and waits for the answer. */
void fake_rings_call(struct fake_call *call);

/* Ends the connection: whoever waits gets ECONNABORTED, and so does whoever asks later. */
void fake_rings_abort(void);

/* What the kernel fails with. */
enum fake_operation {
	FAKE_SETUP,    /* of the next rings */
	FAKE_REGISTER, /* of an entry */
	FAKE_COMMIT,   /* the command itself: nothing is answered */
	FAKE_MESSAGE,  /* to another ring */
	FAKE_WAIT,     /* io_uring_submit_and_wait(), before anything is submitted */
	FAKE_OPERATION_NR,
};

/* After this many more that succeed, the next nr of that operation fail with error. */
void fake_rings_fail(enum fake_operation operation, int error, unsigned int after, unsigned int nr);

/* How many of them have failed so since the beginning. */
unsigned int fake_rings_nr_failed(enum fake_operation operation);

/* Is called, if it isn't NULL, by a thread that is about to give something to another ring. */
void fake_rings_before_message(void (*hook)(void));

/* Entries of a queue that were registered. */
unsigned int fake_rings_nr_entries(unsigned int queue);
/* Messages between rings so far. */
unsigned int fake_rings_nr_messages(void);
/*
 * Those of one kind (enum zsd_ring_message) from a ring that has registered entries to another one: between homes of
 * queues, that is, without those to and from a slow lane, and from who has no ring.
 */
unsigned int fake_rings_nr_between_homes(unsigned int message);
/* Requests that entries have brought so far. */
unsigned int fake_rings_nr_brought(void);
/* Answers taken so far. */
uint64_t fake_rings_nr_answers(void);
