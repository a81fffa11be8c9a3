/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the devices' files appear. */

#include "mount_point.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "mount.h"
#include "paths.h"

#define MOUNT_NAME "mnt"

static int fail(int r, const char *what, const char *remedy)
{
	zs_log(ZS_LOG_ERR, "%s: %s; %s", what, strerror(-r), remedy);
	return r;
}

int zsd_mount_point_choose(const char *runtime_dir, const char *configured, char **ret_path)
{
	int r;

	if (!configured)
		return zsd_path_join(runtime_dir, MOUNT_NAME, ret_path);
	r = zsd_path_resolve(configured, ret_path);
	return r ? fail(r, configured, "its parent directory must exist; correct MountPoint=") : 0;
}

static int prepare(const char *path)
{
	struct zsd_mount_obstacle obstacle;
	bool detached = false;
	int r = zsd_mount_prepare(path, &detached, &obstacle);

	if (r == -EBUSY) {
		zs_log(ZS_LOG_ERR, "can't mount at %s: %s %s; %s", path,
		       obstacle.is_mount ? "it is the mount point of" : "the directory isn't empty, it has",
		       obstacle.what, obstacle.is_mount ? "unmount that" : "move its content away");
		return r;
	}
	if (r)
		return fail(r, path, "choose another --runtime-dir or MountPoint=");
	if (detached)
		zs_log_event(ZS_EVENT_DEAD_MOUNT, ZS_LOG_NOTICE, NULL, 0,
			     "detached the dead mount that an earlier zsd left at %s", path);
	return 0;
}

static const char *remedy_of(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENODEV:
		return "load the kernel module fuse; users also need fusermount3, in the package fuse3";
	case -EPERM:
		return "mounting is for root, for others fusermount3 has said above why it refuses";
	case -EACCES:
		return "the user must be allowed to open /dev/fuse";
	default:
		return "choose another --runtime-dir or MountPoint=";
	}
}

int zsd_mount_point_open(const char *path, struct zsd_mount *ret_mount)
{
	int r = prepare(path);

	if (r)
		return r;
	r = zsd_mount_open(path, ret_mount);
	if (r)
		zs_log(ZS_LOG_ERR, "can't mount at %s: %s; %s", path, strerror(-r), remedy_of(r));
	return r;
}
