#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file of crash_points.c. */

#include "model/crash_scenarios.h"
#include "store/store.h"
#include "support/cold_store.h"

/* A backing file with all blocks that a new store has, if the scenario wants one and wants them there. */
void crash_cold_prepare(const struct scenario *scenario, struct zs_store *store, char path[TEST_PATH_BYTES]);

/* The child's, and that of who looks at a copy of its arena: as the file is now. The latter removes its copy. */
void crash_cold_attach(const struct scenario *scenario, struct zs_store *store, const char *path);
void crash_cold_attach_copy(const struct scenario *scenario, struct zs_store *store, const char *path,
			    char copy[TEST_PATH_BYTES]);
void crash_cold_remove(const struct scenario *scenario, const char *path);

/* Writes the block of a device back, and nothing else. */
void crash_cold_write_back(struct zs_store *store, uint64_t id, uint64_t block);
/* Reads the block, and with that brings it back into memory. */
void crash_cold_promote(struct zs_device *device, struct zs_stream *stream, uint64_t block);
/* Moves all that is in the file, dead or not. */
void crash_cold_collect(struct zs_store *store);
