#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the control interface and the configuration may ask of the running daemon. The service owns the store, the
 * mount and the transport (daemon/daemon.c); nobody outside of it needs to know them.
 *
 * Context: the control thread only, unless a function says otherwise.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/device.h"
#include "store/store.h"

struct zsd_changes;
struct zsd_config;
struct zsd_metrics_facts;
struct zsd_policy_stats;
struct zsd_service;
struct zsd_tasks;

/* Requests since the start. */
struct zsd_request_stats {
	uint64_t helped;			 /* that further threads were asked to help with */
	uint64_t helped_parts;			 /* that they have done */
	uint64_t classic_refused, uring_refused; /* as struct zsd_transport_stats */
};

/* The store; its own functions may be called by any thread. */
struct zs_store *zsd_service_store(struct zsd_service *service);

/* Where the devices' files are: an absolute path, borrowed. */
const char *zsd_service_mount_point(const struct zsd_service *service);

#define ZSD_SERVICE_TEXT_BYTES 128
/* How requests reach the daemon, for people. Answers text. */
const char *zsd_service_describe_transport(const struct zsd_service *service, char text[static ZSD_SERVICE_TEXT_BYTES]);

/* When the daemon was started, microseconds of Unix time. */
uint64_t zsd_service_started_usec(const struct zsd_service *service);

/* What was read last, with what commands have changed since. */
struct zsd_config *zsd_service_config(struct zsd_service *service);

/* For zsd_metrics_render(). */
const struct zsd_metrics_facts *zsd_service_facts(const struct zsd_service *service);

/* Opens of the device's file that are not closed yet, loop devices and memory maps included. Any thread. */
unsigned int zsd_service_open_count(struct zsd_service *service, uint64_t id);

/* Which devices have changed since they were looked at. */
struct zsd_changes *zsd_service_changes(struct zsd_service *service);

/* Long work on the data of devices. */
struct zsd_tasks *zsd_service_tasks(struct zsd_service *service);

/* The absolute path of zsd.conf, which need not exist; NULL if none is read. */
const char *zsd_service_config_path(const struct zsd_service *service);

/* What compaction in the background has done. */
void zsd_service_policy_stats(const struct zsd_service *service, struct zsd_policy_stats *ret_stats);

/*
 * Why new data is refused at the pool's limit, in a few words for people; NULL if blocks are written back to make room.
 */
const char *zsd_service_refusal(const struct zsd_service *service);

/* A limit or budget is another one: what policy has put off may be due. */
void zsd_service_limits_changed(struct zsd_service *service);

void zsd_service_request_stats(const struct zsd_service *service, struct zsd_request_stats *ret_stats);

/*
 * Adds a device; its file can be opened when this returns. Errnos and ret_field as zs_store_add(), and as
 * zs_store_try_add(), which is for the control thread.
 */
int zsd_service_try_add(struct zsd_service *service, const struct zs_device_options *options,
			enum zs_device_field *ret_field, uint64_t *ret_id);
int zsd_service_add(struct zsd_service *service, const struct zs_device_options *options,
		    enum zs_device_field *ret_field, uint64_t *ret_id);

/*
 * Removes a device and its file. Returns 0, -ENODEV, or -EBUSY if it is open and force is false (*ret_open_count says
 * how often). With force, those who have it open get ENODEV from then on. I/O in flight is not waited for: while there
 * is some, zs_store_is_removing() says so of *ret_id.
 */
int zsd_service_remove(struct zsd_service *service, const char *name, bool force, unsigned int *ret_open_count,
		       uint64_t *ret_id);

/*
 * Drops all data of a device that nobody has open, and keeps its name and options. Returns 0; -ENODEV, -EBUSY as
 * above, or why there can't be a second one for a moment, as zs_store_try_add(): nothing is changed then.
 */
int zsd_service_try_reset(struct zsd_service *service, const char *name, unsigned int *ret_open_count);
