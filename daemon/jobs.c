/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs, and the helpers that join in.
 *
 *   job      in the list  nr_helpers   next
 *   alone    no           0            below nr_parts: the owner has not asked for help, or there was none
 *   open     yes          any          below nr_parts, or nobody has noticed yet
 *   ending   no           any          nr_parts or more: the owner waits for nr_helpers to become 0
 *
 * A thread gets a part by adding 1 to `next`. A helper gets its first one under the lock, so that it is never counted
 * in nr_helpers without a part to run: an owner does not wait for a helper that has not run yet. After nr_helpers has
 * gone down nothing of the job is touched: its owner may have returned.
 *
 * Waking a thread on another CPU takes 15-20 us until it runs, and some us of the one who wakes it. So the owner runs
 * the first part alone, which tells how long the others will take; zeros, and whatever else is quick, wake nobody.
 *
 * No more threads are at work than there are CPUs, unless they are all owners: clients that keep all CPUs busy by
 * themselves get no help, which could only make them wait. A helper leaves a job when an owner wants its CPU.
 */

#include "jobs.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "codec/stream.h"
#include "threads.h"

/* One helper for so much work: what waking it costs should be little of what it saves. */
#define WORK_PER_HELPER_NSEC 40000
/* An owner looks this long for the end of the last parts before it sleeps: it takes as long to wake up again. */
#define SPIN_NSEC 20000

struct helper {
	struct zsd_jobs *jobs;
	struct zs_stream *stream; /* owner thread only, after the start */
	pthread_t thread;
};

struct zsd_jobs {
	unsigned int nr_cpus;		 /* immutable */
	_Atomic unsigned int nr_working; /* owners and helpers that run parts; relaxed, decides only whether to help */
	_Atomic uint64_t nr_parts;	 /* relaxed, statistics */

	pthread_mutex_t lock;  /* a leaf; guards the rest */
	pthread_cond_t wanted; /* a job was opened, or stopping */
	pthread_cond_t left;   /* the last helper of a job has left it */
	struct zs_list open;   /* jobs with parts left, the newest first */
	uint64_t nr_helped;
	bool stopping;
	unsigned int nr_threads; /* of helpers; immutable after create */
	struct helper helpers[ZSD_HELPERS_MAX];
};

/* parts */

/* False if none is left. */
static bool take_part(struct zsd_job *job, unsigned int *ret_part)
{
	unsigned int part = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);

	if (part >= job->nr_parts)
		return false;
	*ret_part = part;
	return true;
}

static enum zsd_part run_part(struct zsd_job *job, struct zs_stream *stream, unsigned int part)
{
	enum zsd_part result = job->run_part(job, stream, part);

	if (result == ZSD_PART_FAILED)
		atomic_store_explicit(&job->next, job->nr_parts, memory_order_relaxed);
	return result;
}

/* helpers */

/* Of the oldest open job that has one. */
static struct zsd_job *join(struct zsd_jobs *jobs, unsigned int *ret_part)
{
	while (!zs_list_empty(&jobs->open)) {
		struct zsd_job *job = zs_list_entry(jobs->open.previous, struct zsd_job, link);

		if (take_part(job, ret_part)) {
			atomic_fetch_add_explicit(&job->nr_helpers, 1, memory_order_relaxed);
			return job;
		}
		zs_list_unlink(&job->link);
	}
	return NULL;
}

static bool has_free_cpu(struct zsd_jobs *jobs)
{
	return atomic_load_explicit(&jobs->nr_working, memory_order_relaxed) < jobs->nr_cpus;
}

static bool is_crowded(struct zsd_jobs *jobs)
{
	return atomic_load_explicit(&jobs->nr_working, memory_order_relaxed) > jobs->nr_cpus;
}

/* What is in a helper's way, a lack of memory, may be in that of all. */
static void give_back(struct zsd_jobs *jobs, struct zsd_job *job, unsigned int part)
{
	pthread_mutex_lock(&jobs->lock);
	zs_assert(job->nr_returned < ZSD_HELPERS_MAX);
	job->returned[job->nr_returned++] = part;
	zs_list_unlink(&job->link);
	pthread_mutex_unlock(&jobs->lock);
}

/* Runs parts, starting with one that has been taken. */
static void help_job(struct zsd_jobs *jobs, struct zsd_job *job, struct zs_stream *stream, unsigned int part)
{
	enum zsd_part result;
	uint64_t nr = 0;

	atomic_fetch_add_explicit(&jobs->nr_working, 1, memory_order_relaxed);
	do {
		result = run_part(job, stream, part);
		nr += result != ZSD_PART_RETURNED;
	} while (result == ZSD_PART_DONE && !is_crowded(jobs) && take_part(job, &part));
	if (result == ZSD_PART_RETURNED)
		give_back(jobs, job, part);
	atomic_fetch_sub_explicit(&jobs->nr_working, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&jobs->nr_parts, nr, memory_order_relaxed);
}

static void leave(struct zsd_jobs *jobs, struct zsd_job *job)
{
	/* release: pairs with the acquire of its owner, which sees what the parts did */
	if (atomic_fetch_sub_explicit(&job->nr_helpers, 1, memory_order_release) == 1)
		pthread_cond_broadcast(&jobs->left);
}

static void *run_helper(void *argument)
{
	struct helper *helper = argument;
	struct zsd_jobs *jobs = helper->jobs;
	struct zsd_job *job;
	unsigned int part;

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->stopping) {
		job = has_free_cpu(jobs) ? join(jobs, &part) : NULL;
		if (!job) {
			pthread_cond_wait(&jobs->wanted, &jobs->lock);
			continue;
		}
		pthread_mutex_unlock(&jobs->lock);
		help_job(jobs, job, helper->stream, part);
		pthread_mutex_lock(&jobs->lock);
		leave(jobs, job);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* owners */

/* How many helpers would make the rest of the job end earlier, if the first part has taken this long. */
static unsigned int count_helpers_wanted(struct zsd_jobs *jobs, const struct zsd_job *job, uint64_t part_nsec)
{
	unsigned int working = atomic_load_explicit(&jobs->nr_working, memory_order_relaxed);
	unsigned int next = atomic_load_explicit(&job->next, memory_order_relaxed);
	uint64_t nr, left;

	if (next >= job->nr_parts || working >= jobs->nr_cpus)
		return 0;
	left = job->nr_parts - next;
	nr = zs_min(left, part_nsec * left / WORK_PER_HELPER_NSEC);
	return (unsigned int)zs_min(nr, zs_min(jobs->nr_threads, jobs->nr_cpus - working));
}

static void open_job(struct zsd_jobs *jobs, struct zsd_job *job, unsigned int nr_helpers)
{
	pthread_mutex_lock(&jobs->lock);
	zs_list_push(&jobs->open, &job->link);
	jobs->nr_helped++;
	pthread_mutex_unlock(&jobs->lock);
	for (unsigned int i = 0; i < nr_helpers; i++)
		pthread_cond_signal(&jobs->wanted);
}

static bool is_left(struct zsd_job *job)
{
	return !atomic_load_explicit(&job->nr_helpers, memory_order_acquire);
}

static void close_job(struct zsd_jobs *jobs, struct zsd_job *job)
{
	uint64_t until;

	pthread_mutex_lock(&jobs->lock);
	zs_list_unlink(&job->link);
	pthread_mutex_unlock(&jobs->lock);
	/* From here on nobody joins. */
	if (is_left(job))
		return;
	for (until = zs_clock_nsec() + SPIN_NSEC; zs_clock_nsec() < until;) {
		if (is_left(job))
			return;
	}
	pthread_mutex_lock(&jobs->lock);
	while (!is_left(job))
		pthread_cond_wait(&jobs->left, &jobs->lock);
	pthread_mutex_unlock(&jobs->lock);
}

static void run_parts(struct zsd_job *job, struct zs_stream *stream)
{
	unsigned int part;

	while (take_part(job, &part))
		run_part(job, stream, part);
}

/* After the end of all others: nobody else knows the job any more. */
static void run_returned(struct zsd_job *job, struct zs_stream *stream)
{
	for (unsigned int i = 0; i < job->nr_returned; i++)
		zs_assert(run_part(job, stream, job->returned[i]) != ZSD_PART_RETURNED);
}

void zsd_jobs_run(struct zsd_jobs *jobs, struct zsd_job *job, struct zs_stream *stream)
{
	uint64_t began = zs_clock_nsec();
	unsigned int nr_helpers;

	atomic_init(&job->next, 1);
	atomic_init(&job->nr_helpers, 0);
	zs_list_init(&job->link);
	job->nr_returned = 0;
	if (!job->nr_parts)
		return;
	atomic_fetch_add_explicit(&jobs->nr_working, 1, memory_order_relaxed);
	run_part(job, stream, 0);
	nr_helpers = count_helpers_wanted(jobs, job, zs_clock_nsec() - began);
	if (nr_helpers)
		open_job(jobs, job, nr_helpers);
	run_parts(job, stream);
	if (nr_helpers) {
		close_job(jobs, job);
		run_returned(job, stream);
	}
	atomic_fetch_sub_explicit(&jobs->nr_working, 1, memory_order_relaxed);
}

/* life */

static int start_helper(struct zsd_jobs *jobs)
{
	struct helper *helper = &jobs->helpers[jobs->nr_threads];
	char name[16];
	int r;

	helper->jobs = jobs;
	/* The transport's threads count from 0; best nobody shares counters with them. */
	r = zs_stream_create(UINT_MAX - jobs->nr_threads, &helper->stream);
	if (r)
		return r;
	snprintf(name, sizeof(name), "zsd-help-%u", jobs->nr_threads);
	r = zsd_thread_start(name, run_helper, helper, &helper->thread);
	if (r) {
		zs_stream_destroy(helper->stream);
		return r;
	}
	jobs->nr_threads++;
	return 0;
}

static void destroyp(struct zsd_jobs **jobs)
{
	zsd_jobs_destroy(*jobs);
}

int zsd_jobs_create(unsigned int nr_cpus, struct zsd_jobs **ret_jobs)
{
	ZS_CLEANUP(destroyp) struct zsd_jobs *jobs = zs_calloc(1, sizeof(*jobs));
	int r = 0;

	zs_assert(nr_cpus > 0);
	if (!jobs)
		return -ENOMEM;
	jobs->nr_cpus = nr_cpus;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->wanted, NULL);
	pthread_cond_init(&jobs->left, NULL);
	zs_list_init(&jobs->open);
	while (!r && jobs->nr_threads < zs_min(nr_cpus - 1, ZSD_HELPERS_MAX))
		r = start_helper(jobs);
	if (r)
		return r;
	*ret_jobs = zs_take(jobs);
	return 0;
}

void zsd_jobs_destroy(struct zsd_jobs *jobs)
{
	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	zs_assert(zs_list_empty(&jobs->open));
	jobs->stopping = true;
	pthread_mutex_unlock(&jobs->lock);
	pthread_cond_broadcast(&jobs->wanted);
	for (unsigned int i = 0; i < jobs->nr_threads; i++) {
		pthread_join(jobs->helpers[i].thread, NULL);
		zs_stream_destroy(jobs->helpers[i].stream);
	}
	pthread_cond_destroy(&jobs->left);
	pthread_cond_destroy(&jobs->wanted);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}

void zsd_jobs_stats(struct zsd_jobs *jobs, struct zsd_jobs_stats *ret_stats)
{
	pthread_mutex_lock(&jobs->lock);
	ret_stats->nr_helped = jobs->nr_helped;
	pthread_mutex_unlock(&jobs->lock);
	ret_stats->nr_parts = atomic_load_explicit(&jobs->nr_parts, memory_order_relaxed);
}
