/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods that change how the daemon and its devices are.
 *
 * Set reads all values before it changes anything. A value means what it means in zsd.conf.
 */

#include "command_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backing.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "command_answer.h"
#include "config_keys.h"
#include "live.h"
#include "reload.h"
#include "service.h"

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

/*
 * Reload
 */

int zsd_command_reload(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	CLEANUP_JSON json_t *report = NULL, *messages = NULL;
	const char *first;
	int error = zsd_reload(call->service, &report, &messages);

	zs_log(ZS_LOG_NOTICE, "configuration %s by command: changes=%zu uid=%u pid=%d",
	       error ? "refused, nothing is changed," : "read again",
	       json_array_size(json_object_get(report, "changes")), call->peer->uid, call->peer->pid);
	if (!error)
		return zsd_reply(ret_answer, NULL, json_incref(report));
	first = json_string_value(json_array_get(messages, 0));
	if (!first)
		return error == -ENOMEM ? error : zsd_reply_system(ret_answer, error, "reading the configuration");
	return zsd_reply(ret_answer, ZSD_ERROR("ConfigRefused"),
			 json_pack("{s:O, s:s++}", "messages", messages, "message", first, "; nothing is changed",
				   json_array_size(messages) > 1 ? ", and there is more" : ""));
}

/*
 * Set
 */

static int refuse(struct zsd_answer *ret_answer, const char *name, const char *value, const char *reason)
{
	return zsd_reply_invalid_value(ret_answer, name, value, reason) ?: 1;
}

static const struct zsd_config_key *find_key(const struct zsd_config_key *keys, const char *name)
{
	for (; keys->name; keys++) {
		if (strcmp(keys->name, name) == 0)
			return keys;
	}
	return NULL;
}

/* Reads one value of a device. Returns 0, 1 if the call was refused in *ret_answer, or -ENOMEM. */
static int read_device_value(const char *name, const char *value, struct zs_device_options *options,
			     struct zsd_answer *ret_answer)
{
	const struct zsd_config_key *key = find_key(zsd_config_device_keys, name);
	struct zsd_config_target target = {.device = options};
	char reason[ZSD_REASON_BYTES];
	int error;

	if (!key)
		return refuse(ret_answer, name, value,
			      "there is no such key; use Algorithm, MemoryLimit, Mode, Owner, ReadOnly or Recompress");
	if (!zsd_live_is_device(name))
		return refuse(ret_answer, name, value,
			      "it is fixed when a device is made; remove the device and add it again");
	error = key->set(&target, value, reason);
	return error == -EINVAL ? refuse(ret_answer, name, value, reason) : error;
}

static int set_device(struct zsd_call *call, const char *device, json_t *values, struct zsd_answer *ret_answer)
{
	struct zs_device_options options;
	const char *name;
	json_t *value;
	uint64_t id;
	int error = 0;

	if (zs_store_find(zsd_service_store(call->service), device, &id))
		return zsd_reply_no_such_device(ret_answer, device) ?: 1;
	zsd_options_init(&options);
	json_object_foreach(values, name, value)
	{
		error = read_device_value(name, json_string_value(value), &options, ret_answer);
		if (error)
			return error;
	}
	/* The limit first: it is the one that can be refused. */
	value = json_object_get(values, "MemoryLimit");
	error = value ? zsd_live_apply_device(call->service, device, "MemoryLimit", &options) : 0;
	if (error == -EOPNOTSUPP)
		return refuse(ret_answer, "MemoryLimit", json_string_value(value),
			      "the device was made without a limit; remove it and add it again");
	json_object_foreach(values, name, value)
	{
		if (!error)
			error = zsd_live_apply_device(call->service, device, name, &options);
	}
	return error == -ENODEV ? zsd_reply_no_such_device(ret_answer, device) ?: 1 : error;
}

/* "Pool.MemoryLimit": the sections that have one name only. */
static const struct zsd_config_key *find_global_key(const char *name, char heading[static 16])
{
	static const struct {
		const char *heading;
		const struct zsd_config_key *keys;
	} sections[] = {
		{"Daemon", zsd_config_daemon_keys},
		{"Pool", zsd_config_pool_keys},
		{"Writeback", zsd_config_writeback_keys},
	};
	const char *dot = strchr(name, '.');

	for (size_t i = 0; dot && i < ZS_ARRAY_SIZE(sections); i++) {
		size_t length = strlen(sections[i].heading);

		if ((size_t)(dot - name) != length || memcmp(name, sections[i].heading, length))
			continue;
		strcpy(heading, sections[i].heading);
		return find_key(sections[i].keys, dot + 1);
	}
	return NULL;
}

static int read_global_value(const char *name, const char *value, struct zsd_config *config,
			     struct zsd_answer *ret_answer)
{
	struct zsd_config_target target = {.config = config};
	char reason[ZSD_REASON_BYTES], heading[16];
	const struct zsd_config_key *key = find_global_key(name, heading);
	int error;

	if (!key)
		return refuse(ret_answer, name, value,
			      "there is no such key; use SECTION.KEY, as in Pool.MemoryLimit, or name a device");
	if (!zsd_live_is_global(heading, key->name))
		return refuse(ret_answer, name, value,
			      "it is read at start only; change it in zsd.conf and start the daemon again");
	error = key->set(&target, value, reason);
	return error == -EINVAL ? refuse(ret_answer, name, value, reason) : error;
}

/* What is refused only when it is applied, and so is applied first. Returns as read_global_value(). */
static int apply_backing_size(struct zsd_call *call, json_t *values, const struct zsd_config *config,
			      struct zsd_answer *ret_answer)
{
	json_t *value = json_object_get(values, "Writeback.Size");
	int error = value ? zsd_live_apply_global(call->service, "Writeback", "Size", config) : 0;

	if (error != -EFBIG && error != -EOVERFLOW)
		return error;
	return refuse(ret_answer, "Writeback.Size", json_string_value(value), zsd_backing_size_reason(error));
}

static int apply_globals(struct zsd_call *call, json_t *values, const struct zsd_config *config)
{
	char heading[16];
	const char *name;
	json_t *value;
	int error = 0;

	json_object_foreach(values, name, value)
	{
		const struct zsd_config_key *key = find_global_key(name, heading);

		if (!error)
			error = zsd_live_apply_global(call->service, heading, key->name, config);
	}
	return error;
}

/* Values that are not given stay what they are: the copy begins with them. */
static int set_globals(struct zsd_call *call, json_t *values, struct zsd_answer *ret_answer)
{
	struct zsd_config *present = zsd_service_config(call->service), config = *present;
	char reason[ZSD_REASON_BYTES];
	const char *name;
	json_t *value;
	int error;

	json_object_foreach(values, name, value)
	{
		error = read_global_value(name, json_string_value(value), &config, ret_answer);
		if (error)
			return error;
	}
	if (zsd_config_check_writeback(&config.writeback, reason, sizeof(reason))) {
		name = json_object_get(values, "Writeback.StopAt") ? "Writeback.StopAt" : "Writeback.StartAt";
		return refuse(ret_answer, name, json_string_value(json_object_get(values, name)),
			      "StopAt is to be below StartAt; set both");
	}
	error = apply_backing_size(call, values, &config, ret_answer) ?: apply_globals(call, values, &config);
	if (error)
		return error;
	/* The keys that can be changed are plain numbers; the path is the same. */
	present->log_level = config.log_level;
	present->memory_limit_bytes = config.memory_limit_bytes;
	present->policy = config.policy;
	present->recompress_sec = config.recompress_sec;
	present->writeback = config.writeback;
	return 0;
}

/*
 * For the next reload, which compares: the value is no longer that of the files. Without memory for it the reload takes
 * the value for unchanged, which is no harm.
 */
static void note_set(const struct zsd_call *call, const char *device, const char *name, const char *value)
{
	struct zsd_config_text *text = &zsd_service_config(call->service)->text;
	ZS_CLEANUP_FREE char *heading = NULL;
	const char *dot = strchr(name, '.');
	int length = device ? asprintf(&heading, "Device %s", device)
			    : asprintf(&heading, "%.*s", (int)(dot - name), name);

	if (length < 0)
		heading = NULL;
	else
		zsd_config_text_set(text, heading, device ? name : dot + 1, value);
}

static void log_set(const struct zsd_call *call, const char *device, json_t *values)
{
	const char *name;
	json_t *value;

	json_object_foreach(values, name, value)
	{
		note_set(call, device, name, json_string_value(value));
		zs_log(ZS_LOG_INFO, "set by command: %s%s%s=%s uid=%u pid=%d", device ?: "", device ? "." : "", name,
		       json_string_value(value), call->peer->uid, call->peer->pid);
	}
}

int zsd_command_set(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	json_t *values = json_object_get(call->wire.parameters, "values");
	const char *device = zsd_call_string(call, "name");
	int error;

	error = device ? set_device(call, device, values, ret_answer) : set_globals(call, values, ret_answer);
	if (error)
		return error < 0 ? error : 0;
	log_set(call, device, values);
	return zsd_reply(ret_answer, NULL, json_object());
}
