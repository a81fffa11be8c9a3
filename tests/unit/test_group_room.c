/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who of a group makes room when it comes near its limit. */

#include <criterion/criterion.h>
#include <string.h>

#include "store/device.h"
#include "store/device_internal.h"
#include "support/data.h"
#include "support/store_fixture.h"

#define MIB   ((uint64_t)1 << 20)
#define BLOCK 4096

static char noise[BLOCK];

static void room_create(void)
{
	struct test_random random = {.state = 3};

	test_store_set_up();
	test_data_make(TEST_DATA_NOISE, &random, noise, sizeof(noise));
}

TestSuite(group_room, .init = room_create, .fini = test_store_tear_down);

static uint64_t add(const char *name, const char *group)
{
	struct zs_device_options options = {.name = name, .size_bytes = 64 * MIB, .codec = {ZS_CODEC_LZ4, 1}};
	uint64_t id;

	options.group = group;
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	return id;
}

/* Incompressible blocks from the device's first one on. */
static void fill(uint64_t id, uint64_t nr_blocks)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	size_t done;

	for (uint64_t block = 0; block < nr_blocks; block++)
		cr_assert_eq(zs_device_write(device, stream, block * BLOCK, noise, BLOCK, &done), 0);
	zs_device_put(device, stream);
}

static void set_limit_of(uint64_t id, uint64_t limit_bytes)
{
	struct zs_device *device = zs_device_get(store, id, stream);

	atomic_store(&device->budget.limit_bytes, limit_bytes);
	zs_device_put(device, stream);
}

static uint64_t short_of(uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	uint64_t found = zs_device_short_of(device);

	zs_device_put(device, stream);
	return found;
}

static uint64_t spared;

static bool spares(const void *context, uint64_t id)
{
	return id == *(const uint64_t *)context;
}

static uint64_t greediest(const char *name, uint64_t keep_bytes, uint64_t *ret_above_bytes)
{
	struct zs_group_use use;
	unsigned int cursor = 0;

	while (zs_store_next_limited_group(store, &cursor, &use)) {
		if (!strcmp(use.name, name))
			return zs_store_group_device(store, use.number, keep_bytes, spares, &spared, ret_above_bytes);
	}
	return UINT64_MAX;
}

Test(group_room, without_a_limit_are_not_looked_at)
{
	struct zs_group_use use;
	unsigned int cursor = 0;

	add("a", "free");
	cr_assert_not(zs_store_next_limited_group(store, &cursor, &use));
	cr_assert_eq(zs_store_add_group(store, "bound", 8 * MIB), 0);
	cursor = 0;
	cr_assert(zs_store_next_limited_group(store, &cursor, &use));
	cr_assert_str_eq(use.name, "bound");
	cr_assert_eq(use.memory_limit_bytes, 8 * MIB);
	cr_assert_eq(use.charged_bytes, 0);
	cr_assert_not(zs_store_next_limited_group(store, &cursor, &use));
}

Test(group_room, have_those_make_room_who_are_most_above_their_share)
{
	uint64_t large, small, stranger = add("stranger", NULL), above;

	cr_assert_eq(zs_store_add_group(store, "g", 8 * MIB), 0);
	large = add("large", "g");
	cr_assert_eq(greediest("g", 4 * MIB, &above), 0, "nobody has anything");
	small = add("small", "g");
	fill(stranger, 1024);
	fill(large, 512);
	fill(small, 256);
	cr_assert_eq(greediest("g", 2 * MIB, &above), large);
	cr_assert_eq(above, MIB, "2 MiB of which 1 is its share");
	/* An eighth of the group's limit: now its share is a ninth. */
	set_limit_of(small, MIB);
	cr_assert_eq(greediest("g", 9 * MIB / 8, &above), small);
	cr_assert_eq(above, MIB - MIB / 8);
	/* More than the group has counts no more than that. */
	set_limit_of(small, 100 * MIB);
	cr_assert_eq(greediest("g", 100 * MIB, &above), large);
	cr_assert_eq(above, 0);
	spared = large;
	cr_assert_eq(greediest("g", 2 * MIB, &above), small);
	cr_assert_eq(zs_store_set_group_limit(store, "g", 3 * MIB), 0);
	cr_assert_eq(short_of(small), large);
	set_limit_of(small, 0);
}

Test(group_room, list_their_own_devices)
{
	struct zs_group_use use;
	unsigned int groups = 0, cursor = 0;
	uint64_t own[2], id;

	cr_assert_eq(zs_store_add_group(store, "g", MIB), 0);
	add("stranger", NULL);
	own[0] = add("a", "g");
	add("other", "h");
	own[1] = add("b", "g");
	cr_assert(zs_store_next_limited_group(store, &groups, &use));
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert(zs_store_next_in_group(store, use.number, &cursor, &id));
		cr_assert_eq(id, own[i]);
	}
	cr_assert_not(zs_store_next_in_group(store, use.number, &cursor, &id));
}

Test(group_room, that_are_short_name_the_writer_if_nobody_has_anything)
{
	uint64_t id;

	cr_assert_eq(zs_store_add_group(store, "g", BLOCK), 0);
	id = add("a", "g");
	cr_assert_eq(short_of(id), id);
}
