/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tidying up the backing file. */

#include <criterion/criterion.h>
#include <unistd.h>

#include "codec/stream.h"
#include "store/device.h"
#include "support/cold_store.h"
#include "support/data.h"
#include "support/small_store.h"

#define BLOCK_SIZE 4096

static struct zs_store *store;
static struct zs_stream *stream;
static struct zs_device *device;
static struct test_random random_state = {.state = 4711};
static char path[TEST_PATH_BYTES];

static void init(void)
{
	test_backing_create(path);
	store = test_store_create(0);
	test_backing_attach(store, path, 0);
	cr_assert_eq(zs_stream_create(0, &stream), 0);
	device = zs_device_get(store,
			       test_device_add(store, "device", (uint64_t)1 << 30, BLOCK_SIZE,
					       (struct zs_codec_params){ZS_CODEC_LZ4, 1}),
			       stream);
}

static void deinit(void)
{
	zs_device_put(device, stream);
	zs_store_check(store);
	zs_store_close(store);
	zs_stream_destroy(stream);
	unlink(path);
}

TestSuite(tidy, .init = init, .fini = deinit);

static struct zs_backing_stats file_stats(void)
{
	struct zs_backing_stats stats;

	zs_backing_stats(zs_store_backing(store), &stats);
	return stats;
}

/* Blocks of which each second one is gone again: a file of segments that are half dead. */
static void make_half_dead(void)
{
	static char noise[BLOCK_SIZE];
	size_t done;

	for (uint64_t block = 0; block < 1024; block++) {
		test_data_make(TEST_DATA_NOISE, &random_state, noise, BLOCK_SIZE);
		cr_assert_eq(zs_device_write(device, stream, block * BLOCK_SIZE, noise, BLOCK_SIZE, &done), 0);
	}
	test_writeback(store);
	for (uint64_t block = 0; block < 1024; block += 2)
		cr_assert_eq(zs_device_discard(device, stream, block * BLOCK_SIZE, BLOCK_SIZE), 0);
	zs_store_flush(store);
}

static struct zs_writeback_budget budget_of(void)
{
	struct zs_writeback_budget budget;

	cr_assert_eq(zs_store_writeback_budget(store, &budget), 0);
	return budget;
}

Test(tidy, tidying_up_is_paid_from_the_budget)
{
	uint64_t written, file_bytes;

	make_half_dead();
	written = budget_of().written_today_bytes;
	file_bytes = file_stats().file_bytes;
	while (zs_store_tidy(store))
		;
	cr_assert_gt(file_stats().collected_bytes, 0);
	cr_assert_lt(file_stats().file_bytes, file_bytes);
	cr_assert_eq(budget_of().written_today_bytes, written + file_stats().collected_bytes);
}

Test(tidy, tidying_up_ends_with_the_budget)
{
	const struct zs_writeback_budget nothing = {.day_bytes = 1};

	make_half_dead();
	cr_assert_eq(zs_store_set_writeback_budget(store, &nothing), 0);
	cr_assert_not(zs_store_tidy(store));
	cr_assert_eq(file_stats().collected_bytes, 0);
}
