#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much memory the daemon may use, and how it holds on to it. Context: the control thread, at start. */

#include <stdint.h>

/* The machine's memory, or less if a control group of ours (or one above) has a limit; bytes. */
uint64_t zsd_memory_available(void);

/* The pool's limit where none is configured: half of that. The other half is the page cache's and everybody else's. */
uint64_t zsd_memory_default_limit(void);

/*
 * Settings of the process that keep the data path from waiting for its own work; what isn't permitted is left out. Call
 * before other threads are started, which inherit them.
 */
void zsd_memory_prepare_process(void);
