/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A working set of four times the pool's limit: blocks are read and written, the n-th most popular one 1/n as often as
 * the first. The store alone, with what the daemon does by default: from 90 % of the limit on the coldest blocks are
 * written back down to 80 %; who finds no room waits until there is some; a block that is read back twice is promoted.
 *
 * Ages have ticks of seconds, and a benchmark has not many of these: a tick is as many operations as an eighth of the
 * device has blocks.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "cold_store.h"
#include "codec/stream.h"
#include "store/age.h"
#include "store/cold.h"
#include "support/random.h"

#define LIMIT_PART    4
#define START_PERCENT 90
#define STOP_PERCENT  80
#define ROOM_BYTES    ((uint64_t)16 << 20)
#define WRITE_PERCENT 30
#define TICKS	      8 /* in as many operations as there are blocks */
/* Operations for a block: before what is counted, and then. */
#define WARM_PER_BLOCK	  2
#define COUNTED_PER_BLOCK 4
#define PAUSE_USEC	  200
/* A prime: times that, modulo the number of blocks, popular ones lie anywhere. */
#define SCATTER UINT64_C(2654435761)

struct figures {
	uint64_t reads, misses, writes, written_bytes, payload_bytes;
	uint64_t nsec;
};

struct zipf {
	struct bench_store store;
	uint64_t nr_blocks, limit_bytes;
	double *sums; /* of 1/1 .. 1/n */
	_Atomic uint64_t operations, reads, writes, refused;
	_Atomic uint64_t rounds;   /* of writing back, that are over */
	_Atomic uint64_t nr_short; /* who wait for room */
	_Atomic int error;	   /* of the last round */
	_Atomic bool is_over;
};

static uint64_t used_bytes(const struct zipf *zipf)
{
	struct zs_store_stats stats;

	zs_store_stats(zipf->store.store, &stats);
	return stats.heap.used_bytes;
}

/*
 * clients
 */

static void make_sums(struct zipf *zipf)
{
	double sum = 0;

	zipf->sums = bench_memory(zipf->nr_blocks * sizeof(zipf->sums[0]));
	for (uint64_t i = 0; i < zipf->nr_blocks; i++)
		zipf->sums[i] = sum += 1.0 / (double)(i + 1);
}

static uint64_t choose_block(const struct zipf *zipf, struct test_random *random)
{
	double point = (double)(test_random_next(random) >> 11) * 0x1p-53 * zipf->sums[zipf->nr_blocks - 1];
	uint64_t low = 0, high = zipf->nr_blocks - 1;

	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (zipf->sums[middle] < point)
			low = middle + 1;
		else
			high = middle;
	}
	return low * SCATTER % zipf->nr_blocks;
}

/* One of the corpus's that lies anywhere; it need not be the same as before. */
static void write_block(struct zipf *zipf, struct zs_device *device, struct zs_stream *stream,
			struct test_random *random, uint64_t block)
{
	const char *data = bench_store_block(&zipf->store, test_random_next(random) % zipf->nr_blocks);
	size_t done;
	int error;

	while ((error = zs_device_write(device, stream, block * BENCH_BLOCK_BYTES, data, BENCH_BLOCK_BYTES, &done)) ==
	       -ENOSPC) {
		uint64_t rounds = atomic_load(&zipf->rounds);

		/* One that began before this may have ended just now: it takes two. */
		atomic_fetch_add(&zipf->nr_short, 1);
		while (atomic_load(&zipf->rounds) < rounds + 2 && !atomic_load(&zipf->is_over))
			usleep(PAUSE_USEC);
		atomic_fetch_sub(&zipf->nr_short, 1);
		if (atomic_load(&zipf->is_over))
			return;
		if (!atomic_load(&zipf->error))
			continue;
		atomic_fetch_add(&zipf->refused, 1);
		return;
	}
	bench_check(error, "zs_device_write");
	atomic_fetch_add(&zipf->writes, 1);
}

static void run_client(struct bench_thread *thread)
{
	struct zipf *zipf = thread->context;
	struct test_random random = {thread->random};
	char buffer[BENCH_BLOCK_BYTES];
	struct zs_stream *stream;
	struct zs_device *device;

	bench_check(zs_stream_create(thread->number, &stream), "zs_stream_create");
	device = zs_device_get(zipf->store.store, zipf->store.ids[0], stream);
	while (!atomic_load_explicit(&zipf->is_over, memory_order_relaxed)) {
		uint64_t block = choose_block(zipf, &random);

		if (test_random_chance(&random, WRITE_PERCENT)) {
			write_block(zipf, device, stream, &random, block);
		} else {
			bench_check(zs_device_read(device, stream, block * sizeof(buffer), buffer, sizeof(buffer)),
				    "zs_device_read");
			atomic_fetch_add(&zipf->reads, 1);
		}
		if (atomic_fetch_add(&zipf->operations, 1) % (zipf->nr_blocks / TICKS) == 0)
			atomic_fetch_add(&zs_age_skew_sec, ZS_TICK_SEC);
	}
	zs_device_put(device, stream);
	zs_stream_destroy(stream);
}

/*
 * the thread that writes back
 */

/* How much should be written back now. */
static uint64_t excess(const struct zipf *zipf)
{
	uint64_t used = used_bytes(zipf), stop = zipf->limit_bytes / 100 * STOP_PERCENT;

	if (used > zipf->limit_bytes / 100 * START_PERCENT)
		return used - stop;
	return atomic_load(&zipf->nr_short) ? ROOM_BYTES : 0;
}

static void run_policy(struct bench_thread *thread)
{
	struct zipf *zipf = thread->context;

	zs_thread_set_background();
	while (!atomic_load(&zipf->is_over)) {
		struct zs_writeback_request request = {.order = ZS_WRITEBACK_COLDEST, .limit_bytes = excess(zipf)};
		struct zs_writeback_progress progress = {0};

		if (!request.limit_bytes) {
			if (!zs_store_tidy(zipf->store.store))
				usleep(PAUSE_USEC);
			continue;
		}
		atomic_store(&zipf->error, zs_store_writeback(zipf->store.store, &request, &progress));
		atomic_fetch_add(&zipf->rounds, 1);
	}
}

/*
 * figures
 */

static struct figures look(const struct zipf *zipf)
{
	struct zs_device *device = zs_device_get(zipf->store.store, zipf->store.ids[0], NULL);
	struct zs_backing_stats file;
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	zs_device_put(device, NULL);
	zs_backing_stats(zs_store_backing(zipf->store.store), &file);
	return (struct figures){
		.reads = atomic_load(&zipf->reads),
		.misses = stats.read_back_blocks,
		.writes = atomic_load(&zipf->writes),
		.written_bytes = file.written_bytes,
		.payload_bytes = file.payload_bytes,
		.nsec = bench_now_ns(),
	};
}

static void wait_for_operations(const struct zipf *zipf, uint64_t per_block)
{
	uint64_t end = atomic_load(&zipf->operations) + per_block * zipf->nr_blocks;

	while (atomic_load(&zipf->operations) < end)
		usleep(PAUSE_USEC);
}

static void print(const struct zipf *zipf, const struct figures *before, const struct figures *after)
{
	printf("{\"limit_bytes\": %" PRIu64 ", \"blocks\": %" PRIu64 ", \"nsec\": %" PRIu64 ", \"reads\": %" PRIu64
	       ", \"misses\": %" PRIu64 ", \"writes\": %" PRIu64 ", \"written_bytes\": %" PRIu64
	       ", \"payload_bytes\": %" PRIu64 ", \"refused\": %" PRIu64 "}\n",
	       zipf->limit_bytes, zipf->nr_blocks, after->nsec - before->nsec, after->reads - before->reads,
	       after->misses - before->misses, after->writes - before->writes,
	       after->written_bytes - before->written_bytes, after->payload_bytes - before->payload_bytes,
	       atomic_load(&zipf->refused));
}

void bench_zipf(const struct bench_options *options)
{
	static struct zipf zipf;
	struct bench_thread policy, clients[BENCH_THREADS_MAX];
	unsigned int nr_clients = options->nr_threads ? options->nr_threads : 2;
	struct figures before, after;

	bench_cold_create(&zipf.store, options);
	zipf.nr_blocks = zipf.store.device_bytes / BENCH_BLOCK_BYTES;
	zipf.limit_bytes = used_bytes(&zipf) / LIMIT_PART;
	zs_store_set_limit(zipf.store.store, zipf.limit_bytes);
	make_sums(&zipf);
	bench_threads_start(&policy, 1, 0, run_policy, &zipf);
	bench_threads_start(clients, nr_clients, options->seed, run_client, &zipf);
	wait_for_operations(&zipf, WARM_PER_BLOCK);
	before = look(&zipf);
	wait_for_operations(&zipf, COUNTED_PER_BLOCK);
	after = look(&zipf);
	atomic_store(&zipf.is_over, true);
	bench_threads_join(&policy, 1);
	bench_threads_join(clients, nr_clients);
	print(&zipf, &before, &after);
	zs_store_check(zipf.store.store);
	zs_store_close(zipf.store.store);
}
