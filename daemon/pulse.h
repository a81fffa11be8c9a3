#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pulse of a thread that serves data: whether it goes on. It counts each time that it looks for a request, and each
 * one that it has found; whoever watches it calls it out of its sleep, so that it has to count, too.
 *
 * Context: the thread, where nothing else is said.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What a sleeping thread is woken with; it has a handler that does nothing. */
#define ZSD_PULSE_SIGNAL SIGUSR1

struct zsd_pulse {
	_Atomic uint32_t beats; /* odd: it has a request at hand. Written by the thread only, like the next one */
	_Atomic bool waits;	/* for a disk, which may take any time: that is no hang. Relaxed */
	uint32_t heard;		/* beats at the last call; the caller's, like the next one */
	bool is_known;		/* there was a call */
};

/* It is about to look for a request: on to the next even number. */
static inline void zsd_pulse_look(struct zsd_pulse *pulse)
{
	uint32_t beats = atomic_load_explicit(&pulse->beats, memory_order_relaxed);

	atomic_store_explicit(&pulse->beats, (beats + 2) & ~1u, memory_order_relaxed);
}

/* It has one more request at hand: on to the next odd number. */
static inline void zsd_pulse_serve(struct zsd_pulse *pulse)
{
	uint32_t beats = atomic_load_explicit(&pulse->beats, memory_order_relaxed);

	atomic_store_explicit(&pulse->beats, (beats + 1) | 1u, memory_order_relaxed);
}

/* It begins or ends to wait for a disk, with a request at hand. */
static inline void zsd_pulse_set_waits(struct zsd_pulse *pulse, bool waits)
{
	atomic_store_explicit(&pulse->waits, waits, memory_order_relaxed);
}

/*
 * Asks a thread, that has not been joined, to move on, unless it has a request at hand. True if it has done so since
 * the last call, or waits for a disk, or this is the first one. Context: one caller at a time.
 */
bool zsd_pulse_call(struct zsd_pulse *pulse, pthread_t thread);
