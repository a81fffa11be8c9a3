#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads: how many, and with how little stack. Context: any thread. */

#include <pthread.h>

/* CPUs that this process may run on, 1 to max. */
unsigned int zsd_threads_default(unsigned int max);

/* As pthread_create(3), with a name that ps(1) shows and a small stack. Returns 0, -EAGAIN or -ENOMEM. */
int zsd_thread_start(const char *name, void *(*function)(void *argument), void *argument, pthread_t *ret_thread);
