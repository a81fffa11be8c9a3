#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The status line that the service manager shows: "2 devices, 5.3G in 1.4G (3.8x), limit 36%". It is sent when it has
 * changed, at most every 10 seconds, and no timer ticks while nobody uses the devices. Context: the control thread.
 */

#include <systemd/sd-event.h>

struct zs_store;
struct zsd_frontend;
struct zsd_status;

/* Sends the first line and follows from then on. Returns 0, -ENOMEM or an errno of sd-event. */
int zsd_status_create(sd_event *event, struct zs_store *store, struct zsd_frontend *frontend,
		      struct zsd_status **ret_status);
/* NULL is allowed. */
void zsd_status_destroy(struct zsd_status *status);

/* Devices have come or gone. */
void zsd_status_changed(struct zsd_status *status);
