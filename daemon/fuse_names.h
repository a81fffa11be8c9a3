#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rare FUSE requests, as a table of operations for libfuse's low-level API: start of the session, names,
 * directories, attributes, and everything that is refused.
 */

#include <stdbool.h>

struct fuse_lowlevel_ops;
struct zsd_frontend_ops;

/* What a session is made with as its user data. */
struct zsd_fuse_names {
	const struct zsd_frontend_ops *ops;
	void *frontend;
	bool ready; /* INIT has been answered. Written by the thread that serves it, before there are others */
};

extern const struct fuse_lowlevel_ops zsd_fuse_names_ops;
