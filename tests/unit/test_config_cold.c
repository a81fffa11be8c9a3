/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* [Writeback] of zsd.conf: values that must agree. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "config.h"

#define ROOM 4096

static char path[64];
static char lines[ROOM]; /* all log lines since the last load, each with its level and a newline */

static void keep_line(enum zs_log_level level, const char *line)
{
	size_t used = strlen(lines);

	snprintf(lines + used, sizeof(lines) - used, "<%d>%s\n", level, line);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

static int load(const char *text, struct zsd_config **ret_config)
{
	write_file(text);
	lines[0] = 0;
	return zsd_config_load(path, true, ret_config);
}

static void set_up(void)
{
	int fd;

	strcpy(path, "/tmp/zsd-config.XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	zs_log_set_sink(keep_line, ZS_LOG_DEBUG);
}

static void tear_down(void)
{
	unlink(path);
}

TestSuite(config_cold, .init = set_up, .fini = tear_down);

Test(config_cold, the_lower_mark_of_writeback_is_below_the_upper_one)
{
	static const char *const bad[] = {
		"[Writeback]\nStartAt=50%\nStopAt=50%\n",
		"[Writeback]\nStartAt=50%\nStopAt=51%\n",
		/* The other one has its default. */
		"[Writeback]\nStartAt=80%\n",
		"[Writeback]\nStopAt=90%\n",
	};
	struct zsd_config *config;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(bad); i++) {
		*lines = 0;
		cr_expect_eq(load(bad[i], &config), -EINVAL, "%s", bad[i]);
		cr_expect(strstr(lines, "%: not below StartAt="), "%s: %s", bad[i], lines);
	}
	cr_assert_eq(load("[Writeback]\nStartAt=2%\nStopAt=1%\nPromoteAfter=never\n", &config), 0);
	cr_expect_eq(config->writeback.start_percent, 2);
	cr_expect_eq(config->writeback.stop_percent, 1);
	cr_expect_eq(config->writeback.promote_reads, 0);
	zsd_config_free(config);
	cr_assert_eq(load("[Writeback]\nStartAt=81%\nPromoteAfter=255\n", &config), 0);
	cr_expect_eq(config->writeback.promote_reads, 255);
	zsd_config_free(config);
}

Test(config_cold, bad_values_are_named)
{
	static const char *const bad[] = {"PromoteAfter=0", "PromoteAfter=256", "PromoteAfter=often", "StartAt=98%",
					  "StopAt=0%",	    "IdleAfter=4d",	"DailyLimit=8",	      "Size=0B",
					  "Encrypt=maybe",  "Backing=relative"};
	struct zsd_config *config;
	char text[64];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), "[Writeback]\n%s\n", bad[i]);
		cr_expect_eq(load(text, &config), -EINVAL, "%s", bad[i]);
		cr_expect(strstr(lines, bad[i]), "%s: %s", bad[i], lines);
		cr_expect(strstr(lines, ":2: [Writeback] "), "%s: %s", bad[i], lines);
	}
}
