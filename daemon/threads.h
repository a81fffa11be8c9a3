#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads: how many, with how little stack, and where. All threads that the daemon makes are made here, so
 * that each may run on all CPUs of the process, whoever makes it, until it asks for a pin itself (placement.h).
 *
 * Context: any thread.
 */

#include <pthread.h>

/* CPUs that this process may run on, 1 to max. */
unsigned int zsd_threads_default(unsigned int max);

/*
 * The calling thread takes its turn from now on: when it wakes up it does not interrupt a thread that runs
 * (SCHED_BATCH). Threads that it makes are as they were. For speed only: a sandbox may forbid it, and what was chosen
 * for the whole process is kept.
 */
void zsd_thread_set_patient(void);

/* As pthread_create(3), with a name that ps(1) shows and a small stack. Returns 0, -EAGAIN or -ENOMEM. */
int zsd_thread_start(const char *name, void *(*function)(void *argument), void *argument, pthread_t *ret_thread);

/* The same with the stack that the system gives to a thread, for what is deeper than a codec. */
int zsd_thread_start_deep(const char *name, void *(*function)(void *argument), void *argument, pthread_t *ret_thread);
