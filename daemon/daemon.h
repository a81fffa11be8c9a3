#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon: owns the store, the mount, the transport and the control socket, starts them in this order, stops them in
 * the reverse one, and runs the control thread's event loop in between. Context: the main thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct zsd_options {
	const char *runtime_dir; /* NULL = the default: see zsd(8) */
	const char *config_path; /* NULL = the default, which need not exist */
	bool no_config;
	unsigned int nr_threads; /* 0 = as configured */
	const char *pool_mode;	 /* as zsd_pool_mode_parse() takes it; NULL = as configured */
	int transport;		 /* enum zsd_transport_kind; -1 = as configured */
	bool has_poll_max;	 /* poll_max_nsec counts, not what is configured */
	uint64_t poll_max_nsec;
};

/*
 * Serves until it is told to stop by SIGTERM or SIGINT, or the mount is unmounted. Returns 0, or -errno if it could not
 * start; the reason has been logged then.
 */
int zsd_daemon_run(const struct zsd_options *options);
