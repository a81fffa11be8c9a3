#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices and the pool as the types of io.zsd.control: Device, DeviceStats, Pool (see interface.c for the fields).
 * Numbers are numbers and sizes are bytes, always.
 *
 * Context: the control thread only. Every function answers a new object, or NULL when memory is short.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_device;
struct zsd_answer;
struct zsd_call;
struct zsd_service;

/* A number with its name. */
struct zsd_field {
	const char *name;
	uint64_t value;
};

json_t *zsd_report_device(struct zsd_service *service, struct zs_device *device);
json_t *zsd_report_device_stats(struct zsd_service *service, struct zs_device *device);

typedef json_t *zsd_report_function(struct zsd_service *service, struct zs_device *device);

/* The report on one device; NULL and 0 if it is gone meanwhile. Returns 0 or -ENOMEM. */
int zsd_report_one(struct zsd_service *service, uint64_t id, zsd_report_function *report, json_t **ret_report);

/*
 * Reports on all devices, or on the one that the call names, into the array call->carried; some at each step of the
 * call. Returns 0 when they are all there, 1 with an answer to be given before (there will be more; or an error), or
 * -ENOMEM.
 */
int zsd_report_all(struct zsd_call *call, zsd_report_function *report, struct zsd_answer *ret_answer);

/*
 * The same, of devices that were changed since the generation that the call names in changed_since; of all without
 * it. call->generation is the one to be named next.
 */
int zsd_report_changed(struct zsd_call *call, zsd_report_function *report, struct zsd_answer *ret_answer);
json_t *zsd_report_pool(struct zsd_service *service);

/* Sets these fields of object. Answers false for lack of memory, also when object is NULL for it. */
bool zsd_set_numbers(json_t *object, const struct zsd_field *fields, size_t nr);
/* The same for a group; none if it is "". */
bool zsd_set_group(json_t *object, const char *group);
