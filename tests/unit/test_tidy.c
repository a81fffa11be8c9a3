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

static struct test_cold_world world;
static struct test_random random_state = {.state = 4711};

static void init(void)
{
	test_cold_world_open(&world, 0);
}

static void deinit(void)
{
	test_cold_world_close(&world);
}

TestSuite(tidy, .init = init, .fini = deinit);

/* Blocks of which each second one is gone again: a file of segments that are half dead. */
static void make_half_dead(void)
{
	static char noise[BLOCK_SIZE];
	size_t done;

	for (uint64_t block = 0; block < 1024; block++) {
		test_data_make(TEST_DATA_NOISE, &random_state, noise, BLOCK_SIZE);
		cr_assert_eq(zs_device_write(world.device, world.stream, block * BLOCK_SIZE, noise, BLOCK_SIZE, &done),
			     0);
	}
	test_writeback(world.store);
	for (uint64_t block = 0; block < 1024; block += 2)
		cr_assert_eq(zs_device_discard(world.device, world.stream, block * BLOCK_SIZE, BLOCK_SIZE), 0);
	zs_store_flush(world.store);
}

static struct zs_writeback_budget budget_of(void)
{
	struct zs_writeback_budget budget;

	cr_assert_eq(zs_store_writeback_budget(world.store, &budget), 0);
	return budget;
}

Test(tidy, tidying_up_is_paid_from_the_budget)
{
	uint64_t written, file_bytes;

	make_half_dead();
	written = budget_of().written_today_bytes;
	file_bytes = test_cold_world_file_stats(&world).file_bytes;
	while (zs_store_tidy(world.store))
		;
	cr_assert_gt(test_cold_world_file_stats(&world).collected_bytes, 0);
	cr_assert_lt(test_cold_world_file_stats(&world).file_bytes, file_bytes);
	cr_assert_eq(budget_of().written_today_bytes, written + test_cold_world_file_stats(&world).collected_bytes);
}

Test(tidy, tidying_up_ends_with_the_budget)
{
	make_half_dead();
	cr_assert_eq(zs_store_set_daily_limit(world.store, 1, ZS_LIMIT_BY_COMMAND), 0);
	cr_assert_not(zs_store_tidy(world.store));
	cr_assert_eq(test_cold_world_file_stats(&world).collected_bytes, 0);
}
