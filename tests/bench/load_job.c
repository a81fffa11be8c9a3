/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread of the load generator.
 *
 * What is counted: operations that complete after the first completion behind the ramp, up to and with the first
 * completion behind the limit. Both ends of the window are completions, so that neither the filling of a deep queue
 * nor its draining falls into it, also where one operation takes milliseconds.
 *
 * Which data: a slow store sees less of the region than a fast one in the same time. For both to get the same mix of
 * data, consecutive chunks of the device hold chunks that lie far apart in the corpus: chunk i holds chunk
 * i * stride mod n, with stride near n / golden ratio and coprime to n, which spreads every run of i evenly.
 */

#include "load_job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

struct operation {
	struct iocb iocb;
	uint64_t offset;
	unsigned int path;
	bool write;
	const char *source; /* what a write writes, and what verify expects */
	char *buffer;	    /* what a read reads into */
	uint64_t begin_ns;
};

struct job {
	const struct load_plan *plan;
	struct load_result *result;
	int fds[LOAD_PATHS_MAX]; /* one for each path */
	aio_context_t aio;
	struct operation operations[LOAD_DEPTH_MAX];
	char *buffers; /* depth * block_bytes */
	uint64_t nr_corpus_chunks;
	uint64_t stride;
	uint64_t random_state;
	uint64_t cursor; /* next offset of a sequential plan */
	bool pass_done;
	uint64_t ramp_end_ns;
	uint64_t window_begin_ns; /* 0 = not open yet */
	uint64_t window_end_ns;	  /* the latest counted completion */
	bool window_closed;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014). */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static uint64_t corpus_stride(uint64_t nr_chunks)
{
	uint64_t stride = nr_chunks * 618 / 1000;

	if (!stride)
		return 1;
	while (greatest_common_divisor(nr_chunks, stride) != 1)
		stride++;
	return stride;
}

/* What a sequential write leaves at this offset. */
static const char *corpus_at(const struct job *job, uint64_t offset)
{
	uint64_t chunk = offset / LOAD_CHUNK_BYTES * job->stride % job->nr_corpus_chunks;

	return job->plan->corpus + chunk * LOAD_CHUNK_BYTES + offset % LOAD_CHUNK_BYTES;
}

static void next_random(struct job *job, struct operation *operation)
{
	const struct load_plan *plan = job->plan;

	operation->offset = random_next(&job->random_state) % (plan->region_bytes / plan->block_bytes) *
			    plan->block_bytes;
	operation->source = plan->corpus + random_next(&job->random_state) % (plan->corpus_bytes / plan->block_bytes) *
						   plan->block_bytes;
}

static void next_sequential(struct job *job, struct operation *operation)
{
	operation->offset = job->cursor;
	operation->source = corpus_at(job, job->cursor);
	job->cursor += job->plan->block_bytes;
	if (job->cursor < job->plan->region_bytes)
		return;
	job->cursor = 0;
	job->pass_done = !job->plan->limit_ns;
}

/* Takes a random number only where the answer isn't certain: equal seeds give equal offsets. */
static bool chance(struct job *job, unsigned int percent)
{
	if (percent % 100 == 0)
		return percent;
	return random_next(&job->random_state) % 100 < percent;
}

/* Chooses what the operation does; false if nothing is to be started any more. */
static bool next(struct job *job, struct operation *operation)
{
	if (job->window_closed || job->pass_done)
		return false;
	if (job->plan->random)
		next_random(job, operation);
	else
		next_sequential(job, operation);
	if (job->plan->nr_paths > 1)
		operation->path = (unsigned int)(random_next(&job->random_state) % job->plan->nr_paths);
	operation->write = chance(job, job->plan->write_percent);
	return true;
}

static void count(struct job *job, const struct operation *operation, uint64_t now)
{
	job->result->ops_all++;
	load_windows_add(job->plan->windows, operation->begin_ns, now - operation->begin_ns);
	if (!job->window_begin_ns) {
		if (now >= job->ramp_end_ns)
			job->window_begin_ns = now;
		return;
	}
	if (job->window_closed)
		return;
	job->result->ops++;
	histogram_add(&job->result->latency, now - operation->begin_ns);
	job->window_end_ns = now;
	if (job->plan->limit_ns && now >= job->ramp_end_ns + job->plan->limit_ns)
		job->window_closed = true;
}

static int finish(struct job *job, const struct operation *operation, int64_t transferred)
{
	const struct load_plan *plan = job->plan;
	int status = 0;

	if (transferred < 0)
		status = (int)transferred;
	else if ((uint64_t)transferred != plan->block_bytes)
		status = -EIO;
	else if (plan->verify && memcmp(operation->buffer, operation->source, plan->block_bytes))
		status = -EBADMSG;
	if (status)
		fprintf(stderr, "load: %s: %s at %llu: %s\n", plan->paths[operation->path],
			operation->write ? "write" : "read", (unsigned long long)operation->offset,
			status == -EBADMSG ? "not the content that was written" : strerror(-status));
	else
		count(job, operation, now_ns());
	return status;
}

static int run_sync(struct job *job)
{
	const struct load_plan *plan = job->plan;
	struct operation *operation = &job->operations[0];
	int status = 0;

	while (!status && next(job, operation)) {
		ssize_t transferred;

		operation->begin_ns = now_ns();
		if (operation->write)
			transferred = pwrite(job->fds[operation->path], operation->source, plan->block_bytes,
					     (off_t)operation->offset);
		else
			transferred = pread(job->fds[operation->path], operation->buffer, plan->block_bytes,
					    (off_t)operation->offset);
		status = finish(job, operation, transferred < 0 ? -errno : transferred);
	}
	return status;
}

static void fill_iocb(struct job *job, struct operation *operation)
{
	const struct load_plan *plan = job->plan;
	const char *memory = operation->write ? operation->source : operation->buffer;

	operation->iocb = (struct iocb){
		.aio_data = (uintptr_t)operation,
		.aio_lio_opcode = operation->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)job->fds[operation->path],
		.aio_buf = (uintptr_t)memory,
		.aio_nbytes = plan->block_bytes,
		.aio_offset = (int64_t)operation->offset,
	};
}

/* Submits all of them. */
static int submit(struct job *job, struct iocb **iocbs, unsigned int nr)
{
	while (nr) {
		long submitted = syscall(SYS_io_submit, job->aio, (long)nr, iocbs);

		if (submitted < 0 && errno == EINTR)
			continue;
		if (submitted < 0) {
			fprintf(stderr, "load: io_submit: %m\n");
			return -errno;
		}
		iocbs += submitted;
		nr -= (unsigned int)submitted;
	}
	return 0;
}

/* Starts those of the idle operations for which there is something to do; *nr_flying grows by them. */
static int start(struct job *job, struct operation **idle, unsigned int nr_idle, unsigned int *nr_flying)
{
	struct iocb *iocbs[LOAD_DEPTH_MAX];
	uint64_t now = now_ns();
	unsigned int nr = 0;
	int status;

	while (nr < nr_idle && next(job, idle[nr])) {
		fill_iocb(job, idle[nr]);
		idle[nr]->begin_ns = now;
		iocbs[nr] = &idle[nr]->iocb;
		nr++;
	}
	status = submit(job, iocbs, nr);
	if (!status)
		*nr_flying += nr;
	return status;
}

/* Waits for completions; *ret_nr operations are idle again. */
static int reap(struct job *job, struct operation **idle, unsigned int *ret_nr)
{
	struct io_event events[LOAD_DEPTH_MAX];
	long nr;
	int status = 0;

	do {
		nr = syscall(SYS_io_getevents, job->aio, 1L, (long)job->plan->depth, events, NULL);
	} while (nr < 0 && errno == EINTR);
	if (nr < 0) {
		fprintf(stderr, "load: io_getevents: %m\n");
		return -errno;
	}
	for (long i = 0; i < nr && !status; i++) {
		idle[i] = (struct operation *)(uintptr_t)events[i].data;
		status = finish(job, idle[i], events[i].res);
	}
	*ret_nr = (unsigned int)nr;
	return status;
}

static int run_aio(struct job *job)
{
	struct operation *idle[LOAD_DEPTH_MAX];
	unsigned int nr_idle = job->plan->depth;
	unsigned int nr_flying = 0;
	int status;

	for (unsigned int i = 0; i < nr_idle; i++)
		idle[i] = &job->operations[i];
	for (;;) {
		status = start(job, idle, nr_idle, &nr_flying);
		if (status || !nr_flying)
			return status;
		status = reap(job, idle, &nr_idle);
		if (status)
			return status;
		nr_flying -= nr_idle;
	}
}

static void job_deinit(struct job *job)
{
	const struct load_plan *plan = job->plan;

	/* Waits for what is in flight, so that nothing reads into the buffers afterwards. */
	if (job->aio)
		syscall(SYS_io_destroy, job->aio);
	if (job->buffers)
		munmap(job->buffers, plan->depth * plan->block_bytes);
	for (unsigned int i = 0; i < plan->nr_paths; i++)
		zs_closep(&job->fds[i]);
}

static int job_fail(const char *what)
{
	int status = -errno;

	fprintf(stderr, "load: %s: %m\n", what);
	return status;
}

static int open_paths(struct job *job)
{
	const struct load_plan *plan = job->plan;
	int flags = (plan->write_percent ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC;

	for (unsigned int i = 0; i < plan->nr_paths; i++)
		job->fds[i] = -1;
	for (unsigned int i = 0; i < plan->nr_paths; i++) {
		job->fds[i] = open(plan->paths[i], flags);
		if (job->fds[i] < 0)
			return job_fail(plan->paths[i]);
	}
	return 0;
}

static int job_init(struct job *job, const struct load_plan *plan, unsigned int number, struct load_result *result)
{
	size_t buffers_bytes = plan->depth * plan->block_bytes;
	int status;

	*job = (struct job){
		.plan = plan,
		.result = result,
		.nr_corpus_chunks = plan->corpus_bytes / LOAD_CHUNK_BYTES,
		.random_state = plan->seed * 1000003 + number,
	};
	job->stride = corpus_stride(job->nr_corpus_chunks);
	status = open_paths(job);
	if (status)
		return status;
	job->buffers = mmap(NULL, buffers_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			    0);
	if (job->buffers == MAP_FAILED) {
		job->buffers = NULL;
		return job_fail("mmap");
	}
	for (unsigned int i = 0; i < plan->depth; i++)
		job->operations[i].buffer = job->buffers + i * plan->block_bytes;
	if (plan->depth > 1 && syscall(SYS_io_setup, plan->depth, &job->aio) < 0)
		return job_fail("io_setup");
	return 0;
}

int load_job_run(const struct load_plan *plan, unsigned int number, struct load_result *ret_result)
{
	ZS_CLEANUP_FREE struct load_result *result = calloc(1, sizeof(*result));
	ZS_CLEANUP_FREE struct job *job = calloc(1, sizeof(*job));
	int status;

	if (!job || !result)
		return -ENOMEM;
	status = job_init(job, plan, number, result);
	if (!status) {
		job->ramp_end_ns = now_ns() + plan->ramp_ns;
		if (!plan->limit_ns)
			job->window_begin_ns = now_ns();
		status = plan->depth == 1 ? run_sync(job) : run_aio(job);
		result->ns = job->window_end_ns - job->window_begin_ns;
	}
	job_deinit(job);
	if (!status)
		*ret_result = *result;
	return status;
}
