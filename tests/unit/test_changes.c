/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which devices a client is told of that asks for what has changed. */

#include <criterion/criterion.h>
#include <string.h>

#include "changes.h"
#include "store/device.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define BLOCK ((size_t)4096)
#define FIRST 1000

static struct zsd_changes *changes;

static void set_up(void)
{
	test_store_set_up();
	cr_assert_eq(zsd_changes_create(FIRST, &changes), 0);
}

static void tear_down(void)
{
	zsd_changes_destroy(changes);
	test_store_tear_down();
}

TestSuite(changes, .init = set_up, .fini = tear_down);

static uint64_t add(const char *name)
{
	return test_device_add(store, name, 16 * BLOCK, BLOCK, (struct zs_codec_params){ZS_CODEC_LZ4, 1});
}

static void write_block(uint64_t id, char byte)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	char data[BLOCK];
	size_t done;

	memset(data, byte, sizeof(data));
	cr_assert_eq(zs_device_write(device, stream, 0, data, sizeof(data), &done), 0);
	zs_device_put(device, stream);
}

/* A look at one device: whether it is told of. since is this client's; it remembers the look. */
static bool tells(uint64_t id, uint64_t *since)
{
	struct zs_device *device = zs_device_get(store, id, NULL);
	uint64_t generation = zsd_changes_begin(changes);
	bool told = zsd_changes_look(changes, device, *since);

	zs_device_put(device, NULL);
	*since = generation;
	return told;
}

Test(changes, a_first_look_is_told_of_every_device)
{
	uint64_t since = 0;

	cr_assert(tells(add("a"), &since));
	cr_assert_eq(since, FIRST + 1);
}

Test(changes, an_idle_device_is_told_of_once_more_and_then_no_longer)
{
	uint64_t id = add("a"), since = 0;

	cr_assert(tells(id, &since));
	cr_assert(tells(id, &since), "what was counted late would be lost");
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_not(tells(id, &since));
}

Test(changes, a_request_is_told_of_twice)
{
	uint64_t id = add("a"), since = 0;

	while (tells(id, &since))
		continue;
	write_block(id, 'x');
	cr_assert(tells(id, &since));
	cr_assert(tells(id, &since));
	cr_assert_not(tells(id, &since));
}

Test(changes, only_the_device_that_was_used_is_told_of)
{
	uint64_t used = add("a"), idle = add("b"), since[2] = {0, 0};

	while (tells(used, &since[0]) || tells(idle, &since[1]))
		continue;
	write_block(used, 'x');
	cr_assert(tells(used, &since[0]));
	cr_assert_not(tells(idle, &since[1]));
}

Test(changes, what_another_client_was_told_is_not_lost)
{
	uint64_t id = add("a"), mine = 0, theirs = 0;

	while (tells(id, &mine))
		continue;
	write_block(id, 'x');
	while (tells(id, &theirs))
		continue;
	cr_assert(tells(id, &mine));
}

Test(changes, a_device_in_the_place_of_another_one_is_new)
{
	uint64_t id = add("a"), since = 0, next;

	while (tells(id, &since))
		continue;
	cr_assert_eq(zs_store_remove(store, id), 0);
	next = add("a");
	cr_assert_neq(next, id);
	cr_assert(tells(next, &since));
}

Test(changes, the_generation_of_another_daemon_tells_of_all)
{
	uint64_t id = add("a"), since = 0, earlier = FIRST - 1, later = (uint64_t)FIRST * FIRST;

	while (tells(id, &since))
		continue;
	cr_assert(tells(id, &earlier));
	cr_assert(tells(id, &later));
}
