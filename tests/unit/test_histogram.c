/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Histograms of times: their borders, and percentiles against sorted values. */

#include <criterion/criterion.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/histogram.h"
#include "support/random.h"

#define NR_VALUES    20000
#define NR_THREADS   4
#define NR_ADDITIONS 500000

#define LAST (ZS_HISTOGRAM_BUCKETS - 1)

static uint64_t values[NR_VALUES];

static struct zs_histogram_sum sum_of(const struct zs_histogram *histogram)
{
	struct zs_histogram_sum sum = {0};

	zs_histogram_sum_up(&sum, histogram);
	return sum;
}

static uint64_t begin_of(unsigned int bucket)
{
	return bucket ? zs_histogram_bucket_end(bucket - 1) + 1 : 0;
}

Test(histogram, a_bucket_begins_where_the_one_before_ends)
{
	for (unsigned int bucket = 0; bucket < ZS_HISTOGRAM_BUCKETS; bucket++) {
		uint64_t end = zs_histogram_bucket_end(bucket),
			 middle = begin_of(bucket) + (end - begin_of(bucket)) / 2;

		cr_assert_eq(zs_histogram_bucket(begin_of(bucket)), bucket, "begin of %u", bucket);
		cr_assert_eq(zs_histogram_bucket(middle), bucket, "middle of %u", bucket);
		cr_assert_eq(zs_histogram_bucket(end), bucket, "end of %u", bucket);
	}
	cr_assert_eq(zs_histogram_bucket_end(LAST), UINT64_MAX);
}

Test(histogram, the_borders_are_those_that_the_header_tells)
{
	static const struct {
		uint64_t begin;
		unsigned int bucket;
	} rows[] = {{0, 0},
		    {16, 1},
		    {240, 15},
		    {256, 16},
		    {272, 17},
		    {512, 32},
		    {544, 33},
		    {1024, 48},
		    {1088, 49},
		    {UINT64_C(1) << 33, 416},
		    {(UINT64_C(1) << 34) - (UINT64_C(1) << 29), LAST}};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(rows); i++) {
		cr_assert_eq(zs_histogram_bucket(rows[i].begin), rows[i].bucket, "%" PRIu64, rows[i].begin);
		cr_assert(!rows[i].begin || zs_histogram_bucket(rows[i].begin - 1) == rows[i].bucket - 1);
	}
	cr_assert_eq(ZS_HISTOGRAM_BUCKETS, 432);
}

Test(histogram, a_bucket_is_no_wider_than_a_sixteenth_of_its_times_or_16_ns)
{
	for (unsigned int bucket = 0; bucket < LAST; bucket++) {
		uint64_t error = zs_histogram_bucket_end(bucket) - begin_of(bucket);

		cr_assert_leq(error, zs_max(16, begin_of(bucket) / 16), "bucket %u", bucket);
	}
}

Test(histogram, nothing_counted_is_nothing_told)
{
	static const struct zs_histogram empty;
	struct zs_histogram_sum sum = sum_of(&empty);

	cr_assert_eq(sum.count, 0);
	cr_assert_eq(sum.max_nsec, 0);
	cr_assert_eq(zs_histogram_percentile(&sum, 50), 0);
	cr_assert_eq(zs_histogram_percentile(&sum, 100), 0);
}

Test(histogram, one_value_is_every_percentile)
{
	static const uint64_t odd[] = {0, 1, 15, 16, 255, 256, 257, 1000000, UINT64_C(1) << 34, UINT64_MAX};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(odd); i++) {
		struct zs_histogram histogram = {0};
		struct zs_histogram_sum sum;

		zs_histogram_add(&histogram, odd[i]);
		sum = sum_of(&histogram);
		cr_assert_eq(sum.count, 1);
		cr_assert_eq(sum.max_nsec, odd[i]);
		for (unsigned int percent = 1; percent <= 100; percent++)
			cr_assert_eq(zs_histogram_percentile(&sum, percent), odd[i]);
	}
}

Test(histogram, the_99th_of_a_hundred_is_not_the_longest)
{
	struct zs_histogram histogram = {0};
	struct zs_histogram_sum sum;

	for (unsigned int i = 0; i < 99; i++)
		zs_histogram_add(&histogram, 1000);
	zs_histogram_add(&histogram, 1000000);
	sum = sum_of(&histogram);
	cr_assert_eq(zs_histogram_percentile(&sum, 99), zs_histogram_bucket_end(zs_histogram_bucket(1000)));
	cr_assert_eq(zs_histogram_percentile(&sum, 100), 1000000);
	zs_histogram_add(&histogram, 1000000);
	sum = sum_of(&histogram);
	cr_assert_eq(zs_histogram_percentile(&sum, 99), 1000000);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* All orders of magnitude alike, up to beyond what the last bucket separates. */
static uint64_t any_time(struct test_random *random)
{
	return test_random_next(random) >> (28 + test_random_below(random, 36));
}

static void check_percentiles(const struct zs_histogram_sum *sum, unsigned int nr)
{
	qsort(values, nr, sizeof(values[0]), compare);
	cr_assert_eq(sum->count, nr);
	cr_assert_eq(sum->max_nsec, values[nr - 1]);
	for (unsigned int percent = 1; percent <= 100; percent++) {
		/* The shortest of the values that so many don't exceed. */
		uint64_t exact = values[(nr * percent + 99) / 100 - 1];
		uint64_t told = zs_histogram_percentile(sum, percent);

		cr_assert_geq(told, exact, "%u %% of %u", percent, nr);
		if (exact < begin_of(LAST))
			cr_assert_leq(told - exact, zs_max(16, exact / 16), "%u %% of %u: %" PRIu64 ", not %" PRIu64,
				      percent, nr, told, exact);
		cr_assert_leq(told, sum->max_nsec);
	}
}

Test(histogram, percentiles_are_those_of_the_sorted_values)
{
	struct test_random random = {.state = 4711};

	for (unsigned int round = 0; round < 200; round++) {
		unsigned int nr = round < 110 ? round + 1 : 1 + (unsigned int)test_random_below(&random, NR_VALUES);
		struct zs_histogram parts[2] = {0};
		struct zs_histogram_sum sum = {0};

		for (unsigned int i = 0; i < nr; i++) {
			values[i] = any_time(&random);
			zs_histogram_add(&parts[test_random_below(&random, 2)], values[i]);
		}
		zs_histogram_sum_up(&sum, &parts[0]);
		zs_histogram_sum_up(&sum, &parts[1]);
		check_percentiles(&sum, nr);
	}
}

Test(histogram, counters_of_any_size_overflow_nothing)
{
	struct zs_histogram_sum sum = {.max_nsec = 5000};

	sum.buckets[zs_histogram_bucket(1000)] = UINT64_MAX / 2;
	sum.buckets[zs_histogram_bucket(5000)] = UINT64_MAX / 2;
	sum.count = UINT64_MAX / 2 * 2;
	cr_assert_eq(zs_histogram_percentile(&sum, 49), zs_histogram_bucket_end(zs_histogram_bucket(1000)));
	cr_assert_eq(zs_histogram_percentile(&sum, 99), 5000);
}

static struct zs_histogram shared;
static _Atomic bool done;

static void *add_many(void *argument)
{
	struct test_random random = {.state = (uintptr_t)argument};

	for (unsigned int i = 0; i < NR_ADDITIONS; i++)
		zs_histogram_add(&shared, i % 4 ? 1000 : any_time(&random));
	return NULL;
}

/* Whatever is counted, the maximum is not below it. */
static void *watch(void *argument)
{
	while (!atomic_load(&done)) {
		struct zs_histogram_sum sum = sum_of(&shared);

		for (unsigned int bucket = LAST; bucket; bucket--) {
			if (sum.buckets[bucket])
				zs_assert(sum.max_nsec >= begin_of(bucket));
		}
	}
	return NULL;
}

Test(histogram, no_time_of_any_thread_is_lost)
{
	pthread_t threads[NR_THREADS], watcher;
	struct zs_histogram_sum sum;

	cr_assert_eq(pthread_create(&watcher, NULL, watch, NULL), 0);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, add_many, (void *)(i + 1)), 0);
	for (unsigned int i = 0; i < NR_THREADS; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	atomic_store(&done, true);
	cr_assert_eq(pthread_join(watcher, NULL), 0);
	sum = sum_of(&shared);
	cr_assert_eq(sum.count, (uint64_t)NR_THREADS * NR_ADDITIONS);
}
