/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file: records go in and come out, segments are used, emptied and collected. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "store/backing_internal.h"
#include "support/cold.h"

#define SEGMENT ZS_SEGMENT_MIN_BYTES

static struct test_cold *cold;

static void open_cold(void)
{
	cold = test_cold_create(0);
	cr_assert_eq(test_cold_open(cold), 0);
}

static void close_cold(void)
{
	test_cold_destroy(cold);
}

/* Appends objects first .. first + nr - 1 and waits. */
static void append_many(uint32_t first, uint32_t nr, uint32_t size)
{
	for (uint32_t i = first; i < first + nr; i++)
		cr_assert_eq(test_cold_append(cold, i, size), 0);
	test_cold_flush(cold);
}

TestSuite(backing, .init = open_cold, .fini = close_cold);

Test(backing, what_is_appended_is_read_again_whatever_its_size)
{
	static const uint32_t sizes[] = {1,    2,    3,	   4,	 5,	15,    16,    17,    100,
					 4067, 4068, 4069, 4096, 65535, 65536, 12345, 60000, 1};

	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		append_many(1 + i, 1, sizes[i]);
	cr_assert_eq(cold->nr_failed, 0);
	test_cold_check(cold);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		cr_assert_eq(test_cold_append(cold, 100 + i, sizes[i]), 0);
	test_cold_flush(cold);
	test_cold_check(cold);
	cr_assert_eq(test_cold_stats(cold).live_records, 2 * sizeof(sizes) / sizeof(sizes[0]));
}

Test(backing, many_segments_are_filled_and_survive_a_killed_process)
{
	append_many(1, 2000, 2300);
	cr_assert_geq(test_cold_stats(cold).valid_segments, 15);
	test_cold_check(cold);
	test_cold_reopen(cold);
	test_cold_check(cold);
	cr_assert_eq(test_cold_stats(cold).live_records, 2000);
	append_many(2001, 500, 2300);
	test_cold_check(cold);
}

Test(backing, collection_moves_what_is_live_and_frees_the_segment)
{
	append_many(1, 2000, 2300);
	for (uint32_t i = 1; i <= 2000; i++) {
		if (i % 4)
			test_cold_free(cold, i);
	}
	cr_assert_gt(test_cold_collect(cold, 50, 100), 10);
	cr_assert_gt(zs_backing_punch(cold->backing), 10);
	test_cold_check(cold);
	cr_assert_eq(test_cold_stats(cold).live_records, 500);
	cr_assert_leq(test_cold_stats(cold).valid_segments, 7);
	test_cold_reopen(cold);
	test_cold_check(cold);
}

/* The segment with the least live data of the first ones, of those that have some. */
static uint32_t least_live(uint32_t end)
{
	const struct zs_segment *segments = cold->backing->segments.segments;
	uint32_t least = 1;

	for (uint32_t i = 2; i < end; i++) {
		if (segments[i].live_units &&
		    (!segments[least].live_units || segments[i].live_units < segments[least].live_units))
			least = i;
	}
	return least;
}

Test(backing, what_has_the_least_live_data_is_collected_first)
{
	uint32_t end;

	append_many(1, 2000, 2300);
	/* The last one is being written. */
	end = cold->backing->segments.fresh - 1;
	/* Of 10 to 15 in 20 records, another number in each segment. */
	for (uint32_t i = 1; i <= 2000; i++) {
		if (i % 20 < 10 + i / 110 * 7 % 6)
			test_cold_free(cold, i);
	}
	/* Fewer than it takes until one of these is written to again. */
	for (unsigned int round = 0; round < 3; round++) {
		uint32_t least = least_live(end);

		cr_assert_eq(test_cold_collect(cold, 40, 1), 1);
		cr_assert_eq(cold->backing->segments.segments[least].live_units, 0, "round %u", round);
	}
	test_cold_check(cold);
}

Test(backing, a_segment_is_used_again_when_all_in_it_is_dead)
{
	struct zs_backing_stats stats;

	cold->options.size_bytes = 6 * SEGMENT;
	test_cold_close(cold);
	cr_assert_eq(test_cold_open(cold), 0);
	for (unsigned int round = 0; round < 20; round++) {
		append_many(1, 200, 2300);
		for (uint32_t i = 1; i <= 200; i++)
			test_cold_free(cold, i);
	}
	stats = test_cold_stats(cold);
	cr_assert_eq(stats.live_records, 0);
	cr_assert_eq(stats.live_bytes, 0);
	cr_assert_leq(stats.file_bytes, 6 * SEGMENT);
	test_cold_check(cold);
}

Test(backing, what_is_empty_is_given_back_to_the_file_system)
{
	uint64_t before;

	append_many(1, 2000, 2300);
	before = test_cold_stats(cold).file_bytes;
	cr_assert_geq(before, 2000 * 2300);
	for (uint32_t i = 1; i <= 2000; i++)
		test_cold_free(cold, i);
	cr_assert_gt(zs_backing_punch(cold->backing), 10);
	cr_assert_eq(zs_backing_punch(cold->backing), 0);
	/* The open segment and the header stay. */
	cr_assert_leq(test_cold_stats(cold).file_bytes, 2 * SEGMENT);
	cr_assert_eq(test_cold_stats(cold).valid_segments, 0);
	append_many(1, 2000, 2300);
	test_cold_check(cold);
}

Test(backing, two_segments_are_kept_for_collection)
{
	uint32_t nr = 0;
	int error = 0;

	cold->options.size_bytes = 6 * SEGMENT;
	test_cold_close(cold);
	cr_assert_eq(test_cold_open(cold), 0);
	while (!error)
		error = test_cold_append(cold, ++nr, 2300);
	cr_assert_eq(error, -ENOSPC);
	cr_assert_eq(zs_backing_room(cold->backing), 0);
	test_cold_flush(cold);
	/* Five segments can hold records, two of them are kept. */
	cr_assert_gt(nr, 3 * 100);
	cr_assert_lt(nr, 3 * 115);
	cr_assert_eq(test_cold_stats(cold).free_segments, 2);
	test_cold_check(cold);
	for (uint32_t i = 1; i < nr; i += 2)
		test_cold_free(cold, i);
	cr_assert_gt(test_cold_collect(cold, 40, 3), 0);
	cr_assert_gt(zs_backing_room(cold->backing), 0);
	test_cold_check(cold);
	cr_assert_eq(test_cold_append(cold, 1, 2300), 0);
}

Test(backing, room_is_never_promised_that_is_not_there)
{
	uint64_t room;
	uint32_t nr = 0;

	cold->options.size_bytes = 7 * SEGMENT;
	test_cold_close(cold);
	cr_assert_eq(test_cold_open(cold), 0);
	room = zs_backing_room(cold->backing);
	cr_assert_gt(room, 2 * SEGMENT);
	for (uint64_t used = 0; used + 65600 <= room; used += 65600)
		cr_assert_eq(test_cold_append(cold, ++nr, 65536), 0);
	test_cold_flush(cold);
	test_cold_check(cold);
}

Test(backing, the_limit_can_be_raised)
{
	uint32_t nr = 0;

	cold->options.size_bytes = 4 * SEGMENT;
	test_cold_close(cold);
	cr_assert_eq(test_cold_open(cold), 0);
	cr_assert_eq(zs_backing_set_size(cold->backing, 3 * SEGMENT), -EOVERFLOW);
	while (!test_cold_append(cold, ++nr, 60000))
		continue;
	cr_assert_eq(zs_backing_set_size(cold->backing, 8 * SEGMENT), 0);
	cr_assert_eq(test_cold_append(cold, nr, 60000), 0);
	test_cold_flush(cold);
	test_cold_check(cold);
}

Test(backing, records_cost_less_than_3_percent_more_than_their_payload)
{
	struct zs_backing_stats stats;

	/* A block of 4 KiB that lz4 has compressed as it does programs and texts, around 1.76. */
	for (uint32_t i = 1; i < 4000; i++)
		cr_assert_eq(test_cold_append(cold, i, 1100 + i * 37 % 2456), 0);
	test_cold_flush(cold);
	stats = test_cold_stats(cold);
	cr_assert_geq(stats.written_bytes, stats.appended_bytes);
	cr_assert_leq((double)stats.written_bytes, 1.03 * (double)stats.payload_bytes, "%f",
		      (double)stats.written_bytes / (double)stats.payload_bytes);
}

Test(backing, neighbours_are_read_by_one_call)
{
	static _Alignas(4096) char buffer[ZS_BACKING_RANGE_BYTES];
	struct zs_record records[64];
	struct zs_place places[64];
	unsigned int nr = 1;
	uint64_t reads;
	int errors[64];

	append_many(1, 100, 2300);
	places[0] = cold->objects[1].place;
	while (nr < 64 && zs_place_joins(&places[0], &places[nr - 1], &cold->objects[nr + 1].place, sizeof(buffer)))
		places[nr] = cold->objects[nr + 1].place, nr++;
	cr_assert_eq(nr, 64);
	reads = test_cold_stats(cold).reads;
	zs_backing_read_range(cold->backing, places, nr, buffer, sizeof(buffer), records, errors);
	cr_assert_eq(test_cold_stats(cold).reads, reads + 1);
	for (unsigned int i = 0; i < nr; i++) {
		cr_assert_eq(errors[i], 0);
		cr_assert_eq(records[i].handle.index, i + 1);
	}
	cr_assert_not(zs_place_joins(&places[0], &places[0], &cold->objects[100].place, sizeof(buffer)));
}

Test(backing, a_pinned_record_stays_and_is_moved_later)
{
	append_many(1, 500, 2300);
	for (uint32_t i = 1; i <= 450; i++) {
		if (i % 10)
			test_cold_free(cold, i);
		else
			cold->objects[i].is_pinned = true;
	}
	cr_assert_gt(test_cold_collect(cold, 50, 100), 0);
	test_cold_check(cold);
	cr_assert_eq(test_cold_stats(cold).collected_records, 0);
	for (uint32_t i = 10; i <= 450; i += 10)
		cold->objects[i].is_pinned = false;
	cr_assert_gt(test_cold_collect(cold, 50, 100), 0);
	cr_assert_gt(test_cold_stats(cold).collected_records, 30);
	test_cold_check(cold);
}

Test(backing, the_budget_survives_a_killed_process)
{
	const struct zs_backing_budget budget = {.day = 20000,
						 .written_bytes = 12345,
						 .limit_bytes = UINT64_C(1) << 40,
						 .remaining_bytes = 99,
						 .is_counted = true};
	struct zs_backing_budget found = {.day = 1};

	zs_backing_get_budget(cold->backing, &found);
	cr_assert(!found.day && !found.written_bytes && !found.limit_bytes && !found.is_counted);
	for (unsigned int i = 0; i < 5; i++)
		zs_backing_set_budget(cold->backing, &budget);
	test_cold_reopen(cold);
	zs_backing_get_budget(cold->backing, &found);
	cr_assert(found.day == 20000 && found.written_bytes == 12345 && found.is_counted);
	cr_assert(found.limit_bytes == UINT64_C(1) << 40 && found.remaining_bytes == 99);
}

Test(backing, a_place_that_can_not_be_is_not_adopted)
{
	struct zs_place good, bad[8];

	append_many(1, 300, 2300);
	good = cold->objects[150].place;
	for (unsigned int i = 0; i < 8; i++)
		bad[i] = good;
	bad[0].unit = 0;
	bad[1].unit = 1000;					   /* in the header */
	bad[2].unit = good.unit / (SEGMENT / 16) * (SEGMENT / 16); /* in a segment's */
	bad[3].unit += 100 * (uint64_t)(SEGMENT / 16);
	bad[4].unit = (UINT64_C(1) << 39) + good.unit;
	bad[5].units = 0;
	bad[6].units = 1;
	bad[7].units = SEGMENT / 16;
	for (unsigned int i = 0; i < 8; i++)
		cr_assert_eq(zs_backing_adopt(cold->backing, &bad[i]), -EBADMSG, "%u", i);
}

Test(backing, freeing_what_can_not_be_there_is_counted_and_does_nothing)
{
	const struct zs_place nowhere[] = {{0, 0}, {1000, 10}, {UINT64_C(1) << 38, 10}, {SEGMENT / 16 + 4, 8191}};

	append_many(1, 10, 100);
	for (unsigned int i = 0; i < 4; i++)
		zs_backing_free(cold->backing, &nowhere[i]);
	cr_assert_eq(test_cold_stats(cold).corrupt_records, 4);
	cr_assert_eq(test_cold_stats(cold).live_records, 10);
	test_cold_check(cold);
}
