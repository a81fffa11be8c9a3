#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the running daemon consists of; for daemon.c, service.c and status.c only. */

#include <systemd/sd-event.h>

#include "metrics.h"
#include "mount.h"
#include "notify.h"
#include "service.h"

struct zsd_changes;
struct zsd_cold_policy;
struct zsd_config;
struct zsd_control;
struct zsd_frontend;
struct zsd_policy;
struct zsd_status;
struct zsd_tasks;
struct zsd_transport;
struct zsd_watchdog;

/* In the order of starting. All members belong to the control thread; what is not there yet is NULL or -1. */
struct zsd_service {
	uint64_t started_usec; /* Unix time */
	char *runtime_dir;     /* absolute */
	int lock_fd;
	struct zsd_metrics_facts facts;
	struct zsd_handover handover; /* what is not in use yet */
	struct zsd_config *config;
	char *config_path; /* NULL = none */
	bool config_must_exist;
	sd_event *event;
	struct zs_store *store;
	struct zsd_changes *changes;
	struct zsd_tasks *tasks;
	struct zsd_frontend *frontend;
	struct zsd_mount mount;
	struct zsd_transport *transport;
	struct zsd_control *control;
	struct zsd_control *metrics; /* the same with metrics only */
	struct zsd_status *status;
	struct zsd_cold_policy *cold_policy;
	struct zsd_policy *policy;     /* NULL also with Compact=no */
	struct zsd_watchdog *watchdog; /* NULL also without one */
};
