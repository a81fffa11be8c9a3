#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose memory lies on which node: what the accounts (zsmalloc/account.h) say of a store's devices. For groups see
 * zs_store_groups(). Any thread; no locks.
 */

#include "store/store.h"
#include "zsmalloc/account.h"

/* Number of nodes that accounts are kept for; 0 while accounting is off. */
unsigned int zs_store_nr_nodes(const struct zs_store *store);

/*
 * What a borrowed device has on a node. Returns 0, -EOPNOTSUPP (accounting is off) or -ERANGE (no such node). Blocks
 * that were discarded count until they are free.
 */
int zs_device_account(const struct zs_device *device, unsigned int node, struct zs_account_sum *ret_sum);

/* Over all devices, removed ones that are not free yet included. Returns 0 or -EOPNOTSUPP. */
int zs_store_account(const struct zs_store *store, struct zs_account_sum *ret_sum);

/* Turns accounting on. Errnos as zs_heap_start_account(). Context: a store without objects. */
int zs_owners_start(struct zs_store *store, const struct zs_account_options *options);
