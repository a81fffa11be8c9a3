#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of store/deferred.h share. */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "zsmalloc/pool.h"

struct zs_budget;
struct zs_deferred;
struct zs_device;

struct zs_deferred_block {
	uint32_t handle;
	uint32_t device; /* index */
};

/* Objects of one device. */
struct zs_deferred_batch {
	struct zs_list link; /* deferred->batches */
	struct zs_device *device;
	unsigned int nr;
	struct zs_handle handles[];
};

static inline uint64_t zs_deferred_batch_bytes(unsigned int nr)
{
	return sizeof(struct zs_deferred_batch) + nr * sizeof(struct zs_handle);
}

/* For how long the maintenance thread lets helpers go first. Tests change it. */
extern long zs_deferred_way_nsec;

/* Takes the oldest batch that is charged to the budget (NULL: to any) off the list; NULL if there is none. */
struct zs_deferred_batch *zs_deferred_take_batch(struct zs_deferred *deferred, const struct zs_budget *budget);
/* True if freeing a piece may help who has met this limit. */
bool zs_deferred_is_waited_for(struct zs_deferred *deferred, const struct zs_budget *budget);
/* Frees a piece, see zs_deferred_help(). Takes drain. */
bool zs_deferred_drain_piece(struct zs_deferred *deferred, const struct zs_budget *budget);
