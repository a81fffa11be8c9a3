/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys that can be changed while the daemon runs. */

#include "live.h"

#include <errno.h>
#include <string.h>

#include "backing.h"
#include "base/bits.h"
#include "cold_policy.h"
#include "memory.h"
#include "notify.h"
#include "policy.h"
#include "service_internal.h"
#include "store/cold.h"
#include "store/group.h"
#include "store/writeback.h"
#include "tasks.h"

#define GROUP_PREFIX "Group "

static int apply_log_level(struct zsd_service *service, const struct zsd_config *config)
{
	zsd_notify_log(config->log_level);
	return 0;
}

static int apply_pool_limit(struct zsd_service *service, const struct zsd_config *config)
{
	zs_store_set_limit(service->store, config->memory_limit_bytes ?: zsd_memory_default_limit());
	return 0;
}

static int apply_policy(struct zsd_service *service, const struct zsd_config *config)
{
	if (service->policy)
		zsd_policy_set_options(service->policy, &config->policy);
	return 0;
}

static int apply_cold_policy(struct zsd_service *service, const struct zsd_config *config)
{
	const struct zsd_cold_options options = zsd_cold_options_of(config);

	if (service->cold_policy)
		zsd_cold_policy_set_options(service->cold_policy, &options);
	return 0;
}

/* Without a backing file the keys that are about it mean nothing. */
static int apply_backing_size(struct zsd_service *service, const struct zsd_config *config)
{
	struct zs_backing *backing = zs_store_backing(service->store);

	return backing ? zs_backing_set_size(backing, config->writeback.size_bytes) : 0;
}

static int apply_daily_limit(struct zsd_service *service, const struct zsd_config *config)
{
	if (!zs_store_set_daily_limit(service->store, config->writeback.day_bytes, ZS_LIMIT_BY_CONFIG))
		zsd_tasks_keep_budget(service->tasks);
	return 0;
}

static int apply_total_limit(struct zsd_service *service, const struct zsd_config *config)
{
	if (!zs_store_set_total_limit(service->store, zsd_backing_total(&config->writeback), ZS_LIMIT_BY_CONFIG))
		zsd_tasks_keep_budget(service->tasks);
	return 0;
}

static int apply_batch_size(struct zsd_service *service, const struct zsd_config *config)
{
	struct zs_backing *backing = zs_store_backing(service->store);

	if (backing)
		zs_backing_set_batch(backing, config->writeback.batch_bytes);
	return 0;
}

static int apply_promotion(struct zsd_service *service, const struct zsd_config *config)
{
	zs_store_set_promotion(service->store, config->writeback.promote_reads);
	return 0;
}

static const struct {
	const char *heading;
	const char *key;
	int (*apply)(struct zsd_service *service, const struct zsd_config *config);
} globals[] = {
	{"Daemon", "LogLevel", apply_log_level},	{"Pool", "MemoryLimit", apply_pool_limit},
	{"Pool", "CompactThreshold", apply_policy},	{"Pool", "CompactQuota", apply_policy},
	{"Pool", "RecompressAfter", apply_cold_policy}, {"Writeback", "Size", apply_backing_size},
	{"Writeback", "DailyLimit", apply_daily_limit}, {"Writeback", "TotalLimit", apply_total_limit},
	{"Writeback", "BatchSize", apply_batch_size},	{"Writeback", "IdleAfter", apply_cold_policy},
	{"Writeback", "StartAt", apply_cold_policy},	{"Writeback", "StopAt", apply_cold_policy},
	{"Writeback", "PromoteAfter", apply_promotion},
};

static bool is_group(const char *heading)
{
	return strncmp(heading, GROUP_PREFIX, strlen(GROUP_PREFIX)) == 0;
}

bool zsd_live_is_global(const char *heading, const char *key)
{
	if (is_group(heading))
		return strcmp(key, "MemoryLimit") == 0;
	for (size_t i = 0; i < ZS_ARRAY_SIZE(globals); i++) {
		if (strcmp(globals[i].heading, heading) == 0 && strcmp(globals[i].key, key) == 0)
			return true;
	}
	return false;
}

/* A group that the configuration no longer has loses its limit, and goes if it has no devices. */
static int apply_group(struct zsd_service *service, const char *name, const struct zsd_config *config)
{
	int error;

	for (size_t i = 0; i < config->nr_groups; i++) {
		if (strcmp(config->groups[i].name, name) == 0)
			return zs_store_add_group(service->store, name, config->groups[i].memory_limit_bytes);
	}
	error = zs_store_set_group_limit(service->store, name, 0);
	return error == -ENOENT ? 0 : error;
}

static const char *group_of(const char *heading)
{
	const char *name = heading + strlen(GROUP_PREFIX);

	return name + strspn(name, " \t");
}

static int apply_global(struct zsd_service *service, const char *heading, const char *key,
			const struct zsd_config *config)
{
	if (is_group(heading))
		return apply_group(service, group_of(heading), config);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(globals); i++) {
		if (strcmp(globals[i].heading, heading) == 0 && strcmp(globals[i].key, key) == 0)
			return globals[i].apply(service, config);
	}
	return -EOPNOTSUPP;
}

int zsd_live_apply_global(struct zsd_service *service, const char *heading, const char *key,
			  const struct zsd_config *config)
{
	int error = apply_global(service, heading, key, config);

	zsd_service_limits_changed(service);
	return error;
}

/*
 * devices
 */

static int apply_mode(struct zs_device *device, const struct zs_device_options *options)
{
	zs_device_set_mode(device, options->mode);
	return 0;
}

static int apply_owner(struct zs_device *device, const struct zs_device_options *options)
{
	zs_device_set_owner(device, options->uid, options->gid);
	return 0;
}

static int apply_device_limit(struct zs_device *device, const struct zs_device_options *options)
{
	return zs_device_set_limit(device, options->memory_limit_bytes);
}

static int apply_read_only(struct zs_device *device, const struct zs_device_options *options)
{
	zs_device_set_read_only(device, options->read_only);
	return 0;
}

/* What is stored stays as it is; recompression may change that. */
static int apply_algorithm(struct zs_device *device, const struct zs_device_options *options)
{
	return zs_device_set_codec(device, &options->codec);
}

static int apply_recompress(struct zs_device *device, const struct zs_device_options *options)
{
	return zs_device_set_recompress(device, options->recompress, options->nr_recompress);
}

static const struct {
	const char *key;
	int (*apply)(struct zs_device *device, const struct zs_device_options *options);
} device_keys[] = {
	{"Algorithm", apply_algorithm}, {"MemoryLimit", apply_device_limit}, {"Mode", apply_mode},
	{"Owner", apply_owner},		{"ReadOnly", apply_read_only},	     {"Recompress", apply_recompress},
};

bool zsd_live_is_device(const char *key)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(device_keys); i++) {
		if (strcmp(device_keys[i].key, key) == 0)
			return true;
	}
	return false;
}

int zsd_live_apply_device(struct zsd_service *service, const char *name, const char *key,
			  const struct zs_device_options *options)
{
	struct zs_device *device;
	uint64_t id;
	int error = zs_store_find(service->store, name, &id);

	device = error ? NULL : zs_device_get(service->store, id, NULL);
	if (!device)
		return -ENODEV;
	error = -EOPNOTSUPP;
	for (size_t i = 0; i < ZS_ARRAY_SIZE(device_keys); i++) {
		if (strcmp(device_keys[i].key, key) == 0)
			error = device_keys[i].apply(device, options);
	}
	zs_device_put(device, NULL);
	zsd_service_limits_changed(service);
	return error;
}
