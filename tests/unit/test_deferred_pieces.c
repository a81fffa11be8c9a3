/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deferred free: what waits is freed in pieces, by whoever meets a limit. */

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>

#include "base/check.h"
#include "codec/stream.h"
#include "store/deferred_internal.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/deferred_fixture.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

TestSuite(deferred_pieces, .init = deferred_set_up, .fini = test_store_tear_down);

/* Has the maintenance thread give way, as if this one were about to free a piece all the time. */
static void keep_away(void)
{
	zs_deferred_way_nsec = LONG_MAX / 2;
	pthread_mutex_lock(&store->deferred.mutex);
	store->deferred.nr_helpers++;
	pthread_mutex_unlock(&store->deferred.mutex);
}

static void let_come(void)
{
	pthread_mutex_lock(&store->deferred.mutex);
	store->deferred.nr_helpers--;
	pthread_cond_signal(&store->deferred.helped);
	pthread_mutex_unlock(&store->deferred.mutex);
}

static int write_new(uint64_t id, uint64_t block)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	size_t done;
	int error = zs_device_write(device, stream, block * BLOCK, noise, BLOCK, &done);

	zs_device_put(device, stream);
	return error;
}

/* Writes new blocks until there is no room; answers how many. */
static uint64_t fill_up(uint64_t id)
{
	uint64_t nr = 0;

	while (!write_new(id, nr))
		nr++;
	return nr;
}

static uint64_t add_limited(const char *name, const char *group, uint64_t limit_bytes)
{
	struct zs_device_options options = {.name = name, .size_bytes = DEVICE_MIB * MIB, .codec = lz4};
	uint64_t id;

	options.group = group;
	options.memory_limit_bytes = limit_bytes;
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	return id;
}

Test(deferred_pieces, who_meets_a_limit_of_its_own_waits_for_nothing_of_others, .timeout = 60)
{
	uint64_t other = add_full("a"), limited = add_limited("b", NULL, MIB), member, nr, nr_member;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_eq(zs_store_add_group(store, "group", MIB), 0);
	member = add_limited("c", "group", 0);
	nr = fill_up(limited);
	nr_member = fill_up(member);
	hold();
	discard(other, 0, 2 * MIB);
	discard(other, 3 * MIB, BLOCK);
	cr_assert_eq(zs_store_remove(store, other), 0);
	cr_assert_eq(write_new(limited, nr), -ENOSPC);
	cr_assert_eq(write_new(member, nr_member), -ENOSPC);
	let_go();
}

Test(deferred_pieces, who_meets_the_limit_goes_on_when_a_piece_of_a_removed_device_is_free)
{
	uint64_t id = add_full("a"), other;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	other = test_device_add(store, "b", DEVICE_MIB * MIB, BLOCK, lz4);
	cr_assert_eq(write_new(other, 0), 0);
	zs_store_set_limit(store, stats_of_store().heap.used_bytes);
	cr_assert_eq(write_new(other, 1), 0, "what is in its zspage");
	keep_away();
	cr_assert_eq(zs_store_remove(store, id), 0);
	for (uint64_t i = 0; i < 300; i++)
		cr_assert_eq(write_new(other, 2 + i), 0);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS - ZS_SLOTS_PER_PAGE + 302);
	cr_assert_eq(stats_of_store().deferred.devices, 1);
	let_come();
	zs_store_flush(store);
	cr_assert_eq(stats_of_store().pool.objects, 302);
}

Test(deferred_pieces, who_meets_the_limit_goes_on_when_a_page_of_what_was_discarded_is_free)
{
	uint64_t id = add_full("a");

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	zs_store_set_limit(store, stats_of_store().heap.used_bytes);
	keep_away();
	discard(id, 0, DEVICE_MIB * MIB);
	cr_assert_eq(stats_of_store().deferred.pending, NR_BLOCKS);
	cr_assert_eq(write_new(id, 0), 0);
	cr_assert_eq(stats_of_store().deferred.pending, NR_BLOCKS - ZS_SLOTS_PER_PAGE);
	let_come();
}

Test(deferred_pieces, who_meets_the_limit_goes_on_when_some_single_blocks_are_free)
{
	uint64_t id = add_full("a");

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	zs_store_set_limit(store, stats_of_store().heap.used_bytes);
	keep_away();
	for (uint64_t i = 0; i < 1000; i++)
		discard(id, i * BLOCK, BLOCK);
	cr_assert_eq(stats_of_store().deferred.pending, 1000);
	cr_assert_eq(write_new(id, 0), 0);
	cr_assert_eq(stats_of_store().deferred.pending, 1000 - ZS_SLOTS_PER_PAGE);
	let_come();
	zs_store_flush(store);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS - 1000 + 1);
}

Test(deferred_pieces, a_thread_that_goes_on_does_not_keep_the_blocks_of_another_one_waiting)
{
	uint64_t id = add_full("a");
	struct zs_stream *second;
	struct zs_device *device;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_eq(zs_stream_create(1, &second), 0);
	keep_away();
	device = zs_device_get(store, id, second);
	cr_assert_eq(zs_device_discard(device, second, 0, BLOCK), 0);
	zs_device_put(device, second);
	for (uint64_t i = 1; i < 4; i++) {
		discard(id, i * BLOCK, BLOCK);
		cr_assert(zs_deferred_help(&store->deferred, NULL));
	}
	cr_assert_eq(stats_of_store().deferred.pending, 0, "the first one, too");
	let_come();
	zs_stream_destroy(second);
}

Test(deferred_pieces, a_group_has_room_again_with_each_piece_of_a_removed_device)
{
	uint64_t id, other, nr, charged;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_eq(zs_store_add_group(store, "group", 4 * DEVICE_MIB * MIB), 0);
	id = add_limited("a", "group", 0);
	other = add_limited("b", "group", 0);
	cr_assert_eq(fill_up(id), NR_BLOCKS);
	cr_assert_eq(zs_store_set_group_limit(store, "group", DEVICE_MIB * MIB + MIB), 0);
	nr = fill_up(other);
	charged = atomic_load(&store->groups[0].budget.charged_bytes);
	keep_away();
	cr_assert_eq(zs_store_remove(store, id), 0);
	cr_assert_eq(write_new(other, nr), 0);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS - ZS_SLOTS_PER_PAGE + nr + 1);
	cr_assert_lt(atomic_load(&store->groups[0].budget.charged_bytes), charged - MIB);
	let_come();
	zs_store_flush(store);
	cr_assert_eq(atomic_load(&store->groups[0].budget.nr_waiting), 0);
}

Test(deferred_pieces, a_limited_device_is_helped_by_what_it_has_discarded_itself)
{
	uint64_t other = add_full("a"), id = add_limited("b", NULL, 4 * MIB), nr;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	nr = fill_up(id);
	keep_away();
	discard(other, 0, DEVICE_MIB * MIB);
	discard(id, 0, 2 * MIB);
	cr_assert_eq(write_new(id, nr), 0);
	cr_assert_eq(stats_of_store().deferred.pending, NR_BLOCKS, "nothing of the other's");
	let_come();
}

Test(deferred_pieces, who_gets_no_memory_from_the_system_gives_back_some_of_what_waits_and_tries_again)
{
	uint64_t id = add_full("a"), other;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	other = test_device_add(store, "b", DEVICE_MIB * MIB, BLOCK, lz4);
	keep_away();
	discard(id, 0, DEVICE_MIB * MIB);
	/* The memory of the first page of slots. */
	zs_fault_arm(1);
	cr_assert_eq(write_new(other, 0), 0);
	zs_fault_arm(0);
	cr_assert_lt(stats_of_store().deferred.pending, NR_BLOCKS);
	cr_assert_eq(stats_of_store().heap.reserve_pages, 0);
	let_come();
}

Test(deferred_pieces, an_index_is_used_again_only_when_nothing_of_the_old_device_waits)
{
	uint64_t id = add_full("a");
	struct zs_device *device = zs_device_get(store, id, stream);
	unsigned int index = zs_device_index(id);

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	zs_device_put(device, stream);
	keep_away();
	for (uint64_t i = 0; i < 2 * ZS_SLOTS_PER_PAGE; i++)
		discard(id, i * BLOCK, BLOCK);
	discard(id, 4 * MIB, 4 * MIB);
	cr_assert_eq(zs_store_remove(store, id), 0);
	for (unsigned int i = 0; zs_deferred_help(&store->deferred, NULL); i++) {
		bool waits = stats_of_store().deferred.pending;

		cr_assert(!waits || device->state == ZS_DEVICE_REMOVING);
		cr_assert_lt(i, 10);
	}
	cr_assert_eq(device->state, ZS_DEVICE_FREE);
	cr_assert_eq(zs_device_index(test_device_add(store, "b", MIB, BLOCK, lz4)), index);
	let_come();
}

/* As large as can be, so that there is no place for another one; with some pages of slots. */
static uint64_t add_largest(uint64_t nr_blocks)
{
	uint64_t id = test_device_add(store, "a", zs_store_max_device_bytes(store, BLOCK), BLOCK, lz4);

	for (uint64_t block = 0; block < nr_blocks; block++)
		cr_assert_eq(write_new(id, block), 0);
	return id;
}

static int try_add(const char *name)
{
	struct zs_device_options options = {.name = name, .size_bytes = DEVICE_MIB * MIB, .codec = lz4};
	uint64_t id;

	return zs_store_try_add(store, &options, NULL, &id);
}

Test(deferred_pieces, who_adds_a_device_in_place_of_a_removed_one_is_held_up_by_one_piece_at_a_time)
{
	uint64_t id = add_largest(NR_BLOCKS), left = NR_BLOCKS;
	unsigned int nr_pieces = 0;
	int error;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_eq(try_add("b"), -EFBIG);
	keep_away();
	cr_assert_eq(zs_store_remove(store, id), 0);
	for (error = try_add("b"); error == -EAGAIN; error = try_add("b")) {
		cr_assert_geq(stats_of_store().pool.objects + ZS_SLOTS_PER_PAGE, left);
		left = stats_of_store().pool.objects;
		nr_pieces++;
	}
	cr_assert_eq(error, 0);
	cr_assert_geq(nr_pieces, NR_BLOCKS / ZS_SLOTS_PER_PAGE);
	cr_assert_eq(stats_of_store().pool.objects, 0);
	let_come();
}

/* The device, borrowed; the maintenance thread is kept away. */
static struct zs_device *remove_in_use(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	keep_away();
	cr_assert_eq(zs_store_remove_begin(store, id), 0);
	return device;
}

Test(deferred_pieces, who_adds_a_device_does_not_wait_for_what_others_discard_while_a_removed_one_is_in_use)
{
	uint64_t other = test_device_add(store, "other", MIB, BLOCK, lz4), id = add_largest(1);
	struct zs_device *device = remove_in_use(id);

	cr_assert_eq(write_new(other, 0), 0);
	discard(other, 0, BLOCK);
	cr_assert_gt(stats_of_store().deferred.pending, 0);
	cr_assert_eq(try_add("b"), -EFBIG);
	zs_device_put(device, stream);
	let_come();
}

Test(deferred_pieces, who_adds_a_device_does_not_wait_for_a_removed_one_that_is_in_use)
{
	uint64_t id = add_largest(1);
	struct zs_device *device = remove_in_use(id);

	cr_assert_eq(try_add("b"), -EFBIG);
	zs_device_put(device, stream);
	cr_assert_eq(try_add("b"), -EAGAIN);
	add_limited("b", NULL, 0);
	let_come();
}

Test(deferred_pieces, who_resets_a_device_does_not_wait_for_what_others_discard_while_a_removed_one_is_in_use)
{
	uint64_t other = test_device_add(store, "other", MIB, BLOCK, lz4), id = add_largest(1), new_id;
	struct zs_device *device = remove_in_use(id);

	cr_assert_eq(write_new(other, 0), 0);
	discard(other, 0, BLOCK);
	cr_assert_gt(stats_of_store().deferred.pending, 0);
	cr_assert_eq(zs_store_try_reset(store, other, &new_id), -EFBIG);
	zs_device_put(device, stream);
	let_come();
}

static bool is_off_the_list(void)
{
	bool empty;

	pthread_mutex_lock(&store->deferred.mutex);
	empty = zs_list_empty(&store->deferred.removed);
	pthread_mutex_unlock(&store->deferred.mutex);
	return empty;
}

Test(deferred_pieces, who_adds_a_device_waits_for_a_removed_one_that_is_just_being_finished, .timeout = 60)
{
	uint64_t id = add_largest(1);
	struct zs_device *device = zs_device_get(store, id, stream);
	int error;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_eq(zs_store_remove_begin(store, id), 0);
	cr_assert_not(zs_deferred_can_finish_devices(&store->deferred));
	/* It can't be finished without this lock. */
	zs_lock(&store->lock);
	zs_device_put(device, stream);
	while (!is_off_the_list())
		sched_yield();
	cr_assert(zs_deferred_can_finish_devices(&store->deferred));
	zs_unlock(&store->lock);
	do {
		error = try_add("b");
	} while (error == -EAGAIN);
	cr_assert_eq(error, 0);
}
