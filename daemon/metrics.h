#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All counters as text for monitoring systems: Prometheus' text format 0.0.4, or OpenMetrics 1.0.0.
 *
 * Names, once told, stay: zsd_ in front, base units, counters end in _total. Labels are the device, and what divides a
 * sum into its parts; a sum over any label makes sense.
 *
 * Context: any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_store;
struct zsd_tasks;

enum zsd_metrics_format { ZSD_METRICS_PROMETHEUS, ZSD_METRICS_OPENMETRICS };

/* What the store does not know. */
struct zsd_metrics_facts {
	_Atomic uint64_t reloaded_sec; /* when the configuration was read last, Unix time */
	_Atomic bool reload_failed;    /* the last time */
	_Atomic unsigned int left_out; /* [Device] sections that it could make no use of, the last time */
	struct zsd_tasks *tasks;       /* immutable once somebody may ask; NULL: what they have done is left out */
};

/* The text, to be given to free(3), and its length. Returns 0 or -ENOMEM. */
int zsd_metrics_render(struct zs_store *store, const struct zsd_metrics_facts *facts, enum zsd_metrics_format format,
		       char **ret_text, size_t *ret_length);

/* As HTTP would call it: "text/plain; version=0.0.4". */
const char *zsd_metrics_content_type(enum zsd_metrics_format format);
