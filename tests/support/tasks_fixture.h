#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices with data for tasks, and waiting for what tasks do. */

#include "codec/stream.h"
#include "store/store.h"
#include "tasks.h"

/* An lz4 device of blocks of 4 KiB, full of text. bytes: a multiple of 64 KiB. Returns its id. */
uint64_t test_tasks_add_device(struct zs_store *store, struct zs_stream *stream, const char *name, size_t bytes);

struct zsd_task_info test_task_look(struct zsd_tasks *tasks, uint64_t number);
/* Until the task is in this state, or a later one. */
struct zsd_task_info test_task_wait(struct zsd_tasks *tasks, uint64_t number, enum zsd_task_state least);
