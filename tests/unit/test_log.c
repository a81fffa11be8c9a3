/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines and their sink. */

#include <criterion/criterion.h>
#include <string.h>

#include "base/log.h"

static char last[2048];
static unsigned int calls;
static enum zs_log_level last_level;

static void keep(enum zs_log_level level, const char *line)
{
	calls++;
	last_level = level;
	cr_assert_lt(strlen(line), sizeof(last));
	strcpy(last, line);
}

Test(log, without_a_sink_lines_are_dropped)
{
	zs_log(ZS_LOG_ERR, "nobody hears %s", "this");
	zs_log_set_sink(keep, ZS_LOG_DEBUG);
	zs_log_set_sink(NULL, ZS_LOG_DEBUG);
	zs_log(ZS_LOG_ERR, "nor this");
	cr_assert_eq(calls, 0);
}

Test(log, lines_reach_the_sink_with_their_level)
{
	zs_log_set_sink(keep, ZS_LOG_DEBUG);
	zs_log(ZS_LOG_WARNING, "device=%s block=%d", "a", 7);
	cr_assert_eq(calls, 1);
	cr_assert_eq(last_level, ZS_LOG_WARNING);
	cr_assert_str_eq(last, "device=a block=7");
}

Test(log, levels_above_the_maximum_are_dropped)
{
	zs_log_set_sink(keep, ZS_LOG_NOTICE);
	zs_log(ZS_LOG_INFO, "no");
	zs_log(ZS_LOG_DEBUG, "no");
	cr_assert_eq(calls, 0);
	zs_log(ZS_LOG_NOTICE, "yes");
	zs_log(ZS_LOG_ERR, "yes");
	cr_assert_eq(calls, 2);
}

Test(log, a_line_that_is_too_long_is_cut)
{
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	zs_log_set_sink(keep, ZS_LOG_DEBUG);
	zs_log(ZS_LOG_ERR, "%s", text);
	cr_assert_eq(strspn(last, "x"), strlen(last));
	cr_assert_gt(strlen(last), 500);
}

static struct zs_event_line last_event;

static void keep_event(const struct zs_event_line *line)
{
	last_event = *line;
	keep(line->level, line->line);
}

Test(log, without_an_event_sink_events_are_lines)
{
	zs_log_set_sink(keep, ZS_LOG_NOTICE);
	zs_log_event(ZS_EVENT_NO_SPACE, ZS_LOG_WARNING, "vm0", -28, "device=%s no room", "vm0");
	cr_assert_eq(last_level, ZS_LOG_WARNING);
	cr_assert_str_eq(last, "device=vm0 no room");
	zs_log_event(ZS_EVENT_READY, ZS_LOG_INFO, NULL, 0, "ready");
	cr_assert_eq(calls, 1);
}

Test(log, an_event_sink_gets_events_and_no_other_lines)
{
	zs_log_set_sink(keep, ZS_LOG_NOTICE);
	zs_log_set_event_sink(keep_event);
	zs_log(ZS_LOG_ERR, "a line");
	cr_assert_str_eq(last, "a line");
	cr_assert_null(last_event.line);
	zs_log_event(ZS_EVENT_DAMAGED, ZS_LOG_ERR, "vm0", -5, "block %d", 7);
	cr_assert_eq(last_event.event, ZS_EVENT_DAMAGED);
	cr_assert_str_eq(last_event.device, "vm0");
	cr_assert_eq(last_event.error, -5);
	cr_assert_str_eq(last, "block 7");
	zs_log_event(ZS_EVENT_READY, ZS_LOG_INFO, NULL, 0, "too unimportant");
	cr_assert_eq(calls, 2);
}
