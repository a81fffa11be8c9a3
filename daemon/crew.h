#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many threads of a transport are at work, and how long one looks for a request before it sleeps.
 *
 * A thread at work takes requests and serves them. The others are off: they sleep until one of them is called. One
 * at least is always at work; and if all of those are kept by what they serve, the guard calls one more.
 *
 * Context: any thread, unless a function says otherwise.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"

/* One thread. Written by it only, except where noted. */
struct zsd_crew_member {
	_Alignas(ZS_NO_SHARE) _Atomic uint32_t turn; /* odd: it serves a request */
	_Atomic bool off;
	_Atomic bool resting;  /* sleeps until there is a request */
	uint32_t checked_turn; /* at the last check; owned by zsd_crew_check() */
};

struct zsd_crew {
	struct zsd_crew_member *members; /* nr_members; borrowed */
	uint32_t nr_members;
	_Atomic uint32_t nr_working; /* members at work, and calls: from 1 to nr_members */
	_Atomic uint32_t calls;	     /* not answered yet, and whether it has ended; who is off sleeps on it */
	_Atomic uint32_t dozing;     /* why the guard has no timer (enum in crew.c); it sleeps on it */
	pthread_t guard;	     /* of who made the crew */
	bool has_guard;
};

/* All are off, and one is called. */
void zsd_crew_init(struct zsd_crew *crew, struct zsd_crew_member *members, uint32_t nr_members);

/*
 * Sleeps until the caller, who is off, is called, and is at work then. Returns false if it is not, since a signal came
 * or the crew has ended.
 */
bool zsd_crew_wait(struct zsd_crew *crew, struct zsd_crew_member *member);

/* The caller, who is at work, is off from now on and must zsd_crew_wait(). False: it is the only one and stays. */
bool zsd_crew_leave(struct zsd_crew *crew, struct zsd_crew_member *member);

/* Nobody else is at work. A hint: that may change at once. */
bool zsd_crew_is_alone(const struct zsd_crew *crew);

/* Calls one who is off. False if there is none. */
bool zsd_crew_call(struct zsd_crew *crew);

/* Around the sleep in the kernel of one at work. Context: the member. */
void zsd_crew_rest_begin(struct zsd_crew_member *member);
void zsd_crew_rest_end(struct zsd_crew *crew, struct zsd_crew_member *member);

/* Around serving a request. Context: the member. */
void zsd_crew_serve_begin(struct zsd_crew_member *member);
void zsd_crew_serve_end(struct zsd_crew_member *member);

/* Everybody who sleeps here wakes up, and nobody will sleep here again. */
void zsd_crew_end(struct zsd_crew *crew);
bool zsd_crew_has_ended(const struct zsd_crew *crew);

/*
 * Starts the guard, a thread that checks now and then while there are requests, until the crew ends; none if there is
 * nobody to call. Returns 0, or -EAGAIN (no more threads). Context: as for joining, who made the crew.
 */
int zsd_crew_start_guard(struct zsd_crew *crew);

/* Waits for the end of the guard, if there is one, after zsd_crew_end(). */
void zsd_crew_join_guard(struct zsd_crew *crew);

/*
 * Calls one more if all at work have been serving the same request since the last check. Returns whether anything
 * was served since. Context: the guard.
 */
bool zsd_crew_check(struct zsd_crew *crew);

/* What a thread has seen lately. Zeroed in the beginning, and owned by the thread. */
struct zsd_tally {
	uint32_t nr_requests;
	uint32_t nr_asked;    /* of them, where it is known whether */
	uint32_t nr_at_once;  /* they were there already */
	uint32_t nr_switches; /* that came from another client than the one before */
	uint32_t client;
	uint32_t nr_spare;  /* times in a row that one thread would have been best */
	uint64_t work_nsec; /* what serving those of nr_asked took; the thread adds to it */
};

enum zsd_advice {
	ZSD_STAY,  /* nothing to change */
	ZSD_CALL,  /* there is work for one more */
	ZSD_LEAVE, /* one is best for it; if others are at work be off after this request */
};

enum zsd_arrival {
	ZSD_UNKNOWN,
	ZSD_AT_ONCE, /* it was there when the thread was ready for it */
	ZSD_LATER,
};

/* Counts a request that is about to be served. */
enum zsd_advice zsd_tally_count(struct zsd_tally *tally, uint32_t client, enum zsd_arrival arrival);

/* How long a thread looks for a request before it sleeps. max_nsec is fixed, the rest zeroed in the beginning. */
struct zsd_window {
	uint64_t max_nsec;
	uint64_t nsec;
	uint64_t shut_until_nsec; /* monotonic time until which it does not look at all */
};

/* How long to look now. */
uint64_t zsd_window_open(const struct zsd_window *window, uint64_t now_nsec);

/*
 * Two looks in a row were at these times. Shuts the window for a while, and returns true, if the thread did not have
 * its CPU in between: others want it.
 */
bool zsd_window_check(struct zsd_window *window, uint64_t before_nsec, uint64_t now_nsec);

/*
 * A request was waited for as long: the window grows if a longer one would have caught it, and shrinks if not even the
 * longest would have.
 */
void zsd_window_adapt(struct zsd_window *window, uint64_t waited_nsec);
