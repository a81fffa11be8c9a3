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
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/size.h"
#include "frontend.h"
#include "notify.h"
#include "store/device.h"
#include "store/store.h"

#define INTERVAL_USEC (UINT64_C(10) * 1000000)
/* The kernel may wait that much longer, to wake up for several timers at once. */
#define ACCURACY_USEC (UINT64_C(1) * 1000000)

struct zsd_status {
	struct zs_store *store;
	struct zsd_frontend *frontend;
	int activity_fd;
	sd_event_source *activity;
	sd_event_source *timer; /* off while watching */
	uint64_t sent_usec;
	char line[128]; /* as sent last */
};

static uint64_t data_bytes(struct zs_store *store)
{
	unsigned int cursor = 0;
	uint64_t sum = 0;
	uint64_t id;

	while (zs_store_next(store, &cursor, &id)) {
		struct zs_device *device = zs_device_get(store, id, NULL);
		struct zs_device_stats stats;

		if (!device)
			continue;
		zs_device_stats(device, &stats);
		zs_device_put(device, NULL);
		sum += stats.data_bytes;
	}
	return sum;
}

static void compose(struct zs_store *store, char *line, size_t size)
{
	struct zs_store_stats stats;
	char data_text[ZS_SIZE_TEXT_BYTES], used_text[ZS_SIZE_TEXT_BYTES];
	uint64_t data = data_bytes(store);
	int length;

	zs_store_stats(store, &stats);
	length = snprintf(line, size, "%llu device%s, %s in %s", (unsigned long long)stats.nr_devices,
			  stats.nr_devices == 1 ? "" : "s", zs_size_format(data, data_text),
			  zs_size_format(stats.heap.used_bytes, used_text));
	if (stats.heap.used_bytes)
		length += snprintf(line + length, size - (size_t)length, " (%.2fx)",
				   (double)data / (double)stats.heap.used_bytes);
	if (stats.heap.limit_bytes)
		snprintf(line + length, size - (size_t)length, ", limit %llu%%",
			 (unsigned long long)(stats.heap.used_bytes * 100 / stats.heap.limit_bytes));
}

static void send_line(struct zsd_status *status)
{
	char line[sizeof(status->line)];

	compose(status->store, line, sizeof(line));
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
	zsd_frontend_watch_activity(status->frontend, ZSD_WATCHER_STATUS, status->activity_fd);
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

int zsd_status_create(sd_event *event, struct zs_store *store, struct zsd_frontend *frontend,
		      struct zsd_status **ret_status)
{
	ZS_CLEANUP(destroyp) struct zsd_status *status = zs_calloc(1, sizeof(*status));
	int r;

	if (!status)
		return -ENOMEM;
	status->store = store;
	status->frontend = frontend;
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
	zsd_frontend_watch_activity(status->frontend, ZSD_WATCHER_STATUS, -1);
	sd_event_source_disable_unref(status->timer);
	sd_event_source_disable_unref(status->activity);
	if (status->activity_fd >= 0)
		close(status->activity_fd);
	free(status);
}
