#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What passes between the daemon and the service manager besides signals: log lines, readiness and status, sockets.
 * Without a service manager the log goes to stderr as it is and the rest does nothing.
 *
 * Context: the control thread.
 */

#include <stdbool.h>

#include "base/log.h"

/* Sends log lines up to this level to stderr; with their level in front, as "<6>", where stderr is the journal. */
void zsd_notify_log(enum zs_log_level max_level);

/* True if somebody listens to zsd_notify(). */
bool zsd_notify_is_wanted(void);

/* Sends assignments as sd_notify(3) takes them, e.g. "READY=1". A failure is logged and otherwise ignored. */
void zsd_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The listening sockets that the service manager has opened for us, or -1: the one named "varlink", or the only one
 * there is, and the one named "varlink-metrics". Others are closed. Returns 0 or -errno. Context: once.
 */
int zsd_notify_take_sockets(int *ret_control_fd, int *ret_metrics_fd);
