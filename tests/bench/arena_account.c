/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * account: threads overwrite random blocks of a full device with other blocks of the corpus, with accounting of owners
 * and nodes and without it. Both stores are filled before the first window and stay, and windows of both are taken in
 * turn in one process, so that they meet the same memory and the same neighbours on the machine.
 */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "arena_store.h"
#include "codec/stream.h"
#include "support/random.h"

#define WINDOW_NS 50000000
#define WINDOWS	  60
/* Steps between two looks at the clock's flag. */
#define STEPS 16
/* Of a device: two are in memory at a time. */
#define DEVICE_BYTES ((uint64_t)512 << 20)

struct subject {
	const char *name;
	struct bench_store store;
	uint64_t ops, ns, cpu_ns;
};

struct account {
	struct subject *subject; /* of this window; NULL ends the threads */
	atomic_bool stop;
	_Atomic uint64_t ops;
	pthread_barrier_t barrier;
};

static void window(struct account *account, struct zs_stream *stream, struct test_random *random)
{
	const struct bench_store *store = &account->subject->store;
	struct zs_device *device = zs_device_get(store->store, store->ids[0], stream);
	uint64_t nr_blocks = store->device_bytes / BENCH_BLOCK_BYTES, ops = 0;
	size_t done;

	while (!atomic_load_explicit(&account->stop, memory_order_relaxed)) {
		for (unsigned int i = 0; i < STEPS; i++) {
			uint64_t block = test_random_below(random, nr_blocks);
			const char *data = bench_store_block(store, test_random_below(random, nr_blocks));

			bench_check(zs_device_write(device, stream, block * BENCH_BLOCK_BYTES, data, BENCH_BLOCK_BYTES,
						    &done),
				    "zs_device_write");
		}
		ops += STEPS;
	}
	zs_device_put(device, stream);
	atomic_fetch_add(&account->ops, ops);
}

static void worker(struct bench_thread *thread)
{
	struct account *account = thread->context;
	struct test_random random = {thread->random};
	struct zs_stream *stream;

	bench_check(zs_stream_create(thread->number, &stream), "zs_stream_create");
	for (;;) {
		pthread_barrier_wait(&account->barrier);
		if (!account->subject)
			break;
		window(account, stream, &random);
		pthread_barrier_wait(&account->barrier);
	}
	zs_stream_destroy(stream);
}

/* One window of one subject. The main thread sleeps; the workers work. */
static void run_window(struct account *account, struct subject *subject)
{
	uint64_t start, cpu;

	account->subject = subject;
	account->stop = false;
	account->ops = 0;
	pthread_barrier_wait(&account->barrier);
	start = bench_now_ns();
	cpu = bench_cpu_ns();
	nanosleep(&(struct timespec){.tv_nsec = WINDOW_NS}, NULL);
	account->stop = true;
	pthread_barrier_wait(&account->barrier);
	subject->ns += bench_now_ns() - start;
	subject->cpu_ns += bench_cpu_ns() - cpu;
	subject->ops += account->ops;
}

static void measure(struct subject subjects[static 2], unsigned int nr_threads, uint64_t seed)
{
	static struct account account;
	struct bench_thread threads[BENCH_THREADS_MAX];

	for (unsigned int i = 0; i < 2; i++)
		subjects[i].ops = subjects[i].ns = subjects[i].cpu_ns = 0;
	pthread_barrier_init(&account.barrier, NULL, nr_threads + 1);
	bench_threads_start(threads, nr_threads, seed, worker, &account);
	for (unsigned int i = 0; i < 2 * WINDOWS; i++)
		run_window(&account, &subjects[(i + i / 2) % 2]);
	account.subject = NULL;
	pthread_barrier_wait(&account.barrier);
	bench_threads_join(threads, nr_threads);
	pthread_barrier_destroy(&account.barrier);

	printf("{\"threads\": %u", nr_threads);
	for (unsigned int i = 0; i < 2; i++)
		printf(", \"%s\": %.0f, \"%s_cpu_ns\": %.2f", subjects[i].name,
		       (double)subjects[i].ops * 1e9 / (double)subjects[i].ns, subjects[i].name,
		       (double)subjects[i].cpu_ns / (double)subjects[i].ops);
	printf("}\n");
}

void bench_account(const struct bench_options *options)
{
	static struct subject subjects[] = {{.name = "off"}, {.name = "on", .store.account = true}};

	for (unsigned int i = 0; i < 2; i++)
		bench_store_create(&subjects[i].store, options,
				   options->size_bytes ? options->size_bytes : DEVICE_BYTES, false);
	for (unsigned int i = 0; i < 2; i++)
		bench_store_fill(&subjects[i].store, 2);
	for (unsigned int nr_threads = 1; nr_threads <= 2; nr_threads++)
		measure(subjects, nr_threads, options->seed);
}
