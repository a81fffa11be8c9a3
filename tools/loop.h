#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loop devices over the files of devices, where they are mounted, and who has a file open. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZSCTL_LOOP_BYTES   32
#define ZSCTL_HOLDER_BYTES 128

/*
 * Makes a loop device over a file, with direct I/O. With autoclear it goes away when its last user does: the descriptor
 * that is answered is the first one, to be closed when it has another. Returns 0; -EBUSY (somebody else takes all loop
 * devices as fast as we look for one), -EOPNOTSUPP (no direct I/O for this file) or an errno of open(2) and ioctl(2).
 */
int zsctl_loop_attach(const char *file, uint32_t sector_bytes, bool autoclear, char ret_path[static ZSCTL_LOOP_BYTES],
		      int *ret_fd);

/* Ends a loop device, or makes the kernel do it when its last user is gone. Returns 0 or -errno. */
int zsctl_loop_detach(const char *path);

/* The next loop device over a file: *cursor starts at 0. False at the end. */
bool zsctl_loop_next(const char *file, unsigned int *cursor, char ret_path[static ZSCTL_LOOP_BYTES]);

/* Where a device, "/dev/loop0", is mounted: its last mount point, to be given to free(3), or NULL. */
char *zsctl_mounted_at(const char *device);

/* True if somebody is found who has the file open, and who that is: "process 4121 (qemu-system-x86)", "/dev/loop0". */
bool zsctl_find_holder(const char *file, char ret_holder[static ZSCTL_HOLDER_BYTES]);
