#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events as the journal keeps them: MESSAGE, PRIORITY, MESSAGE_ID, and where it applies ZSD_DEVICE and ERRNO. What each
 * identifier means, and what to do, is in systemd/zsd.catalog. Context: any thread.
 */

#include <stdbool.h>

#include "base/log.h"

/* There is a journal that takes events. */
bool zsd_journal_is_there(void);

/* Returns 0 or -errno. A journal that has gone away is no error. */
int zsd_journal_send(const struct zs_event_line *what);
