#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: work in parts, of which idle threads take a share.
 *
 * Whoever has a job runs its parts, one after the other. If it is long enough for that to pay, and as long as there are
 * CPUs without a job, helpers join in and run parts as well. Nobody waits for a helper to come: the owner waits at the
 * end only, for parts that a helper has begun.
 *
 * Context: create and destroy by one thread, with no job left; zsd_jobs_run() by any number of threads at a time.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct zs_stream;
struct zsd_job;
struct zsd_jobs;

/* More helpers than this wait for each other more than they help: a request has at most some dozens of parts. */
#define ZSD_HELPERS_MAX 7

enum zsd_part {
	ZSD_PART_DONE,
	ZSD_PART_FAILED,   /* no further part is to be begun */
	ZSD_PART_RETURNED, /* this thread can't; its owner is to run it once more. Not for the owner itself */
};

/* Runs one part, with the stream of the thread that it runs on. */
typedef enum zsd_part zsd_job_part(struct zsd_job *job, struct zs_stream *stream, unsigned int part);

/* To be embedded by whoever has one; lives on the stack. */
struct zsd_job {
	zsd_job_part *run_part; /* immutable, set by the owner, like the next one */
	unsigned int nr_parts;
	_Atomic unsigned int next;	 /* the part that is begun next; none are left from nr_parts on */
	_Atomic unsigned int nr_helpers; /* who run parts; written under the lock of the jobs */
	struct zs_list link;		 /* in the list of open jobs; under that lock */
	/* Parts that helpers have returned; under that lock. One of each helper: nobody joins after that. */
	unsigned int nr_returned;
	unsigned int returned[ZSD_HELPERS_MAX];
};

struct zsd_jobs_stats {
	uint64_t nr_helped; /* jobs that helpers were asked for */
	uint64_t nr_parts;  /* that helpers have run */
};

/*
 * Starts helpers for jobs on nr_cpus CPUs: one less, since an owner is on one of them, and ZSD_HELPERS_MAX at most; so
 * none for one CPU, and then jobs are run by their owners alone. The helpers inherit the signal mask of the caller.
 * Returns 0, -ENOMEM or -EAGAIN (no more threads).
 */
int zsd_jobs_create(unsigned int nr_cpus, struct zsd_jobs **ret_jobs);
void zsd_jobs_destroy(struct zsd_jobs *jobs);

/*
 * Runs a job: parts 0 to nr_parts - 1, begun in this order, each one once, several at the same time; those that were
 * returned once more, at the end. Returns when all that were begun have ended; what they did can be seen then. If a
 * part has failed, all before it have been run, and some behind it may have been.
 */
void zsd_jobs_run(struct zsd_jobs *jobs, struct zsd_job *job, struct zs_stream *stream);

void zsd_jobs_stats(struct zsd_jobs *jobs, struct zsd_jobs_stats *ret_stats);
