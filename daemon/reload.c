/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the configuration again. */

#include "reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backing.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "live.h"
#include "notify.h"
#include "service_internal.h"
#include "status.h"

#define DEVICE_PREFIX "Device "
#define NAME_BYTES    192
#define WAIT_NSEC     UINT64_C(100000000)

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

static void config_freep(struct zsd_config **config)
{
	zsd_config_free(*config);
}

/*
 * messages: what the reader logs goes to the client, and to the log when the reader is done
 */

static json_t *heard;

static void hear(enum zs_log_level level, const char *line)
{
	json_array_append_new(heard, json_pack("{s:i, s:s}", "level", (int)level, "line", line));
}

/* Sets the messages as an array of texts. */
static json_t *log_heard(void)
{
	json_t *messages = json_array(), *message;
	size_t i;

	json_array_foreach(heard, i, message)
	{
		json_t *line = json_object_get(message, "line");

		zs_log((enum zs_log_level)json_integer_value(json_object_get(message, "level")), "%s",
		       json_string_value(line));
		json_array_append(messages, line);
	}
	json_decref(heard);
	heard = NULL;
	return messages;
}

static int load(struct zsd_service *service, struct zsd_config **ret_config, json_t **ret_messages)
{
	int error;

	heard = json_array();
	if (!heard)
		return -ENOMEM;
	zs_log_set_sink(hear, ZS_LOG_WARNING);
	error = zsd_config_load(service->config_path, service->config_must_exist, ret_config);
	zsd_notify_log(service->config->log_level);
	*ret_messages = log_heard();
	return *ret_messages ? error : error ?: -ENOMEM;
}

/*
 * changes
 */

struct changes {
	struct zsd_service *service;
	const struct zsd_config *before;
	struct zsd_config *now;
	json_t *rows;
	uint64_t wait_until_nsec; /* no longer for devices that are being removed */
};

/* value NULL: the key is gone, and has its default again. */
static int add_row(struct changes *changes, const char *heading, const char *key, const char *value, const char *result,
		   const char *message)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "%s%s%s", heading, *key ? "." : "", key);
	return json_array_append_new(changes->rows, json_pack("{s:s, s:s*, s:s, s:s*}", "name", name, "value", value,
							      "result", result, "message", message))
		       ? -ENOMEM
		       : 0;
}

static const char *device_of(const char *heading)
{
	size_t length = strlen(DEVICE_PREFIX);

	if (strncmp(heading, DEVICE_PREFIX, length))
		return NULL;
	return heading + length + strspn(heading + length, " \t");
}

static const struct zs_device_options *find_device(const struct zsd_config *config, const char *name)
{
	for (size_t i = 0; i < config->nr_devices; i++) {
		if (strcmp(config->devices[i].name, name) == 0)
			return &config->devices[i];
	}
	return NULL;
}

/* What could not be applied is to be compared again the next time. Without memory it counts as applied. */
static void keep_value(struct changes *changes, const char *heading, const char *key)
{
	const struct zsd_config_line *line = zsd_config_text_find(&changes->before->text, heading, key);

	/* No key in a file has an empty value. */
	zsd_config_text_set(&changes->now->text, heading, key, line ? line->value : "");
}

static int add_failed(struct changes *changes, const char *heading, const char *key, const char *value, int error)
{
	int r = add_row(changes, heading, key, value, "failed",
			error == -EFBIG || error == -EOVERFLOW ? zsd_backing_size_reason(error) : strerror(-error));

	keep_value(changes, heading, key);
	return r;
}

static int change_device(struct changes *changes, const char *heading, const char *key, const char *value)
{
	const char *name = device_of(heading);
	const struct zs_device_options *options = find_device(changes->now, name);
	uint64_t id;
	int error;

	/* Left out for a mistake, or gone from the files: it stays as it is. A new one is added as a whole. */
	if (!options || zs_store_find(changes->service->store, name, &id))
		return 0;
	if (!zsd_live_is_device(key))
		return add_row(changes, heading, key, value, "needs-new-device",
			       "it is fixed when a device is made; remove the device and add it again");
	error = zsd_live_apply_device(changes->service, name, key, options);
	if (error == -EOPNOTSUPP)
		return add_row(changes, heading, key, value, "needs-new-device",
			       "the device was made without a limit; remove it and add it again");
	if (error)
		return add_failed(changes, heading, key, value, error);
	return add_row(changes, heading, key, value, "applied", NULL);
}

static int change_key(struct changes *changes, const char *heading, const char *key, const char *value)
{
	int error;

	if (device_of(heading))
		return change_device(changes, heading, key, value);
	if (!zsd_live_is_global(heading, key))
		return add_row(changes, heading, key, value, "needs-restart",
			       "it is read at start only; all data is lost then");
	error = zsd_live_apply_global(changes->service, heading, key, changes->now);
	if (error)
		return add_failed(changes, heading, key, value, error);
	return add_row(changes, heading, key, value, "applied", NULL);
}

/* Keys of `of` that are not the same in `other`. Those of `before` that are in both were seen with `now`. */
static int compare(struct changes *changes, const struct zsd_config_text *of, const struct zsd_config_text *other,
		   bool gone)
{
	int error = 0;

	for (size_t i = 0; i < of->nr_sections && !error; i++) {
		const struct zsd_config_section *section = &of->sections[i];

		for (size_t j = 0; section->heading && j < section->nr_lines && !error; j++) {
			const struct zsd_config_line *line = &section->lines[j], *there;

			there = line->key ? zsd_config_text_find(other, section->heading, line->key) : NULL;
			if (!line->key || (there && (gone || strcmp(there->value, line->value) == 0)))
				continue;
			error = change_key(changes, section->heading, line->key, gone ? NULL : line->value);
		}
	}
	return error;
}

/* What is being removed may be in the way, and takes as long as it is large; other clients wait meanwhile. */
static int add_soon(struct changes *changes, const struct zs_device_options *options)
{
	enum zs_device_field field = ZS_FIELD_NONE;
	uint64_t id;
	int r;

	do {
		r = zsd_service_try_add(changes->service, options, &field, &id);
	} while (r == -EAGAIN && zs_clock_nsec() < changes->wait_until_nsec);
	return r;
}

static const char *reason_not_added(int error)
{
	switch (error) {
	case 0:
		return NULL;
	case -EAGAIN:
		return "devices that were removed are still being freed; reload again in a moment";
	case -EFBIG:
		return "there is no room for its table; correct Size=, or remove another device";
	case -ENFILE:
		return "there are as many devices as there can be; remove one first";
	case -EUSERS:
		return "there are as many groups as there can be; correct Group=";
	default:
		return strerror(-error);
	}
}

/* Devices that the configuration has and the store has not. */
static int add_devices(struct changes *changes)
{
	unsigned int nr_left_out = (unsigned int)changes->now->nr_refused;
	int error = 0;

	for (size_t i = 0; i < changes->now->nr_devices && !error; i++) {
		const struct zs_device_options *options = &changes->now->devices[i];
		char heading[NAME_BYTES];
		uint64_t id;
		int r;

		if (zs_store_find(changes->service->store, options->name, &id) == 0)
			continue;
		r = add_soon(changes, options);
		snprintf(heading, sizeof(heading), DEVICE_PREFIX "%s", options->name);
		nr_left_out += r != 0;
		error = add_row(changes, heading, "", NULL, r ? "failed" : "added", reason_not_added(r));
	}
	atomic_store(&changes->service->facts.left_out, nr_left_out);
	return error;
}

static bool has_section(const struct zsd_config_text *text, const char *heading)
{
	for (size_t i = 0; i < text->nr_sections; i++) {
		if (text->sections[i].heading && strcmp(text->sections[i].heading, heading) == 0)
			return true;
	}
	return false;
}

/*
 * Devices that the configuration no longer has; their data is worth more than a file's opinion. Or whose section has a
 * mistake, of which a message tells.
 */
static int tell_removed(struct changes *changes)
{
	int error = 0;

	for (size_t i = 0; i < changes->before->nr_devices && !error; i++) {
		const char *name = changes->before->devices[i].name;
		char heading[NAME_BYTES];
		uint64_t id;

		if (find_device(changes->now, name) || zs_store_find(changes->service->store, name, &id))
			continue;
		snprintf(heading, sizeof(heading), DEVICE_PREFIX "%s", name);
		error = add_row(changes, heading, "", NULL, "kept",
				has_section(&changes->now->text, heading)
					? "its section has a mistake; it is left as it was"
					: "it is no longer configured; remove it with its data by 'zsctl remove'");
	}
	return error;
}

/* Devices that were left out for a mistake are as they were, and so is what the next reload compares with. */
static int keep_mistaken(struct changes *changes)
{
	const struct zsd_config_text *text = &changes->now->text;
	int error = 0;

	for (size_t i = 0; i < text->nr_sections && !error; i++) {
		const char *heading = text->sections[i].heading, *name = heading ? device_of(heading) : NULL;

		if (name && !find_device(changes->now, name))
			error = zsd_config_text_restore(&changes->now->text, &changes->before->text, heading);
	}
	return error;
}

/* Keys of existing devices first, so that those that are added are not looked at. */
static int apply(struct changes *changes)
{
	int error = compare(changes, &changes->now->text, &changes->before->text, false);

	if (!error)
		error = compare(changes, &changes->before->text, &changes->now->text, true);
	if (!error)
		error = tell_removed(changes);
	return error ?: add_devices(changes) ?: keep_mistaken(changes);
}

static int reload(struct zsd_service *service, json_t **ret_report, json_t **ret_messages)
{
	ZS_CLEANUP(config_freep) struct zsd_config *config = NULL;
	CLEANUP_JSON json_t *rows = json_array();
	struct changes changes = {.service = service, .before = service->config, .rows = rows};
	int error = load(service, &config, ret_messages);

	atomic_store(&service->facts.reload_failed, error != 0);
	atomic_store(&service->facts.reloaded_sec, (uint64_t)time(NULL));
	if (error)
		return error;
	changes.now = config;
	changes.wait_until_nsec = zs_clock_nsec() + WAIT_NSEC;
	/* Even if memory runs out on the way: what was applied was applied. */
	error = apply(&changes);
	zsd_config_free(service->config);
	service->config = zs_take(config);
	if (error)
		return error;
	*ret_report = json_pack("{s:O, s:O}", "changes", rows, "warnings", *ret_messages);
	return *ret_report ? 0 : -ENOMEM;
}

int zsd_reload(struct zsd_service *service, json_t **ret_report, json_t **ret_messages)
{
	int error;

	/* The manager waits for READY=1 if its unit is of Type=notify-reload, which came with systemd 253. */
	zsd_notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)zs_clock_nsec() / 1000);
	error = reload(service, ret_report, ret_messages);
	zsd_notify("READY=1");
	if (service->status)
		zsd_status_changed(service->status);
	return error;
}
