#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backing file that the configuration names: it is made if it is missing, checked, and given to the store.
 *
 * Context: the control thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct zs_store;
struct zsd_config_writeback;

/*
 * Attaches the backing file and sets its limits; a missing regular file is made. mount_point: where our devices
 * will be; it isn't mounted yet, and may be that of an earlier daemon. Returns 0, or -errno after a message that says
 * what to do; a file that was made is removed again then.
 */
int zsd_backing_attach(struct zs_store *store, const struct zsd_config_writeback *wanted, const char *mount_point);

/* What may be written in all, for zs_store_set_total_limit(). */
uint64_t zsd_backing_total(const struct zsd_config_writeback *wanted);

/* Why zs_backing_set_size() has refused a size that was asked for. */
const char *zsd_backing_size_reason(int error);

/*
 * True if a file is, or would be, below the mount point, or on a device made of such a file: a loop device, directly
 * or below partitions, device mapper and the like. What sysfs doesn't know is not found.
 */
bool zsd_backing_is_ours(const char *path, const char *mount_point);
