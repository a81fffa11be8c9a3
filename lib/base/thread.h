#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers of threads, for counters that each thread has for itself; and threads that work in the background.
 *
 * A thread gets the lowest free number when it first asks, and gives it back when it ends; the next thread with that
 * number sees all that the one before has stored. Threads that find no number free share the last one.
 */

#include <stdatomic.h>
#include <stdint.h>

#define ZS_THREADS_MAX	 64
#define ZS_THREAD_SHARED (ZS_THREADS_MAX - 1)

/* The calling thread's number; its own while it lives, unless it is ZS_THREAD_SHARED. */
unsigned int zs_thread_number(void);
/* All numbers that were ever given are below this. */
unsigned int zs_thread_numbers(void);

/*
 * Lets other threads go first from now on: the calling thread's work is not what a client waits for at the moment.
 * Where all CPUs are busy it still gets a share, a third of a data thread's, so that who comes to wait for it does not
 * wait for ever. Threads that it makes inherit this, as do the kernel's workers of its io_uring. There is no way back.
 *
 * It is for speed only: a sandbox may forbid it, and what was chosen for the whole process is kept.
 */
void zs_thread_set_background(void);

/* Adds to a counter that belongs to a thread's number; anybody may load it. Relaxed. */
static inline void zs_thread_add(_Atomic uint64_t *counter, unsigned int thread, uint64_t amount)
{
	if (__builtin_expect(thread == ZS_THREAD_SHARED, 0)) {
		atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
		return;
	}
	/* Nobody else writes it: no need to lock the bus. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
			      memory_order_relaxed);
}
