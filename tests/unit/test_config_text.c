/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drop-ins of zsd.conf: which files are read, in which order, and what they replace. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "config.h"
#include "config_text.h"

static char directory[] = "/tmp/zsd-config-text.XXXXXX";
static char path[64];

static void write_file(const char *name, const char *text)
{
	char file[128];
	FILE *stream;

	snprintf(file, sizeof(file), "%s/%s", directory, name);
	stream = fopen(file, "w");
	cr_assert(stream);
	cr_assert_geq(fputs(text, stream), 0);
	cr_assert_eq(fclose(stream), 0);
}

static void set_up(void)
{
	char drop_ins[128];

	cr_assert(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/zsd.conf", directory);
	snprintf(drop_ins, sizeof(drop_ins), "%s.d", path);
	cr_assert_eq(mkdir(drop_ins, 0700), 0);
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	cr_assert_eq(system(command), 0);
}

TestSuite(config_text, .init = set_up, .fini = tear_down);

static void expect_value(const struct zsd_config_text *text, const char *heading, const char *key, const char *value,
			 const char *file, unsigned int number)
{
	const struct zsd_config_line *line = zsd_config_text_find(text, heading, key);

	cr_assert(line, "[%s] %s", heading, key);
	cr_expect_str_eq(line->value, value);
	cr_expect_str_eq(strrchr(line->path, '/') + 1, file);
	cr_expect_eq(line->line, number);
}

Test(config_text, a_later_file_replaces_a_key_and_adds_others)
{
	struct zsd_config_text text;

	write_file("zsd.conf", "[Pool]\nMemoryLimit=1G\nCompact=no\n[Device a]\nSize=1M\n");
	write_file("zsd.conf.d/20-b.conf", "[Device a]\nMode=0640\n[Pool]\nMemoryLimit=3G\n");
	write_file("zsd.conf.d/10-a.conf", "# first\n[Pool]\nMemoryLimit=2G\nAccounting=yes\n[Device b]\nSize=2M\n");
	cr_assert_eq(zsd_config_text_read(path, true, &text), 0);
	cr_expect_eq(text.nr_paths, 3);
	expect_value(&text, "Pool", "MemoryLimit", "3G", "20-b.conf", 4);
	expect_value(&text, "Pool", "Compact", "no", "zsd.conf", 3);
	expect_value(&text, "Pool", "Accounting", "yes", "10-a.conf", 4);
	expect_value(&text, "Device a", "Mode", "0640", "20-b.conf", 2);
	expect_value(&text, "Device b", "Size", "2M", "10-a.conf", 6);
	cr_expect_null(zsd_config_text_find(&text, "Device b", "Mode"));
	cr_expect_null(zsd_config_text_find(&text, "Device c", "Size"));
	zsd_config_text_deinit(&text);
}

Test(config_text, only_files_that_end_in_conf_and_are_not_masked_are_read)
{
	struct zsd_config_text text;
	char masked[128];

	write_file("zsd.conf.d/a.conf~", "[Pool]\nCompact=1\n");
	write_file("zsd.conf.d/.b.conf", "[Pool]\nCompact=2\n");
	write_file("zsd.conf.d/.conf", "[Pool]\nCompact=3\n");
	snprintf(masked, sizeof(masked), "%s.d/c.conf", path);
	cr_assert_eq(symlink("/dev/null", masked), 0);
	cr_assert_eq(zsd_config_text_read(path, false, &text), 0);
	cr_expect_eq(text.nr_paths, 0);
	cr_expect_eq(text.nr_sections, 0);
	zsd_config_text_deinit(&text);
	cr_expect_eq(zsd_config_text_read(path, true, &text), -ENOENT);
	zsd_config_text_deinit(&text);
}

Test(config_text, a_key_twice_in_one_file_stays_twice_for_the_reader_to_refuse)
{
	struct zsd_config *config;

	write_file("zsd.conf", "[Pool]\nCompact=no\n");
	write_file("zsd.conf.d/a.conf", "[Pool]\nCompact=auto\nCompact=auto\n");
	cr_expect_eq(zsd_config_load(path, true, &config), -EINVAL, "also of a key that an earlier file has");
	write_file("zsd.conf.d/a.conf", "[Pool]\nAccounting=yes\nAccounting=no\n");
	cr_expect_eq(zsd_config_load(path, true, &config), -EINVAL);
}

Test(config_text, a_device_may_be_completed_by_another_file)
{
	struct zsd_config *config;

	write_file("zsd.conf", "[Device a]\nSize=1M\n");
	write_file("zsd.conf.d/a.conf", "[Device a]\nMode=0640\n[Device b]\nSize=1M\n");
	cr_assert_eq(zsd_config_load(path, true, &config), 0);
	cr_assert_eq(config->nr_devices, 2);
	cr_expect_eq(config->devices[0].mode, 0640);
	cr_expect_eq(config->nr_refused, 0);
	zsd_config_free(config);
}

Test(config_text, what_a_command_sets_is_found)
{
	struct zsd_config_text text;

	write_file("zsd.conf", "[Pool]\nMemoryLimit=1G\n");
	cr_assert_eq(zsd_config_text_read(path, true, &text), 0);
	cr_assert_eq(zsd_config_text_set(&text, "Pool", "MemoryLimit", "2G"), 0);
	cr_assert_eq(zsd_config_text_set(&text, "Pool", "Compact", "no"), 0);
	cr_assert_eq(zsd_config_text_set(&text, "Device a", "Mode", "0600"), 0);
	cr_assert_eq(zsd_config_text_set(&text, "Device a", "Mode", "0640"), 0);
	cr_expect_str_eq(zsd_config_text_find(&text, "Pool", "MemoryLimit")->value, "2G");
	cr_expect_str_eq(zsd_config_text_find(&text, "Pool", "Compact")->value, "no");
	cr_expect_str_eq(zsd_config_text_find(&text, "Device a", "Mode")->value, "0640");
	cr_expect_eq(text.nr_sections, 3, "the one without a heading, and two");
	zsd_config_text_deinit(&text);
}

Test(config_text, without_memory_nothing_is_half_read)
{
	struct zsd_config_text text;
	int error = -ENOMEM;

	write_file("zsd.conf", "[Pool]\nMemoryLimit=1G\n");
	write_file("zsd.conf.d/a.conf", "[Pool]\nMemoryLimit=2G\n[Device a]\nSize=1M\n");
	for (unsigned int nth = 1; error && nth < 100; nth++) {
		zs_fault_arm(nth);
		error = zsd_config_text_read(path, true, &text);
		zs_fault_arm(0);
		cr_assert(!error || error == -ENOMEM, "%d", error);
		zsd_config_text_deinit(&text);
	}
	cr_expect_eq(error, 0);
}
