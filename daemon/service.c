/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the control interface and the configuration may ask of the running daemon. */

#include "service.h"

#include <errno.h>
#include <string.h>

#include "cold_policy.h"
#include "frontend.h"
#include "jobs.h"
#include "policy.h"
#include "service_internal.h"
#include "status.h"
#include "store/backing.h"
#include "store/cold.h"
#include "store/store.h"
#include "store/writeback.h"
#include "transport.h"

struct zs_store *zsd_service_store(struct zsd_service *service)
{
	return service->store;
}

struct zsd_changes *zsd_service_changes(struct zsd_service *service)
{
	return service->changes;
}

struct zsd_tasks *zsd_service_tasks(struct zsd_service *service)
{
	return service->tasks;
}

const char *zsd_service_mount_point(const struct zsd_service *service)
{
	return service->mount.path;
}

_Static_assert(ZSD_SERVICE_TEXT_BYTES == ZSD_TRANSPORT_TEXT_BYTES, "one is the other");

const char *zsd_service_describe_transport(const struct zsd_service *service, char text[static ZSD_SERVICE_TEXT_BYTES])
{
	if (!service->transport)
		return strcpy(text, "nothing is served yet");
	return zsd_transport_describe(service->transport, text);
}

uint64_t zsd_service_started_usec(const struct zsd_service *service)
{
	return service->started_usec;
}

struct zsd_config *zsd_service_config(struct zsd_service *service)
{
	return service->config;
}

const char *zsd_service_config_path(const struct zsd_service *service)
{
	return service->config_path;
}

const struct zsd_metrics_facts *zsd_service_facts(const struct zsd_service *service)
{
	return &service->facts;
}

unsigned int zsd_service_open_count(struct zsd_service *service, uint64_t id)
{
	return zsd_frontend_open_count(service->frontend, id);
}

void zsd_service_policy_stats(const struct zsd_service *service, struct zsd_policy_stats *ret_stats)
{
	zsd_policy_stats(service->policy, ret_stats);
}

/* All segments are in use, and as far as is known what is dead in them makes no room. */
static bool is_file_full(struct zs_backing *backing, const struct zs_backing_stats *stats)
{
	return zs_backing_is_full(backing) && zs_backing_freed(backing) < stats->segment_bytes;
}

const char *zsd_service_refusal(const struct zsd_service *service)
{
	struct zs_backing *backing = zs_store_backing(service->store);
	struct zs_backing_stats stats;

	if (!backing)
		return "no backing file";
	if (!zsd_frontend_makes_room(service->frontend))
		return "OnFull=error";
	if (!zs_store_has_writeback_budget(service->store))
		return "write limit used up";
	zs_backing_stats(backing, &stats);
	if (stats.paused)
		return stats.paused == -ENOSPC ? "disk of the backing file full" : "backing file fails";
	return is_file_full(backing, &stats) ? "backing file full" : NULL;
}

void zsd_service_limits_changed(struct zsd_service *service)
{
	if (service->cold_policy)
		zsd_cold_policy_changed(service->cold_policy);
}

void zsd_service_request_stats(const struct zsd_service *service, struct zsd_request_stats *ret_stats)
{
	struct zsd_transport_stats transport = {0};
	struct zsd_jobs_stats jobs;

	if (service->transport)
		zsd_transport_stats(service->transport, &transport);
	zsd_frontend_helper_stats(service->frontend, &jobs);
	*ret_stats = (struct zsd_request_stats){
		.helped = jobs.nr_helped,
		.helped_parts = jobs.nr_parts,
		.classic_refused = transport.classic_refused,
		.uring_refused = transport.uring_refused,
	};
}

static void note_change(struct zsd_service *service)
{
	zsd_frontend_directory_changed(service->frontend);
	if (service->status)
		zsd_status_changed(service->status);
}

int zsd_service_try_add(struct zsd_service *service, const struct zs_device_options *options,
			enum zs_device_field *ret_field, uint64_t *ret_id)
{
	int r = zs_store_try_add(service->store, options, ret_field, ret_id);

	/* The kernel keeps no names that don't exist, so there is none to take back. */
	if (!r)
		note_change(service);
	return r;
}

int zsd_service_add(struct zsd_service *service, const struct zs_device_options *options,
		    enum zs_device_field *ret_field, uint64_t *ret_id)
{
	int r;

	do {
		r = zsd_service_try_add(service, options, ret_field, ret_id);
	} while (r == -EAGAIN);
	return r;
}

/* The kernel may still know its name. */
static void note_gone(struct zsd_service *service, const char *name, uint64_t id)
{
	if (service->transport)
		zsd_transport_forget_name(service->transport, zsd_frontend_node(id), name);
	if (service->policy)
		zsd_policy_changed(service->policy);
	note_change(service);
}

int zsd_service_remove(struct zsd_service *service, const char *name, bool force, unsigned int *ret_open_count,
		       uint64_t *ret_id)
{
	uint64_t id;
	int r = zs_store_find(service->store, name, &id);

	if (!r)
		r = zsd_frontend_close_device(service->frontend, id, force, ret_open_count);
	if (r)
		return r;
	r = zs_store_remove_begin(service->store, id);
	if (r)
		return r;
	note_gone(service, name, id);
	*ret_id = id;
	return 0;
}

int zsd_service_try_reset(struct zsd_service *service, const char *name, unsigned int *ret_open_count)
{
	uint64_t id, new_id;
	int r = zs_store_find(service->store, name, &id);

	if (!r)
		r = zsd_frontend_close_device(service->frontend, id, false, ret_open_count);
	if (r)
		return r;
	r = zs_store_try_reset(service->store, id, &new_id);
	if (r)
		zsd_frontend_reopen_device(service->frontend, id);
	else
		note_gone(service, name, id);
	return r;
}
