/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of zsd.conf and what their values mean. */

#include "config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "config_amount.h"
#include "store/cold.h"

/* See store/age.h. */
#define SPAN_MAX_SEC (3 * 24 * 3600)

#define MEMORY_LIMIT_MIN_BYTES (UINT64_C(1) << 20)

/* Decimal digits only, up to max. */
static int parse_number(const char *value, unsigned int max, unsigned int *ret_number)
{
	unsigned int number = 0;

	if (!*value)
		return -EINVAL;
	for (; *value; value++) {
		if (!isdigit((unsigned char)*value))
			return -EINVAL;
		number = number * 10 + (unsigned int)(*value - '0');
		if (number > max)
			return -EINVAL;
	}
	*ret_number = number;
	return 0;
}

static int set_threads(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (parse_number(value, ZSD_THREADS_MAX, &target->config->nr_threads) || !target->config->nr_threads)
		return zsd_options_refuse(reason, "not a number of threads; use 1 to %d", ZSD_THREADS_MAX);
	return 0;
}

static int set_transport(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (zsd_transport_parse(value, &target->config->transport))
		return zsd_options_refuse(reason, "no such transport; use classic, uring or auto");
	return 0;
}

static int set_poll_max(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (zsd_poll_parse(value, &target->config->poll_max_nsec))
		return zsd_options_refuse(reason, "not a time to poll; " ZSD_POLL_REMEDY);
	return 0;
}

static int set_mount_point(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (*value != '/')
		return zsd_options_refuse(reason, "not an absolute path; begin it with '/'");
	target->config->mount_point = zs_fault() ? NULL : strdup(value);
	return target->config->mount_point ? 0 : -ENOMEM;
}

static int set_log_level(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	static const struct {
		const char *name;
		enum zs_log_level level;
	} levels[] = {
		{"err", ZS_LOG_ERR},   {"warning", ZS_LOG_WARNING}, {"notice", ZS_LOG_NOTICE},
		{"info", ZS_LOG_INFO}, {"debug", ZS_LOG_DEBUG},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(levels); i++) {
		if (strcmp(levels[i].name, value) == 0) {
			target->config->log_level = levels[i].level;
			return 0;
		}
	}
	return zsd_options_refuse(reason, "no such level; use err, warning, notice, info or debug");
}

static int set_pool_limit(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	uint64_t *limit = &target->config->memory_limit_bytes;
	int error = zsd_amount_parse(value, limit, reason);

	if (!error && *limit < MEMORY_LIMIT_MIN_BYTES)
		return zsd_options_refuse(reason, "no room for any data; use 1M or more");
	return error;
}

static int parse_yes_no(const char *value, bool *ret_yes, char reason[static ZSD_REASON_BYTES])
{
	*ret_yes = strcmp(value, "yes") == 0;
	if (!*ret_yes && strcmp(value, "no") != 0)
		return zsd_options_refuse(reason, "neither yes nor no; use one of them");
	return 0;
}

static int set_accounting(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_yes_no(value, &target->config->accounting, reason);
}

static const char *const pool_modes[] = {[false] = "singleton", [true] = "per-device"};

int zsd_pool_mode_parse(const char *text, bool *ret_per_device)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(pool_modes); i++) {
		if (strcmp(text, pool_modes[i]) == 0) {
			*ret_per_device = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *zsd_pool_mode_name(bool per_device)
{
	return pool_modes[per_device];
}

static int set_pool_mode(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (zsd_pool_mode_parse(value, &target->config->pool_per_device))
		return zsd_options_refuse(reason, "no such mode; use singleton or per-device");
	return 0;
}

static int set_compact(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (strcmp(value, "auto") && strcmp(value, "no"))
		return zsd_options_refuse(reason, "no such policy; use auto or no");
	target->config->compact = !strcmp(value, "auto");
	return 0;
}

static int set_compact_threshold(struct zsd_config_target *target, const char *value,
				 char reason[static ZSD_REASON_BYTES])
{
	if (zsd_amount_parse_percentage(value, 90, &target->config->policy.threshold_percent))
		return zsd_options_refuse(reason, "not a part of the pool; use 1%% to 90%%");
	return 0;
}

static int set_compact_quota(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (zsd_amount_parse_percentage(value, 100, &target->config->policy.quota_percent))
		return zsd_options_refuse(reason, "not a part of a CPU; use 1%% to 100%%");
	return 0;
}

static int refuse_nothing(uint64_t bytes, char reason[static ZSD_REASON_BYTES])
{
	return bytes ? 0 : zsd_options_refuse(reason, "no room for any data; use none for no limit");
}

/* "none" is 0, as in options of zsctl. */
static bool parse_none(const char *value, uint64_t *ret_bytes)
{
	*ret_bytes = 0;
	return strcmp(value, "none") == 0;
}

static int parse_limit(const char *value, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES])
{
	if (parse_none(value, ret_bytes))
		return 0;
	return zsd_amount_parse_size(value, ret_bytes, reason) ?: refuse_nothing(*ret_bytes, reason);
}

static int parse_memory_limit(const char *value, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES])
{
	if (parse_none(value, ret_bytes))
		return 0;
	return zsd_amount_parse(value, ret_bytes, reason) ?: refuse_nothing(*ret_bytes, reason);
}

/* "90s", "10min", "12h", "7d"; or "never" for 0. */
static int parse_span(const char *value, uint64_t *ret_sec, char reason[static ZSD_REASON_BYTES])
{
	static const struct {
		const char *name;
		unsigned int sec;
	} units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	size_t digits = strspn(value, "0123456789");

	*ret_sec = 0;
	if (strcmp(value, "never") == 0)
		return 0;
	for (size_t i = 0; digits && digits < 8 && i < ZS_ARRAY_SIZE(units); i++) {
		if (strcmp(value + digits, units[i].name) == 0)
			*ret_sec = strtoull(value, NULL, 10) * units[i].sec;
	}
	if (*ret_sec > SPAN_MAX_SEC)
		return zsd_options_refuse(reason, "longer than the age of a block is known; use 3d at most, or never");
	return *ret_sec ? 0 : zsd_options_refuse(reason, "not a time; write it as in 90s, 10min, 12h or 2d, or never");
}

static int set_on_full(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	bool error = strcmp(value, "error") == 0;

	if (!error && strcmp(value, "writeback") != 0)
		return zsd_options_refuse(reason, "no such thing to do; use writeback or error");
	target->config->error_when_full = error;
	return 0;
}

static int set_recompress_after(struct zsd_config_target *target, const char *value,
				char reason[static ZSD_REASON_BYTES])
{
	return parse_span(value, &target->config->recompress_sec, reason);
}

static int set_backing(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	char **path = &target->config->writeback.path;

	if (*value != '/')
		return zsd_options_refuse(reason, "not an absolute path; begin it with '/'");
	*path = zs_fault() ? NULL : strdup(value);
	return *path ? 0 : -ENOMEM;
}

static int set_backing_size(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_limit(value, &target->config->writeback.size_bytes, reason);
}

static int set_daily_limit(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_limit(value, &target->config->writeback.day_bytes, reason);
}

static int set_total_limit(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_limit(value, &target->config->writeback.total_bytes, reason);
}

static int set_batch_size(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	uint64_t bytes;
	int error = zsd_amount_parse_size(value, &bytes, reason);

	if (!error && (bytes < ZS_BATCH_MIN_BYTES || bytes > ZS_BATCH_MAX_BYTES))
		return zsd_options_refuse(reason, ZSD_BATCH_REASON);
	if (!error)
		target->config->writeback.batch_bytes = bytes;
	return error;
}

static int set_idle_after(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_span(value, &target->config->writeback.idle_sec, reason);
}

static int set_watermark(const char *value, unsigned int *percent, char reason[static ZSD_REASON_BYTES])
{
	if (zsd_amount_parse_percentage(value, 97, percent))
		return zsd_options_refuse(reason, "not a part of the limit; use 1%% to 97%%");
	return 0;
}

static int set_start_at(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return set_watermark(value, &target->config->writeback.start_percent, reason);
}

static int set_stop_at(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return set_watermark(value, &target->config->writeback.stop_percent, reason);
}

static int set_promote_after(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	unsigned int *reads = &target->config->writeback.promote_reads;

	*reads = 0;
	if (strcmp(value, "never") && (parse_number(value, ZS_PROMOTE_READS_MAX, reads) || !*reads))
		return zsd_options_refuse(reason, "not a number of reads; use 1 to %d, or never", ZS_PROMOTE_READS_MAX);
	return 0;
}

static int set_encrypt(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_yes_no(value, &target->config->writeback.encrypt, reason);
}

static int set_size(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_amount_parse(value, &target->device->size_bytes, reason);
}

static int set_algorithm(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_options_set_algorithm(target->device, value, reason);
}

static int set_recompress(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_options_set_recompress(target->device, value, reason);
}

static int set_block_size(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	uint64_t bytes;
	int error = zsd_amount_parse_size(value, &bytes, reason);

	/* What is beyond 32 bits is refused as the largest number of 32 bits is. */
	if (!error)
		target->device->block_size = (uint32_t)zs_min(bytes, UINT32_MAX);
	return error;
}

static int set_device_limit(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_memory_limit(value, &target->device->memory_limit_bytes, reason);
}

static int set_group_limit(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_memory_limit(value, &target->group->memory_limit_bytes, reason);
}

static int set_group(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (zsd_options_check_group(value, reason))
		return -EINVAL;
	target->device->group = zs_fault() ? NULL : strdup(value);
	return target->device->group ? 0 : -ENOMEM;
}

static int set_cache(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_options_set_cache(target->device, value, reason);
}

static int set_mode(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_options_set_mode(target->device, value, reason);
}

static int set_read_only(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_yes_no(value, &target->device->read_only, reason);
}

static int set_owner(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_options_set_owner(target->device, value, reason);
}

const struct zsd_config_key zsd_config_daemon_keys[] = {
	{"Threads", set_threads},	 {"Transport", set_transport}, {"PollMax", set_poll_max},
	{"MountPoint", set_mount_point}, {"LogLevel", set_log_level},  {},
};

const struct zsd_config_key zsd_config_pool_keys[] = {
	{"MemoryLimit", set_pool_limit},
	{"Accounting", set_accounting},
	{"PoolMode", set_pool_mode},
	{"Compact", set_compact},
	{"CompactThreshold", set_compact_threshold},
	{"CompactQuota", set_compact_quota},
	{"OnFull", set_on_full},
	{"RecompressAfter", set_recompress_after},
	{},
};

const struct zsd_config_key zsd_config_writeback_keys[] = {
	{"Backing", set_backing},
	{"Size", set_backing_size},
	{"DailyLimit", set_daily_limit},
	{"TotalLimit", set_total_limit},
	{"BatchSize", set_batch_size},
	{"IdleAfter", set_idle_after},
	{"StartAt", set_start_at},
	{"StopAt", set_stop_at},
	{"PromoteAfter", set_promote_after},
	{"Encrypt", set_encrypt},
	{},
};

const struct zsd_config_key zsd_config_group_keys[] = {
	{"MemoryLimit", set_group_limit},
	{},
};

const struct zsd_config_key zsd_config_device_keys[] = {
	{"Size", set_size},
	{"Algorithm", set_algorithm},
	{"Recompress", set_recompress},
	{"BlockSize", set_block_size},
	{"MemoryLimit", set_device_limit},
	{"Mode", set_mode},
	{"Owner", set_owner},
	{"Group", set_group},
	{"Cache", set_cache},
	{"ReadOnly", set_read_only},
	{},
};
