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

/* What a line is about, where programs may want to know. The daemon gives each an identifier for the journal. */
enum zs_event {
	ZS_EVENT_READY,
	ZS_EVENT_STOPPING,
	ZS_EVENT_DEAD_MOUNT,
	ZS_EVENT_DEVICE_ADDED,
	ZS_EVENT_DEVICE_REMOVED,
	ZS_EVENT_DEVICE_RESET,
	ZS_EVENT_DEVICE_LEFT_OUT,
	ZS_EVENT_NO_SPACE,
	ZS_EVENT_DAMAGED,
	ZS_EVENT_THREAD_HANGS,
	ZS_EVENT_BACKING_FAILS,
	ZS_NR_EVENTS,
};

struct zs_event_line {
	enum zs_event event;
	enum zs_log_level level;
	const char *device; /* the name of the device that it is about; NULL = none */
	int error;	    /* -errno; 0 = none */
	const char *line;   /* for people, complete without the fields above; no newline */
};

/* line has no newline. Called by any thread, one at a time. */
typedef void zs_log_sink(enum zs_log_level level, const char *line);

/* Lines above max_level are dropped before they are formatted. sink NULL drops all. */
void zs_log_set_sink(zs_log_sink *sink, enum zs_log_level max_level);

/* Who gets lines with an event; NULL: they go to the sink, as all others. Called as that. */
typedef void zs_event_sink(const struct zs_event_line *line);
void zs_log_set_event_sink(zs_event_sink *sink);

void zs_log(enum zs_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void zs_log_event(enum zs_event event, enum zs_log_level level, const char *device, int error, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
