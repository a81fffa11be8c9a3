/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Groups of devices: who is in them, what their limits refuse, and that they survive. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/owners.h"
#include "support/data.h"
#include "support/small_store.h"
#include "support/store_fixture.h"

#define MIB	   ((uint64_t)1 << 20)
#define BLOCK	   4096
#define NR_WRITERS 32
#define NR_MEMBERS 4
/* What a raw block costs at most. */
#define COST_MAX (BLOCK + BLOCK / 50)

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct zs_group_stats all[ZS_GROUPS_MAX];

TestSuite(groups, .init = test_store_set_up, .fini = test_store_tear_down);

static uint64_t add(const char *name, const char *group)
{
	struct zs_device_options options = {.name = name, .size_bytes = 64 * MIB, .codec = lz4, .group = group};
	uint64_t id;

	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	return id;
}

static int write_to(struct zs_device *device, struct zs_stream *own, enum test_data kind, uint64_t seed, uint64_t block)
{
	struct test_random random = {.state = seed};
	char data[BLOCK];
	size_t done;

	test_data_make(kind, &random, data, sizeof(data));
	return zs_device_write(device, own, block * BLOCK, data, sizeof(data), &done);
}

static int write_block(uint64_t id, enum test_data kind, uint64_t block)
{
	struct zs_device *device = zs_device_get(store, id, stream);
	int error = write_to(device, stream, kind, block + 1, block);

	zs_device_put(device, stream);
	return error;
}

/* Writes noise from a block on until it is refused, 4096 blocks at most. Returns how many were taken. */
static uint64_t fill(uint64_t id, uint64_t first)
{
	uint64_t nr = 0;

	while (nr < 4096 && !write_block(id, TEST_DATA_NOISE, first + nr))
		nr++;
	return nr;
}

/* The statistics of a group, or NULL. */
static const struct zs_group_stats *group_stats(const char *name)
{
	unsigned int nr = zs_store_groups(store, all);

	for (unsigned int i = 0; i < nr; i++) {
		if (!strcmp(all[i].name, name))
			return &all[i];
	}
	return NULL;
}

static void reopen(void)
{
	struct zs_store_options options = {0};
	int fd = dup(zs_store_fd(store));

	zs_store_check(store);
	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	zs_store_check(store);
}

/*
 * coming and going
 */

Test(groups, come_with_their_first_device_and_go_with_their_last)
{
	uint64_t first = add("a", "group"), second = add("b", "group"), other = add("c", NULL);
	struct zs_device *device = zs_device_get(store, first, NULL);
	struct zs_device_info info;

	zs_device_info(device, &info);
	zs_device_put(device, NULL);
	cr_assert_str_eq(info.group, "group");
	cr_assert_eq(zs_store_groups(store, all), 1);
	cr_assert_eq(all[0].nr_devices, 2);
	cr_assert_eq(write_block(first, TEST_DATA_NOISE, 0), 0);
	cr_assert_eq(zs_store_remove(store, first), 0);
	cr_assert_eq(group_stats("group")->nr_devices, 1);
	cr_assert_eq(group_stats("group")->charged_bytes, 0);
	cr_assert_eq(write_block(second, TEST_DATA_NOISE, 0), 0);
	cr_assert_eq(zs_store_remove(store, second), 0);
	cr_assert_eq(zs_store_groups(store, all), 0);
	cr_assert_eq(zs_store_set_group_limit(store, "group", MIB), -ENOENT);
	cr_assert_eq(zs_store_remove(store, other), 0);
}

Test(groups, with_a_limit_stay_without_devices)
{
	uint64_t id;

	cr_assert_eq(zs_store_add_group(store, "group", 0), 0);
	cr_assert_null(group_stats("group"));
	cr_assert_eq(zs_store_add_group(store, "group", MIB), 0);
	reopen();
	cr_assert_eq(group_stats("group")->memory_limit_bytes, MIB);
	id = add("a", "group");
	cr_assert_eq(zs_store_remove(store, id), 0);
	cr_assert_eq(group_stats("group")->nr_devices, 0);
	cr_assert_eq(zs_store_add_group(store, "group", 3 * MIB + 1), 0);
	cr_assert_eq(group_stats("group")->memory_limit_bytes, 3 * MIB + ZS_PAGE_SIZE, "in whole pages");
	cr_assert_eq(zs_store_set_group_limit(store, "group", UINT64_MAX), 0);
	cr_assert_geq(group_stats("group")->memory_limit_bytes, UINT64_MAX - ZS_PAGE_SIZE);
	cr_assert_eq(zs_store_set_group_limit(store, "group", 0), 0);
	cr_assert_null(group_stats("group"));
}

Test(groups, have_names_as_devices_have)
{
	struct zs_device_options options = {.name = "a", .size_bytes = MIB, .codec = lz4, .group = "a/b"};
	enum zs_device_field field = ZS_FIELD_NONE;
	uint64_t id;

	cr_assert_eq(zs_store_add(store, &options, &field, &id), -EINVAL);
	cr_assert_eq(field, ZS_FIELD_GROUP);
	options.group = "";
	cr_assert_eq(zs_store_add(store, &options, &field, &id), -EINVAL);
	cr_assert_eq(zs_store_add_group(store, "a.b", MIB), -EINVAL);
	cr_assert_eq(zs_store_add_group(store, NULL, MIB), -EINVAL);
	cr_assert_eq(zs_store_groups(store, all), 0);
}

Test(groups, one_too_many_is_refused_and_nothing_is_left_of_it)
{
	struct zs_device_options options = {.name = "a", .size_bytes = MIB, .codec = lz4, .group = "more"};
	char name[16];
	uint64_t id;

	for (unsigned int i = 0; i < ZS_GROUPS_MAX; i++) {
		snprintf(name, sizeof(name), "group-%u", i);
		cr_assert_eq(zs_store_add_group(store, name, MIB), 0);
	}
	cr_assert_eq(zs_store_add_group(store, "more", MIB), -EUSERS);
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), -EUSERS);
	cr_assert_eq(zs_store_find(store, "a", &id), -ENODEV);
	reopen();
	cr_assert_eq(zs_store_groups(store, all), ZS_GROUPS_MAX);
	cr_assert_eq(zs_store_set_group_limit(store, "group-77", 0), 0);
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	/* One that is still being removed is no reason to refuse another one. */
	cr_assert_eq(zs_store_start_maintenance(store), 0);
	for (unsigned int i = 0; i < 50; i++) {
		cr_assert_eq(zs_store_remove(store, id), 0);
		options.group = i % 2 ? "more" : "another";
		cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	}
}

Test(groups, are_not_left_by_a_device_that_could_not_be_added)
{
	struct zs_device_options options = {.name = "a", .size_bytes = MIB, .codec = lz4, .group = "group"};
	int error = -ENOMEM;
	uint64_t nth, id;

	for (nth = 1; error; nth++) {
		zs_fault_arm(nth);
		error = zs_store_add(store, &options, NULL, &id);
		zs_fault_arm(0);
		cr_assert(!error || error == -ENOMEM);
		cr_assert_eq(zs_store_groups(store, all), !error);
		zs_store_check(store);
	}
	cr_assert_geq(nth, 5);
}

/*
 * limits
 */

Test(groups, limit_the_sum_of_their_devices)
{
	uint64_t a = add("a", "group"), b = add("b", "group"), other = add("other", "others"), nr;

	cr_assert_eq(zs_store_set_group_limit(store, "group", 4 * MIB), 0);
	nr = fill(a, 0);
	cr_assert(nr > 950 && nr < 1024, "%lu", (unsigned long)nr);
	cr_assert_leq(fill(b, 0), 1);
	cr_assert_leq(group_stats("group")->charged_bytes, 4 * MIB);
	cr_assert_eq(fill(other, 0), 4096);
	/* What one device gives back is the other's. */
	for (uint64_t block = 0; block < nr; block += 2)
		cr_assert_eq(write_block(a, TEST_DATA_ZERO, block), 0);
	nr = fill(b, 100);
	cr_assert(nr > 450 && nr < 530, "%lu", (unsigned long)nr);
}

Test(groups, with_a_limit_below_their_use_refuse_new_data_only)
{
	uint64_t a = add("a", "group"), b = add("b", "group");

	for (uint64_t block = 0; block < 500; block++)
		cr_assert_eq(write_block(a, TEST_DATA_NOISE, block), 0);
	cr_assert_eq(write_block(a, TEST_DATA_TEXT, 1000), 0);
	cr_assert_eq(zs_store_set_group_limit(store, "group", MIB), 0);
	cr_assert_gt(group_stats("group")->charged_bytes, 500 * BLOCK);
	cr_assert_eq(write_block(a, TEST_DATA_NOISE, 2000), -ENOSPC);
	cr_assert_eq(write_block(b, TEST_DATA_TEXT, 0), -ENOSPC);
	cr_assert_eq(write_block(a, TEST_DATA_NOISE, 1000), -ENOSPC, "it would grow");
	cr_assert_eq(write_block(b, TEST_DATA_ZERO, 0), 0, "takes no object");
	for (unsigned int round = 0; round < 3; round++) {
		for (uint64_t block = 0; block < 500; block++)
			cr_assert_eq(write_block(a, TEST_DATA_NOISE, block), 0);
	}
	zs_store_check(store);
	cr_assert_eq(zs_store_set_group_limit(store, "group", 0), 0);
	cr_assert_eq(write_block(b, TEST_DATA_TEXT, 0), 0);
}

Test(groups, and_their_devices_have_limits_of_their_own)
{
	struct zs_device_options options = {
		.name = "small", .size_bytes = MIB, .codec = lz4, .group = "group", .memory_limit_bytes = MIB / 2};
	uint64_t id, nr, last;

	cr_assert_eq(zs_store_add_group(store, "group", MIB), 0);
	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	last = fill(id, 0) - 1;
	cr_assert(last > 110 && last < 128, "%lu", (unsigned long)last);
	nr = fill(add("large", "group"), 0);
	cr_assert(nr > 110 && nr < 135, "%lu", (unsigned long)nr);
	/* Refused by the group: nothing stays charged to the device either, which the checker sees. */
	cr_assert_eq(zs_store_set_group_limit(store, "group", MIB / 2), 0);
	cr_assert_eq(write_block(id, TEST_DATA_ZERO, last), 0);
	cr_assert_eq(write_block(id, TEST_DATA_NOISE, last), -ENOSPC);
}

Test(groups, wait_for_what_was_discarded_before_they_refuse)
{
	uint64_t a = add("a", "group"), removed = add("removed", "group"), nr;
	struct zs_device *device;

	cr_assert_eq(zs_store_start_maintenance(store), 0);
	cr_assert_eq(zs_store_set_group_limit(store, "group", 8 * MIB), 0);
	for (unsigned int round = 0; round < 10; round++) {
		nr = fill(removed, 0);
		cr_assert_gt(nr, 1900);
		cr_assert_eq(zs_store_remove(store, removed), 0);
		nr = fill(a, 0);
		cr_assert_gt(nr, 1900);
		device = zs_device_get(store, a, stream);
		cr_assert_eq(zs_device_discard(device, stream, 0, 64 * MIB), 0);
		zs_device_put(device, stream);
		removed = add("removed", "group");
	}
}

/* Of the only group. */
static uint64_t group_charged(void)
{
	return atomic_load(&store->groups[0].budget.charged_bytes);
}

struct writer {
	pthread_t thread;
	unsigned int number;
};

static _Atomic bool stop;
static pthread_barrier_t all_started;
static uint64_t members[NR_MEMBERS];
static _Atomic uint64_t nr_refused;

static void *write_at_random(void *argument)
{
	const struct writer *writer = argument;
	struct test_random random = {.state = writer->number};
	struct zs_device *device;
	struct zs_stream *own;

	zs_assert(!zs_stream_create(writer->number, &own));
	device = zs_device_get(store, members[writer->number % NR_MEMBERS], own);
	while (!atomic_load(&stop)) {
		int error = write_to(device, own, (enum test_data)test_random_below(&random, TEST_DATA_NR),
				     random.state, test_random_below(&random, 1000));

		zs_assert(!error || error == -ENOSPC);
		atomic_fetch_add(&nr_refused, error != 0);
	}
	zs_device_put(device, own);
	zs_stream_destroy(own);
	return NULL;
}

static void run_writers(struct writer *writers, void *(*run)(void *))
{
	char name[16];

	for (unsigned int i = 0; i < NR_MEMBERS; i++) {
		snprintf(name, sizeof(name), "device-%u", i);
		members[i] = add(name, "group");
	}
	cr_assert_eq(zs_store_set_group_limit(store, "group", MIB), 0);
	for (unsigned int i = 0; i < NR_WRITERS; i++) {
		writers[i].number = i;
		cr_assert_eq(pthread_create(&writers[i].thread, NULL, run, &writers[i]), 0);
	}
}

static void join_writers(struct writer *writers)
{
	for (unsigned int i = 0; i < NR_WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
}

/* Takes more than half of what the limit allows, and gives it back. */
static void *charge_new(void *argument)
{
	const struct writer *writer = argument;
	struct zs_device *device = zs_device_get(store, members[writer->number % NR_MEMBERS], NULL);

	pthread_barrier_wait(&all_started);
	for (unsigned int round = 0; round < 50000; round++) {
		if (zs_charge(device, MIB * 2 / 3, ZS_URGENCY_NEW)) {
			atomic_fetch_add(&nr_refused, 1);
			continue;
		}
		zs_assert(group_charged() <= MIB - MIB / 64);
		/* Somebody must meet the limit, on one processor, too. */
		if (round % 64 == 0)
			sched_yield();
		zs_uncharge(device, MIB * 2 / 3);
	}
	zs_device_put(device, NULL);
	return NULL;
}

Test(groups, are_not_passed_at_all_by_new_data)
{
	struct writer writers[NR_WRITERS];

	pthread_barrier_init(&all_started, NULL, NR_WRITERS);
	run_writers(writers, charge_new);
	join_writers(writers);
	cr_assert_gt(atomic_load(&nr_refused), 0);
	cr_assert_eq(group_charged(), 0);
}

/* Each writer may hold one object in advance of the one that it gives back. */
static void watch(uint64_t limit)
{
	for (unsigned int i = 0; i < 300; i++) {
		uint64_t charged = group_charged();

		zs_assert_msg(charged <= limit + NR_WRITERS * COST_MAX, "%lu charged", (unsigned long)charged);
		usleep(1000);
	}
}

Test(groups, are_not_passed_by_thirty_two_writers)
{
	struct writer writers[NR_WRITERS];

	run_writers(writers, write_at_random);
	do
		watch(MIB);
	while (!atomic_load(&nr_refused));
	cr_assert_eq(zs_store_set_group_limit(store, "group", 2 * MIB), 0);
	watch(2 * MIB);
	/* Below the use, while they write: the use must not grow. */
	cr_assert_eq(zs_store_set_group_limit(store, "group", MIB), 0);
	usleep(1000);
	watch(2 * MIB);
	cr_assert_eq(zs_store_set_group_limit(store, "group", 0), 0);
	usleep(100000);
	atomic_store(&stop, true);
	join_writers(writers);
}

/*
 * after a restart
 */

Test(groups, survive_with_their_devices_limits_and_charges)
{
	uint64_t a = add("a", "group"), charged;

	add("b", "group");
	add("c", "unlimited");
	add("d", NULL);
	cr_assert_eq(zs_store_set_group_limit(store, "group", MIB), 0);
	cr_assert_eq(write_block(a, TEST_DATA_NOISE, 1), 0);
	cr_assert_eq(write_block(a, TEST_DATA_TEXT, 2), 0);
	charged = group_stats("group")->charged_bytes;
	cr_assert_gt(charged, BLOCK);
	reopen();
	cr_assert_eq(zs_store_groups(store, all), 2);
	cr_assert_eq(group_stats("unlimited")->nr_devices, 1);
	cr_assert_eq(group_stats("group")->nr_devices, 2);
	cr_assert_eq(group_stats("group")->memory_limit_bytes, MIB);
	cr_assert_eq(group_stats("group")->charged_bytes, charged);
	fill(a, 10);
	cr_assert_leq(group_stats("group")->charged_bytes, MIB);
	cr_assert_geq(group_stats("group")->charged_bytes, MIB - MIB * 2 / 32);
}

Test(groups, without_devices_and_limit_are_not_taken_over)
{
	add("a", "kept");
	cr_assert_eq(zs_store_add_group(store, "left", MIB), 0);
	/* What is left by a process that ends between making a group and its first device. */
	atomic_store(&store->group_entries[1].limit_pages, 0);
	atomic_store(&store->groups[1].budget.limit_bytes, 0);
	reopen();
	cr_assert_eq(zs_store_groups(store, all), 1);
	cr_assert_str_eq(all[0].name, "kept");
}

/* Opens a copy of the arena with one bit flipped at this address of ours. */
static int open_flipped(void *address, size_t bit)
{
	struct zs_store_options options = {0};
	struct zs_store *other = NULL;
	int fd, error;

	((unsigned char *)address)[bit / 8] ^= (unsigned char)(1 << bit % 8);
	fd = test_arena_copy(zs_store_fd(store));
	((unsigned char *)address)[bit / 8] ^= (unsigned char)(1 << bit % 8);
	error = zs_store_open(fd, &options, &other);
	close(fd);
	if (!error)
		zs_store_close(other);
	return error;
}

Test(groups, with_a_flipped_bit_in_their_table_refuse_the_arena)
{
	add("a", "group");
	cr_assert_eq(zs_store_set_group_limit(store, "group", MIB), 0);
	for (size_t bit = 0; bit < sizeof(struct zs_group_entry) * 8; bit++)
		cr_assert_eq(open_flipped(&store->group_entries[0], bit), -EBADMSG, "bit %zu", bit);
	for (size_t bit = 0; bit < 64; bit++)
		cr_assert_eq(open_flipped((void *)&store->group_entries[9].used, bit), -EBADMSG, "bit %zu", bit);
}

Test(groups, that_a_device_names_must_exist)
{
	struct zs_store_options options = {0};
	struct zs_store *other = NULL;
	uint64_t used;
	int fd;

	add("a", "group");
	used = atomic_exchange(&store->group_entries[0].used, 0);
	fd = test_arena_copy(zs_store_fd(store));
	atomic_store(&store->group_entries[0].used, used);
	cr_assert_eq(zs_store_open(fd, &options, &other), -EBADMSG);
	close(fd);
}
