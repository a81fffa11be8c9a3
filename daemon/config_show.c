/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checking and printing the configuration. */

#include "config_show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "config.h"
#include "daemon.h"
#include "paths.h"

static void config_freep(struct zsd_config **config)
{
	zsd_config_free(*config);
}

static int load(const struct zsd_options *options, struct zsd_config **ret_config)
{
	ZS_CLEANUP_FREE char *path = NULL;
	int error = zsd_path_chosen_config(options->config_path, options->no_config, &path);

	return error ?: zsd_config_load(path, options->config_path, ret_config);
}

int zsd_config_check(const struct zsd_options *options)
{
	ZS_CLEANUP(config_freep) struct zsd_config *config = NULL;
	int error = load(options, &config);

	if (error)
		return error;
	return config->nr_refused ? -EINVAL : 0;
}

static void show_section(const struct zsd_config_section *section, bool origins)
{
	for (size_t i = 0; i < section->nr_lines; i++) {
		const struct zsd_config_line *line = &section->lines[i];

		if (!line->key)
			continue;
		printf("%s.%s=%s", section->heading, line->key, line->value);
		if (origins)
			printf("  # %s:%" PRIu64, line->path, line->line);
		putchar('\n');
	}
}

int zsd_config_show(const struct zsd_options *options, bool origins)
{
	ZS_CLEANUP(config_freep) struct zsd_config *config = NULL;
	int error = load(options, &config);

	if (error)
		return error;
	for (size_t i = 0; i < config->text.nr_sections; i++) {
		if (config->text.sections[i].heading)
			show_section(&config->text.sections[i], origins);
	}
	return 0;
}
