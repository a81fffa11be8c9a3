/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * account: threads overwrite random blocks of a full device with other blocks of the corpus, with accounting of owners
 * and nodes and without it. Both stores are filled before the first window and stay.
 */

#include <stdio.h>

#include "arena_store.h"
#include "arena_windows.h"
#include "codec/stream.h"
#include "support/random.h"

#define SUBJECTS 2
#define WINDOWS	 60
/* Steps between two looks at the clock's flag. */
#define STEPS 16
/* Of a device: two are in memory at a time. */
#define DEVICE_BYTES ((uint64_t)512 << 20)

struct subject {
	const char *name;
	struct bench_store store;
};

struct account {
	struct subject subjects[SUBJECTS];
	struct bench_windows windows;
};

static uint64_t window(struct account *account, const struct bench_store *store, struct zs_stream *stream,
		       struct test_random *random)
{
	struct zs_device *device = zs_device_get(store->store, store->ids[0], stream);
	uint64_t nr_blocks = store->device_bytes / BENCH_BLOCK_BYTES, ops = 0;
	size_t done;

	while (!bench_windows_is_over(&account->windows)) {
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
	return ops;
}

static void worker(struct bench_thread *thread)
{
	struct account *account = thread->context;
	struct test_random random = {thread->random};
	struct zs_stream *stream;
	int subject;

	bench_check(zs_stream_create(thread->number, &stream), "zs_stream_create");
	while ((subject = bench_windows_begin(&account->windows)) >= 0)
		bench_windows_end(&account->windows,
				  window(account, &account->subjects[subject].store, stream, &random));
	zs_stream_destroy(stream);
}

static void measure(struct account *account, unsigned int nr_threads, uint64_t seed)
{
	bench_windows_run(&account->windows, nr_threads, seed, worker, account);
	printf("{\"threads\": %u", nr_threads);
	for (unsigned int i = 0; i < SUBJECTS; i++) {
		const struct bench_window_sum *sum = &account->windows.sums[i];
		const char *name = account->subjects[i].name;

		printf(", \"%s\": %.0f, \"%s_cpu_ns\": %.2f", name, (double)sum->ops * 1e9 / (double)sum->ns, name,
		       (double)sum->cpu_ns / (double)sum->ops);
	}
	printf("}\n");
}

void bench_account(const struct bench_options *options)
{
	static struct account account = {
		.subjects = {{.name = "off"}, {.name = "on", .store.account = true}},
		.windows = {.nr_subjects = SUBJECTS, .nr_windows = WINDOWS},
	};

	for (unsigned int i = 0; i < SUBJECTS; i++)
		bench_store_create(&account.subjects[i].store, options,
				   options->size_bytes ? options->size_bytes : DEVICE_BYTES, false);
	for (unsigned int i = 0; i < SUBJECTS; i++)
		bench_store_fill(&account.subjects[i].store, 2);
	for (unsigned int nr_threads = 1; nr_threads <= 2; nr_threads++)
		measure(&account, nr_threads, options->seed);
}
