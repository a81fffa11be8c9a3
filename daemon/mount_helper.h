#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fusermount3(1), the set-uid helper that mounts and unmounts FUSE file systems for ordinary users. It opens /dev/fuse
 * itself, so that the caller needs no access to it. Context: the control thread.
 */

#include <stdbool.h>

/* True if /etc/fuse.conf lets ordinary users make mounts that others may use. */
bool zsd_fusermount_may_allow_other(void);

/*
 * Mounts at path. Returns 0 and the connection's descriptor; -ENOENT (no fusermount3), -EPERM (refused; it has said
 * why on stderr), or an errno of socketpair(2) and posix_spawn(3).
 */
int zsd_fusermount(const char *path, bool allow_other, int *ret_fuse_fd);

/* Detaches a mount of this user. Returns 0, -ENOENT (no fusermount3), -EPERM (refused), or an errno as above. */
int zsd_fusermount_detach(const char *path);
