#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bar on stderr for work that takes long, if stderr is a terminal; nothing otherwise, nor with JSON. It is drawn ten
 * times a second at most and taken away at the end.
 */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct zsctl_options;

struct zsctl_progress {
	const char *what; /* "compact" */
	uint64_t total;	  /* 0 = not known: nothing is drawn */
	bool shown;
	struct timespec drawn;
};

void zsctl_progress_begin(struct zsctl_progress *progress, const struct zsctl_options *options, const char *what,
			  uint64_t total);
void zsctl_progress_update(struct zsctl_progress *progress, uint64_t done);
void zsctl_progress_end(struct zsctl_progress *progress);
