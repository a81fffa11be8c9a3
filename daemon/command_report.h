#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices and the pool as the types of io.zsd.control: Device, DeviceStats, Pool (see interface.c for the fields).
 * Numbers are numbers and sizes are bytes, always.
 *
 * Context: the control thread only. Every function answers a new object, or NULL when memory is short.
 */

#include <jansson.h>

struct zs_device;
struct zsd_service;

json_t *zsd_report_device(struct zsd_service *service, struct zs_device *device);
json_t *zsd_report_device_stats(struct zsd_service *service, struct zs_device *device);
json_t *zsd_report_pool(struct zsd_service *service);
