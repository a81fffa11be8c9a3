#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keys of zsd.conf, one table a section, and what their values mean. Nothing here knows files or lines.
 */

#include "command_options.h"
#include "config.h"

/* Of a batch size. */
#define ZSD_BATCH_REASON "not what can be written at a time; use 256K to 4M"

/* What a section's lines fill. */
struct zsd_config_target {
	struct zsd_config *config;
	struct zs_device_options *device; /* in a [Device] section, else NULL */
	struct zsd_config_group *group;	  /* in a [Group] section, else NULL */
};

struct zsd_config_key {
	const char *name; /* NULL ends a table */
	/* Returns 0; -EINVAL and a reason, "why; what to do"; or -ENOMEM. */
	int (*set)(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES]);
};

extern const struct zsd_config_key zsd_config_daemon_keys[];
extern const struct zsd_config_key zsd_config_pool_keys[];
extern const struct zsd_config_key zsd_config_writeback_keys[];
extern const struct zsd_config_key zsd_config_group_keys[];
extern const struct zsd_config_key zsd_config_device_keys[];
