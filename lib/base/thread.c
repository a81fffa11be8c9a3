/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers of threads, and their share of the CPUs. */

#include "base/thread.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"

static_assert(ZS_THREADS_MAX == 64, "a bit for each in `taken`");

/*
 * By how much a thread in the background is nicer than the process. Each step is a factor of 1.25 in the share of a CPU
 * (sched(7), "The nice value"), so that 5 leaves it a third of what another thread gets: writeback must keep up with
 * clients that keep all CPUs busy. Measured with 10 and 19, who reads meanwhile gained nothing that showed.
 */
#define BACKGROUND_NICE 5

static _Atomic uint64_t taken = UINT64_C(1) << ZS_THREAD_SHARED; /* bit per number */
static _Atomic unsigned int highest;				 /* number that was ever given, plus 1 */
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;	       /* its destructor runs when a thread with a number ends */
static _Thread_local unsigned int own; /* number + 1; 0: none yet */

static void give_back(void *argument)
{
	unsigned int number = own - 1;

	own = 0;
	/* release: pairs with the acquire of take() */
	if (number != ZS_THREAD_SHARED)
		atomic_fetch_and_explicit(&taken, ~(UINT64_C(1) << number), memory_order_release);
}

static void make_key(void)
{
	zs_assert(!pthread_key_create(&key, give_back));
}

static unsigned int take(void)
{
	uint64_t old = atomic_load_explicit(&taken, memory_order_relaxed);
	unsigned int number;

	do {
		if (!~old)
			return ZS_THREAD_SHARED;
		number = (unsigned int)__builtin_ctzll(~old);
	} while (!atomic_compare_exchange_weak_explicit(&taken, &old, old | UINT64_C(1) << number, memory_order_acquire,
							memory_order_relaxed));
	return number;
}

static unsigned int first_call(void)
{
	unsigned int number = take(), seen = atomic_load_explicit(&highest, memory_order_relaxed);

	pthread_once(&key_once, make_key);
	own = number + 1;
	pthread_setspecific(key, &own);
	while (seen <= number && !atomic_compare_exchange_weak(&highest, &seen, number + 1))
		continue;
	return number;
}

unsigned int zs_thread_number(void)
{
	if (__builtin_expect(!own, 0))
		return first_call();
	return own - 1;
}

unsigned int zs_thread_numbers(void)
{
	return atomic_load_explicit(&highest, memory_order_acquire);
}

/*
 * SCHED_BATCH: a thread that wakes up does not interrupt another one that runs (sched(7)). The nice value is a thread's
 * own on Linux, and that of the process is its first thread's (setpriority(2)); only getpriority() may answer -1
 * without an error, and then it is right, too.
 */
void zs_thread_set_background(void)
{
	const struct sched_param none = {0};

	if (sched_getscheduler(0) != SCHED_OTHER)
		return;
	(void)sched_setscheduler(0, SCHED_BATCH, &none);
	(void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, (id_t)getpid()) + BACKGROUND_NICE);
}
