#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The status line that the service manager shows: "2 devices, 4.8G in 1.4G (3.35x), 512M on disk, limit 36%", and how
 * many sections of devices in the configuration were refused. It is sent when it has changed, at most every 10 seconds,
 * and no timer ticks while nobody uses the devices. Context: the control thread.
 */

#include <systemd/sd-event.h>

struct zsd_service;
struct zsd_status;

/* Sends the first line and follows from then on. Returns 0, -ENOMEM or an errno of sd-event. */
int zsd_status_create(sd_event *event, struct zsd_service *service, struct zsd_status **ret_status);
/* NULL is allowed. */
void zsd_status_destroy(struct zsd_status *status);

/* Devices have come or gone, or the configuration was read again. */
void zsd_status_changed(struct zsd_status *status);
