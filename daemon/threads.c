/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads. */

#include "threads.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "base/bits.h"

/*
 * The deepest path is a request into a codec; contexts and blocks are on the heap. The default of 8 MiB costs nothing
 * by itself, but with locked memory it would, and 256 threads would reserve 2 GiB.
 */
#define STACK_BYTES ((size_t)256 << 10)

unsigned int zsd_threads_default(unsigned int max)
{
	cpu_set_t cpus;
	long nr = sysconf(_SC_NPROCESSORS_ONLN);

	/* Fails with more than 1024 CPUs: then all that are online. */
	if (!sched_getaffinity(0, sizeof(cpus), &cpus))
		nr = CPU_COUNT(&cpus);
	return (unsigned int)zs_min(zs_max((uint64_t)(nr < 1 ? 1 : nr), 1), max);
}

int zsd_thread_start(const char *name, void *(*function)(void *argument), void *argument, pthread_t *ret_thread)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = pthread_attr_init(&attributes);

	if (r)
		return -r;
	r = pthread_attr_setstacksize(&attributes, zs_max(STACK_BYTES, (uint64_t)PTHREAD_STACK_MIN));
	if (!r)
		r = pthread_create(&thread, &attributes, function, argument);
	pthread_attr_destroy(&attributes);
	if (r)
		return -r;
	pthread_setname_np(thread, name);
	*ret_thread = thread;
	return 0;
}
