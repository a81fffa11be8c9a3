#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes wrong on the data path of a device: all of it is counted, and some of it logged, since a client that tries
 * again for ever must not fill the journal. Context: any thread that borrowed the device; shard as zs_stream_shard().
 */

#include <stdint.h>

struct zs_device;

/* A block that can't be read. */
void zs_trouble_damage(struct zs_device *device, unsigned int shard, uint64_t block, const char *what);

/* A write that found no room, not even after compaction. */
void zs_trouble_no_space(struct zs_device *device, unsigned int shard);
