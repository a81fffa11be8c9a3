/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The status line.
 *
 *   state     waits for                                        next
 *   watching  the first I/O, or zsd_status_changed()           pending
 *   pending   the timer, 10 seconds after the last line sent   watching, after sending the line if it differs
 */

#include "status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/size.h"
#include "figures.h"
#include "frontend.h"
#include "notify.h"
#include "service_internal.h"
#include "store/store.h"

#define INTERVAL_USEC (UINT64_C(10) * 1000000)
/* The kernel may wait that much longer, to wake up for several timers at once. */
#define ACCURACY_USEC (UINT64_C(1) * 1000000)

struct zsd_status {
	struct zsd_service *service;
	int activity_fd;
	sd_event_source *activity;
	sd_event_source *timer; /* off while watching */
	uint64_t sent_usec;
	char line[192]; /* as sent last */
};

__attribute__((format(printf, 3, 4))) static void append(char *line, size_t size, const char *format, ...)
{
	size_t length = strlen(line);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + length, size - length, format, arguments);
	va_end(arguments);
}

static void compose(struct zsd_service *service, char *line, size_t size)
{
	unsigned int nr_left_out = atomic_load(&service->facts.left_out);
	struct zs_store_stats stats;
	struct zsd_sums sums;
	char data_text[ZS_SIZE_TEXT_BYTES], used_text[ZS_SIZE_TEXT_BYTES];
	uint64_t used;

	zs_store_stats(service->store, &stats);
	zsd_figures_sum(service->store, &sums);
	used = stats.heap.used_bytes;
	*line = 0;
	append(line, size, "%llu device%s, %s in %s", (unsigned long long)stats.nr_devices,
	       stats.nr_devices == 1 ? "" : "s", zs_size_format(sums.data_bytes - sums.written_back_bytes, data_text),
	       zs_size_format(used, used_text));
	if (used)
		append(line, size, " (%.2fx)", zsd_sums_ratio(&sums, used));
	if (sums.written_back_bytes)
		append(line, size, ", %s on disk", zs_size_format(sums.written_back_bytes, data_text));
	if (stats.heap.limit_bytes)
		append(line, size, ", limit %llu%%", (unsigned long long)(used * 100 / stats.heap.limit_bytes));
	if (nr_left_out)
		append(line, size, ", %u device section%s refused", nr_left_out, nr_left_out == 1 ? "" : "s");
}

static void send_line(struct zsd_status *status)
{
	char line[sizeof(status->line)];

	compose(status->service, line, sizeof(line));
	if (!strcmp(line, status->line))
		return;
	memcpy(status->line, line, sizeof(line));
	zsd_notify("STATUS=%s", line);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct zsd_status *status = userdata;

	/* usec is when it was due. */
	sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &status->sent_usec);
	/* First this: what happens from now on wakes us up again, what happened before is in the line. */
	zsd_frontend_watch_activity(status->service->frontend, ZSD_WATCHER_STATUS, status->activity_fd);
	send_line(status);
	return 0;
}

void zsd_status_changed(struct zsd_status *status)
{
	int enabled;

	if (sd_event_source_get_enabled(status->timer, &enabled) < 0 || enabled != SD_EVENT_OFF)
		return;
	sd_event_source_set_time(status->timer, status->sent_usec + INTERVAL_USEC);
	sd_event_source_set_enabled(status->timer, SD_EVENT_ONESHOT);
}

static int on_activity(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	zsd_status_changed(userdata);
	return 0;
}

static int start(struct zsd_status *status, sd_event *event)
{
	int r;

	status->activity_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (status->activity_fd < 0)
		return -errno;
	r = sd_event_add_io(event, &status->activity, status->activity_fd, EPOLLIN, on_activity, status);
	if (r < 0)
		return r;
	r = sd_event_add_time(event, &status->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_timer, status);
	return r < 0 ? r : 0;
}

static void destroyp(struct zsd_status **status)
{
	zsd_status_destroy(*status);
}

int zsd_status_create(sd_event *event, struct zsd_service *service, struct zsd_status **ret_status)
{
	ZS_CLEANUP(destroyp) struct zsd_status *status = zs_calloc(1, sizeof(*status));
	int r;

	if (!status)
		return -ENOMEM;
	status->service = service;
	status->activity_fd = -1;
	r = start(status, event);
	if (r)
		return r;
	/* The timer is due at once, and does the rest. */
	*ret_status = zs_take(status);
	return 0;
}

void zsd_status_destroy(struct zsd_status *status)
{
	if (!status)
		return;
	zsd_frontend_watch_activity(status->service->frontend, ZSD_WATCHER_STATUS, -1);
	sd_event_source_disable_unref(status->timer);
	sd_event_source_disable_unref(status->activity);
	if (status->activity_fd >= 0)
		close(status->activity_fd);
	free(status);
}
