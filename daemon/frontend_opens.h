#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How often each device is open. A device is known by its id, whose low 12 bits are used again by later devices; the
 * counts are not mixed up. Context: any thread; there is no lock.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

struct zsd_opens {
	_Atomic uint64_t words[ZS_DEVICES_MAX]; /* all 0 to begin with */
};

/*
 * Counts one more open. Returns 0, -ESTALE (closed) or -ENFILE (too many). Context: the device exists and can't go
 * before this returns, so that nobody else has its index.
 */
int zsd_opens_add(struct zsd_opens *opens, uint64_t id);
/* Ends one open; nothing happens if there is none, or if a later device has the index by now. */
void zsd_opens_remove(struct zsd_opens *opens, uint64_t id);
unsigned int zsd_opens_count(const struct zsd_opens *opens, uint64_t id);
/*
 * Refuses to open the device from now on. Returns 0, or -EBUSY if it is open and force is false: then nothing changes,
 * and *ret_count says how often it is.
 */
int zsd_opens_close(struct zsd_opens *opens, uint64_t id, bool force, unsigned int *ret_count);
/* Takes that back: the device stays. */
void zsd_opens_reopen(struct zsd_opens *opens, uint64_t id);
