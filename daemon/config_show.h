#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checking and printing the configuration, without a daemon. */

#include <stdbool.h>

struct zsd_options;

/*
 * Reads the configuration that these options choose, as the daemon would, and logs what is wrong with it. Returns 0,
 * -EINVAL (refused, or a device would be left out) or an errno of reading.
 */
int zsd_config_check(const struct zsd_options *options);

/* Prints each key with its value to stdout, as Pool.MemoryLimit=4G, and where it comes from. Errnos as above. */
int zsd_config_show(const struct zsd_options *options, bool origins);
