#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policy: when the daemon compacts by itself. How is the store's business (zs_store_compact()).
 *
 * It starts when compaction could free more than a threshold, a part of the pool's pages, and stops when what is left
 * is below nine tenths of that, so that a pool at the threshold is compacted a little at a time. It works in slices of
 * a fraction of a millisecond, with pauses in proportion, and answers others between two of them.
 *
 * Context: the control thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "store/store.h"

struct zsd_frontend;
struct zsd_policy;

#define ZSD_COMPACT_THRESHOLD_PERCENT 3
#define ZSD_COMPACT_QUOTA_PERCENT     10

struct zsd_policy_options {
	unsigned int threshold_percent; /* of the pool's pages, 1 to 90 */
	unsigned int quota_percent;	/* of one CPU, 1 to 100 */
};

enum zsd_compaction_state {
	ZSD_COMPACTION_OFF,
	ZSD_COMPACTION_IDLE,
	ZSD_COMPACTION_RUNNING,
};

enum zsd_compaction_end {
	ZSD_COMPACTION_NEVER,	  /* no run has ended yet */
	ZSD_COMPACTION_DONE,	  /* below the lower threshold */
	ZSD_COMPACTION_EXHAUSTED, /* nothing could be freed: what is left was in use */
};

struct zsd_policy_stats {
	enum zsd_compaction_state state;
	enum zsd_compaction_end last_end;
	uint64_t runs; /* begun so far */
	uint64_t freed_pages;
};

/* Follows the frontend's changes from now on. Returns 0, -ENOMEM or an errno of sd-event. */
int zsd_policy_create(sd_event *event, struct zs_store *store, struct zsd_frontend *frontend,
		      const struct zsd_policy_options *options, struct zsd_policy **ret_policy);
/*
 * Also in the middle of a run. Nobody may use the frontend any more, and the store must be there still. NULL is
 * allowed.
 */
void zsd_policy_destroy(struct zsd_policy *policy);

/* A device has gone, which no request tells. */
void zsd_policy_changed(struct zsd_policy *policy);

/* From the next look on. */
void zsd_policy_set_options(struct zsd_policy *policy, const struct zsd_policy_options *options);

/* NULL is allowed: then it is off. */
void zsd_policy_stats(const struct zsd_policy *policy, struct zsd_policy_stats *ret_stats);

/* The two thresholds; for tests. */
bool zsd_policy_wants_start(const struct zsd_policy_options *options, const struct zs_pool_stats *pool);
bool zsd_policy_wants_stop(const struct zsd_policy_options *options, const struct zs_pool_stats *pool);

/* True if a run that has freed something is told at level info: one in a minute; for tests. told_usec 0: none yet. */
bool zsd_policy_is_news(uint64_t freed_pages, uint64_t now_usec, uint64_t told_usec);
