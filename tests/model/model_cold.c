/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file of model_device.c. */

#include "model/model_cold.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"

#define SEGMENT ((uint64_t)ZS_SEGMENT_MIN_BYTES)

static int fail_some(void *context, int result)
{
	static const int answers[] = {-EIO, -ENOSPC, -EAGAIN, -ECANCELED};
	struct model_cold *cold = context;

	if (!test_random_chance(cold->random, cold->fail_percent))
		return test_random_chance(cold->random, 10) ? -EINPROGRESS : result;
	if (test_random_chance(cold->random, 20))
		return result / 2;
	return answers[test_random_below(cold->random, ZS_ARRAY_SIZE(answers))];
}

/* Half of the time, or there would never be two writes in a row that work. */
static void set_faults(struct model_cold *cold, struct zs_store *store)
{
	cold->faults = (struct zs_backing_faults){.write = fail_some, .context = cold};
	cold->fail_percent = (unsigned int)test_random_below(cold->random, 30);
	zs_backing_set_faults(zs_store_backing(store), test_random_chance(cold->random, 50) ? &cold->faults : NULL);
}

void model_cold_begin(struct model_cold *cold, struct zs_store *store, struct test_random *random)
{
	uint64_t segments = test_random_chance(random, 50) ? 0 : 4 + test_random_below(random, 20);

	cold->random = random;
	cold->is_on = test_random_chance(random, 40);
	if (!cold->is_on)
		return;
	test_backing_create(cold->path);
	test_backing_attach(store, cold->path, segments * SEGMENT);
}

void model_cold_reopened(struct model_cold *cold, struct zs_store *store)
{
	if (cold->is_on)
		test_backing_attach(store, cold->path, 0);
}

static void write_back(struct model_cold *cold, struct zs_store *store)
{
	static const enum zs_writeback_type types[] = {ZS_WRITEBACK_ALL, ZS_WRITEBACK_ALL, ZS_WRITEBACK_HUGE};
	struct zs_writeback_progress progress = {0};
	struct zs_writeback_request request = {
		.type = types[test_random_below(cold->random, ZS_ARRAY_SIZE(types))],
		.order = (enum zs_writeback_order)test_random_below(cold->random, 3),
		.limit_blocks = test_random_below(cold->random, 400),
	};
	int error = zs_store_writeback(store, &request, &progress);

	zs_assert_msg(!error || error == -EIO || error == -ENOSPC, "writing back: %d", error);
	zs_assert(progress.finished_blocks + progress.failed_blocks == progress.written_blocks);
	cold->written_back += progress.finished_blocks;
	cold->failed += progress.failed_blocks;
	cold->full += error == -ENOSPC;
}

static void collect(struct model_cold *cold, struct zs_store *store)
{
	int nr = zs_store_collect(store, (unsigned int)test_random_below(cold->random, 90), 3);

	zs_assert_msg(nr >= 0 || nr == -EIO || nr == -ENOSPC, "collecting: %d", nr);
	cold->collected += nr > 0 ? (uint64_t)nr : 0;
}

void model_cold_step(struct model_cold *cold, struct zs_store *store)
{
	unsigned int dice;

	if (test_random_chance(cold->random, 60))
		model_dictionary_step(&cold->dictionary, store, cold->random);
	if (!cold->is_on)
		return;
	dice = (unsigned int)test_random_below(cold->random, 100);
	if (dice < 60)
		write_back(cold, store);
	else if (dice < 80)
		collect(cold, store);
	else if (dice < 85)
		zs_backing_punch(zs_store_backing(store));
	else if (dice < 92)
		zs_store_set_promotion(store, (unsigned int)test_random_below(cold->random, 4));
	else
		set_faults(cold, store);
}

void model_cold_end(struct model_cold *cold, struct zs_store *store)
{
	struct zs_backing_stats stats;

	if (!cold->is_on)
		return;
	zs_backing_stats(zs_store_backing(store), &stats);
	zs_assert(!stats.live_records && !stats.live_bytes);
	unlink(cold->path);
}

void model_cold_print(const struct model_cold *cold)
{
	printf("%" PRIu64 " blocks written back, %" PRIu64 " failed, %" PRIu64 " times full, %" PRIu64
	       " segments collected\n",
	       cold->written_back, cold->failed, cold->full, cold->collected);
	model_dictionary_print(&cold->dictionary);
}
