/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration file for tests. */

#include "support/config_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

char test_config_path[64];
char test_config_lines[TEST_CONFIG_ROOM];

static void keep_line(enum zs_log_level level, const char *line)
{
	size_t used = strlen(test_config_lines);

	snprintf(test_config_lines + used, sizeof(test_config_lines) - used, "<%d>%s\n", level, line);
}

void test_config_set_up(void)
{
	int fd;

	snprintf(test_config_path, sizeof(test_config_path), "/tmp/zsd-config.XXXXXX");
	fd = mkstemp(test_config_path);
	zs_assert(fd >= 0);
	close(fd);
	zs_log_set_sink(keep_line, ZS_LOG_DEBUG);
}

void test_config_tear_down(void)
{
	unlink(test_config_path);
}

void test_config_write(const char *text)
{
	FILE *file = fopen(test_config_path, "w");

	zs_assert(file);
	zs_assert(fputs(text, file) >= 0);
	zs_assert(!fclose(file));
}

int test_config_load(const char *text, struct zsd_config **ret_config)
{
	test_config_write(text);
	test_config_lines[0] = 0;
	return zsd_config_load(test_config_path, true, ret_config);
}
