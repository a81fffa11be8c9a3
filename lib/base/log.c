/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines. */

#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

/* A longer line is cut: the longest that we write names a device, a path and an error. */
#define LINE_BYTES 1024

static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER; /* calls of the sink; a leaf, below every ranked lock */
static zs_log_sink *log_sink;				      /* guarded by sink_lock */
static zs_event_sink *event_sink;			      /* guarded by it, too */
static _Atomic int log_max_level = -1;

void zs_log_set_sink(zs_log_sink *sink, enum zs_log_level max_level)
{
	pthread_mutex_lock(&sink_lock);
	log_sink = sink;
	pthread_mutex_unlock(&sink_lock);
	atomic_store(&log_max_level, sink ? (int)max_level : -1);
}

void zs_log_set_event_sink(zs_event_sink *sink)
{
	pthread_mutex_lock(&sink_lock);
	event_sink = sink;
	pthread_mutex_unlock(&sink_lock);
}

static bool is_wanted(enum zs_log_level level)
{
	return (int)level <= atomic_load_explicit(&log_max_level, memory_order_relaxed);
}

/* about: what the line is about; its line is not there yet. NULL: it has no event. */
__attribute__((format(printf, 3, 0))) static void log_line(enum zs_log_level level, const struct zs_event_line *about,
							   const char *format, va_list arguments)
{
	char line[LINE_BYTES];
	struct zs_event_line what;

	vsnprintf(line, sizeof(line), format, arguments);
	pthread_mutex_lock(&sink_lock);
	if (about && event_sink) {
		what = *about;
		what.line = line;
		event_sink(&what);
	} else if (log_sink) {
		log_sink(level, line);
	}
	pthread_mutex_unlock(&sink_lock);
}

void zs_log(enum zs_log_level level, const char *format, ...)
{
	va_list arguments;

	if (!is_wanted(level))
		return;
	va_start(arguments, format);
	log_line(level, NULL, format, arguments);
	va_end(arguments);
}

void zs_log_event(enum zs_event event, enum zs_log_level level, const char *device, int error, const char *format, ...)
{
	const struct zs_event_line about = {event, level, device, error, NULL};
	va_list arguments;

	if (!is_wanted(level))
		return;
	va_start(arguments, format);
	log_line(level, &about, format, arguments);
	va_end(arguments);
}
