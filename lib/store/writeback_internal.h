#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of store/writeback.h, shared by its files. */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "store/writeback.h"

struct zs_device;
struct zs_store;

struct writeback {
	struct zs_store *store;
	const struct zs_writeback_request *request;
	struct zs_writeback_progress *progress;
	struct writeback_item *items; /* all there are; those from nr_items on were never used */
	unsigned int nr_items;
	struct zs_list free_items;
	struct zs_list busy_items; /* in the file; somebody reads their objects in memory */
	unsigned int nr_pending;   /* appended, and not told of yet */
	uint64_t nr_at_rest;	   /* written when there was time the last time */
	unsigned int nr_unchecked; /* appended since room in the file was looked at */
	uint64_t allowance_bytes;  /* taken off the budget, and not used yet */
	int failure;		   /* of a write, the last one */
};

/* True if the type of the request includes a block with this slot. */
bool writeback_wants(const struct zs_writeback_request *request, const struct zs_device *device, uint64_t slot);

/* Writes back all that the request selects, in its order. Returns 0, 1 (a limit of the request) or as the run. */
int writeback_select(struct writeback *run);
/* Returns 0, -EINVAL, -ERANGE or -ENODEV. */
int writeback_check_request(struct zs_store *store, const struct zs_writeback_request *request);

/* Hands a block over, if it still is wanted. Returns 0, 1 (a limit of the request is reached) or as the run. */
int writeback_block(struct writeback *run, struct zs_device *device, uint64_t block);
/* Lets go of what is over; called now and then when there is nothing to write. */
void writeback_rest(struct writeback *run);

/*
 * Takes bytes of the budget before they are written. Returns 0 or -EDQUOT. And gives back what was not written, and
 * takes what was collected.
 */
int writeback_budget_take(struct writeback *run, uint64_t bytes);
void writeback_budget_settle(struct writeback *run);
/* Takes what was collected since the last time. True if something of the budget is left. */
bool writeback_budget_collected(struct zs_store *store);
