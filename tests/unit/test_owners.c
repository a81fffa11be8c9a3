/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Accounts of devices and groups by node; which page is on which node is made up. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "codec/stream.h"
#include "store/device.h"
#include "store/group.h"
#include "store/owners.h"
#include "support/data.h"
#include "support/small_store.h"

#define NR_NODES 3
#define BLOCK	 4096

static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};

static struct zs_store *store;
static struct zs_stream *stream;

/* Neighbours are on different nodes, so that many objects are on two. */
static unsigned int node_of_page(void *context, uint32_t page)
{
	return page % NR_NODES;
}

static struct zs_store_options with_nodes(void)
{
	struct zs_store_options options = {.account = {.nr_nodes = NR_NODES, .node_of_page = node_of_page}};

	test_arena_options(&options.arena);
	return options;
}

static void owners_create(void)
{
	struct zs_store_options options = with_nodes();

	cr_assert_eq(zs_store_create(&options, &store), 0);
	cr_assert_eq(zs_stream_create(0, &stream), 0);
}

static void owners_destroy(void)
{
	zs_store_check(store);
	zs_store_close(store);
	zs_stream_destroy(stream);
}

TestSuite(owners, .init = owners_create, .fini = owners_destroy);

static struct zs_device *add(const char *name, const char *group, unsigned int nr_blocks)
{
	struct zs_device_options options = {.name = name, .size_bytes = 4 << 20, .codec = lz4, .group = group};
	struct test_random random = {.state = nr_blocks};
	struct zs_device *device;
	char data[BLOCK];
	uint64_t id;
	size_t done;

	cr_assert_eq(zs_store_add(store, &options, NULL, &id), 0);
	device = zs_device_get(store, id, stream);
	for (unsigned int i = 0; i < nr_blocks; i++) {
		test_data_make_any(&random, data, sizeof(data));
		cr_assert_eq(zs_device_write(device, stream, i * sizeof(data), data, sizeof(data), &done), 0);
	}
	return device;
}

static void sum_up(struct zs_account_sum *sum, const struct zs_account_sum *more)
{
	sum->payload_bytes += more->payload_bytes;
	sum->share_bytes += more->share_bytes;
}

static struct zs_account_sum over_nodes(const struct zs_device *device)
{
	struct zs_account_sum sum = {0}, one;

	for (unsigned int node = 0; node < NR_NODES; node++) {
		cr_assert_eq(zs_device_account(device, node, &one), 0);
		cr_assert_gt(one.share_bytes, 0, "node %u", node);
		sum_up(&sum, &one);
	}
	return sum;
}

Test(owners, have_on_all_nodes_together_what_they_store)
{
	struct zs_device *a = add("a", NULL, 300), *b = add("b", NULL, 500);
	struct zs_account_sum of_a = over_nodes(a), of_b = over_nodes(b), total;
	struct zs_device_stats stats;

	zs_device_stats(a, &stats);
	cr_assert_eq(of_a.payload_bytes, stats.compressed_bytes);
	zs_device_stats(b, &stats);
	cr_assert_eq(of_b.payload_bytes, stats.compressed_bytes);
	cr_assert_eq(zs_store_account(store, &total), 0);
	cr_assert_eq(of_a.payload_bytes + of_b.payload_bytes, total.payload_bytes);
	cr_assert_eq(of_a.share_bytes + of_b.share_bytes, total.share_bytes);
	zs_device_put(a, stream);
	zs_device_put(b, stream);
}

Test(owners, of_a_group_add_up_by_node)
{
	static struct zs_group_stats groups[ZS_GROUPS_MAX];
	struct zs_device *a = add("a", "group", 300), *b = add("b", "group", 500), *other = add("c", "other", 100);
	struct zs_account_sum of_a, of_b;

	cr_assert_eq(zs_store_groups(store, groups), 2);
	cr_assert_str_eq(groups[0].name, "group");
	for (unsigned int node = 0; node < NR_NODES; node++) {
		cr_assert_eq(zs_device_account(a, node, &of_a), 0);
		cr_assert_eq(zs_device_account(b, node, &of_b), 0);
		cr_assert_eq(groups[0].nodes[node].payload_bytes, of_a.payload_bytes + of_b.payload_bytes);
		cr_assert_eq(groups[0].nodes[node].share_bytes, of_a.share_bytes + of_b.share_bytes);
	}
	zs_device_put(a, stream);
	zs_device_put(b, stream);
	zs_device_put(other, stream);
}

Test(owners, and_nodes_that_do_not_exist_are_refused)
{
	struct zs_device *device = add("a", NULL, 10);
	struct zs_account_sum sum = {4711, 4711};

	cr_assert_eq(zs_store_nr_nodes(store), NR_NODES);
	cr_assert_eq(zs_device_account(device, NR_NODES, &sum), -ERANGE);
	cr_assert_eq(zs_device_account(device, UINT32_MAX, &sum), -ERANGE);
	cr_assert_eq(sum.payload_bytes, 4711);
	zs_device_put(device, stream);
}

Test(owners, are_not_known_without_accounting)
{
	struct zs_account_sum sum;
	struct zs_device *device;

	zs_store_close(store);
	store = test_store_create(0);
	device = add("a", NULL, 10);
	cr_assert_eq(zs_store_nr_nodes(store), 0);
	cr_assert_eq(zs_device_account(device, 0, &sum), -EOPNOTSUPP);
	cr_assert_eq(zs_store_account(store, &sum), -EOPNOTSUPP);
	zs_device_put(device, stream);
}

Test(owners, are_the_same_after_a_restart)
{
	struct zs_store_options options = with_nodes();
	struct zs_device *device = add("a", "group", 300);
	struct zs_account_sum before = over_nodes(device), after;
	uint64_t id = zs_device_id(device);
	int fd = dup(zs_store_fd(store));

	zs_device_put(device, stream);
	zs_store_close(store);
	cr_assert_eq(zs_store_open(fd, &options, &store), 0);
	close(fd);
	device = zs_device_get(store, id, stream);
	after = over_nodes(device);
	cr_assert_eq(after.payload_bytes, before.payload_bytes);
	cr_assert_eq(after.share_bytes, before.share_bytes);
	zs_device_put(device, stream);
}

/* On a machine with one node all pages are on it; that another one is spoken of changes nothing. */
Test(owners, are_found_by_asking_the_kernel)
{
	struct zs_store_options options = {.account = {.nr_nodes = 2}};
	struct zs_account_sum first, second, total;
	struct zs_device *device;

	zs_store_close(store);
	test_arena_options(&options.arena);
	cr_assert_eq(zs_store_create(&options, &store), 0);
	device = add("a", NULL, 100);
	cr_assert_eq(zs_device_account(device, 0, &first), 0);
	cr_assert_eq(zs_device_account(device, 1, &second), 0);
	cr_assert_eq(zs_store_account(store, &total), 0);
	cr_assert_gt(total.payload_bytes, 0);
	cr_assert_eq(first.payload_bytes + second.payload_bytes, total.payload_bytes);
	zs_device_put(device, stream);
}
