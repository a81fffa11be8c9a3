#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When cold data is recompressed and written back by itself; how is the store's business, and the work is done by tasks
 * (tasks.h), which count and log what they did and for which reason.
 *
 *   reason        when                                             what
 *   idle          blocks were not accessed for recompress_sec      recompressed with the device's denser codecs
 *   idle          ... for idle_sec                                 written back
 *   pool-limit    the pool has start_percent of its limit in use   some is compacted, a device recompressed, and then
 *                                                                  the coldest blocks are written back, until it has
 *                                                                  stop_percent (cold_limits.c)
 *   device-limit  the same of a device with a limit                that device's
 *   group-limit   the same of a group with a limit                 those of the devices that are above their shares of
 *                                                                  it, one after the other
 *   pressure      the system (or the daemon's control group) is    the same for a twentieth of the pool
 *                 short of memory                                  (cold_pressure.c)
 *   full          a request finds no room                          see zsd_tasks_make_room()
 *
 * What found nothing to write or to save is tried again a minute later at the earliest, and what is in the way of one
 * device is not in that of another (cold_chore.c). Nothing ticks once all data is idle and nobody uses it, nor while
 * the file is full or its budget used up (cold_file.c). Where nothing can be written back one device after the other is
 * recompressed.
 *
 * Context: the control thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct zs_store;
struct zsd_cold_policy;
struct zsd_config;
struct zsd_frontend;
struct zsd_tasks;

struct zsd_cold_options {
	uint64_t recompress_sec; /* 0 = never */
	uint64_t idle_sec;	 /* 0 = never */
	unsigned int start_percent, stop_percent;
	bool compacts; /* near the pool's limit */
};

/* Returns 0, -ENOMEM or an errno of sd-event. Without pressure information in the kernel there is none to follow. */
int zsd_cold_policy_create(sd_event *event, struct zs_store *store, struct zsd_frontend *frontend,
			   struct zsd_tasks *tasks, const struct zsd_cold_options *options,
			   struct zsd_cold_policy **ret_policy);
/* What a configuration says. */
struct zsd_cold_options zsd_cold_options_of(const struct zsd_config *config);
/* From the next look on, which is made soon; but for what a restart is needed for: compacts. */
void zsd_cold_policy_set_options(struct zsd_cold_policy *policy, const struct zsd_cold_options *options);
/* A limit, or the size or the budget of the backing file, is another one, which no request tells. */
void zsd_cold_policy_changed(struct zsd_cold_policy *policy);
/* Nobody may use the frontend any more. NULL is allowed. */
void zsd_cold_policy_destroy(struct zsd_cold_policy *policy);
