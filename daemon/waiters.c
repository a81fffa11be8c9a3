/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiters.
 *
 *   a waiter   next     by
 *   NONE       RUNNING  who gives a request, if no thread is idle that has none to come
 *   RUNNING    ENDED    itself: it was idle for long, or is to stop
 *   ENDED      NONE     who needs its place, or stops: pthread_join(3)
 *
 * A thread that takes a request from the list was counted in nr_idle or has just been made for one. More requests in
 * the list than threads that are idle or on their way is what makes another thread.
 */

#include "waiters.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "frontend.h"
#include "threads.h"

unsigned int zsd_waiters_idle_msec = 5000;

enum waiter_state { WAITER_NONE, WAITER_RUNNING, WAITER_ENDED };

struct waiter {
	struct zsd_waiters *waiters;
	enum waiter_state state; /* under waiters->lock */
	pthread_t thread;
	struct zsd_fuse_server server; /* the thread's own */
};

struct zsd_waiters {
	struct zsd_waiters_options options; /* immutable */
	pthread_mutex_t lock;		    /* a leaf; guards the rest */
	pthread_cond_t wanted;		    /* there is a request, or stopping */
	struct zs_list items;		    /* the newest first */
	unsigned int nr_items;
	unsigned int nr_idle; /* threads that look for a request, or are about to */
	unsigned int nr_running;
	bool stopping;
	struct waiter waiters[ZSD_WAITERS_MAX];
};

/*
 * the threads
 */

static struct timespec idle_until(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += zsd_waiters_idle_msec / 1000;
	until.tv_nsec += (long)(zsd_waiters_idle_msec % 1000) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return until;
}

static struct zsd_waiter_item *oldest_locked(struct zsd_waiters *waiters)
{
	struct zsd_waiter_item *item;

	if (zs_list_empty(&waiters->items))
		return NULL;
	item = zs_list_entry(waiters->items.previous, struct zsd_waiter_item, link);
	zs_list_unlink(&item->link);
	waiters->nr_items--;
	return item;
}

/* The thread is counted as idle, and isn't afterwards. NULL: it is to end. */
static struct zsd_waiter_item *wait_locked(struct zsd_waiters *waiters)
{
	const struct timespec until = idle_until();
	struct zsd_waiter_item *item = NULL;
	int r = 0;

	while (!waiters->stopping) {
		item = oldest_locked(waiters);
		if (item || r == ETIMEDOUT)
			break;
		r = pthread_cond_timedwait(&waiters->wanted, &waiters->lock, &until);
	}
	waiters->nr_idle--;
	return item;
}

static void *run(void *argument)
{
	struct waiter *waiter = argument;
	struct zsd_waiters *waiters = waiter->waiters;
	struct zsd_waiter_item *item;

	pthread_mutex_lock(&waiters->lock);
	while ((item = wait_locked(waiters))) {
		pthread_mutex_unlock(&waiters->lock);
		waiters->options.serve(waiters->options.context, &waiter->server, item);
		pthread_mutex_lock(&waiters->lock);
		waiters->nr_idle++;
	}
	waiters->nr_running--;
	waiter->state = WAITER_ENDED;
	pthread_mutex_unlock(&waiters->lock);
	waiter->server.ops->thread_end(waiter->server.frontend, waiter->server.thread);
	return NULL;
}

/* A place for a thread, or NULL. */
static struct waiter *find_place_locked(struct zsd_waiters *waiters)
{
	for (unsigned int i = 0; i < ZSD_WAITERS_MAX; i++) {
		struct waiter *waiter = &waiters->waiters[i];

		if (waiter->state == WAITER_RUNNING)
			continue;
		/* It takes no lock any more. */
		if (waiter->state == WAITER_ENDED)
			pthread_join(waiter->thread, NULL);
		waiter->state = WAITER_NONE;
		return waiter;
	}
	return NULL;
}

/* Counts as idle until it takes a request. Returns 0, -ENOMEM or -EAGAIN. */
static int start_locked(struct zsd_waiters *waiters)
{
	struct waiter *waiter = find_place_locked(waiters);
	unsigned int number;
	char name[16];
	int r;

	if (!waiter)
		return -EAGAIN;
	number = (unsigned int)(waiter - waiters->waiters);
	waiter->waiters = waiters;
	waiter->server = waiters->options.server;
	r = waiter->server.ops->thread_begin(waiter->server.frontend, waiters->options.first_index + number,
					     &waiter->server.thread);
	if (r)
		return r;
	zsd_fuse_allow_wait(&waiter->server, true);
	snprintf(name, sizeof(name), "zsd-wait-%u", number);
	r = zsd_thread_start(name, run, waiter, &waiter->thread);
	if (r) {
		waiter->server.ops->thread_end(waiter->server.frontend, waiter->server.thread);
		return r;
	}
	waiter->state = WAITER_RUNNING;
	waiters->nr_idle++;
	waiters->nr_running++;
	return 0;
}

/*
 * giving
 */

/* Makes a thread if there is none for one more request. Failing to do so matters only if there is none at all. */
static int provide_locked(struct zsd_waiters *waiters)
{
	int r = 0;

	if (waiters->stopping)
		return -ESHUTDOWN;
	if (waiters->nr_items >= waiters->nr_idle)
		r = start_locked(waiters);
	return waiters->nr_running ? 0 : r;
}

int zsd_waiters_add(struct zsd_waiters *waiters, struct zsd_waiter_item *item)
{
	int r;

	pthread_mutex_lock(&waiters->lock);
	r = provide_locked(waiters);
	if (!r) {
		zs_list_push(&waiters->items, &item->link);
		waiters->nr_items++;
	}
	pthread_mutex_unlock(&waiters->lock);
	if (!r)
		pthread_cond_signal(&waiters->wanted);
	return r;
}

/*
 * life
 */

int zsd_waiters_create(const struct zsd_waiters_options *options, struct zsd_waiters **ret_waiters)
{
	struct zsd_waiters *waiters = zs_calloc(1, sizeof(*waiters));
	pthread_condattr_t attributes;

	if (!waiters)
		return -ENOMEM;
	waiters->options = *options;
	zs_list_init(&waiters->items);
	pthread_mutex_init(&waiters->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&waiters->wanted, &attributes);
	pthread_condattr_destroy(&attributes);
	*ret_waiters = waiters;
	return 0;
}

static void join_all(struct zsd_waiters *waiters)
{
	for (unsigned int i = 0; i < ZSD_WAITERS_MAX; i++) {
		struct waiter *waiter = &waiters->waiters[i];

		if (waiter->state != WAITER_NONE)
			pthread_join(waiter->thread, NULL);
		waiter->state = WAITER_NONE;
	}
}

void zsd_waiters_stop(struct zsd_waiters *waiters)
{
	struct zsd_waiter_item *item;

	if (!waiters)
		return;
	pthread_mutex_lock(&waiters->lock);
	waiters->stopping = true;
	pthread_mutex_unlock(&waiters->lock);
	pthread_cond_broadcast(&waiters->wanted);
	/* Nobody starts one any more. */
	join_all(waiters);
	pthread_mutex_lock(&waiters->lock);
	while ((item = oldest_locked(waiters)))
		waiters->options.drop(waiters->options.context, item);
	pthread_mutex_unlock(&waiters->lock);
}

void zsd_waiters_destroy(struct zsd_waiters *waiters)
{
	if (!waiters)
		return;
	zsd_waiters_stop(waiters);
	pthread_cond_destroy(&waiters->wanted);
	pthread_mutex_destroy(&waiters->lock);
	free(waiters);
}

unsigned int zsd_waiters_nr_threads(struct zsd_waiters *waiters)
{
	unsigned int nr;

	pthread_mutex_lock(&waiters->lock);
	nr = waiters->nr_running;
	pthread_mutex_unlock(&waiters->lock);
	return nr;
}
