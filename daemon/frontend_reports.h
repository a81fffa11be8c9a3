#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read-only files with figures, in a directory .zsd beside the devices' files, which is found by its name but not
 * listed:
 *
 *   .zsd/stats.prom    metrics in Prometheus' format
 *   .zsd/NAME/         a directory for each device, with files as below /sys/block/zramN and debugfs, in zram's formats
 *                      (the kernel's Documentation/admin-guide/blockdev/zram.rst)
 *
 * Their node numbers are above those of devices:
 *
 *   bits  0-53  the device's id, 0 in .zsd itself
 *   bits 56-59  enum zsd_report
 *   bit  62     1
 *
 * The handle of an open stats.prom is its node number with the text's serial number in place of the id, and
 * ZSD_HANDLE_BIT.
 *
 * Context: any thread; frontend.c calls these with what it is called with.
 */

#include <pthread.h>

#include "frontend.h"

#define ZSD_REPORTS_NAME ".zsd"
#define ZSD_REPORTS_BIT	 (UINT64_C(1) << 62)

/* Readers of block_state whose place is kept: more at the same time are slow. */
#define ZSD_REPORT_PLACES 16

/*
 * Texts of stats.prom at one time. A new one is made once a second at most, so that who holds many open neither takes
 * more memory nor keeps others from a new one: after that many seconds his own is gone, and reads are refused.
 */
#define ZSD_REPORT_TEXTS 8

/* stats.prom, as it was at one time. */
struct zsd_report_text {
	uint64_t serial; /* it is texts[serial % ZSD_REPORT_TEXTS]; 0 = unused */
	char *bytes;
	size_t length;
	int64_t made_nsec;
	unsigned int nr_opens; /* that have it */
};

/* Where a line of block_state is found. */
struct zsd_report_place {
	uint64_t node;	/* 0 = unused */
	uint64_t line;	/* this line, counted from 0, ... */
	uint64_t block; /* ... is that of the first block in use from here on */
};

struct zsd_reports {
	const struct zsd_metrics_facts *facts; /* immutable once a transport serves; or NULL */
	pthread_mutex_t making;		       /* taken before lock, by who makes a text; others wait for that */
	pthread_mutex_t lock;		       /* a leaf; guards all below */
	struct zsd_report_place places[ZSD_REPORT_PLACES];
	unsigned int next_place; /* to be used again */
	struct zsd_report_text texts[ZSD_REPORT_TEXTS];
	uint64_t serial; /* of the newest text; 0 = none was made yet */
};

static inline bool zsd_is_report(uint64_t node)
{
	return node & ZSD_REPORTS_BIT;
}

void zsd_reports_init(struct zsd_reports *reports);
void zsd_reports_deinit(struct zsd_reports *reports);

/* As the members of struct zsd_frontend_ops; lookup also of .zsd in the root. */
int zsd_reports_lookup(struct zsd_frontend *frontend, uint64_t directory, const char *name, uint64_t *ret_node);
int zsd_reports_getattr(struct zsd_frontend *frontend, uint64_t node, struct zsd_attributes *ret_attributes);
bool zsd_reports_next(struct zsd_frontend *frontend, uint64_t directory, uint64_t *cursor,
		      char name[static ZSD_NAME_BYTES], uint64_t *ret_node);
int zsd_reports_open(struct zsd_frontend *frontend, uint64_t node, uint64_t *ret_handle);
void zsd_reports_release(struct zsd_frontend *frontend, uint64_t handle);
int zsd_reports_read(struct zsd_frontend *frontend, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *ret_done);
