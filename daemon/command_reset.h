#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The method of io.zsd.control that empties a device; and the answer about one that is open. See zsd_method.run. */

#include "varlink.h"

int zsd_command_reset(struct zsd_call *call, struct zsd_answer *ret_answer);

/*
 * What is to be said of a device that is open, so often. It may just be being closed: the call is tried again for some
 * time. remedy: what comes behind closing it. Returns 0 or -ENOMEM.
 */
int zsd_reply_busy(struct zsd_call *call, const char *name, unsigned int open_count, const char *remedy,
		   struct zsd_answer *ret_answer);
