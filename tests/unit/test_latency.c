/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Latencies of a device: by operation, in shards, as long as it lives. */

#include <criterion/criterion.h>
#include <pthread.h>

#include "base/check.h"
#include "base/histogram.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/latency.h"
#include "support/small_store.h"

#define NR_THREADS   4
#define NR_ADDITIONS 50000

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct zs_latency latency_of(const struct zs_latencies *latencies, enum zs_operation operation)
{
	struct zs_latency latency;

	zs_latencies_sum(latencies, operation, &latency);
	return latency;
}

static uint64_t count_of(const struct zs_latencies *latencies, enum zs_operation operation)
{
	return latency_of(latencies, operation).count;
}

Test(latency, operations_are_told_apart)
{
	struct zs_latencies latencies = {0};

	zs_latencies_add(&latencies, 0, ZS_OPERATION_WRITE, 2000);
	zs_latencies_add(&latencies, 0, ZS_OPERATION_DISCARD, 3000);
	zs_latencies_add(&latencies, 0, ZS_OPERATION_DISCARD, 4000);
	cr_assert_eq(count_of(&latencies, ZS_OPERATION_READ), 0);
	cr_assert_eq(latency_of(&latencies, ZS_OPERATION_READ).max_nsec, 0);
	cr_assert_eq(count_of(&latencies, ZS_OPERATION_WRITE), 1);
	cr_assert_eq(latency_of(&latencies, ZS_OPERATION_WRITE).p99_nsec, 2000);
	cr_assert_eq(count_of(&latencies, ZS_OPERATION_DISCARD), 2);
	cr_assert_eq(latency_of(&latencies, ZS_OPERATION_DISCARD).p50_nsec, 3071);
	cr_assert_eq(latency_of(&latencies, ZS_OPERATION_DISCARD).max_nsec, 4000);
	zs_latencies_deinit(&latencies);
	cr_assert_eq(count_of(&latencies, ZS_OPERATION_WRITE), 0);
}

Test(latency, shards_of_any_number_add_up)
{
	struct zs_latencies latencies = {0};

	for (unsigned int shard = 0; shard < 70; shard++)
		zs_latencies_add(&latencies, shard, ZS_OPERATION_READ, 1000 * (shard + 1));
	cr_assert_eq(count_of(&latencies, ZS_OPERATION_READ), 70);
	cr_assert_eq(latency_of(&latencies, ZS_OPERATION_READ).max_nsec, 70000);
	zs_latencies_deinit(&latencies);
}

Test(latency, without_memory_nothing_is_counted_and_nothing_fails)
{
	struct zs_latencies latencies = {0};

	zs_fault_arm(1);
	zs_latencies_add(&latencies, 0, ZS_OPERATION_READ, 1000);
	cr_assert_eq(count_of(&latencies, ZS_OPERATION_READ), 0);
	zs_latencies_add(&latencies, 0, ZS_OPERATION_READ, 1000);
	cr_assert_eq(count_of(&latencies, ZS_OPERATION_READ), 1);
	zs_latencies_deinit(&latencies);
}

static struct zs_latencies shared;
static pthread_barrier_t barrier;

static void *add_many(void *argument)
{
	unsigned int shard = (unsigned int)(uintptr_t)argument;

	/* All find no histogram at the same time. */
	pthread_barrier_wait(&barrier);
	for (unsigned int i = 0; i < NR_ADDITIONS; i++)
		zs_latencies_add(&shared, shard, i % ZS_OPERATION_NR, i);
	return NULL;
}

static uint64_t count_all(void)
{
	return count_of(&shared, ZS_OPERATION_READ) + count_of(&shared, ZS_OPERATION_WRITE) +
	       count_of(&shared, ZS_OPERATION_DISCARD);
}

Test(latency, threads_that_make_a_histogram_at_once_lose_no_time)
{
	pthread_t threads[NR_THREADS];

	pthread_barrier_init(&barrier, NULL, NR_THREADS);
	for (unsigned int round = 0; round < 20; round++) {
		for (uintptr_t i = 0; i < NR_THREADS; i++)
			cr_assert_eq(pthread_create(&threads[i], NULL, add_many, (void *)i), 0);
		for (unsigned int i = 0; i < NR_THREADS; i++)
			cr_assert_eq(pthread_join(threads[i], NULL), 0);
		cr_assert_eq(count_all(), (uint64_t)NR_THREADS * NR_ADDITIONS);
		zs_latencies_deinit(&shared);
	}
	pthread_barrier_destroy(&barrier);
}

static bool has_histograms(struct zs_device *device)
{
	for (unsigned int shard = 0; shard < ZS_LATENCY_SHARDS; shard++) {
		for (unsigned int operation = 0; operation < ZS_OPERATION_NR; operation++) {
			if (atomic_load(&device->latencies.histograms[shard][operation]))
				return true;
		}
	}
	return false;
}

Test(latency, a_device_has_none_before_its_first_request_nor_those_of_the_one_before)
{
	struct zs_store *store = test_store_create(0);
	uint64_t id = test_device_add(store, "first", 1 << 20, 4096, lz4);
	struct zs_device *device;
	struct zs_stream *stream;

	cr_assert_eq(zs_stream_create(1, &stream), 0);
	device = zs_device_get(store, id, stream);
	cr_assert_not(has_histograms(device));
	zs_device_add_latency(device, stream, ZS_OPERATION_WRITE, 1000);
	cr_assert_eq(count_of(&device->latencies, ZS_OPERATION_WRITE), 1);
	zs_device_put(device, stream);
	cr_assert_eq(zs_store_remove(store, id), 0);
	zs_store_flush(store);

	id = test_device_add(store, "second", 1 << 20, 4096, lz4);
	cr_assert_eq(zs_device_get(store, id, stream), device, "this test wants the same index");
	cr_assert_not(has_histograms(device));
	zs_device_put(device, stream);
	zs_store_close(store);
	zs_stream_destroy(stream);
}
