#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that are there again after the next start: a drop-in of zsd.conf(5) for each, 80-NAME.conf, in the directory
 * zsd.conf.d beside the zsd.conf that the daemon reads.
 *
 * All say on stderr what went wrong, and answer ZSCTL_OK or ZSCTL_ERROR: what was done in the daemon stays.
 */

#include "cmd.h"

struct zs_client;

#define ZSCTL_PERSIST_BYTES 4096

/*
 * Asks the daemon where it reads drop-ins; the directory is made if it is missing. Before anything else is done: it is
 * an error if nothing can be written there.
 */
enum zsctl_exit zsctl_persist_begin(struct zs_client *client, char directory[static ZSCTL_PERSIST_BYTES]);

/* Writes the drop-in of a device that was added with these options. It is replaced as a whole, or not at all. */
enum zsctl_exit zsctl_persist(const char *directory, const struct zsctl_options *options, const char *name);

/* Takes it away again; there need not be one. */
enum zsctl_exit zsctl_forget(const char *directory, const char *name);
