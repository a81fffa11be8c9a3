#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of cold_policy.h share. */

#include "cold_policy.h"
#include "tasks.h"

#define USEC_PER_SEC UINT64_C(1000000)
/* After what was of no use. */
#define RETRY_USEC (60 * USEC_PER_SEC)

/* A thing that is done again and again. */
struct zsd_chore {
	uint64_t next_usec; /* not before */
	uint64_t task;	    /* the last one, 0 = none */
	/* Near a limit: what was recompressed, and is to be written back if that wasn't enough; 0 = nothing. */
	uint64_t recompressed;
	uint64_t began_usec; /* with recompressing it */
	/* In this round over the devices: recompressed one, and memory was freed. */
	bool tried, freed;
};

struct zsd_cold_policy {
	struct zs_store *store;
	struct zsd_frontend *frontend;
	struct zsd_tasks *tasks;
	struct zsd_cold_options options;
	int activity_fd, pressure_fd;
	sd_event_source *activity, *pressure, *timer;
	bool watches;	      /* the next request tells */
	uint64_t active_usec; /* when the last request that we know of came */
	uint64_t aged_usec;
	uint64_t tidied_usec;
	bool tidied_all; /* since the last request */
	struct zsd_chore idle, recompress, pool, pressed;
	struct zsd_chore device, group; /* of all devices with limits, and of all groups: one at a time */
	unsigned int pool_cursor;	/* the device that is recompressed next for the pool */
	unsigned int device_cursor, group_cursor;
	unsigned int recompress_cursor; /* where the devices of this round go on; 0 = the next round begins */
};

uint64_t zsd_cold_now_usec(void);

/* True if it may be done now: its last task is over, and was of some use or is long ago. */
bool zsd_cold_is_due(struct zsd_cold_policy *policy, struct zsd_chore *chore);

/* Starts a task, or puts the chore off if that fails. */
void zsd_cold_write_back(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			 const struct zsd_task_writeback *wanted);

/*
 * Starts a task with the device's own codecs; the rest of the request is the caller's. Returns 0, -EOPNOTSUPP (it has
 * none), -ENODEV, or as zsd_tasks_recompress().
 */
int zsd_cold_recompress(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			uint64_t id, struct zs_recompress_request *request, unsigned int share_percent);

/* Starts what pool, devices and groups need that are near their limits. */
void zsd_cold_look_at_limits(struct zsd_cold_policy *policy);
