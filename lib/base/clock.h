#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The time that only goes forward, for how long something took and when to look again. Any thread. */

#include <stdint.h>
#include <time.h>

/* Nanoseconds since some moment before this process began. */
static inline uint64_t zs_clock_nsec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
