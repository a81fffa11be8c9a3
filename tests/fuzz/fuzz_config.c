/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zsd.conf of any bytes. Promises:
 * - it is taken, or refused with -EINVAL; whatever is refused or left out has an error that names a file;
 * - what is taken can be used: names are sound and unique, numbers are in their ranges, sizes fit their blocks;
 * - what was read, written down as one file, is read as the same again.
 * The input is the file and its drop-ins, with a byte between them.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "config.h"
#include "config_keys.h"
#include "fuzz.h"

#define SEPARATOR 0x1e
#define NR_FILES  3

static char directory[64];
static const char *const names[NR_FILES] = {"zsd.conf", "zsd.conf.d/10-a.conf", "zsd.conf.d/20-b.conf"};
static unsigned int nr_errors;

static void path_of(char path[static 128], const char *name)
{
	snprintf(path, 128, "%s/%s", directory, name);
}

static void count_error(enum zs_log_level level, const char *line)
{
	if (level > ZS_LOG_ERR)
		return;
	zs_assert(strncmp(line, directory, strlen(directory)) == 0);
	nr_errors++;
}

static void remove_directory(void)
{
	char path[128];

	for (unsigned int i = 0; i < NR_FILES; i++) {
		path_of(path, names[i]);
		unlink(path);
	}
	path_of(path, "zsd.conf.d");
	rmdir(path);
	rmdir(directory);
}

static void make_directory(void)
{
	char path[128];

	strcpy(directory, "/tmp/zsd-fuzz.XXXXXX");
	zs_assert(mkdtemp(directory));
	path_of(path, "zsd.conf.d");
	zs_assert(mkdir(path, 0700) == 0);
	atexit(remove_directory);
	zs_log_set_sink(count_error, ZS_LOG_DEBUG);
}

static FILE *create_file(unsigned int number)
{
	char path[128];
	FILE *file;

	path_of(path, names[number]);
	file = fopen(path, "w");
	zs_assert(file);
	return file;
}

/* The parts of the input, or nothing where it has none. */
static void write_files(const uint8_t *data, size_t size)
{
	for (unsigned int i = 0; i < NR_FILES; i++) {
		const uint8_t *end = i < NR_FILES - 1 && size ? memchr(data, SEPARATOR, size) : NULL;
		size_t length = end ? (size_t)(end - data) : size;
		FILE *file = create_file(i);

		zs_assert(fwrite(data, 1, length, file) == length && fclose(file) == 0);
		data += length + !!end;
		size -= length + !!end;
	}
}

static int load(struct zsd_config **ret_config)
{
	char path[128];

	nr_errors = 0;
	path_of(path, names[0]);
	return zsd_config_load(path, true, ret_config);
}

/*
 * what is taken
 */

static void check_device(const struct zsd_config *config, size_t number)
{
	const struct zs_device_options *device = &config->devices[number];
	char reason[ZSD_REASON_BYTES];
	enum zs_device_field field;

	zs_assert(zsd_options_check(device, &field, reason) == 0);
	zs_assert(device->nr_recompress <= ZS_RECOMPRESS_CODECS && device->mode <= 0777);
	for (size_t i = 0; i < number; i++)
		zs_assert(strcmp(config->devices[i].name, device->name) != 0);
}

static void check_group(const struct zsd_config *config, size_t number)
{
	char reason[ZSD_REASON_BYTES];

	zs_assert(zsd_options_check_group(config->groups[number].name, reason) == 0);
	for (size_t i = 0; i < number; i++)
		zs_assert(strcmp(config->groups[i].name, config->groups[number].name) != 0);
}

static void check_config(const struct zsd_config *config)
{
	const struct zsd_config_writeback *writeback = &config->writeback;

	zs_assert(config->nr_threads <= ZSD_THREADS_MAX && config->log_level <= ZS_LOG_DEBUG);
	zs_assert(!config->mount_point || *config->mount_point == '/');
	zs_assert(!writeback->path || *writeback->path == '/');
	zs_assert(writeback->stop_percent < writeback->start_percent && writeback->start_percent <= 100);
	zs_assert(config->policy.threshold_percent <= 100 && config->policy.quota_percent <= 100);
	for (size_t i = 0; i < config->nr_devices; i++)
		check_device(config, i);
	for (size_t i = 0; i < config->nr_groups; i++)
		check_group(config, i);
}

/*
 * the same again
 */

/* All that was read, as one file. */
static void write_down(const struct zsd_config_text *text)
{
	FILE *file = create_file(0);

	for (size_t i = 0; i < text->nr_sections; i++) {
		const struct zsd_config_section *section = &text->sections[i];

		if (section->heading)
			fprintf(file, "[%s]\n", section->heading);
		for (size_t j = 0; j < section->nr_lines; j++)
			fprintf(file, "%s=%s\n", section->lines[j].key, section->lines[j].value);
	}
	zs_assert(fclose(file) == 0);
	for (unsigned int i = 1; i < NR_FILES; i++)
		zs_assert(fclose(create_file(i)) == 0);
}

static void check_same(const struct zsd_config *one, const struct zsd_config *two)
{
	zs_assert(one->nr_threads == two->nr_threads && one->poll_max_nsec == two->poll_max_nsec);
	zs_assert(one->memory_limit_bytes == two->memory_limit_bytes && one->compact == two->compact);
	zs_assert(one->writeback.size_bytes == two->writeback.size_bytes);
	zs_assert(!one->mount_point == !two->mount_point && one->nr_refused == two->nr_refused);
	zs_assert(one->nr_devices == two->nr_devices && one->nr_groups == two->nr_groups);
	for (size_t i = 0; i < one->nr_devices; i++) {
		zs_assert(strcmp(one->devices[i].name, two->devices[i].name) == 0);
		zs_assert(one->devices[i].size_bytes == two->devices[i].size_bytes);
		zs_assert(one->devices[i].memory_limit_bytes == two->devices[i].memory_limit_bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zsd_config *config, *again;
	int error;

	if (!*directory)
		make_directory();
	write_files(data, size);
	error = load(&config);
	zs_assert(!error || error == -EINVAL);
	zs_assert(!error || nr_errors);
	if (error)
		return 0;
	zs_assert(nr_errors >= config->nr_refused);
	check_config(config);
	write_down(&config->text);
	zs_assert(load(&again) == 0);
	check_config(again);
	check_same(config, again);
	zsd_config_free(again);
	zsd_config_free(config);
	return 0;
}
