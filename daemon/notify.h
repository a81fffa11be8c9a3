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

/*
 * Sends log lines up to this level to stderr; with their level in front, as "<6>", where stderr is the journal. Events
 * go to the journal itself then, see journal.h.
 */
void zsd_notify_log(enum zs_log_level max_level);

/* True if somebody listens to zsd_notify(). */
bool zsd_notify_is_wanted(void);

/* Sends assignments as sd_notify(3) takes them, e.g. "READY=1". A failure is logged and otherwise ignored. */
void zsd_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Names of what is handed over, as FileDescriptorName= and FDNAME= say them. */
#define ZSD_HANDOVER_CONTROL "varlink"
#define ZSD_HANDOVER_METRICS "varlink-metrics"
#define ZSD_HANDOVER_FUSE    "fuse"

/* What the service manager has opened for us; -1 = nothing. */
struct zsd_handover {
	int control_fd; /* the listening socket of that name, or the only socket there is */
	int metrics_fd; /* the listening socket of that name */
	int fuse_fd;	/* of the mount that zsd-mount has made, which no request was read from yet */
};

/* Takes it; what we don't know is closed. The caller owns the descriptors. Returns 0 or -errno. Context: once. */
int zsd_notify_take_handover(struct zsd_handover *ret_handover);
/* Closes what is left in it. */
void zsd_notify_drop_handover(struct zsd_handover *handover);

/*
 * Gives the service manager a mount's descriptor to keep for the daemon, in place of an earlier one, and returns when
 * it has it. Returns 0, -EPIPE (there is no service manager, or it keeps nothing for us) or another errno.
 */
int zsd_notify_store_fuse(int fuse_fd);
