#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that are there again after the next start: a drop-in of zsd.conf(5) for each, 80-NAME.conf, in the directory
 * zsd.conf.d beside the system's zsd.conf or, for an ordinary user, beside that user's.
 *
 * Both say on stderr what went wrong, and answer ZSCTL_OK or ZSCTL_ERROR: what was done in the daemon stays.
 */

#include "cmd.h"

/* Writes the drop-in of a device that was added with these options. It is replaced as a whole, or not at all. */
enum zsctl_exit zsctl_persist(const struct zsctl_options *options, const char *name);

/* Takes it away again; there need not be one. */
enum zsctl_exit zsctl_forget(const char *name);
