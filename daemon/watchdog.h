#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service manager's watchdog. It is told that we are well only if this thread turns its event loop and each thread
 * of the transport has moved on since the last time; see zsd_transport_roll_call(). So one that hangs gets the daemon
 * killed, instead of clients that wait for ever. Who waits for a disk doesn't hang, however long that takes: to be
 * killed would not make the disk faster. No timer ticks if nobody asked for it (WatchdogSec=).
 *
 * Context: the control thread.
 */

#include <systemd/sd-event.h>

struct zsd_transport;
struct zsd_watchdog;

/* transport is borrowed. *ret_watchdog is NULL if there is no watchdog. Returns 0, -ENOMEM or an errno of sd-event. */
int zsd_watchdog_create(sd_event *event, struct zsd_transport *transport, struct zsd_watchdog **ret_watchdog);
/* NULL is allowed. */
void zsd_watchdog_destroy(struct zsd_watchdog *watchdog);
