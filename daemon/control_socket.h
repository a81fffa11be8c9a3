#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The listening socket of the control interface, and who is at the other end of a connection.
 *
 * Context: the control thread only.
 */

#include <stdbool.h>
#include <sys/types.h>

struct zsd_peer;

/* Members of this group control the daemon, besides root and its own user. */
#define ZSD_CONTROL_GROUP "zsd"

/* The group's id, or (gid_t)-1 if there is no such group. */
gid_t zsd_control_group(void);

/*
 * Binds path, with this mode and the group if it isn't (gid_t)-1, and listens. Replaces a socket file that nobody
 * listens on. Returns 0; -EADDRINUSE, -EEXIST (not a socket), -ENAMETOOLONG, or an errno of the system; logs it.
 */
int zsd_control_listen(const char *path, mode_t mode, gid_t group, int *ret_fd);

/* Returns 0 or -ENOTSOCK: fd is no listening Unix stream socket. Makes it non-blocking. Logs the reason. */
int zsd_control_adopt(int fd);

/* Asks the kernel who connected. Returns 0 or an errno of getsockopt(2). */
int zsd_control_peer(int fd, gid_t group, struct zsd_peer *ret_peer);
