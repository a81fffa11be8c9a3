/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Accounts of devices. */

#include "store/owners.h"

#include <errno.h>

#include "store/device_internal.h"

/*
 * A node that came after the daemon counts as the last one that it knew, and a page that the kernel doesn't tell of as
 * on the first.
 */
static unsigned int node_of_page(void *context, uint32_t page)
{
	const struct zs_store *store = context;
	int node = zs_arena_node(&store->arena, ZS_REGION_PAGES, (uint64_t)page * ZS_PAGE_SIZE);

	return node < 0 ? 0 : zs_min((unsigned int)node, store->nr_nodes - 1);
}

int zs_owners_start(struct zs_store *store, const struct zs_account_options *options)
{
	struct zs_account_options complete = *options;
	int error;

	store->nr_nodes = options->nr_nodes;
	if (options->nr_nodes > 1 && !options->node_of_page) {
		complete.node_of_page = node_of_page;
		complete.context = store;
	}
	error = zs_heap_start_account(store->heap, &complete);
	if (error)
		store->nr_nodes = 0;
	return error;
}

unsigned int zs_store_nr_nodes(const struct zs_store *store)
{
	return store->nr_nodes;
}

int zs_device_account(const struct zs_device *device, unsigned int node, struct zs_account_sum *ret_sum)
{
	if (!device->store->nr_nodes)
		return -EOPNOTSUPP;
	if (node >= device->store->nr_nodes)
		return -ERANGE;
	zs_account_get(zs_heap_account(device->store->heap), zs_device_owner(device), node, ret_sum);
	return 0;
}

int zs_store_account(const struct zs_store *store, struct zs_account_sum *ret_sum)
{
	if (!store->nr_nodes)
		return -EOPNOTSUPP;
	zs_account_total(zs_heap_account(store->heap), ret_sum);
	return 0;
}
