/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs that write to and read from the same places of one file at the same time, and a model of what may be there.
 *
 *   overlap FILE SEED ROUNDS MILLISECONDS
 *
 * Each job keeps a deep queue of direct requests of 512 bytes to 4 MiB, most of them not aligned. Every word of a
 * write names the write and the word's own place. So what a read finds is checked word by word: it must be in its
 * place, and of a write that covers it and has begun. After a round, when nothing is in flight, the whole file is read:
 * no word may be of a write that had ended before another one to the same place began.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../support/random.h"

#define NR_JOBS	    4
#define DEPTH	    64
#define WRITES_MAX  (1U << 20)
#define SIZE_MIN    512
#define SIZE_SHIFTS 14 /* 512 << 13 = 4 MiB */
#define PAGE	    4096
#define WORD	    sizeof(uint64_t)

/* A write: times are ticks of one clock. */
struct record {
	uint64_t begin, end;	/* 0: not yet */
	uint32_t first, length; /* words */
};

struct operation {
	struct iovec part;
	uint64_t offset;
	uint32_t write; /* its number; 0: a read */
};

struct job {
	pthread_t thread;
	struct io_uring ring;
	struct operation operations[DEPTH];
	struct test_random random;
	uint64_t end_nsec;
};

static int file;
static uint64_t nr_words;
static _Atomic uint64_t ticks = 1;
static _Atomic uint32_t nr_writes = 1; /* 0 is what was never written */
static struct record records[WRITES_MAX];
static uint64_t *latest; /* of each word: when the last one of its writes began that have ended */
static uint32_t nr_replayed = 1;

static void check(bool condition, const char *what, uint64_t where)
{
	if (condition)
		return;
	fprintf(stderr, "overlap: %s at %" PRIu64 " (errno %d)\n", what, where, errno);
	exit(1);
}

static uint64_t now_nsec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* what is read */

static void check_words(const uint64_t *words, uint64_t first, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++) {
		uint32_t number = (uint32_t)(words[i] >> 32);
		const struct record *record = &records[number];

		if (!words[i])
			continue;
		check((uint32_t)words[i] == first + i, "a word of another place", (first + i) * WORD);
		check(number < WRITES_MAX && record->begin, "a word of a write that has not begun", (first + i) * WORD);
		check(first + i - record->first < record->length, "a word of a write to another place",
		      (first + i) * WORD);
	}
}

/* jobs */

/* Small sizes are more frequent; three of four requests begin and end anywhere. */
static void pick(struct test_random *random, uint64_t *ret_first, uint64_t *ret_length)
{
	uint64_t a = test_random_below(random, SIZE_SHIFTS), b = test_random_below(random, SIZE_SHIFTS);
	uint64_t length = ((uint64_t)SIZE_MIN << (a < b ? a : b)) / WORD;
	uint64_t align = test_random_chance(random, 25) ? PAGE / WORD : 1;

	if (align == 1)
		length -= test_random_below(random, length);
	*ret_first = test_random_below(random, nr_words - length) / align * align;
	*ret_length = length;
}

static bool begin_write(struct operation *operation, uint64_t first, uint64_t length)
{
	uint32_t number = atomic_fetch_add(&nr_writes, 1);
	uint64_t *words = operation->part.iov_base;

	if (number >= WRITES_MAX)
		return false;
	for (uint64_t i = 0; i < length; i++)
		words[i] = (uint64_t)number << 32 | (first + i);
	records[number].first = (uint32_t)first;
	records[number].length = (uint32_t)length;
	records[number].begin = atomic_fetch_add(&ticks, 1);
	operation->write = number;
	return true;
}

/* False if there is nothing to begin any more. */
static bool begin(struct job *job, struct operation *operation)
{
	struct io_uring_sqe *sqe;
	uint64_t first, length;

	if (now_nsec() >= job->end_nsec)
		return false;
	pick(&job->random, &first, &length);
	*operation = (struct operation){.offset = first * WORD};
	operation->part = (struct iovec){aligned_alloc(PAGE, length * WORD / PAGE * PAGE + PAGE), length * WORD};
	check(operation->part.iov_base, "no memory", 0);
	if (test_random_chance(&job->random, 70) && !begin_write(operation, first, length))
		return false;
	sqe = io_uring_get_sqe(&job->ring);
	check(sqe, "no submission", 0);
	if (operation->write)
		io_uring_prep_writev(sqe, file, &operation->part, 1, operation->offset);
	else
		io_uring_prep_readv(sqe, file, &operation->part, 1, operation->offset);
	io_uring_sqe_set_data(sqe, operation);
	return true;
}

static void end(struct operation *operation, int result)
{
	errno = result < 0 ? -result : 0;
	check(result == (int)operation->part.iov_len, operation->write ? "a write failed" : "a read failed",
	      operation->offset);
	if (operation->write)
		records[operation->write].end = atomic_fetch_add(&ticks, 1);
	else
		check_words(operation->part.iov_base, operation->offset / WORD, operation->part.iov_len / WORD);
	free(operation->part.iov_base);
}

/* A signal, as that of a debugger, ends the waiting early. */
static struct io_uring_cqe *wait_for_end(struct job *job)
{
	struct io_uring_cqe *cqe = NULL;

	while (io_uring_peek_cqe(&job->ring, &cqe)) {
		int result = io_uring_submit_and_wait(&job->ring, 1);

		check(result >= 0 || result == -EINTR, "io_uring", (uint64_t)-result);
	}
	return cqe;
}

static void *work(void *argument)
{
	struct job *job = argument;
	unsigned int nr_flying = 0;

	for (unsigned int i = 0; i < DEPTH; i++)
		nr_flying += begin(job, &job->operations[i]);
	while (nr_flying) {
		struct io_uring_cqe *cqe = wait_for_end(job);
		struct operation *operation = io_uring_cqe_get_data(cqe);

		end(operation, cqe->res);
		io_uring_cqe_seen(&job->ring, cqe);
		nr_flying -= !begin(job, operation);
	}
	return NULL;
}

/* rounds */

static void replay_writes(void)
{
	uint32_t end = atomic_load(&nr_writes) < WRITES_MAX ? atomic_load(&nr_writes) : WRITES_MAX;

	for (; nr_replayed < end; nr_replayed++) {
		const struct record *record = &records[nr_replayed];

		for (uint64_t i = record->first; i < record->first + record->length; i++) {
			if (latest[i] < record->begin)
				latest[i] = record->begin;
		}
	}
}

static void check_file(struct test_random *random)
{
	uint64_t *words = aligned_alloc(PAGE, (size_t)SIZE_MIN << SIZE_SHIFTS);
	uint64_t first, length;

	check(words, "no memory", 0);
	replay_writes();
	for (uint64_t at = 0; at < nr_words; at += length) {
		pick(random, &first, &length);
		length = length < nr_words - at ? length : nr_words - at;
		check(pread(file, words, length * WORD, (off_t)(at * WORD)) == (ssize_t)(length * WORD),
		      "a read failed", at * WORD);
		check_words(words, at, length);
		for (uint64_t i = 0; i < length; i++)
			check(words[i] ? records[words[i] >> 32].end > latest[at + i] : !latest[at + i],
			      "a word of a write that was overwritten", (at + i) * WORD);
	}
	free(words);
}

static void run_round(struct job *jobs, uint64_t nsec)
{
	uint64_t end_nsec = now_nsec() + nsec;

	for (unsigned int i = 0; i < NR_JOBS; i++) {
		jobs[i].end_nsec = end_nsec;
		check(!pthread_create(&jobs[i].thread, NULL, work, &jobs[i]), "no thread", 0);
	}
	for (unsigned int i = 0; i < NR_JOBS; i++)
		pthread_join(jobs[i].thread, NULL);
}

int main(int argc, char **argv)
{
	static struct job jobs[NR_JOBS];
	struct test_random random;
	struct stat status;

	if (argc != 5)
		return 2;
	random.state = strtoull(argv[2], NULL, 10);
	file = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	check(file >= 0 && !fstat(file, &status), argv[1], 0);
	nr_words = (uint64_t)status.st_size / WORD;
	latest = calloc(nr_words, sizeof(*latest));
	check(latest, "no memory", 0);
	for (unsigned int i = 0; i < NR_JOBS; i++) {
		check(!io_uring_queue_init(DEPTH, &jobs[i].ring, 0), "io_uring_queue_init", 0);
		jobs[i].random.state = test_random_next(&random);
	}
	for (int round = 0; round < atoi(argv[3]); round++) {
		run_round(jobs, strtoull(argv[4], NULL, 10) * 1000000);
		check_file(&random);
	}
	printf("%" PRIu32 " writes\n", atomic_load(&nr_writes) - 1);
	return 0;
}
