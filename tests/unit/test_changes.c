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
static unsigned int nr_open; /* who have the device open */

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

/* One step of a look. */
static bool look(uint64_t id, uint64_t since)
{
	struct zs_device *device = zs_device_get(store, id, NULL);
	bool told = zsd_changes_look(changes, device, nr_open, since);

	zs_device_put(device, NULL);
	return told;
}

/* A look at one device: whether it is told of. since is this client's; it remembers the look. */
static bool tells(uint64_t id, uint64_t *since)
{
	uint64_t generation = zsd_changes_begin(changes, 0);
	bool told = look(id, *since);

	*since = generation;
	return told;
}

Test(changes, a_first_look_is_told_of_every_device)
{
	uint64_t since = 0;

	cr_assert(tells(add("a"), &since));
	cr_assert_eq(since, FIRST + 1);
}

Test(changes, an_idle_device_is_told_of_once)
{
	uint64_t id = add("a"), since = 0;

	cr_assert(tells(id, &since));
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_not(tells(id, &since));
}

Test(changes, a_request_that_is_over_is_told_of_once)
{
	uint64_t id = add("a"), since = 0;

	while (tells(id, &since))
		continue;
	write_block(id, 'x');
	cr_assert(tells(id, &since));
	cr_assert_not(tells(id, &since));
}

Test(changes, how_long_a_request_took_is_told_whoever_has_looked_before)
{
	uint64_t id = add("a"), stats = 0, latencies = 0, theirs = 0;
	struct zs_device *device;

	while (tells(id, &stats) || tells(id, &latencies))
		continue;
	device = zs_device_get(store, id, stream);
	write_block(id, 'x');
	cr_assert(tells(id, &stats));
	cr_assert(tells(id, &latencies));
	cr_assert(tells(id, &theirs));
	zs_device_add_latency(device, stream, ZS_OPERATION_WRITE, 1000);
	zs_device_put(device, stream);
	cr_assert(tells(id, &latencies));
	cr_assert(tells(id, &stats));
	cr_assert(tells(id, &theirs));
	cr_assert_not(tells(id, &latencies));
	cr_assert_not(tells(id, &stats));
}

Test(changes, what_is_set_and_who_opens_it_is_told_as_well)
{
	const struct zs_codec_params zstd = {ZS_CODEC_ZSTD, 3};
	uint64_t id = add("a"), since = 0;
	struct zs_device *device;

	while (tells(id, &since))
		continue;
	device = zs_device_get(store, id, NULL);
	zs_device_set_mode(device, 0640);
	cr_assert(tells(id, &since));
	cr_assert_eq(zs_device_set_codec(device, &zstd), 0);
	cr_assert(tells(id, &since));
	zs_device_put(device, NULL);
	nr_open = 1;
	cr_assert(tells(id, &since));
	while (tells(id, &since))
		continue;
	nr_open = 0;
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

Test(changes, a_look_of_several_steps_has_one_generation)
{
	uint64_t a = add("a"), b = add("b"), generation = zsd_changes_begin(changes, 0);

	cr_assert(look(a, 0));
	cr_assert_eq(zsd_changes_begin(changes, generation), generation);
	cr_assert(look(b, 0));
	zsd_changes_begin(changes, 0);
	cr_assert_not(look(a, generation));
	cr_assert_not(look(b, generation));
}

Test(changes, looks_that_go_on_after_another_one_hide_nothing_from_it)
{
	uint64_t id = add("a"), since = 0, slow[2];

	for (unsigned int i = 0; i < 2; i++)
		slow[i] = zsd_changes_begin(changes, 0);
	while (tells(id, &since))
		continue;
	write_block(id, 'x');
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert_eq(zsd_changes_begin(changes, slow[i]), slow[i]);
		cr_assert(look(id, slow[i]));
	}
	cr_assert(tells(id, &since));
}

Test(changes, what_a_look_finds_after_another_one_is_told_to_both)
{
	uint64_t a = add("a"), b = add("b"), other = 0, mine = zsd_changes_begin(changes, 0);

	look(a, 0);
	tells(a, &other);
	cr_assert_eq(zsd_changes_begin(changes, mine), mine);
	cr_assert(look(b, 0));
	cr_assert(tells(b, &other));
	write_block(b, 'x');
	cr_assert(tells(b, &mine));
	cr_assert(tells(b, &other));
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
