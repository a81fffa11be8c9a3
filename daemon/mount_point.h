#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the devices' files appear, for the daemon and for zsd-mount alike: choosing the directory and mounting there.
 * What goes wrong is logged, with its remedy. Context: the control thread, before other threads exist.
 */

struct zsd_mount;

/* The one that is configured, or mnt in the runtime directory if that is NULL. The caller frees it. 0 or -errno. */
int zsd_mount_point_choose(const char *runtime_dir, const char *configured, char **ret_path);

/* Prepares the directory and mounts. Errnos as zsd_mount_prepare() and zsd_mount_open(). */
int zsd_mount_point_open(const char *path, struct zsd_mount *ret_mount);
