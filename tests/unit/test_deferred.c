/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deferred free. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/deferred_fixture.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

TestSuite(deferred, .init = deferred_set_up, .fini = test_store_tear_down);

static struct zs_device_stats stats_of(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	struct zs_device_stats stats;

	zs_device_stats(device, &stats);
	zs_device_put(device, stream);
	return stats;
}

Test(deferred, without_the_maintenance_thread_all_is_freed_at_once)
{
	uint64_t id = add_full("a");

	discard(id, 0, DEVICE_MIB * MIB);
	cr_assert_eq(stats_of_store().pool.objects, 0);
	cr_assert_eq(stats_of_store().deferred.pending, 0);
	cr_assert_eq(stats_of_store().deferred.drained, 0);
}

/* Overwrites it with zeros, which frees each object in the calling thread. */
static void overwrite(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	static const char zeros[BLOCK];
	size_t done;

	for (uint64_t i = 0; i < NR_BLOCKS; i++)
		cr_assert_eq(zs_device_write(device, stream, i * BLOCK, zeros, BLOCK, &done), 0);
	zs_device_put(device, stream);
}

Test(deferred, memory_that_others_have_freed_is_given_back_by_the_maintenance_thread)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	uint64_t id = add_full("a");

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	overwrite(id);
	cr_assert_eq(stats_of_store().pool.objects, 0);
	/* The reserve of a small store is 128 pages; who wrote has long returned when it gets there. */
	for (unsigned int i = 0; i < 6000 && stats_of_store().heap.reserve_pages > 128; i++)
		nanosleep(&pause, NULL);
	cr_assert_leq(stats_of_store().heap.reserve_pages, 128);
	cr_assert_geq(stats_of_store().heap.punched_pages, NR_BLOCKS - 128);
}

Test(deferred, a_flush_gives_memory_back_at_once)
{
	uint64_t id = add_full("a");

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	overwrite(id);
	zs_store_flush(store);
	cr_assert_leq(stats_of_store().heap.reserve_pages, 128);
	cr_assert_leq(stats_of_store().resident_bytes, stats_of_store().heap.used_bytes + MIB);
}

Test(deferred, what_is_discarded_reads_as_zeros_before_it_is_freed)
{
	char found[BLOCK], zeros[BLOCK] = {0};
	uint64_t id = add_full("a");
	struct zs_device *device;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	hold();
	discard(id, 0, DEVICE_MIB * MIB - BLOCK);
	cr_assert_eq(stats_of_store().deferred.pending, NR_BLOCKS - 1);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS);
	cr_assert_eq(stats_of(id).object_blocks, 1);
	cr_assert_eq(stats_of(id).data_bytes, BLOCK);
	cr_assert_geq(stats_of(id).memory_bytes, NR_BLOCKS * BLOCK, "what waits is still in use");
	device = zs_device_get(store, id, stream);
	for (uint64_t i = 0; i < NR_BLOCKS - 1; i++) {
		cr_assert_eq(zs_device_read(device, stream, i * BLOCK, found, BLOCK), 0);
		cr_assert_eq(memcmp(found, zeros, BLOCK), 0);
	}
	zs_device_put(device, stream);
	let_go();
	zs_store_flush(store);
	cr_assert_eq(stats_of_store().deferred.pending, 0);
	cr_assert_eq(stats_of_store().pool.objects, 1);
	cr_assert_lt(stats_of(id).memory_bytes, 10 * BLOCK);
}

Test(deferred, the_maintenance_thread_frees_by_itself)
{
	const struct timespec moment = {.tv_nsec = 10000000};
	uint64_t id = add_full("a");

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	discard(id, 0, DEVICE_MIB * MIB);
	for (unsigned int i = 0; i < 6000 && stats_of_store().deferred.pending; i++)
		nanosleep(&moment, NULL);
	cr_assert_eq(stats_of_store().deferred.pending, 0);
	cr_assert_eq(stats_of_store().deferred.drained, NR_BLOCKS);
}

Test(deferred, single_blocks_wait_up_to_the_capacity_and_are_then_freed_at_once)
{
	uint64_t id = add_full("a"), capacity;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	capacity = stats_of_store().deferred.capacity;
	cr_assert_eq(capacity, ZS_DEFERRED_BUDGET_BYTES / BLOCK);
	hold();
	/* As if the array of this thread were nearly full. */
	store->deferred.shard_capacity = 100;
	for (uint64_t i = 0; i < 150; i++)
		discard(id, i * BLOCK, BLOCK);
	cr_assert_eq(stats_of_store().deferred.pending, 100);
	cr_assert_eq(stats_of_store().deferred.fallbacks, 50);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS - 50);
	let_go();
	zs_store_flush(store);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS - 150);
}

Test(deferred, a_removed_device_is_gone_at_once_and_its_name_free)
{
	uint64_t id = add_full("a"), other;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	hold();
	discard(id, 0, BLOCK);
	cr_assert_eq(zs_store_remove(store, id), 0);
	cr_assert_null(zs_device_get(store, id, stream));
	cr_assert_eq(zs_store_remove(store, id), -ENODEV);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS);
	other = test_device_add(store, "a", MIB, BLOCK, lz4);
	cr_assert_neq(zs_device_index(other), zs_device_index(id), "the index is still in use");
	let_go();
	zs_store_flush(store);
	cr_assert_eq(stats_of_store().pool.objects, 0);
	cr_assert_eq(stats_of_store().heap.slot_table_pages, 0);
}

Test(deferred, pages_of_blocks_wait_as_long_as_their_lists_are_small)
{
	uint64_t id = add_full("a");

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	hold();
	/* A list of 512 handles is a bit longer than 2 KiB. */
	store->deferred.list_bytes_max = 3 << 11;
	discard(id, 0, DEVICE_MIB * MIB);
	cr_assert_eq(stats_of_store().deferred.pending, 2 * ZS_SLOTS_PER_PAGE);
	cr_assert_eq(stats_of_store().deferred.fallbacks, NR_BLOCKS - 2 * ZS_SLOTS_PER_PAGE);
	cr_assert_eq(stats_of_store().pool.objects, 2 * ZS_SLOTS_PER_PAGE);
	let_go();
	zs_store_flush(store);
	cr_assert_eq(stats_of_store().pool.objects, 0);
	cr_assert_eq(store->deferred.list_bytes, 0);
}

Test(deferred, a_page_of_blocks_is_freed_at_once_if_there_is_no_memory_for_its_list)
{
	uint64_t id = add_full("a");

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	hold();
	zs_fault_arm(1);
	discard(id, 0, 2 * MIB);
	zs_fault_arm(0);
	cr_assert_eq(stats_of_store().deferred.fallbacks, ZS_SLOTS_PER_PAGE);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS - ZS_SLOTS_PER_PAGE);
	let_go();
}

/* As the maintenance thread does it, some time. */
static void wait_for_free_devices(void)
{
	const struct timespec moment = {.tv_nsec = 10000000};

	for (unsigned int i = 0; i < 6000 && stats_of_store().deferred.devices; i++)
		nanosleep(&moment, NULL);
	cr_assert_eq(stats_of_store().deferred.devices, 0);
}

Test(deferred, removing_a_device_that_is_in_use_waits_for_nobody_and_frees_it_when_it_is_not)
{
	uint64_t id = add_full("a"), idle = add_full("b"), other;
	struct zs_device *device = zs_device_get(store, id, stream);
	char found[BLOCK];

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_not(zs_store_is_removing(store, id));
	cr_assert_eq(zs_store_remove_begin(store, id), 0);
	cr_assert_eq(zs_store_remove_begin(store, id), -ENODEV);
	cr_assert(zs_store_is_removing(store, id));
	cr_assert_null(zs_device_get(store, id, stream));
	/* Nobody else waits for it, and who has it can use it. */
	cr_assert_eq(zs_store_remove(store, idle), 0);
	zs_store_flush(store);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS);
	cr_assert_eq(zs_device_read(device, stream, 0, found, BLOCK), 0);
	cr_assert_eq(memcmp(found, noise, BLOCK), 0);
	cr_assert_eq(zs_device_discard(device, stream, 0, MIB), 0);
	other = test_device_add(store, "a", MIB, BLOCK, lz4);
	cr_assert_neq(zs_device_index(other), zs_device_index(id), "the index is still in use");
	cr_assert(zs_store_is_removing(store, id));
	zs_device_put(device, stream);
	cr_assert_not(zs_store_is_removing(store, id));
	wait_for_free_devices();
	cr_assert_eq(stats_of_store().pool.objects, 0);
}

Test(deferred, without_the_maintenance_thread_removing_is_done_when_it_returns)
{
	uint64_t id = add_full("a");

	cr_assert_eq(zs_store_remove_begin(store, id), 0);
	cr_assert_not(zs_store_is_removing(store, id));
	cr_assert_eq(stats_of_store().pool.objects, 0);
}

Test(deferred, a_store_is_closed_while_a_removed_device_is_in_use)
{
	struct zs_store_options options = {0};
	uint64_t id = add_full("a");
	int fd;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_not_null(zs_device_get(store, id, stream));
	cr_assert_eq(zs_store_remove_begin(store, id), 0);
	fd = dup(zs_store_fd(store));
	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	cr_assert_eq(stats_of_store().nr_devices, 0);
	cr_assert_eq(stats_of_store().pool.objects, 0);
}

Test(deferred, who_meets_the_limit_is_not_refused_because_of_what_waits)
{
	struct zs_device *device;
	uint64_t id = add_full("a"), other;
	size_t done;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	other = test_device_add(store, "b", DEVICE_MIB * MIB, BLOCK, lz4);
	zs_store_set_limit(store, stats_of_store().heap.used_bytes);
	device = zs_device_get(store, other, stream);
	discard(id, 0, DEVICE_MIB * MIB);
	for (uint64_t i = 0; i < NR_BLOCKS / 2; i++)
		cr_assert_eq(zs_device_write(device, stream, i * BLOCK, noise, BLOCK, &done), 0);
	zs_device_put(device, stream);
}

Test(deferred, closing_with_work_left_loses_nothing_but_garbage)
{
	struct zs_store_options options = {0};
	uint64_t id = add_full("a"), other = add_full("b");
	int fd;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	discard(id, 0, DEVICE_MIB * MIB / 2);
	cr_assert_eq(zs_store_remove(store, other), 0);
	fd = dup(zs_store_fd(store));
	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	cr_assert_eq(stats_of_store().pool.objects, NR_BLOCKS / 2);
	cr_assert_eq(stats_of_store().nr_devices, 1);
}
