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

static _Thread_local bool is_patient;

unsigned int zsd_threads_default(unsigned int max)
{
	cpu_set_t cpus;
	long nr = sysconf(_SC_NPROCESSORS_ONLN);

	/* Fails with more than 1024 CPUs: then all that are online. */
	if (!sched_getaffinity(0, sizeof(cpus), &cpus))
		nr = CPU_COUNT(&cpus);
	return (unsigned int)zs_min(zs_max((uint64_t)(nr < 1 ? 1 : nr), 1), max);
}

void zsd_thread_set_patient(void)
{
	const struct sched_param none = {};

	is_patient = sched_getscheduler(0) == SCHED_OTHER && !sched_setscheduler(0, SCHED_BATCH, &none);
}

/* Patience is not inherited. */
static int set_policy(pthread_attr_t *attributes)
{
	return is_patient ? pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED) : 0;
}

/*
 * A thread inherits the CPUs of who makes it, which may be pinned to one. The first thread of the process never is, and
 * has whatever taskset(1) and control groups leave to the process.
 */
static int set_cpus(pthread_attr_t *attributes)
{
	cpu_set_t cpus;

	/* Fails with more than 1024 CPUs, where nobody is pinned. */
	if (gettid() == getpid() || sched_getaffinity(getpid(), sizeof(cpus), &cpus))
		return 0;
	return pthread_attr_setaffinity_np(attributes, sizeof(cpus), &cpus);
}

static int create(pthread_attr_t *attributes, size_t stack_bytes, void *(*function)(void *argument), void *argument,
		  pthread_t *ret_thread)
{
	int r = stack_bytes ? pthread_attr_setstacksize(attributes, stack_bytes) : 0;

	if (!r)
		r = set_policy(attributes);
	if (!r)
		r = set_cpus(attributes);
	if (!r)
		r = pthread_create(ret_thread, attributes, function, argument);
	return r;
}

/* stack_bytes 0: what the system gives to a thread. */
static int start(const char *name, size_t stack_bytes, void *(*function)(void *argument), void *argument,
		 pthread_t *ret_thread)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = pthread_attr_init(&attributes);

	if (r)
		return -r;
	r = create(&attributes, stack_bytes, function, argument, &thread);
	pthread_attr_destroy(&attributes);
	/* These CPUs have just been taken away from us: the kernel moves a thread that has no mask of its own. */
	if (r == EINVAL)
		r = pthread_create(&thread, NULL, function, argument);
	if (r)
		return -r;
	pthread_setname_np(thread, name);
	*ret_thread = thread;
	return 0;
}

int zsd_thread_start(const char *name, void *(*function)(void *argument), void *argument, pthread_t *ret_thread)
{
	return start(name, zs_max(STACK_BYTES, (uint64_t)PTHREAD_STACK_MIN), function, argument, ret_thread);
}

int zsd_thread_start_deep(const char *name, void *(*function)(void *argument), void *argument, pthread_t *ret_thread)
{
	return start(name, 0, function, argument, ret_thread);
}
