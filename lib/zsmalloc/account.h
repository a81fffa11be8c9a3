#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Accounting: how much of the heap belongs to whom, and on which node of the machine's memory it lies.
 *
 * An owner is a small number that the caller gives to objects (the store: one for each device); 0 stands for nobody.
 * For each owner and node two sums are kept:
 *
 *   payload   bytes of compressed data
 *   share     the objects' part of their zspages' pages: zs_pool_cost(), also of one that a larger class has lent
 *
 * An object that lies across pages of different nodes is split at the page border, byte for byte. Objects are charged
 * when they are written, moved with compaction and page migration, uncharged when they are freed; the sums over all
 * owners and nodes are the sums over all objects, always, and zs_store_check() asserts it.
 *
 * Which node a page is on is asked once for each run of pages that gets its memory, through a function: on a machine
 * with one node, or without accounting, nobody asks.
 *
 * Any thread; no locks: each thread counts for itself (base/thread.h), and whoever asks adds up. A single thread may
 * have less than nothing: sums are unsigned and wrap. Off, it costs one test of a pointer.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "zsmalloc/geometry.h"
#include "zsmalloc/handle.h"

/* Owners 0 to ZS_OWNERS_MAX - 1: all devices, and nobody. */
#define ZS_OWNERS_MAX 4097
#define ZS_NODES_MAX  16

struct zs_account_options {
	unsigned int nr_nodes; /* 1 to ZS_NODES_MAX */
	/* The node (below nr_nodes) of a page of the arena's pages region. NULL: all are on node 0. */
	unsigned int (*node_of_page)(void *context, uint32_t page);
	/* Moves a page to a node; 0 or -errno. NULL: by move_pages(2); tests on one node bring their own. */
	int (*move_page)(void *context, uint32_t page, unsigned int node);
	void *context;
};

struct zs_account_sum {
	uint64_t payload_bytes;
	uint64_t share_bytes;
};

struct zs_account;
struct zs_arena;

/* For an arena with this many handles and pages. Returns 0, -EINVAL (nr_nodes) or -ENOMEM. */
int zs_account_create(const struct zs_account_options *options, uint64_t nr_handles, uint64_t nr_pages,
		      struct zs_account **ret_account);
void zs_account_destroy(struct zs_account *account);

/* A run of pages has got its memory. */
void zs_account_place(struct zs_account *account, uint32_t page, unsigned int nr);

/* An object was written, freed, or is at another location. size is its payload's. */
void zs_account_charge(struct zs_account *account, uint32_t handle, unsigned int owner, struct zs_location location,
		       uint32_t size);
/* Asks for the memory that charging or uncharging the handle's object is going to need. */
void zs_account_prefetch(const struct zs_account *account, uint32_t handle);
/* Charges an object again whose owner is known, after its page has moved. */
void zs_account_recharge(struct zs_account *account, uint32_t handle, struct zs_location location, uint32_t size);
void zs_account_uncharge(struct zs_account *account, uint32_t handle, struct zs_location location, uint32_t size);
void zs_account_move(struct zs_account *account, uint32_t handle, struct zs_location from, struct zs_location to,
		     uint32_t size);

unsigned int zs_account_node(const struct zs_account *account, uint32_t page);
/* Moves a page's memory to a node. Returns 0 or -errno. */
int zs_account_move_page(const struct zs_account *account, const struct zs_arena *arena, uint32_t page,
			 unsigned int node);
/* The page is on another node from now on; what lies on it is the caller's business (zs_pool_migrate_page()). */
void zs_account_set_node(struct zs_account *account, uint32_t page, unsigned int node);
unsigned int zs_account_nr_nodes(const struct zs_account *account);

/* What an owner has on a node. */
void zs_account_get(const struct zs_account *account, unsigned int owner, unsigned int node,
		    struct zs_account_sum *ret_sum);
/* Over all owners and nodes. */
void zs_account_total(const struct zs_account *account, struct zs_account_sum *ret_sum);
