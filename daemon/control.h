#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket: Varlink over a stream socket, served by the control thread's event loop.
 *
 * This module owns the listening socket, the connections and their buffers; what a call means is in varlink.h and
 * command.h. No client can hold up another one, or the data path: work per wake-up, connections, message length and
 * unsent replies are bounded, and whoever leaves a message half sent or replies unread is cut off.
 *
 * Context: the control thread only.
 */

#include <systemd/sd-event.h>

struct zsd_control;
struct zsd_service;

enum zsd_door { ZSD_DOOR_CONTROL, ZSD_DOOR_METRICS };

/*
 * Starts serving: all there is, or only what every user may read of metrics. listen_fd is a listening stream socket
 * (socket activation), consumed only on success, or -1: then path is bound, with mode 0660 and group zsd where that
 * group exists, for metrics with mode 0666. A socket file that nobody listens on is replaced.
 * Returns 0; -EADDRINUSE (another process listens at path), -EEXIST (path is not a socket), -ENAMETOOLONG, -ENOTSOCK
 * (listen_fd is no listening stream socket), or an errno of the system; the reason has been logged by then.
 */
int zsd_control_create(sd_event *event, struct zsd_service *service, enum zsd_door door, int listen_fd,
		       const char *path, struct zsd_control **ret_control);

/* Closes all connections; removes the socket file if it was made here. NULL is allowed. */
void zsd_control_destroy(struct zsd_control *control);
