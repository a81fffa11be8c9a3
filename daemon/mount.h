#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The runtime directory and the mount point: making them, telling a dead mount of ours from a live one, mounting and
 * detaching. What is mounted is looked up in /proc/self/mountinfo only: whoever stats a mount point without a living
 * server behind it can hang for ever.
 *
 * Context: the control thread; before other threads exist, except for zsd_mount_detach() and zsd_mount_close().
 */

#include <stdbool.h>
#include <sys/types.h>

/*
 * Makes the directory with mode 0755 if it is missing (not its parents) and takes its lock file, zsd.lock, which names
 * our process. The lock lasts as long as the descriptor. Returns 0; -EBUSY if another zsd has it, with its process in
 * *ret_owner (0 = unknown), which is set in this case only; or an errno of mkdir(2) and open(2).
 */
int zsd_runtime_lock(const char *directory, int *ret_lock_fd, pid_t *ret_owner);

/* Why a mount point can't be used: what is mounted there, or the name of an entry in it. */
struct zsd_mount_obstacle {
	bool is_mount;
	char what[128];
};

/*
 * Makes the directory if it is missing, and detaches the mount of a zsd that is gone; *ret_detached says that there was
 * one. path is absolute and without symbolic links. Returns 0; -EBUSY with *ret_obstacle (set in this case only); or an
 * errno of mkdir(2), opendir(3) and umount(2).
 */
int zsd_mount_prepare(const char *path, bool *ret_detached, struct zsd_mount_obstacle *ret_obstacle);

/* A mount that we serve. */
struct zsd_mount {
	char *path;
	int fuse_fd;  /* where the requests come from; closing it, and all its clones, ends the connection */
	int id;	      /* of the mount in mountinfo; -1 = not found there */
	bool for_all; /* all users may use it, subject to the mode of each file; else only the daemon's user */
	bool is_ours; /* we have mounted, and could do so again */
};

/*
 * Mounts on an empty directory: by mount(2) as root, through fusermount3 for others. Returns 0; -ENOENT (no /dev/fuse,
 * or no fusermount3), -EPERM (fusermount3 refused; it has said why on stderr), -ENOMEM or an errno of mount(2).
 */
int zsd_mount_open(const char *path, struct zsd_mount *ret_mount);

/*
 * Takes over the connection of a mount that somebody else has made, for all users, and will unmount. fuse_fd is the
 * mount's from then on, also after an error. Returns 0 or -ENOMEM.
 */
int zsd_mount_adopt(const char *path, int fuse_fd, struct zsd_mount *ret_mount);

/*
 * Detaches all mounts of zsd's type at a path, whoever serves them, or nobody. Returns 0 or an errno of umount(2).
 * Unlike the rest of this file it says nothing of mounts below or above others.
 */
int zsd_mount_detach_all(const char *path);

/*
 * Takes the mount out of the tree, also while its files are open; nothing happens if it isn't there any more. Returns 0
 * or an errno of umount(2).
 */
int zsd_mount_detach(const struct zsd_mount *mount);

/* Closes fuse_fd. Detach first, and end the transport. */
void zsd_mount_close(struct zsd_mount *mount);
