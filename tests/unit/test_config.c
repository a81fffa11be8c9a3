/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zsd.conf: what is taken, what is refused, and what is said about it. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "config.h"
#include "support/config_file.h"

TestSuite(config, .init = test_config_set_up, .fini = test_config_tear_down);

/* The message must name the file, the line and what is wrong. */
static void expect_line(int level, unsigned int number, const char *text)
{
	char expected[256];

	snprintf(expected, sizeof(expected), "<%d>%s:%u: %s", level, test_config_path, number, text);
	cr_expect(strstr(test_config_lines, expected), "expected '%s' in '%s'", expected, test_config_lines);
}

Test(config, an_empty_file_and_a_missing_one_give_the_defaults)
{
	struct zsd_config *config;

	cr_assert_eq(test_config_load("", &config), 0);
	cr_expect_eq(config->nr_threads, 0);
	cr_expect_eq(config->transport, ZSD_TRANSPORT_CLASSIC);
	cr_expect_eq(config->poll_max_nsec, 50000);
	cr_expect_null(config->mount_point);
	cr_expect_eq(config->log_level, ZS_LOG_INFO);
	cr_expect_eq(config->memory_limit_bytes, 0);
	cr_expect_eq(config->nr_devices + config->nr_refused + config->nr_groups, 0);
	cr_expect_not(config->accounting);
	zsd_config_free(config);
	cr_assert_eq(unlink(test_config_path), 0);
	cr_assert_eq(zsd_config_load(test_config_path, false, &config), 0);
	zsd_config_free(config);
	cr_assert_eq(zsd_config_load(NULL, false, &config), 0);
	zsd_config_free(config);
	cr_expect_str_eq(test_config_lines, "");
	cr_expect_eq(zsd_config_load(test_config_path, true, &config), -ENOENT);
	cr_expect(strstr(test_config_lines, test_config_path));
}

Test(config, all_keys_are_taken)
{
	struct zsd_config *config;
	const struct zs_device_options *device;

	cr_assert_eq(test_config_load("# comment\n"
				      "; comment\n"
				      "[Daemon]\n"
				      "Threads=256\n"
				      "Transport=auto\n"
				      "PollMax=20us\n"
				      "  MountPoint = /srv/a b\n"
				      "LogLevel=debug\n"
				      "\n"
				      "[Device vm 0]\n"
				      "Size=8G\n"
				      "Algorithm=zstd:9\n"
				      "BlockSize=16K\n"
				      "MemoryLimit=2G\n"
				      "Mode=0660\n"
				      "ReadOnly=yes\n"
				      "Owner=1234:5678\n"
				      "Group=all vms\n"
				      "Cache=kernel\n"
				      "[Pool]\n"
				      "MemoryLimit=4G\n"
				      "Accounting=yes\n"
				      "[Group all vms]\n"
				      "MemoryLimit=3G\n"
				      "[Device b]\n"
				      "Size=4K\n",
				      &config),
		     0);
	cr_expect_str_eq(test_config_lines, "");
	cr_expect_eq(config->nr_threads, 256);
	cr_expect_eq(config->transport, ZSD_TRANSPORT_AUTO);
	cr_expect_eq(config->poll_max_nsec, 20000);
	cr_expect_str_eq(config->mount_point, "/srv/a b");
	cr_expect_eq(config->log_level, ZS_LOG_DEBUG);
	cr_expect_eq(config->memory_limit_bytes, UINT64_C(4) << 30);
	cr_assert_eq(config->nr_devices, 2);
	cr_expect_eq(config->nr_refused, 0);
	device = &config->devices[0];
	cr_expect_str_eq(device->name, "vm 0");
	cr_expect_eq(device->size_bytes, UINT64_C(8) << 30);
	cr_expect_eq(device->block_size, 16384);
	cr_expect_eq(device->codec.codec, ZS_CODEC_ZSTD);
	cr_expect_eq(device->codec.level, 9);
	cr_expect_eq(device->memory_limit_bytes, UINT64_C(2) << 30);
	cr_expect_eq(device->mode, 0660);
	cr_expect_eq(device->uid, 1234);
	cr_expect_eq(device->gid, 5678);
	cr_expect_str_eq(device->group, "all vms");
	cr_expect(device->page_cache);
	cr_expect(device->read_only);
	cr_expect(config->accounting);
	cr_assert_eq(config->nr_groups, 1);
	cr_expect_str_eq(config->groups[0].name, "all vms");
	cr_expect_eq(config->groups[0].memory_limit_bytes, UINT64_C(3) << 30);
	device = &config->devices[1];
	cr_expect_str_eq(device->name, "b");
	cr_expect_not(device->page_cache);
	cr_expect_not(device->read_only);
	cr_expect_eq(device->size_bytes, 4096);
	cr_expect_eq(device->block_size, 4096);
	cr_expect_eq(device->codec.codec, ZS_CODEC_LZ4);
	cr_expect_eq(device->uid, geteuid());
	cr_expect_null(device->group);
	zsd_config_free(config);
}

Test(config, an_owner_may_be_a_name)
{
	struct zsd_config *config;

	cr_assert_eq(
		test_config_load("[Device a]\nSize=4K\nOwner=root\n[Device b]\nSize=4K\nOwner=root:root\n", &config),
		0);
	cr_expect_str_eq(test_config_lines, "");
	cr_assert_eq(config->nr_devices, 2);
	cr_expect_eq(config->devices[0].uid, 0);
	cr_expect_eq(config->devices[1].gid, 0);
	zsd_config_free(config);
}

Test(config, a_part_of_the_memory_is_a_limit)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	struct zsd_config *config;

	cr_assert_eq(test_config_load("[Pool]\nMemoryLimit=50%\n", &config), 0);
	cr_expect_gt(config->memory_limit_bytes, memory / 2 - 65536 - 100);
	cr_expect_leq(config->memory_limit_bytes, memory / 2);
	zsd_config_free(config);
}

Test(config, an_amount_of_memory_is_the_lesser_or_the_greater_of_two)
{
	struct zsd_config *config;

	cr_assert_eq(test_config_load("[Pool]\nMemoryLimit=min(100%, 64M)\n"
				      "[Group g]\nMemoryLimit=max( 32M ,16M )\n"
				      "[Device a]\nSize=min(1G,512M)\nMemoryLimit=max(1M, 1%)\n"
				      "[Device b]\nSize=25%\nBlockSize=64K\n",
				      &config),
		     0);
	cr_expect_eq(config->memory_limit_bytes, 64 << 20);
	cr_expect_eq(config->groups[0].memory_limit_bytes, 32 << 20);
	cr_assert_eq(config->nr_devices, 2);
	cr_expect_eq(config->devices[0].size_bytes, 512 << 20);
	cr_expect_gt(config->devices[0].memory_limit_bytes, 1 << 20);
	cr_expect_gt(config->devices[1].size_bytes, 0);
	cr_expect_eq(config->devices[1].size_bytes % (64 << 10), 0);
	zsd_config_free(config);
}

Test(config, devices_share_zspages_unless_told_otherwise)
{
	struct zsd_config *config;

	cr_assert_eq(test_config_load("[Pool]\n", &config), 0);
	cr_expect_not(config->pool_per_device);
	zsd_config_free(config);
	cr_assert_eq(test_config_load("[Pool]\nPoolMode=per-device\n", &config), 0);
	cr_expect(config->pool_per_device);
	zsd_config_free(config);
	cr_assert_eq(test_config_load("[Pool]\nPoolMode=singleton\n", &config), 0);
	cr_expect_not(config->pool_per_device);
	zsd_config_free(config);
}

Test(config, compaction_is_automatic_unless_told_otherwise)
{
	struct zsd_config *config;

	cr_assert_eq(test_config_load("[Pool]\n", &config), 0);
	cr_expect(config->compact);
	cr_expect_eq(config->policy.threshold_percent, ZSD_COMPACT_THRESHOLD_PERCENT);
	cr_expect_eq(config->policy.quota_percent, ZSD_COMPACT_QUOTA_PERCENT);
	zsd_config_free(config);
	cr_assert_eq(test_config_load("[Pool]\nCompact=no\nCompactThreshold=90%\nCompactQuota=100%\n", &config), 0);
	cr_expect_not(config->compact);
	cr_expect_eq(config->policy.threshold_percent, 90);
	cr_expect_eq(config->policy.quota_percent, 100);
	zsd_config_free(config);
	cr_assert_eq(test_config_load("[Pool]\nCompact=auto\nCompactThreshold=1%\nCompactQuota=1%\n", &config), 0);
	cr_expect(config->compact);
	cr_expect_eq(config->policy.threshold_percent, 1);
	cr_expect_eq(config->policy.quota_percent, 1);
	zsd_config_free(config);
}

Test(config, a_time_to_poll_has_a_unit_unless_it_is_0)
{
	static const struct {
		const char *text;
		uint64_t nsec;
	} cases[] = {{"0", 0}, {"0us", 0}, {"1us", 1000}, {"1000us", 1000000}, {"1ms", 1000000}};
	uint64_t nsec;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		cr_expect_eq(zsd_poll_parse(cases[i].text, &nsec), 0, "%s", cases[i].text);
		cr_expect_eq(nsec, cases[i].nsec, "%s", cases[i].text);
	}
}

Test(config, a_bad_value_of_the_daemon_refuses_the_file)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{"[Daemon]\nThreads=0\n", "[Daemon] Threads=0: not a number of threads; use 1 to 256"},
		{"[Daemon]\nThreads=257\n", "[Daemon] Threads=257: "},
		{"[Daemon]\nThreads=-1\n", "[Daemon] Threads=-1: "},
		{"[Daemon]\nThreads=4x\n", "[Daemon] Threads=4x: "},
		{"[Daemon]\nThreads=99999999999\n", "[Daemon] Threads=99999999999: "},
		{"[Daemon]\nThreads=\n", "[Daemon] Threads=: no value"},
		{"[Daemon]\nMountPoint=mnt\n", "[Daemon] MountPoint=mnt: not an absolute path"},
		{"[Daemon]\nLogLevel=loud\n", "[Daemon] LogLevel=loud: no such level; use err, "},
		{"[Daemon]\nTransport=fast\n", "[Daemon] Transport=fast: no such transport; use classic, "},
		{"[Daemon]\nPollMax=50\n", "[Daemon] PollMax=50: not a time to poll; use 0, or 1us to 1000us"},
		{"[Daemon]\nPollMax=1001us\n", "[Daemon] PollMax=1001us: not a time"},
		{"[Daemon]\nPollMax=2ms\n", "[Daemon] PollMax=2ms: not a time"},
		{"[Daemon]\nPollMax=99999999999999999999us\n", "[Daemon] PollMax=99999999999999999999us: not a time"},
		{"[Daemon]\nPollMax=-1us\n", "[Daemon] PollMax=-1us: not a time"},
		{"[Daemon]\nPollMax=us\n", "[Daemon] PollMax=us: not a time"},
		{"[Pool]\nMemoryLimit=4\n", "[Pool] MemoryLimit=4: a size without a unit; did you mean 4G?"},
		{"[Pool]\nMemoryLimit=0B\n", "[Pool] MemoryLimit=0B: no room"},
		{"[Pool]\nMemoryLimit=0%\n", "[Pool] MemoryLimit=0%: not a part of the memory; use 1% to 100%"},
		{"[Pool]\nMemoryLimit=101%\n", "[Pool] MemoryLimit=101%: "},
		{"[Pool]\nMemoryLimit=1000000%\n", "[Pool] MemoryLimit=1000000%: "},
		{"[Pool]\nMemoryLimit=%\n", "[Pool] MemoryLimit=%: "},
		{"[Pool]\nMemoryLimit=5%%\n", "[Pool] MemoryLimit=5%%: not a part of the memory"},
		{"[Pool]\nMemoryLimit=min(50%, 4)\n",
		 "[Pool] MemoryLimit=min(50%, 4): a size without a unit; did you mean 4G?"},
		{"[Pool]\nMemoryLimit=min(0%, 4G)\n", "[Pool] MemoryLimit=min(0%, 4G): not a part of the memory"},
		{"[Pool]\nMemoryLimit=min(4G)\n", "[Pool] MemoryLimit=min(4G): not two amounts"},
		{"[Pool]\nMemoryLimit=max(4G, 2G\n", "[Pool] MemoryLimit=max(4G, 2G: not two amounts"},
		{"[Pool]\nMemoryLimit=max(\n", "[Pool] MemoryLimit=max(: not two amounts"},
		{"[Pool]\nMemoryLimit=max(1G, 2G, 3G)\n", "[Pool] MemoryLimit=max(1G, 2G, 3G): not two amounts"},
		{"[Pool]\nMemoryLimit=max(min(1G, 2G), 3G)\n", "[Pool] MemoryLimit=max(min(1G, 2G), 3G): not two"},
		{"[Pool]\nMemoryLimit=min(, 1G)\n", "[Pool] MemoryLimit=min(, 1G): not a size"},
		{"[Pool]\nMemoryLimit=avg(1G, 2G)\n", "[Pool] MemoryLimit=avg(1G, 2G): not a size"},
		{"[Group a]\nMemoryLimit=min(0B, 1G)\n", "[Group a] MemoryLimit=min(0B, 1G): no room"},
		{"[Pool]\nPoolMode=shared\n", "[Pool] PoolMode=shared: no such mode; use singleton or per-device"},
		{"[Pool]\nPoolMode=Singleton\n", "[Pool] PoolMode=Singleton: "},
		{"[Pool]\nCompact=yes\n", "[Pool] Compact=yes: no such policy; use auto or no"},
		{"[Pool]\nCompactThreshold=10\n", "[Pool] CompactThreshold=10: not a part of the pool; use 1% to 90%"},
		{"[Pool]\nCompactThreshold=0%\n", "[Pool] CompactThreshold=0%: "},
		{"[Pool]\nCompactThreshold=91%\n", "[Pool] CompactThreshold=91%: "},
		{"[Pool]\nCompactThreshold=%\n", "[Pool] CompactThreshold=%: "},
		{"[Pool]\nCompactQuota=0%\n", "[Pool] CompactQuota=0%: not a part of a CPU; use 1% to 100%"},
		{"[Pool]\nCompactQuota=101%\n", "[Pool] CompactQuota=101%: "},
		{"[Pool]\nCompactQuota=1000%\n", "[Pool] CompactQuota=1000%: "},
		{"[Pool]\nMemoryLimit=8192P\n", "[Pool] MemoryLimit=8192P: too large"},
		{"[Pool]\nMemoryLimit=lots\n", "[Pool] MemoryLimit=lots: not a size"},
		{"[Pool]\nAccounting=1\n", "[Pool] Accounting=1: neither yes nor no"},
		{"[Group a]\nMemoryLimit=0B\n", "[Group a] MemoryLimit=0B: no room"},
		{"[Group a]\nMemoryLimit=2\n", "[Group a] MemoryLimit=2: a size without a unit; did you mean 2G?"},
		{"\n[Group a/b]\nMemoryLimit=1G\n", "[Group a/b]: not a group name; use 1 to 64 bytes"},
		{"[Group a]\n[Group a]\n", "[Group a]: there is a section for this group already"},
		{"[Pool]\nMemoryLimit=1G # half\n", "[Pool] MemoryLimit=1G # half: a comment behind the value"},
	};
	struct zsd_config *config;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		cr_expect_eq(test_config_load(cases[i].text, &config), -EINVAL, "%s", cases[i].text);
		expect_line(ZS_LOG_ERR, 2, cases[i].message);
	}
}

Test(config, a_key_twice_is_refused)
{
	struct zsd_config *config;

	cr_expect_eq(test_config_load("[Daemon]\nThreads=4\nLogLevel=info\nThreads=4\n", &config), -EINVAL);
	expect_line(ZS_LOG_ERR, 4, "[Daemon] Threads=4: the section has this key already");
	/* Two headings, one section. */
	cr_expect_eq(test_config_load("[Daemon]\nThreads=4\n[Pool]\n[Daemon]\nThreads=5\n", &config), -EINVAL);
	expect_line(ZS_LOG_ERR, 5, "[Daemon] Threads=5: the section has this key already");
}

/* libeconf 0.5.1 loses the second of two keys with one name, also when they are in different sections. */
Test(config, keys_of_one_name_in_neighbouring_sections_are_all_taken)
{
	struct zsd_config *config;

	cr_assert_eq(test_config_load("[Device a]\nSize=4K\n[Device b]\nSize=8K\n[Device c]\nSize=12K\n", &config), 0);
	cr_assert_eq(config->nr_devices, 3);
	cr_expect_eq(config->devices[1].size_bytes, 8192);
	cr_expect_eq(config->devices[2].size_bytes, 12288);
	zsd_config_free(config);
}

Test(config, blanks_and_line_ends_do_not_matter)
{
	struct zsd_config *config;

	cr_assert_eq(test_config_load("\t[ Daemon ]\r\n  Threads\t=  4 \r\n\r\n[Device   a b ]\n Size = 4 K", &config),
		     0);
	cr_expect_str_eq(test_config_lines, "");
	cr_expect_eq(config->nr_threads, 4);
	cr_assert_eq(config->nr_devices, 1);
	cr_expect_str_eq(config->devices[0].name, "a b");
	cr_expect_eq(config->devices[0].size_bytes, 4096);
	zsd_config_free(config);
}

Test(config, a_bad_device_is_left_out_and_the_others_load)
{
	static const struct {
		const char *lines;
		unsigned int line;
		const char *message;
	} cases[] = {
		{"Size=8\n", 4, "[Device x] Size=8: a size without a unit; did you mean 8G?"},
		{"Size=0B\n", 3, "[Device x]: no size"},
		{"Size=5000B\n", 3,
		 "[Device x] Size: not a multiple of the block size, 4096 bytes; the next one is 8192"},
		{"Size=-1G\n", 4, "[Device x] Size=-1G: not a size"},
		{"Mode=0600\n", 3, "[Device x]: no size; add a line such as Size=8G"},
		{"Size=8G # half\n", 4, "[Device x] Size=8G # half: a comment behind the value"},
		{"Size=8G\nMode=0600 ; all\n", 5, "[Device x] Mode=0600 ; all: a comment behind the value"},
		{"Size=8G\nSize=4G\n", 5, "[Device x] Size=4G: the section has this key already"},
		{"Size=8G\nAlgorithm=lzo\n", 5, "[Device x] Algorithm=lzo: no such algorithm; use lz4"},
		{"Size=8G\nAlgorithm=zstd:99\n", 5,
		 "[Device x] Algorithm=zstd:99: level out of range; use zstd:-7 to zstd:22"},
		{"Size=8G\nAlgorithm=lz4:\n", 5, "[Device x] Algorithm=lz4:: no number"},
		{"Size=8G\nBlockSize=5K\n", 3, "[Device x] BlockSize: not a block size; use 4K"},
		{"Size=8G\nBlockSize=4\n", 5, "[Device x] BlockSize=4: a size without a unit"},
		{"Size=8G\nBlockSize=4097G\n", 3, "[Device x] BlockSize: not a block size"},
		{"Size=8G\nBlockSize=128K\n", 3, "[Device x] BlockSize: not a block size"},
		{"Size=8G\nMemoryLimit=0B\n", 5, "[Device x] MemoryLimit=0B: no room for any data"},
		{"Size=8G\nMode=888\n", 5, "[Device x] Mode=888: not a file mode"},
		{"Size=8G\nMode=01777\n", 5, "[Device x] Mode=01777: "},
		{"Size=8G\nMode=0000\n", 5, "[Device x] Mode=0000: "},
		{"Size=8G\nOwner=no-such-user\n", 5, "[Device x] Owner=no-such-user: no such user"},
		{"Size=8G\nOwner=0:no-such-group\n", 5, "[Device x] Owner=0:no-such-group: no such group"},
		{"Size=8G\nOwner=:0\n", 5, "[Device x] Owner=:0: not an owner"},
		{"Size=8G\nOwner=0:\n", 5, "[Device x] Owner=0:: not an owner"},
		{"Size=8G\nOwner=4294967295\n", 5, "[Device x] Owner=4294967295: no such user"},
		{"Size=8G\nGroup=a.b\n", 5, "[Device x] Group=a.b: not a group name; use 1 to 64 bytes"},
		{"Size=8G\nCache=yes\n", 5, "[Device x] Cache=yes: no such cache; use none or kernel"},
		{"Group=a\n", 3, "[Device x]: no size"},
		{"", 3, "[Device x]: no size"},
	};
	struct zsd_config *config;
	char text[512];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		snprintf(text, sizeof(text), "[Device a]\nSize=4K\n[Device x]\n%s[Device b]\nSize=8K\n",
			 cases[i].lines);
		cr_assert_eq(test_config_load(text, &config), 0, "%s", text);
		cr_expect_eq(config->nr_refused, 1, "%s", text);
		cr_assert_eq(config->nr_devices, 2, "%s", text);
		cr_expect_str_eq(config->devices[0].name, "a");
		cr_expect_str_eq(config->devices[1].name, "b");
		expect_line(ZS_LOG_ERR, cases[i].line, cases[i].message);
		zsd_config_free(config);
	}
}

Test(config, a_bad_name_is_left_out)
{
	static const char *const names[] = {"a/b", "a.b", ".", "\x7f",
					    "0123456789012345678901234567890123456789012345678901234567890123x"};
	struct zsd_config *config;
	char text[256];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(names); i++) {
		snprintf(text, sizeof(text), "[Device %s]\nSize=4K\n", names[i]);
		cr_assert_eq(test_config_load(text, &config), 0, "%s", text);
		cr_expect_eq(config->nr_devices, 0, "%s", text);
		cr_expect_eq(config->nr_refused, 1, "%s", text);
		cr_expect(strstr(test_config_lines, " name: not a device name; use 1 to 64 bytes"), "%s",
			  test_config_lines);
		zsd_config_free(config);
	}
}

Test(config, all_errors_of_a_section_are_told)
{
	struct zsd_config *config;

	cr_assert_eq(test_config_load("[Device x]\nSize=8\nMode=9\nOwner=\n", &config), 0);
	expect_line(ZS_LOG_ERR, 2, "[Device x] Size=8: ");
	expect_line(ZS_LOG_ERR, 3, "[Device x] Mode=9: ");
	expect_line(ZS_LOG_ERR, 4, "[Device x] Owner=: no value");
	cr_expect_eq(config->nr_refused, 1);
	zsd_config_free(config);
}

Test(config, a_device_twice_keeps_the_first)
{
	struct zsd_config *config;

	cr_assert_eq(test_config_load("[Device a]\nSize=4K\n[Device  a]\nSize=8K\n", &config), 0);
	cr_assert_eq(config->nr_devices, 1);
	cr_expect_eq(config->devices[0].size_bytes, 4096);
	cr_expect_eq(config->nr_refused, 1);
	expect_line(ZS_LOG_ERR, 3, "[Device  a]: there is a section for this device already");
	zsd_config_free(config);
}

Test(config, what_is_unknown_is_a_warning)
{
	struct zsd_config *config;

	cr_assert_eq(
		test_config_load("Stray=1\n[Daemon]\nThreds=4\n[Future]\nSize=10G\n[Device a]\nSize=4K\nColour=red\n",
				 &config),
		0);
	expect_line(ZS_LOG_WARNING, 1, "Stray: not in a section");
	expect_line(ZS_LOG_WARNING, 3, "[Daemon] Threds: unknown key, ignored");
	expect_line(ZS_LOG_WARNING, 4, "[Future]: unknown section, ignored");
	expect_line(ZS_LOG_WARNING, 8, "[Device a] Colour: unknown key, ignored");
	cr_expect_eq(config->nr_threads, 0);
	cr_expect_eq(config->nr_devices, 1);
	cr_expect_eq(config->nr_refused, 0);
	zsd_config_free(config);
}

Test(config, what_is_no_configuration_is_refused_with_its_line)
{
	static const struct {
		const char *text;
		unsigned int line;
	} cases[] = {
		{"stray text\n", 1}, {"[Daemon]\nThreads 4\n", 2}, {"[Daemon\n", 1},
		{"=4\n", 1},	     {"[Daemon] x\n", 1},	   {"#\n\n\x01\x02\xff\n", 3},
	};
	struct zsd_config *config;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		cr_expect_eq(test_config_load(cases[i].text, &config), -EINVAL, "%s", cases[i].text);
		expect_line(ZS_LOG_ERR, cases[i].line, "");
	}
}

Test(config, a_nul_byte_is_refused)
{
	static const char text[] = "[Daemon]\nThreads=4\0 0\n";
	struct zsd_config *config;
	FILE *file = fopen(test_config_path, "w");

	cr_assert(file);
	cr_assert_eq(fwrite(text, sizeof(text) - 1, 1, file), 1);
	cr_assert_eq(fclose(file), 0);
	cr_expect_eq(zsd_config_load(test_config_path, true, &config), -EINVAL);
	expect_line(ZS_LOG_ERR, 2, "a NUL byte");
}

Test(config, what_is_no_file_is_refused)
{
	struct zsd_config *config;

	cr_expect_eq(zsd_config_load("/tmp", true, &config), -EINVAL);
	cr_expect_eq(zsd_config_load("/dev/null", true, &config), -EINVAL);
	cr_expect_eq(zsd_config_load("/dev/null/x", false, &config), -ENOTDIR);
}

Test(config, without_memory_loading_fails_and_leaks_nothing)
{
	static const char text[] = "[Daemon]\nMountPoint=/a\n[Group g]\nMemoryLimit=1G\n"
				   "[Device a]\nGroup=g\nSize=4K\n[Device x]\nGroup=g\n[Device b]\nSize=4K\n";
	struct zsd_config *config;
	uint64_t nth = 0;
	int error;

	do {
		test_config_write(text);
		zs_fault_arm(++nth);
		error = zsd_config_load(test_config_path, true, &config);
		zs_fault_arm(0);
		cr_assert(!error || error == -ENOMEM, "%d", error);
	} while (error);
	cr_expect_eq(config->nr_devices, 2);
	cr_expect_eq(config->nr_groups, 1);
	cr_expect_gt(nth, 8);
	zsd_config_free(config);
}
