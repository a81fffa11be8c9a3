#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allocator's benchmarks: what they share. One run of the program is one measurement: it prints lines of JSON and
 * ends; bench_arena.py runs the variants in turn and compares. Whatever fails ends the program with a message.
 *
 * The trace is what the corpus's blocks of 4 KiB become: a compressed size each, in the order of the corpus, without
 * same-filled blocks (they have no object). It is a file of its own, so that a measurement need not compress a gigabyte
 * before it begins, and so that no allocator that is preloaded has touched anything by then.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_heap;

#define BENCH_BLOCK_BYTES ((size_t)4096)
#define BENCH_THREADS_MAX 32

struct bench_options {
	const char *corpus_path;
	const char *trace_path;
	const char *variant;	 /* which of the things that are compared; the benchmark knows its own */
	unsigned int nr_threads; /* 0 = the benchmark's default */
	unsigned int nr_devices;
	uint64_t nr_blocks;   /* of the trace or of the corpus, from its start; 0 = all */
	uint64_t size_bytes;  /* of a device */
	uint32_t block_bytes; /* of the devices; 0 = BENCH_BLOCK_BYTES */
	const char *backing_path;
	uint64_t seed;
};

/* The benchmarks. */
void bench_account(const struct bench_options *options);
void bench_alloc(const struct bench_options *options);
void bench_caches(const struct bench_options *options);
void bench_compact(const struct bench_options *options);
void bench_geometry(const struct bench_options *options);
void bench_hot(const struct bench_options *options);
void bench_lifetimes(const struct bench_options *options);
void bench_locks(const struct bench_options *options);
void bench_pools(const struct bench_options *options);
void bench_punch(const struct bench_options *options);
void bench_recompress(const struct bench_options *options);
void bench_remove(const struct bench_options *options);
/* Writes the trace of a corpus. */
void bench_trace(const struct bench_options *options);
void bench_writeback(const struct bench_options *options);
void bench_zipf(const struct bench_options *options);

/* Ends the program. error is 0 or an errno, negative or not. */
void bench_die(int error, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
/* Ends the program if error is not 0. */
void bench_check(int error, const char *what);
/* True if this is the chosen variant. */
bool bench_is(const struct bench_options *options, const char *variant);

uint64_t bench_now_ns(void);
/* Processor time of the process, all threads, user and system. */
uint64_t bench_cpu_ns(void);
/* The same of the calling thread. */
uint64_t bench_thread_cpu_ns(void);
/*
 * Resident memory of the process by a walk over its page tables (the quick counters of statm are off by some hundred
 * pages a processor), shared memory included.
 */
uint64_t bench_resident_bytes(void);
/* The same, but for what is shared or a file's. */
uint64_t bench_anonymous_bytes(void);

/* Memory outside of malloc, touched: an allocator that is measured must not have it. */
void *bench_memory(size_t size_bytes);
/* A file, mapped and faulted in. */
const void *bench_map(const char *path, size_t *ret_bytes);

/* A new heap over an arena of its own, for the rest of the program. */
struct zs_heap *bench_heap(void);

struct bench_trace {
	const uint16_t *sizes; /* of the payloads, 1 to BENCH_BLOCK_BYTES */
	uint32_t nr;
};

void bench_trace_load(const struct bench_options *options, struct bench_trace *ret_trace);

/* Threads that do the same thing until it is done. */
struct bench_thread {
	pthread_t thread;
	unsigned int number;
	uint64_t random; /* state of tests/support/random.h */
	void *context;
	void (*run)(struct bench_thread *thread);
};

void bench_threads_start(struct bench_thread *threads, unsigned int nr, uint64_t seed,
			 void (*run)(struct bench_thread *thread), void *context);
void bench_threads_join(struct bench_thread *threads, unsigned int nr);
