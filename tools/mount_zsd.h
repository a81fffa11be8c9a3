#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The helper mount.zsd, which mount(8) calls for "mount -t zsd NAME DIR", lines of fstab(5) and .mount units: the same
 * program as zsctl under another name.
 */

/* True if the program was called by this name. */
_Bool zsctl_is_mount_helper(const char *program);

/* Its main function. Answers an exit status of mount(8). */
int zsctl_mount_helper(int argc, char **argv);
