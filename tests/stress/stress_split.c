/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many clients of one frontend with helpers, as a transport's threads would call it, each against a model of its bytes:
 *
 *   big     threads read and write ranges of any size up to 1 MiB in a stretch of the device that is their own; where
 *           two stretches meet, they share a block. The buffer is overwritten as soon as a write has returned, and
 *           compared as soon as a read has: a part that is still at work then is seen
 *   small   the same with single blocks
 *   come    threads add a device, use it, and remove it while their own request is the last one that uses it
 *
 * At the end everything is compared once more, and the store is checked.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "frontend.h"
#include "frontend_internal.h"
#include "jobs.h"
#include "store/device.h"
#include "support/data.h"
#include "support/options.h"
#include "support/small_store.h"
#include "support/threads.h"

#define DEFAULT_SECONDS	 10
#define NR_BIG_THREADS	 5
#define NR_SMALL_THREADS 2
#define NR_COME_THREADS	 2
#define NR_CPUS		 8
#define REQUEST_BYTES	 ((size_t)1 << 20)
/* Not a multiple of the block size, so that neighbours share a block. */
#define STRETCH_BYTES (2 * REQUEST_BYTES + 1234)
#define DEVICE_BYTES  ((uint64_t)32 << 20)
#define BLOCK_SIZE    8192

static const struct zsd_frontend_ops *const ops = &zsd_store_frontend_ops;

struct world {
	struct zs_store *store;
	struct zsd_frontend *frontend;
	uint64_t node;
};

/* A thread's own. */
struct local {
	void *thread;
	uint64_t node;
	uint64_t start; /* of its stretch */
	char model[STRETCH_BYTES];
	char buffer[REQUEST_BYTES];
};

static void local_write(struct test_thread *thread, size_t offset, size_t length)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	size_t done = 0;

	test_data_make_any(&thread->random, local->buffer, length);
	memcpy(local->model + offset, local->buffer, length);
	zs_assert(!ops->write(world->frontend, local->thread, local->node, local->start + offset, local->buffer, length,
			      &done));
	memset(local->buffer, 0x55, length);
	zs_assert_msg(done == length, "%zu bytes written of %zu", done, length);
}

static void local_check(struct test_thread *thread, size_t offset, size_t length)
{
	struct world *world = thread->context;
	struct local *local = thread->local;
	size_t done = 0;

	memset(local->buffer, 0xaa, length);
	zs_assert(!ops->read(world->frontend, local->thread, local->node, local->start + offset, local->buffer, length,
			     &done));
	zs_assert_msg(done == length, "%zu bytes read of %zu", done, length);
	zs_assert_msg(!memcmp(local->buffer, local->model + offset, length), "wrong bytes in %zu at %zu of thread %u",
		      length, offset, thread->number);
}

static void local_step(struct test_thread *thread, size_t max_length)
{
	size_t length = 1 + test_random_below(&thread->random, max_length);
	size_t offset = test_random_below(&thread->random, STRETCH_BYTES - length + 1);

	if (test_random_chance(&thread->random, 30))
		length = max_length;
	offset = zs_min(offset, STRETCH_BYTES - length);
	if (test_random_chance(&thread->random, 50))
		local_write(thread, offset, length);
	else
		local_check(thread, offset, length);
}

static void local_begin(struct test_thread *thread, unsigned int index)
{
	struct world *world = thread->context;
	struct local *local = calloc(1, sizeof(*local));

	zs_assert(local && !ops->thread_begin(world->frontend, index, &local->thread));
	local->node = world->node;
	local->start = index * STRETCH_BYTES;
	zs_assert(local->start + STRETCH_BYTES <= DEVICE_BYTES);
	thread->local = local;
}

static void local_end(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct local *local = thread->local;

	for (size_t offset = 0; offset < STRETCH_BYTES; offset += REQUEST_BYTES)
		local_check(thread, offset, zs_min(REQUEST_BYTES, STRETCH_BYTES - offset));
	ops->thread_end(world->frontend, local->thread);
	free(local);
}

static void big_begin(struct test_thread *thread)
{
	local_begin(thread, thread->number);
}

static void big_step(struct test_thread *thread)
{
	local_step(thread, REQUEST_BYTES);
}

static void small_begin(struct test_thread *thread)
{
	local_begin(thread, NR_BIG_THREADS + thread->number);
}

static void small_step(struct test_thread *thread)
{
	local_step(thread, BLOCK_SIZE);
}

static void come_begin(struct test_thread *thread)
{
	local_begin(thread, NR_BIG_THREADS + NR_SMALL_THREADS + thread->number);
}

static void come_step(struct test_thread *thread)
{
	struct zs_codec_params codec = {.codec = ZS_CODEC_ZSTD, .level = 1};
	struct world *world = thread->context;
	struct local *local = thread->local;
	char name[16];
	uint64_t id;

	snprintf(name, sizeof(name), "come-%u", thread->number);
	id = test_device_add(world->store, name, DEVICE_BYTES, BLOCK_SIZE, codec);
	local->node = zsd_frontend_node(id);
	memset(local->model, 0, sizeof(local->model));
	for (unsigned int i = 0; i < 5; i++)
		local_step(thread, REQUEST_BYTES);
	zs_assert(!zs_store_remove(world->store, id));
}

static void come_end(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct local *local = thread->local;

	ops->thread_end(world->frontend, local->thread);
	free(local);
}

static const struct test_thread_role roles[] = {
	{"big", NR_BIG_THREADS, big_begin, big_step, local_end},
	{"small", NR_SMALL_THREADS, small_begin, small_step, local_end},
	{"come", NR_COME_THREADS, come_begin, come_step, come_end},
};

int main(int argc, char **argv)
{
	struct zs_codec_params codec = {.codec = ZS_CODEC_LZ4, .level = 1};
	struct test_options options = {.seconds = DEFAULT_SECONDS};
	struct zsd_jobs_stats stats;
	static struct world world;

	test_options_parse(&options, argc, argv);
	world.store = test_store_create(0);
	zs_assert(!zs_store_start_maintenance(world.store));
	zs_assert(!zsd_frontend_create(world.store, &world.frontend));
	zs_assert(!zsd_frontend_start_helpers(world.frontend, NR_CPUS));
	world.node = zsd_frontend_node(test_device_add(world.store, "device", DEVICE_BYTES, BLOCK_SIZE, codec));
	test_threads_run(roles, ZS_ARRAY_SIZE(roles), options.seed, options.seconds, &world);
	zsd_jobs_stats(world.frontend->jobs, &stats);
	printf("%" PRIu64 " requests got help, %" PRIu64 " parts\n", stats.nr_helped, stats.nr_parts);
	zs_assert(stats.nr_helped && stats.nr_parts);
	zsd_frontend_destroy(world.frontend);
	zs_store_flush(world.store);
	zs_store_check(world.store);
	zs_store_close(world.store);
	return 0;
}
