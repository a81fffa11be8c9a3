/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* [Writeback] of zsd.conf: values that must agree. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "config.h"
#include "support/config_file.h"

TestSuite(config_cold, .init = test_config_set_up, .fini = test_config_tear_down);

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
		*test_config_lines = 0;
		cr_expect_eq(test_config_load(bad[i], &config), -EINVAL, "%s", bad[i]);
		cr_expect(strstr(test_config_lines, "%: not below StartAt="), "%s: %s", bad[i], test_config_lines);
	}
	cr_assert_eq(test_config_load("[Writeback]\nStartAt=2%\nStopAt=1%\nPromoteAfter=never\n", &config), 0);
	cr_expect_eq(config->writeback.start_percent, 2);
	cr_expect_eq(config->writeback.stop_percent, 1);
	cr_expect_eq(config->writeback.promote_reads, 0);
	zsd_config_free(config);
	cr_assert_eq(test_config_load("[Writeback]\nStartAt=81%\nPromoteAfter=255\n", &config), 0);
	cr_expect_eq(config->writeback.promote_reads, 255);
	zsd_config_free(config);
}

Test(config_cold, every_limit_may_be_none)
{
	static const char text[] = "[Writeback]\nSize=none\nDailyLimit=none\nTotalLimit=none\n"
				   "[Group g]\nMemoryLimit=none\n[Device d]\nSize=8M\nMemoryLimit=none\n";
	struct zsd_config *config;

	cr_assert_eq(test_config_load(text, &config), 0, "%s", test_config_lines);
	cr_expect_eq(config->writeback.size_bytes, 0);
	cr_expect_eq(config->writeback.day_bytes, 0);
	cr_expect_eq(config->writeback.total_bytes, 0);
	cr_expect_eq(config->groups[0].memory_limit_bytes, 0);
	cr_expect_eq(config->devices[0].memory_limit_bytes, 0);
	zsd_config_free(config);
}

Test(config_cold, bad_values_are_named)
{
	static const char *const bad[] = {"PromoteAfter=0", "PromoteAfter=256", "PromoteAfter=often", "StartAt=98%",
					  "StopAt=0%",	    "IdleAfter=4d",	"DailyLimit=8",	      "Size=0B",
					  "Encrypt=maybe",  "Backing=relative", "TotalLimit=8",	      "TotalLimit=0B",
					  "BatchSize=1",    "BatchSize=255K",	"BatchSize=4097K",    "BatchSize=0B"};
	struct zsd_config *config;
	char text[64];

	for (size_t i = 0; i < ZS_ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), "[Writeback]\n%s\n", bad[i]);
		cr_expect_eq(test_config_load(text, &config), -EINVAL, "%s", bad[i]);
		cr_expect(strstr(test_config_lines, bad[i]), "%s: %s", bad[i], test_config_lines);
		cr_expect(strstr(test_config_lines, ":2: [Writeback] "), "%s: %s", bad[i], test_config_lines);
	}
}
