#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scope cleanup: a constructor declares its half-built result with ZS_CLEANUP(destroy function) and hands it over
 * with zs_take() on its last line.
 */

#include <stdlib.h>
#include <unistd.h>

#define ZS_CLEANUP(function) __attribute__((cleanup(function)))

/* Answers the pointer and clears the variable, so that its cleanup finds nothing. */
#define zs_take(variable)                                                                                              \
	({                                                                                                             \
		__typeof__(variable) zs_taken = (variable);                                                            \
		(variable) = NULL;                                                                                     \
		zs_taken;                                                                                              \
	})

/* Answers the descriptor and sets the variable to -1. */
#define zs_take_fd(variable)                                                                                           \
	({                                                                                                             \
		int zs_taken_fd = (variable);                                                                          \
		(variable) = -1;                                                                                       \
		zs_taken_fd;                                                                                           \
	})

static inline void zs_freep(void *pointer)
{
	free(*(void **)pointer);
}

static inline void zs_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define ZS_CLEANUP_FREE	 ZS_CLEANUP(zs_freep)
#define ZS_CLEANUP_CLOSE ZS_CLEANUP(zs_closep)
