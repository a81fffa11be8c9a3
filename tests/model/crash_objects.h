#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of objects in crash_points.c: moved, freed later, or changed in a wrong order. */

#include "model/crash_scenarios.h"

struct zs_device;
struct zs_store;
struct zs_stream;

/* The child's, before its instructions count. target is the block's number, text the content of others. */
void crash_objects_begin(const struct scenario *scenario, struct zs_device *device, struct zs_stream *stream,
			 uint64_t target, const char *text);

/* Writes the target where a larger class has the room. */
void crash_objects_write_lent(struct zs_device *device, struct zs_stream *stream, uint64_t target, const char *data);

/* Writes the target where the thread has room of its own, and has it keep that of the old object. */
void crash_objects_write_kept(struct zs_device *device, struct zs_stream *stream, uint64_t target, const char *data);

/* Moves the target's object among others. */
void crash_objects_compact(struct zs_store *store, struct zs_device *device, uint64_t target);
/* Discards a page of slots, too, and frees all that waits, if that is what the scenario is about. */
void crash_objects_flush(const struct scenario *scenario, struct zs_device *device, struct zs_stream *stream);

/* Writers that are wrong on purpose. */
void crash_objects_write_too_early(struct zs_store *store, struct zs_device *device, uint64_t target, const char *data);
void crash_objects_free_too_early(struct zs_store *store, struct zs_device *device, uint64_t target, const char *data);
