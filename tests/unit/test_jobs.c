/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs: who runs which part, and when a job has ended. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "codec/stream.h"
#include "jobs.h"

#define PARTS_MAX 1000

/* A job that knows what was done of it. */
struct task {
	struct zsd_job job;
	unsigned int part_usec;
	unsigned int failing_part; /* PARTS_MAX: none */
	_Atomic unsigned int runs[PARTS_MAX];
	_Atomic unsigned int nr_ended;
	pthread_t owner;
	_Atomic unsigned int nr_foreign; /* parts that were not run by the owner */
	pthread_barrier_t *meeting;	 /* of the first two parts, or NULL */
	sem_t *gate;			 /* that all parts but the first wait at, or NULL */
	unsigned int lonely_part;	 /* that the owner does not end before somebody helps; 0: none */
	bool only_owner;		 /* helpers return what they get */
	_Atomic unsigned int nr_returned;
};

static enum zsd_part run_part(struct zsd_job *job, struct zs_stream *stream, unsigned int part)
{
	struct task *task = zs_container_of(job, struct task, job);

	zs_stream_shard(stream);
	atomic_fetch_add(&task->runs[part], 1);
	if (!pthread_equal(pthread_self(), task->owner))
		atomic_fetch_add(&task->nr_foreign, 1);
	if (part < 2 && task->meeting)
		pthread_barrier_wait(task->meeting);
	if (part && task->gate)
		sem_wait(task->gate);
	while (part && part == task->lonely_part && !task->nr_foreign)
		usleep(1000);
	if (task->part_usec)
		usleep(task->part_usec);
	atomic_fetch_add(&task->nr_ended, 1);
	if (part && task->only_owner && !pthread_equal(pthread_self(), task->owner)) {
		atomic_fetch_add(&task->nr_returned, 1);
		return ZSD_PART_RETURNED;
	}
	return part == task->failing_part ? ZSD_PART_FAILED : ZSD_PART_DONE;
}

static void task_init(struct task *task, unsigned int nr_parts, unsigned int part_usec)
{
	memset(task, 0, sizeof(*task));
	task->job.run_part = run_part;
	task->job.nr_parts = nr_parts;
	task->part_usec = part_usec;
	task->failing_part = PARTS_MAX;
}

static void task_run(struct zsd_jobs *jobs, struct task *task)
{
	struct zs_stream *stream;

	cr_assert_eq(zs_stream_create(0, &stream), 0);
	task->owner = pthread_self();
	zsd_jobs_run(jobs, &task->job, stream);
	zs_stream_destroy(stream);
}

/* All parts below end have been run once, none from there on. */
static void check_runs(const struct task *task, unsigned int end)
{
	for (unsigned int i = 0; i < PARTS_MAX; i++)
		cr_assert_eq(task->runs[i], i < end, "part %u was run %u times", i, task->runs[i]);
	cr_assert_eq(task->nr_ended, end);
}

static struct zsd_jobs_stats stats_of(struct zsd_jobs *jobs)
{
	struct zsd_jobs_stats stats;

	zsd_jobs_stats(jobs, &stats);
	return stats;
}

Test(jobs, each_part_is_run_once)
{
	static const unsigned int nr_cpus[] = {1, 2, 3, 8, 100}, nr_parts[] = {0, 1, 2, 3, 64, PARTS_MAX};
	static struct task task;
	struct zsd_jobs *jobs;

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(nr_cpus); i++) {
		cr_assert_eq(zsd_jobs_create(nr_cpus[i], &jobs), 0);
		for (unsigned int j = 0; j < ZS_ARRAY_SIZE(nr_parts); j++) {
			task_init(&task, nr_parts[j], j % 2 ? 50 : 0);
			task_run(jobs, &task);
			check_runs(&task, nr_parts[j]);
		}
		zsd_jobs_destroy(jobs);
	}
}

Test(jobs, one_cpu_has_no_helpers)
{
	struct zsd_jobs *jobs;
	struct task task;

	cr_assert_eq(zsd_jobs_create(1, &jobs), 0);
	task_init(&task, 20, 500);
	task_run(jobs, &task);
	check_runs(&task, 20);
	cr_assert_eq(task.nr_foreign, 0);
	cr_assert_eq(stats_of(jobs).nr_helped, 0);
	zsd_jobs_destroy(jobs);
}

Test(jobs, helpers_take_a_share_of_a_long_job, .timeout = 120)
{
	struct zsd_jobs *jobs;
	struct task task;

	cr_assert_eq(zsd_jobs_create(3, &jobs), 0);
	task_init(&task, 100, 1000);
	/* The CPUs may be busy with something else for a while. */
	task.lonely_part = 50;
	task_run(jobs, &task);
	check_runs(&task, 100);
	cr_assert_gt(task.nr_foreign, 0);
	cr_assert_lt(task.nr_foreign, 100);
	cr_assert_eq(stats_of(jobs).nr_helped, 1);
	cr_assert_eq(stats_of(jobs).nr_parts, task.nr_foreign);
	zsd_jobs_destroy(jobs);
}

Test(jobs, a_short_job_wakes_nobody)
{
	struct zsd_jobs *jobs;
	struct task task;
	unsigned int nr_quick = 0;

	cr_assert_eq(zsd_jobs_create(3, &jobs), 0);
	for (unsigned int i = 0; i < 100; i++) {
		task_init(&task, 4, 0);
		task_run(jobs, &task);
		nr_quick += !task.nr_foreign;
	}
	/* Somebody else may have had the CPU during a first part. */
	cr_assert_gt(nr_quick, 50);
	cr_assert_lt(stats_of(jobs).nr_helped, 50);
	zsd_jobs_destroy(jobs);
}

/* Answers how many parts behind the one that fails were run: what the others began before they could know. */
static unsigned int run_failing(struct zsd_jobs *jobs, unsigned int failing_part)
{
	static struct task task;
	unsigned int nr_behind = 0;

	task_init(&task, PARTS_MAX, 100);
	task.failing_part = failing_part;
	task_run(jobs, &task);
	for (unsigned int part = 0; part <= failing_part; part++)
		cr_assert_eq(task.runs[part], 1, "part %u", part);
	for (unsigned int part = failing_part + 1; part < PARTS_MAX; part++)
		nr_behind += task.runs[part];
	cr_assert_eq(task.nr_ended, failing_part + 1 + nr_behind);
	return nr_behind;
}

Test(jobs, a_failure_ends_the_job_after_the_parts_before_it)
{
	static const unsigned int nr_cpus[] = {1, 4}, failing[] = {0, 1, 300, PARTS_MAX - 1};
	struct zsd_jobs *jobs;

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(nr_cpus); i++) {
		cr_assert_eq(zsd_jobs_create(nr_cpus[i], &jobs), 0);
		for (unsigned int j = 0; j < ZS_ARRAY_SIZE(failing); j++) {
			unsigned int most = nr_cpus[i] == 1 || !failing[j] ? 0 : 100, rounds = 0;

			/* Who fails may lose its CPU before the others can know. */
			while (run_failing(jobs, failing[j]) > most)
				cr_assert(most && rounds++ < 100, "the others never stop");
		}
		zsd_jobs_destroy(jobs);
	}
}

Test(jobs, what_a_helper_returns_is_run_by_the_owner_and_nobody_joins_after_that)
{
	static struct task task;
	struct zsd_jobs *jobs;
	unsigned int nr_returned = 0;

	cr_assert_eq(zsd_jobs_create(4, &jobs), 0);
	/* Until a helper was there, which may be busy elsewhere. */
	for (unsigned int i = 0; i < 10 || (i < 1000 && !nr_returned); i++) {
		unsigned int nr_runs = 0;

		task_init(&task, 50, 300);
		task.only_owner = true;
		task_run(jobs, &task);
		for (unsigned int part = 0; part < 50; part++) {
			cr_assert_geq(task.runs[part], 1);
			cr_assert_leq(task.runs[part], 2);
			nr_runs += task.runs[part];
		}
		cr_assert_leq(task.nr_returned, 3);
		cr_assert_eq(nr_runs, 50 + task.nr_returned);
		cr_assert_eq(task.nr_foreign, task.nr_returned);
		nr_returned += task.nr_returned;
	}
	cr_assert_gt(nr_returned, 0);
	cr_assert_eq(stats_of(jobs).nr_parts, 0);
	zsd_jobs_destroy(jobs);
}

Test(jobs, a_returned_part_that_fails_is_a_failure)
{
	static struct task task;
	struct zsd_jobs *jobs;

	cr_assert_eq(zsd_jobs_create(4, &jobs), 0);
	for (unsigned int i = 0; i < 50; i++) {
		task_init(&task, 20, 300);
		task.only_owner = true;
		task.failing_part = i % 20;
		task_run(jobs, &task);
		for (unsigned int part = 0; part <= task.failing_part; part++)
			cr_assert_geq(task.runs[part], 1);
	}
	zsd_jobs_destroy(jobs);
}

/* threads with a job each */

struct owner {
	struct zsd_jobs *jobs;
	struct task task;
	pthread_t thread;
};

static void *run_owner(void *argument)
{
	struct owner *owner = argument;

	task_run(owner->jobs, &owner->task);
	return NULL;
}

Test(jobs, more_owners_than_helpers_all_come_to_their_end)
{
	static struct owner owners[10];
	struct zsd_jobs *jobs;

	cr_assert_eq(zsd_jobs_create(2, &jobs), 0);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(owners); i++) {
		owners[i].jobs = jobs;
		task_init(&owners[i].task, 1 + i * 10, 200);
		cr_assert_eq(pthread_create(&owners[i].thread, NULL, run_owner, &owners[i]), 0);
	}
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(owners); i++) {
		cr_assert_eq(pthread_join(owners[i].thread, NULL), 0);
		check_runs(&owners[i].task, 1 + i * 10);
	}
	zsd_jobs_destroy(jobs);
}

Test(jobs, clients_that_keep_all_cpus_busy_get_no_help)
{
	static struct owner owners[2];
	pthread_barrier_t meeting;
	struct zsd_jobs *jobs;

	cr_assert_eq(zsd_jobs_create(2, &jobs), 0);
	pthread_barrier_init(&meeting, NULL, 2);
	for (unsigned int i = 0; i < 2; i++) {
		owners[i].jobs = jobs;
		/* They meet before and after they could ask for help. */
		task_init(&owners[i].task, 50, 200);
		owners[i].task.meeting = &meeting;
		cr_assert_eq(pthread_create(&owners[i].thread, NULL, run_owner, &owners[i]), 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert_eq(pthread_join(owners[i].thread, NULL), 0);
		cr_assert_eq(owners[i].task.nr_foreign, 0);
	}
	cr_assert_eq(stats_of(jobs).nr_helped, 0);
	zsd_jobs_destroy(jobs);
	pthread_barrier_destroy(&meeting);
}

/* Waits until so many parts of a job have begun. */
static void wait_runs(struct task *task, unsigned int nr)
{
	unsigned int found;

	do {
		usleep(1000);
		found = 0;
		for (unsigned int i = 0; i < PARTS_MAX; i++)
			found += task->runs[i];
	} while (found < nr);
}

Test(jobs, nobody_waits_for_a_helper_that_is_busy)
{
	static struct owner stuck;
	struct zsd_jobs *jobs;
	struct task task;
	sem_t gate;

	sem_init(&gate, 0, 0);
	/* More CPUs than helpers: help is asked for, and nobody comes. */
	cr_assert_eq(zsd_jobs_create(100, &jobs), 0);
	stuck.jobs = jobs;
	task_init(&stuck.task, 50, 3000);
	stuck.task.gate = &gate;
	cr_assert_eq(pthread_create(&stuck.thread, NULL, run_owner, &stuck), 0);
	wait_runs(&stuck.task, 1 + ZSD_HELPERS_MAX + 1);
	task_init(&task, 10, 1000);
	task_run(jobs, &task);
	check_runs(&task, 10);
	cr_assert_eq(task.nr_foreign, 0);
	cr_assert_eq(stats_of(jobs).nr_helped, 2);
	cr_assert_eq(stuck.task.nr_ended, 1);
	for (unsigned int i = 0; i < 50; i++)
		sem_post(&gate);
	cr_assert_eq(pthread_join(stuck.thread, NULL), 0);
	check_runs(&stuck.task, 50);
	zsd_jobs_destroy(jobs);
	sem_destroy(&gate);
}

Test(jobs, a_job_ends_when_its_last_part_has_ended)
{
	static struct owner owner;
	struct zsd_jobs *jobs;
	sem_t gate;

	/* The helper is in a part that takes long, and the owner has none left. */
	for (unsigned int i = 0; i < 20; i++) {
		sem_init(&gate, 0, 0);
		cr_assert_eq(zsd_jobs_create(2, &jobs), 0);
		owner.jobs = jobs;
		task_init(&owner.task, 3, 2000);
		owner.task.gate = &gate;
		cr_assert_eq(pthread_create(&owner.thread, NULL, run_owner, &owner), 0);
		wait_runs(&owner.task, 3);
		sem_post(&gate);
		while (owner.task.nr_ended < 2)
			usleep(1000);
		usleep(1000);
		cr_assert_neq(pthread_tryjoin_np(owner.thread, NULL), 0, "ended before a part");
		sem_post(&gate);
		cr_assert_eq(pthread_join(owner.thread, NULL), 0);
		check_runs(&owner.task, 3);
		zsd_jobs_destroy(jobs);
		sem_destroy(&gate);
	}
}
