#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which devices have changed since a client looked last, so that whoever looks at a thousand of them again and again
 * is told of the few that have something to tell.
 *
 * Each look has a number, its generation. A device is of the generation in which it was found to differ from what it
 * was before, whoever has looked then.
 *
 * Context: the control thread only.
 */

#include <stdbool.h>
#include <stdint.h>

struct zs_device;
struct zsd_changes;

/* Generations begin after first, the time, which is beyond those of a daemon before. Returns 0 or -ENOMEM. */
int zsd_changes_create(uint64_t first, struct zsd_changes **ret_changes);
void zsd_changes_destroy(struct zsd_changes *changes);

/*
 * Begins a step of a look, and answers the generation of its first step, which is to be given as since at the next
 * look; first is that, and 0 at the first step. What a later step finds may be told once more then: other looks came
 * between, and a change after this one must not be of a generation that was answered.
 */
uint64_t zsd_changes_begin(struct zsd_changes *changes, uint64_t first);

/*
 * Looks at a device, which nr_open clients have open: true if it is new or was changed since that generation, in its
 * counters or in what zs_device_info() tells; always for 0, and for a generation that was not given out. A device that
 * is in use by others just now is told of at the next look as well, whoever looks: what belongs to a request is counted
 * one after the other, and how long it took last of all.
 *
 * The caller has borrowed the device once.
 */
bool zsd_changes_look(struct zsd_changes *changes, struct zs_device *device, unsigned int nr_open, uint64_t since);
