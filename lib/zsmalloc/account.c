/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Accounting per owner and node. */

#include "zsmalloc/account.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/thread.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/pool.h"

struct counter {
	_Atomic uint64_t payload;
	_Atomic uint64_t share;
};

struct zs_account {
	struct zs_account_options options;
	const struct zs_geometry *geometry;
	uint64_t nr_handles;
	uint64_t nr_pages;
	_Atomic uint16_t *owners; /* by handle; written before the object is published, stable until it is freed */
	_Atomic uint8_t *nodes;	  /* by page */
	struct counter *counters; /* [(thread * ZS_OWNERS_MAX + owner) * nr_nodes + node]: each thread has its own */
};

static uint64_t counters_bytes(const struct zs_account *account)
{
	return (uint64_t)ZS_THREADS_MAX * ZS_OWNERS_MAX * account->options.nr_nodes * sizeof(account->counters[0]);
}

static struct counter *counter_of(const struct zs_account *account, unsigned int thread, unsigned int owner,
				  unsigned int node)
{
	return &account->counters[((uint64_t)thread * ZS_OWNERS_MAX + owner) * account->options.nr_nodes + node];
}

static void destroyp(struct zs_account **account)
{
	zs_account_destroy(*account);
}

int zs_account_create(const struct zs_account_options *options, uint64_t nr_handles, uint64_t nr_pages,
		      struct zs_account **ret_account)
{
	ZS_CLEANUP(destroyp) struct zs_account *account = NULL;

	if (!options->nr_nodes || options->nr_nodes > ZS_NODES_MAX)
		return -EINVAL;
	account = zs_calloc(1, sizeof(*account));
	if (!account)
		return -ENOMEM;
	account->options = *options;
	account->geometry = zs_geometry();
	account->nr_handles = nr_handles;
	account->nr_pages = nr_pages;
	account->owners = zs_reserve(nr_handles * sizeof(account->owners[0]));
	account->nodes = zs_reserve(nr_pages);
	account->counters = zs_reserve(counters_bytes(account));
	if (!account->owners || !account->nodes || !account->counters)
		return -ENOMEM;
	*ret_account = zs_take(account);
	return 0;
}

void zs_account_destroy(struct zs_account *account)
{
	if (!account)
		return;
	zs_reserve_free(account->counters, counters_bytes(account));
	zs_reserve_free(account->nodes, account->nr_pages);
	zs_reserve_free(account->owners, account->nr_handles * sizeof(account->owners[0]));
	free(account);
}

unsigned int zs_account_node(const struct zs_account *account, uint32_t page)
{
	return atomic_load_explicit(&account->nodes[page], memory_order_relaxed);
}

void zs_account_set_node(struct zs_account *account, uint32_t page, unsigned int node)
{
	zs_assert(node < account->options.nr_nodes);
	atomic_store_explicit(&account->nodes[page], (uint8_t)node, memory_order_relaxed);
}

unsigned int zs_account_nr_nodes(const struct zs_account *account)
{
	return account->options.nr_nodes;
}

void zs_account_place(struct zs_account *account, uint32_t page, unsigned int nr)
{
	if (!account->options.node_of_page)
		return;
	for (unsigned int i = 0; i < nr; i++)
		zs_account_set_node(account, page + i,
				    account->options.node_of_page(account->options.context, page + i));
}

/* sign is 1 or -1, that is UINT64_MAX. */
static void add(struct zs_account *account, unsigned int owner, unsigned int node, uint64_t payload, uint64_t share,
		uint64_t sign)
{
	unsigned int thread = zs_thread_number();
	struct counter *counter = counter_of(account, thread, owner, node);

	zs_thread_add(&counter->payload, thread, payload * sign);
	zs_thread_add(&counter->share, thread, share * sign);
}

/* The part of [start, start + length) that lies in the page behind offset. */
static uint64_t overlap(uint64_t start, uint64_t length, uint64_t offset)
{
	uint64_t from = zs_max(start, offset), to = zs_min(start + length, offset + ZS_PAGE_SIZE);

	return to > from ? to - from : 0;
}

/* The class that an object is charged as: its own, also where a larger one has lent it room. */
static const struct zs_class_shape *shape_of(const struct zs_account *account, uint32_t size)
{
	return &account->geometry->classes[zs_geometry_class(account->geometry, size + ZS_OBJECT_HEADER_BYTES)];
}

/*
 * Splits an object at the page borders. The payload is where it is; the share is split as the object's place is, the
 * part of the zspage's tail that it carries going with its last page, so that the parts add up.
 */
static void split(struct zs_account *account, unsigned int owner, struct zs_location location, uint32_t size,
		  uint64_t sign)
{
	const struct zs_class_shape *shape = shape_of(account, size);
	uint64_t start = (uint64_t)location.index * account->geometry->classes[location.class].size;
	uint64_t end = start + shape->size;
	uint64_t tail = shape->cost - shape->size;

	for (uint64_t page = start / ZS_PAGE_SIZE; page * ZS_PAGE_SIZE < end; page++) {
		uint64_t offset = page * ZS_PAGE_SIZE, share = overlap(start, shape->size, offset);

		if (offset + ZS_PAGE_SIZE >= end)
			share += tail;
		add(account, owner, zs_account_node(account, location.page + (uint32_t)page),
		    overlap(start + ZS_OBJECT_HEADER_BYTES, size, offset), share, sign);
	}
}

static void count(struct zs_account *account, unsigned int owner, struct zs_location location, uint32_t size,
		  uint64_t sign)
{
	if (account->options.nr_nodes == 1)
		add(account, owner, 0, size, shape_of(account, size)->cost, sign);
	else
		split(account, owner, location, size, sign);
}

void zs_account_charge(struct zs_account *account, uint32_t handle, unsigned int owner, struct zs_location location,
		       uint32_t size)
{
	zs_assert_msg(owner < ZS_OWNERS_MAX, "owner %u of handle %u", owner, handle);
	atomic_store_explicit(&account->owners[handle], (uint16_t)owner, memory_order_relaxed);
	count(account, owner, location, size, 1);
}

void zs_account_prefetch(const struct zs_account *account, uint32_t handle)
{
	__builtin_prefetch((const void *)&account->owners[handle], 1);
}

void zs_account_recharge(struct zs_account *account, uint32_t handle, struct zs_location location, uint32_t size)
{
	count(account, atomic_load_explicit(&account->owners[handle], memory_order_relaxed), location, size, 1);
}

int zs_account_move_page(const struct zs_account *account, const struct zs_arena *arena, uint32_t page,
			 unsigned int node)
{
	if (account->options.move_page)
		return account->options.move_page(account->options.context, page, node);
	return zs_arena_move_page(arena, ZS_REGION_PAGES, (uint64_t)page << ZS_PAGE_SHIFT, node);
}

void zs_account_uncharge(struct zs_account *account, uint32_t handle, struct zs_location location, uint32_t size)
{
	count(account, atomic_load_explicit(&account->owners[handle], memory_order_relaxed), location, size,
	      UINT64_MAX);
}

void zs_account_move(struct zs_account *account, uint32_t handle, struct zs_location from, struct zs_location to,
		     uint32_t size)
{
	unsigned int owner = atomic_load_explicit(&account->owners[handle], memory_order_relaxed);

	if (account->options.nr_nodes == 1)
		return;
	split(account, owner, from, size, UINT64_MAX);
	split(account, owner, to, size, 1);
}

void zs_account_get(const struct zs_account *account, unsigned int owner, unsigned int node,
		    struct zs_account_sum *ret_sum)
{
	struct zs_account_sum sum = {0};

	for (unsigned int thread = 0; thread < zs_thread_numbers(); thread++) {
		const struct counter *counter = counter_of(account, thread, owner, node);

		sum.payload_bytes += atomic_load_explicit(&counter->payload, memory_order_relaxed);
		sum.share_bytes += atomic_load_explicit(&counter->share, memory_order_relaxed);
	}
	*ret_sum = sum;
}

void zs_account_total(const struct zs_account *account, struct zs_account_sum *ret_sum)
{
	struct zs_account_sum total = {0}, one;

	for (unsigned int owner = 0; owner < ZS_OWNERS_MAX; owner++) {
		for (unsigned int node = 0; node < account->options.nr_nodes; node++) {
			zs_account_get(account, owner, node, &one);
			total.payload_bytes += one.payload_bytes;
			total.share_bytes += one.share_bytes;
		}
	}
	*ret_sum = total;
}
