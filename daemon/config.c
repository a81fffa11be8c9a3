/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zsd.conf: sections; files and lines are config_text.c's, and what a value means is in config_keys.c.
 *
 * A heading closes the section before it, which is when a device is complete and can be judged.
 */

#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "config_keys.h"
#include "store/cold.h"

#define DEVICE_PREFIX "Device "
#define GROUP_PREFIX  "Group "
#define BLANKS	      " \t\r\n"

enum section_kind {
	SECTION_NONE, /* before the first heading */
	SECTION_DAEMON,
	SECTION_POOL,
	SECTION_WRITEBACK,
	SECTION_GROUP,
	SECTION_DEVICE,
	SECTION_UNKNOWN,
	NR_SECTION_KINDS,
};

struct reader {
	const char *path;
	uint64_t line;
	struct zsd_config *config;
	bool failed; /* the file is refused */

	enum section_kind kind;
	char *heading; /* without brackets; NULL before the first one */
	const char *heading_path;
	uint64_t heading_line;
	unsigned int seen[NR_SECTION_KINDS]; /* bit set of the keys given; of the present group or device only */
	struct zsd_config_group group;	     /* its name is that of the heading */
	struct zs_device_options device;     /* so is its name; its group is the reader's */
	bool device_failed;
};

static const struct zsd_config_key *const key_tables[NR_SECTION_KINDS] = {
	[SECTION_DAEMON] = zsd_config_daemon_keys,	 [SECTION_POOL] = zsd_config_pool_keys,
	[SECTION_WRITEBACK] = zsd_config_writeback_keys, [SECTION_GROUP] = zsd_config_group_keys,
	[SECTION_DEVICE] = zsd_config_device_keys,
};

/*
 * groups
 */

static bool has_group(const struct zsd_config *config, const char *name)
{
	for (size_t i = 0; i < config->nr_groups; i++) {
		if (strcmp(config->groups[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Returns 0, also when the section is refused, or -ENOMEM. */
static int append_group(struct reader *reader)
{
	struct zsd_config *config = reader->config;
	struct zsd_config_group *groups;
	char reason[ZSD_REASON_BYTES], *name;

	if (has_group(config, reader->group.name))
		zsd_options_refuse(reason, "there is a section for this group already; remove one of them");
	if (has_group(config, reader->group.name) || zsd_options_check_group(reader->group.name, reason)) {
		zs_log(ZS_LOG_ERR, "%s:%" PRIu64 ": [%s]: %s", reader->heading_path, reader->heading_line,
		       reader->heading, reason);
		reader->failed = true;
		return 0;
	}
	groups = zs_fault() ? NULL : reallocarray(config->groups, config->nr_groups + 1, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	config->groups = groups;
	name = zs_fault() ? NULL : strdup(reader->group.name);
	if (!name)
		return -ENOMEM;
	groups[config->nr_groups] = reader->group;
	groups[config->nr_groups++].name = name;
	return 0;
}

/*
 * devices
 */

static bool has_device(const struct zsd_config *config, const char *name)
{
	for (size_t i = 0; i < config->nr_devices; i++) {
		if (strcmp(config->devices[i].name, name) == 0)
			return true;
	}
	return false;
}

/* What can be judged only when all lines are known. Returns 0, or -EINVAL after a message. */
static int check_device(const struct reader *reader)
{
	static const char *const names[] = {[ZS_FIELD_NAME] = " name",
					    [ZS_FIELD_SIZE] = " Size",
					    [ZS_FIELD_BLOCK_SIZE] = " BlockSize",
					    [ZS_FIELD_GROUP] = " Group"};
	char reason[ZSD_REASON_BYTES];
	enum zs_device_field field = ZS_FIELD_NONE;
	const char *problem = NULL, *subject = "";

	if (has_device(reader->config, reader->device.name)) {
		problem = "there is a section for this device already; remove one of them";
	} else if (!reader->device.size_bytes) {
		problem = "no size; add a line such as Size=8G";
	} else if (zsd_options_check(&reader->device, &field, reason)) {
		problem = reason;
		subject = names[field];
	}
	if (!problem)
		return 0;
	zs_log(ZS_LOG_ERR, "%s:%" PRIu64 ": [%s]%s: %s", reader->heading_path, reader->heading_line, reader->heading,
	       subject, problem);
	return -EINVAL;
}

/* Takes the options' group over. */
static int append_device(struct zsd_config *config, struct zs_device_options *options)
{
	struct zs_device_options *devices = zs_fault() ? NULL
						       : reallocarray(config->devices, config->nr_devices + 1,
								      sizeof(*devices));
	char *name;

	if (!devices)
		return -ENOMEM;
	config->devices = devices;
	name = zs_fault() ? NULL : strdup(options->name);
	if (!name)
		return -ENOMEM;
	devices[config->nr_devices] = *options;
	devices[config->nr_devices++].name = name;
	options->group = NULL;
	return 0;
}

/*
 * sections
 */

/* Returns 0 or -ENOMEM. */
static int close_section(struct reader *reader)
{
	if (reader->kind == SECTION_GROUP)
		return append_group(reader);
	if (reader->kind != SECTION_DEVICE)
		return 0;
	if (!reader->device_failed && check_device(reader) == 0)
		return append_device(reader->config, &reader->device);
	reader->config->nr_refused++;
	return 0;
}

static enum section_kind kind_of(const char *heading)
{
	if (strcmp(heading, "Daemon") == 0)
		return SECTION_DAEMON;
	if (strcmp(heading, "Pool") == 0)
		return SECTION_POOL;
	if (strcmp(heading, "Writeback") == 0)
		return SECTION_WRITEBACK;
	if (strncmp(heading, GROUP_PREFIX, strlen(GROUP_PREFIX)) == 0)
		return SECTION_GROUP;
	if (strncmp(heading, DEVICE_PREFIX, strlen(DEVICE_PREFIX)) == 0)
		return SECTION_DEVICE;
	return SECTION_UNKNOWN;
}

/* The name in a heading. */
static char *name_behind(const struct reader *reader, const char *prefix)
{
	char *name = reader->heading + strlen(prefix);

	return name + strspn(name, BLANKS);
}

static void begin_group(struct reader *reader)
{
	reader->group = (struct zsd_config_group){.name = name_behind(reader, GROUP_PREFIX)};
	reader->seen[SECTION_GROUP] = 0;
}

static void begin_device(struct reader *reader)
{
	free((char *)reader->device.group);
	zsd_options_init(&reader->device);
	reader->device.name = name_behind(reader, DEVICE_PREFIX);
	reader->device_failed = false;
	reader->seen[SECTION_DEVICE] = 0;
}

/* Returns 0 or -ENOMEM. */
static int open_section(struct reader *reader, const char *heading)
{
	int error = close_section(reader);

	if (error)
		return error;
	free(reader->heading);
	reader->kind = SECTION_NONE;
	reader->heading = zs_fault() ? NULL : strdup(heading);
	if (!reader->heading)
		return -ENOMEM;
	reader->heading_path = reader->path;
	reader->heading_line = reader->line;
	reader->kind = kind_of(heading);
	if (reader->kind == SECTION_GROUP)
		begin_group(reader);
	if (reader->kind == SECTION_DEVICE)
		begin_device(reader);
	if (reader->kind == SECTION_UNKNOWN)
		zs_log(ZS_LOG_WARNING, "%s:%" PRIu64 ": [%s]: unknown section, ignored; see zsd.conf(5)", reader->path,
		       reader->line, heading);
	return 0;
}

/*
 * lines
 */

static void refuse_line(struct reader *reader, const char *problem)
{
	zs_log(ZS_LOG_ERR, "%s:%" PRIu64 ": %s", reader->path, reader->line, problem);
	reader->failed = true;
}

static const struct zsd_config_key *find_key(const struct zsd_config_key *keys, const char *name)
{
	for (; keys->name; keys++) {
		if (strcmp(keys->name, name) == 0)
			return keys;
	}
	return NULL;
}

/* What is wrong with a value whatever its key is, or NULL. */
static const char *bad_value(const struct reader *reader, unsigned int bit, const char *value)
{
	if (reader->seen[reader->kind] & bit)
		return "the section has this key already; remove one of them";
	if (!*value)
		return "no value; give it one, or remove the line";
	if (strstr(value, " #") || strstr(value, "\t#") || strstr(value, " ;") || strstr(value, "\t;"))
		return "a comment behind the value; put it in a line of its own";
	return NULL;
}

/* Returns 0 or -ENOMEM. */
static int set_key(struct reader *reader, const struct zsd_config_key *key, const char *value)
{
	struct zsd_config_target target = {
		.config = reader->config,
		.device = reader->kind == SECTION_DEVICE ? &reader->device : NULL,
		.group = reader->kind == SECTION_GROUP ? &reader->group : NULL,
	};
	unsigned int bit = 1u << (key - key_tables[reader->kind]);
	const char *problem = bad_value(reader, bit, value);
	char reason[ZSD_REASON_BYTES];
	int error;

	reader->seen[reader->kind] |= bit;
	if (!problem) {
		error = key->set(&target, value, reason);
		if (error != -EINVAL)
			return error;
		problem = reason;
	}
	zs_log(ZS_LOG_ERR, "%s:%" PRIu64 ": [%s] %s=%s: %s", reader->path, reader->line, reader->heading, key->name,
	       value, problem);
	if (reader->kind == SECTION_DEVICE)
		reader->device_failed = true;
	else
		reader->failed = true;
	return 0;
}

/* Returns 0, also when the line is refused, or -ENOMEM. */
static int take_assignment(struct reader *reader, const char *name, const char *value)
{
	const struct zsd_config_key *keys = key_tables[reader->kind], *key;

	if (reader->kind == SECTION_NONE)
		zs_log(ZS_LOG_WARNING, "%s:%" PRIu64 ": %s: not in a section, ignored; put it below [Daemon] or [Pool]",
		       reader->path, reader->line, name);
	if (!keys)
		return 0;
	key = find_key(keys, name);
	if (key)
		return set_key(reader, key, value);
	zs_log(ZS_LOG_WARNING, "%s:%" PRIu64 ": [%s] %s: unknown key, ignored; see zsd.conf(5)", reader->path,
	       reader->line, reader->heading, name);
	return 0;
}

/*
 * all of it
 */

/* Returns 0 or -ENOMEM. */
static int take_section(struct reader *reader, const struct zsd_config_section *section)
{
	int error = 0;

	reader->path = section->path;
	reader->line = section->line;
	if (section->heading)
		error = open_section(reader, section->heading);
	for (size_t i = 0; i < section->nr_lines && !error; i++) {
		const struct zsd_config_line *line = &section->lines[i];

		reader->path = line->path;
		reader->line = line->line;
		if (line->problem)
			refuse_line(reader, line->problem);
		else
			error = take_assignment(reader, line->key, line->value);
	}
	return error;
}

/* Returns 0, -EINVAL (refused) or -ENOMEM. */
static int take_text(struct reader *reader, const struct zsd_config_text *text)
{
	int error = 0;

	for (size_t i = 0; i < text->nr_sections && !error; i++)
		error = take_section(reader, &text->sections[i]);
	if (!error)
		error = close_section(reader);
	free((char *)reader->device.group);
	free(reader->heading);
	return !error && reader->failed ? -EINVAL : error;
}

int zsd_config_check_writeback(const struct zsd_config_writeback *writeback, char *reason, size_t size)
{
	if (writeback->stop_percent < writeback->start_percent)
		return 0;
	snprintf(reason, size, "not below StartAt=%u%%; use less, or set both", writeback->start_percent);
	return -EINVAL;
}

static void config_freep(struct zsd_config **config)
{
	zsd_config_free(*config);
}

int zsd_config_load(const char *path, bool must_exist, struct zsd_config **ret_config)
{
	ZS_CLEANUP(config_freep) struct zsd_config *config = zs_calloc(1, sizeof(*config));
	struct reader reader = {.config = config};
	char reason[ZSD_REASON_BYTES];
	int error = 0;

	if (!config)
		return -ENOMEM;
	config->log_level = ZS_LOG_INFO;
	config->compact = true;
	config->policy = (struct zsd_policy_options){
		.threshold_percent = ZSD_COMPACT_THRESHOLD_PERCENT,
		.quota_percent = ZSD_COMPACT_QUOTA_PERCENT,
	};
	config->poll_max_nsec = ZSD_POLL_DEFAULT_NSEC;
	config->recompress_sec = ZSD_RECOMPRESS_AFTER_SEC;
	config->writeback = (struct zsd_config_writeback){
		.batch_bytes = ZS_BATCH_MAX_BYTES,
		.idle_sec = ZSD_IDLE_AFTER_SEC,
		.start_percent = ZSD_START_AT_PERCENT,
		.stop_percent = ZSD_STOP_AT_PERCENT,
		.promote_reads = ZS_PROMOTE_READS_DEFAULT,
	};
	if (path)
		error = zsd_config_text_read(path, must_exist, &config->text);
	if (!error)
		error = take_text(&reader, &config->text);
	if (!error && zsd_config_check_writeback(&config->writeback, reason, sizeof(reason))) {
		zs_log(ZS_LOG_ERR, "%s: [Writeback] StopAt=%u%%: %s", path ?: "configuration",
		       config->writeback.stop_percent, reason);
		error = -EINVAL;
	}
	if (error)
		return error;
	*ret_config = zs_take(config);
	return 0;
}

void zsd_config_free(struct zsd_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->nr_groups; i++)
		free(config->groups[i].name);
	free(config->groups);
	for (size_t i = 0; i < config->nr_devices; i++) {
		free((char *)config->devices[i].group);
		free((char *)config->devices[i].name);
	}
	free(config->devices);
	free(config->mount_point);
	free(config->writeback.path);
	zsd_config_text_deinit(&config->text);
	free(config);
}
