#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines. The library hands them to a sink and never writes to a descriptor by itself; without a sink they are
 * dropped. One line an event, at the place that decides, never on the path of a healthy request.
 */

enum zs_log_level {
	/* The numbers are syslog's (RFC 5424, section 6.2.1), as sd-daemon prefixes use them. */
	ZS_LOG_ERR = 3,
	ZS_LOG_WARNING = 4,
	ZS_LOG_NOTICE = 5,
	ZS_LOG_INFO = 6,
	ZS_LOG_DEBUG = 7,
};

/* line has no newline. Called by any thread, one at a time. */
typedef void zs_log_sink(enum zs_log_level level, const char *line);

/* Lines above max_level are dropped before they are formatted. sink NULL drops all. */
void zs_log_set_sink(zs_log_sink *sink, enum zs_log_level max_level);

void zs_log(enum zs_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
