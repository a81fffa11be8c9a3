#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store of store_fixture.h with devices full of data that does not compress, for tests of deferred free. */

#include <stdint.h>

#include "store/store.h"

#define MIB	   ((uint64_t)1 << 20)
#define BLOCK	   4096
#define NR_BLOCKS  2048
#define DEVICE_MIB (NR_BLOCKS * BLOCK / MIB)

extern const struct zs_codec_params lz4;
extern char noise[BLOCK];

/* Of a suite; it ends with test_store_tear_down(). */
void deferred_set_up(void);

/* A device of NR_BLOCKS blocks, all of them written. */
uint64_t add_full(const char *name);
void discard(uint64_t id, uint64_t offset, uint64_t length);
struct zs_store_stats stats_of_store(void);

/* Stops the maintenance thread before it can free anything, so that a test sees what waits. */
void hold(void);
void let_go(void);
