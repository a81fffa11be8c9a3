/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service manager's watchdog. */

#include "watchdog.h"

#include <errno.h>
#include <stdint.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "notify.h"
#include "transport.h"

/* So often within the manager's patience: a thread gets at least three quarters of it. */
#define CHECKS 4

struct zsd_watchdog {
	struct zsd_transport *transport;
	sd_event_source *timer;
	uint64_t interval_usec;
	unsigned int nr_hanging; /* at the last check */
};

/* When it changes. */
static void report(struct zsd_watchdog *watchdog, unsigned int nr)
{
	if (nr == watchdog->nr_hanging)
		return;
	watchdog->nr_hanging = nr;
	if (nr)
		zs_log_event(ZS_EVENT_THREAD_HANGS, ZS_LOG_ERR, NULL, 0,
			     "%u of the threads that serve data hang%s; the watchdog is not told that we are well", nr,
			     nr == 1 ? "s" : "");
	else
		zs_log(ZS_LOG_NOTICE, "all threads that serve data go on again");
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct zsd_watchdog *watchdog = userdata;
	unsigned int nr_hanging = zsd_transport_roll_call(watchdog->transport);

	report(watchdog, nr_hanging);
	if (!nr_hanging)
		zsd_notify("WATCHDOG=1");
	return sd_event_source_set_time_relative(source, watchdog->interval_usec);
}

static int start(struct zsd_watchdog *watchdog, sd_event *event)
{
	uint64_t interval_usec = watchdog->interval_usec;
	int r = sd_event_add_time_relative(event, &watchdog->timer, CLOCK_MONOTONIC, interval_usec, interval_usec / 10,
					   on_timer, watchdog);

	if (r >= 0)
		r = sd_event_source_set_enabled(watchdog->timer, SD_EVENT_ON);
	return r < 0 ? r : 0;
}

static void destroyp(struct zsd_watchdog **watchdog)
{
	zsd_watchdog_destroy(*watchdog);
}

int zsd_watchdog_create(sd_event *event, struct zsd_transport *transport, struct zsd_watchdog **ret_watchdog)
{
	ZS_CLEANUP(destroyp) struct zsd_watchdog *watchdog = NULL;
	uint64_t patience_usec;
	int r = sd_watchdog_enabled(false, &patience_usec);

	if (r <= 0) {
		*ret_watchdog = NULL;
		return r;
	}
	watchdog = zs_calloc(1, sizeof(*watchdog));
	if (!watchdog)
		return -ENOMEM;
	watchdog->transport = transport;
	watchdog->interval_usec = zs_max(patience_usec / CHECKS, 1);
	r = start(watchdog, event);
	if (r)
		return r;
	*ret_watchdog = zs_take(watchdog);
	return 0;
}

void zsd_watchdog_destroy(struct zsd_watchdog *watchdog)
{
	if (!watchdog)
		return;
	sd_event_source_disable_unref(watchdog->timer);
	free(watchdog);
}
