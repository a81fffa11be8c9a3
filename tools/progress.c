/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bar on stderr. */

#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "options.h"

#define BAR_COLUMNS   40
#define INTERVAL_NSEC INT64_C(100000000)

void zsctl_progress_begin(struct zsctl_progress *progress, const struct zsctl_options *options, const char *what,
			  uint64_t total)
{
	const char *terminal = getenv("TERM");
	bool wanted = !options->json && !options->quiet && isatty(STDERR_FILENO) && terminal &&
		      strcmp(terminal, "dumb");

	*progress = (struct zsctl_progress){.what = what, .total = wanted ? total : 0};
}

void zsctl_progress_update(struct zsctl_progress *progress, uint64_t done)
{
	char bar[BAR_COLUMNS + 1];
	struct timespec now;
	int filled;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!progress->total ||
	    (now.tv_sec - progress->drawn.tv_sec) * INT64_C(1000000000) + now.tv_nsec - progress->drawn.tv_nsec <
		    INTERVAL_NSEC)
		return;
	done = zs_min(done, progress->total);
	filled = (int)((double)done / (double)progress->total * BAR_COLUMNS);
	memset(bar, '#', (size_t)filled);
	memset(bar + filled, '.', (size_t)(BAR_COLUMNS - filled));
	bar[BAR_COLUMNS] = 0;
	fprintf(stderr, "\r%s [%s] %3d%%", progress->what, bar, (int)((double)done / (double)progress->total * 100));
	progress->shown = true;
	progress->drawn = now;
}

void zsctl_progress_end(struct zsctl_progress *progress)
{
	/* Back to the beginning, and clear to the end of the line. */
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
