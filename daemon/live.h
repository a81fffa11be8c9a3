#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys of the configuration that can be changed while the daemon runs, and changing them: for commands and for a reload
 * alike.
 *
 * Context: the control thread only.
 */

#include <stdbool.h>

#include "config.h"
#include "service.h"

/* Of [Daemon], [Pool] and [Group NAME], by heading; of [Device NAME]. */
bool zsd_live_is_global(const char *heading, const char *key);
bool zsd_live_is_device(const char *key);

/* Gives a key the value that it has in config. The key is one of the first kind. Returns 0 or -ENOMEM, -EUSERS. */
int zsd_live_apply_global(struct zsd_service *service, const char *heading, const char *key,
			  const struct zsd_config *config);

/*
 * Gives a device's key the value that it has in options. The key is one of the second kind. Returns 0, -ENODEV, or
 * -EOPNOTSUPP: the device was made without a limit and can't get one.
 */
int zsd_live_apply_device(struct zsd_service *service, const char *name, const char *key,
			  const struct zs_device_options *options);
