/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of zsd.conf and what their values mean. */

#include "config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/size.h"

#define MEMORY_LIMIT_MIN_BYTES (UINT64_C(1) << 20)

static int parse_size(const char *value, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES])
{
	switch (zs_size_parse(value, ret_bytes)) {
	case 0:
		return 0;
	case -ENOMSG:
		return zsd_options_refuse(reason, "a size without a unit; did you mean %sG?", value);
	case -ERANGE:
		return zsd_options_refuse(reason, "too large; use less than 8192P");
	default:
		return zsd_options_refuse(reason, "not a size; write it as in 512M or 8G");
	}
}

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

/* "30%": a part of the machine's memory. */
static int parse_percentage(const char *value, size_t length, uint64_t *ret_bytes, char reason[static ZSD_REASON_BYTES])
{
	char digits[4] = "";
	unsigned int percentage;

	if (length < sizeof(digits))
		memcpy(digits, value, length);
	if (parse_number(digits, 100, &percentage) || !percentage)
		return zsd_options_refuse(reason, "not a part of the memory; use 1%% to 100%%");
	*ret_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 100 * percentage;
	return 0;
}

static int set_threads(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	if (parse_number(value, ZSD_THREADS_MAX, &target->config->nr_threads) || !target->config->nr_threads)
		return zsd_options_refuse(reason, "not a number of threads; use 1 to %d", ZSD_THREADS_MAX);
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
	size_t length = strlen(value);
	int error;

	if (length && value[length - 1] == '%')
		return parse_percentage(value, length - 1, limit, reason);
	error = parse_size(value, limit, reason);
	if (!error && *limit < MEMORY_LIMIT_MIN_BYTES)
		return zsd_options_refuse(reason, "no room for any data; use 1M or more");
	return error;
}

static int set_size(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return parse_size(value, &target->device->size_bytes, reason);
}

static int set_algorithm(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_options_set_algorithm(target->device, value, reason);
}

static int set_block_size(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	uint64_t bytes;
	int error = parse_size(value, &bytes, reason);

	/* What is beyond 32 bits is refused as the largest number of 32 bits is. */
	if (!error)
		target->device->block_size = (uint32_t)zs_min(bytes, UINT32_MAX);
	return error;
}

static int set_device_limit(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	int error = parse_size(value, &target->device->memory_limit_bytes, reason);

	if (!error && !target->device->memory_limit_bytes)
		return zsd_options_refuse(reason, "no room for any data; leave the key out for no limit");
	return error;
}

static int set_mode(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_options_set_mode(target->device, value, reason);
}

static int set_owner(struct zsd_config_target *target, const char *value, char reason[static ZSD_REASON_BYTES])
{
	return zsd_options_set_owner(target->device, value, reason);
}

const struct zsd_config_key zsd_config_daemon_keys[] = {
	{"Threads", set_threads},
	{"MountPoint", set_mount_point},
	{"LogLevel", set_log_level},
	{},
};

const struct zsd_config_key zsd_config_pool_keys[] = {
	{"MemoryLimit", set_pool_limit},
	{},
};

const struct zsd_config_key zsd_config_device_keys[] = {
	{"Size", set_size},
	{"Algorithm", set_algorithm},
	{"BlockSize", set_block_size},
	{"MemoryLimit", set_device_limit},
	{"Mode", set_mode},
	{"Owner", set_owner},
	{},
};
