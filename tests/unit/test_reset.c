/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Resetting a device: an empty one is in its place. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/residue.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define MIB ((uint64_t)1 << 20)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

TestSuite(reset, .init = test_store_set_up, .fini = test_store_tear_down);

static void check_at(uint64_t id, uint64_t offset, const void *data, size_t length)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	char found[64];

	cr_assert(device && length <= sizeof(found));
	cr_assert_eq(zs_device_read(device, stream, offset, found, length), 0);
	cr_assert_eq(memcmp(found, data, length), 0);
	zs_device_put(device, stream);
}

static void reopen(bool from_copy)
{
	struct zs_store_options options = {0};
	int fd = from_copy ? test_arena_copy(zs_store_fd(store)) : dup(zs_store_fd(store));

	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	zs_store_check(store);
}

static uint64_t add_with_all(void)
{
	const struct zs_device_options options = {
		.name = "kept",
		.size_bytes = 16 * MIB,
		.block_size = 16384,
		.codec = {ZS_CODEC_ZSTD, 5},
		.nr_recompress = 1,
		.recompress = {{ZS_CODEC_ZSTD, 19}},
		.memory_limit_bytes = 8 * MIB,
		.mode = 0640,
		.uid = 7,
		.gid = 8,
		.page_cache = true,
		.group = "guests",
	};
	uint64_t id;

	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	return id;
}

Test(reset, drops_the_data_and_keeps_the_rest)
{
	static const char zeros[6], data[] = "gone";
	struct zs_device_info before, after;
	uint64_t id = add_with_all(), new_id;
	struct zs_device *device = zs_device_get(store, id, stream);

	zs_device_info(device, &before);
	zs_device_put(device, stream);
	test_store_write(id, 20000, data, sizeof(data));
	cr_assert_eq(zs_store_try_reset(store, id, &new_id), 0);
	cr_assert_neq(new_id, id);
	cr_assert_null(zs_device_get(store, id, stream));
	cr_assert_eq(zs_store_try_reset(store, id, &new_id), -ENODEV);
	for (unsigned int round = 0; round < 2; round++) {
		cr_assert_eq(zs_store_find(store, "kept", &id), 0);
		cr_assert_eq(test_store_nr_devices(), 1);
		check_at(id, 20000, zeros, sizeof(data));
		device = zs_device_get(store, id, stream);
		zs_device_info(device, &after);
		zs_device_put(device, stream);
		before.id = after.id;
		before.created_sec = after.created_sec;
		cr_assert_eq(memcmp(&before, &after, sizeof(before)), 0);
		reopen(round);
	}
}

Test(reset, a_device_that_finds_no_second_place_is_not_reset)
{
	uint64_t size = zs_store_max_device_bytes(store, 4096);
	uint64_t id = test_device_add(store, "large", size, 4096, lz4), new_id;

	test_store_write(id, 4096, "kept", 4);
	cr_assert_eq(zs_store_try_reset(store, id, &new_id), -EFBIG);
	check_at(id, 4096, "kept", 4);
	zs_store_check(store);
}

/* The old entry is given back last: a copy of the arena is taken as it was before that. */
Test(reset, a_process_that_is_killed_in_between_leaves_an_empty_device)
{
	static const char zeros[5];
	struct zs_store_options options = {0};
	uint64_t id = add_with_all(), new_id, found;
	struct zs_device *device = zs_device_get(store, id, stream);
	int fd;

	test_store_write(id, 20000, "gone", 4);
	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_eq(zs_store_try_reset(store, id, &new_id), 0);
	atomic_store(&device->entry->id, zs_residue_seal(id));
	fd = test_arena_copy(zs_store_fd(store));
	atomic_store(&device->entry->id, 0);
	zs_device_put(device, stream);
	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	cr_assert_eq(test_store_nr_devices(), 1);
	cr_assert_eq(zs_store_find(store, "kept", &found), 0);
	cr_assert_eq(found, new_id);
	check_at(new_id, 20000, zeros, 4);
	zs_store_check(store);
}
