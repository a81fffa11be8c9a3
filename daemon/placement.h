#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which threads serve which queues of FUSE over io_uring, and on which CPUs.
 *
 * The kernel has a queue for each possible CPU and puts a request into the one of the CPU that the client is on. Each
 * queue has a home, the thread that serves it: that of the same CPU, or one in turn for CPUs without a thread, which
 * are those that we may not use, that are offline, or for which there are too many.
 *
 * A thread is pinned to its CPU as long as small requests come one by one: then the client waits while it works, and
 * being on the same CPU saves a wake-up of another one. A client that keeps it busy competes with it for that CPU; if
 * the CPU of another thread has little to do, the pin is dropped, and the scheduler finds a place for each of them.
 *
 * Context: any thread.
 */

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"

#define ZSD_PLACEMENT_THREADS_MAX 256

/* Where one thread is. Owned by it, except where noted. */
struct zsd_pin {
	_Alignas(ZS_NO_SHARE) bool pinned;
	unsigned int work;	     /* since the last look */
	uint64_t nr_sleeps;	     /* until the last look */
	_Atomic int64_t looked_nsec; /* monotonic time of the last look; read by all threads */
};

struct zsd_placement {
	unsigned int nr_queues; /* possible CPUs */
	unsigned int nr_threads;
	bool can_pin;	  /* false: more CPUs than a cpu_set_t has */
	cpu_set_t usable; /* CPUs that we may run on */
	unsigned short cpu_of[ZSD_PLACEMENT_THREADS_MAX];
	struct zsd_pin pins[ZSD_PLACEMENT_THREADS_MAX];
};

/* What the machine and our affinity allow; 1 to max_threads threads. */
void zsd_placement_detect(unsigned int max_threads, struct zsd_placement *ret_placement);

/* The same from what was found out: usable NULL if it is not known. */
void zsd_placement_make(unsigned int nr_queues, const cpu_set_t *usable, unsigned int max_threads,
			struct zsd_placement *ret_placement);

/* The thread whose queue this is. */
unsigned int zsd_placement_home(const struct zsd_placement *placement, unsigned int queue);

/* How many CPUs a list such as "0-3,8" has, 0 if it is none. */
unsigned int zsd_cpu_list_count(const char *list);

/* Pins the calling thread, which has this number, to its CPU. */
void zsd_pin_start(struct zsd_placement *placement, unsigned int thread);

/*
 * To be called by the thread after it has done so much work, of which a small request is 1; looks at its pin now and
 * then.
 */
void zsd_pin_worked(struct zsd_placement *placement, unsigned int thread, unsigned int work);

/*
 * Whether a thread should be pinned that has done so much work and slept so often meanwhile; room: there is a CPU with
 * little to do.
 */
bool zsd_pin_decide(bool pinned, bool room, uint64_t work, uint64_t nr_sleeps);
