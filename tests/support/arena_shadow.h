#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A copy of an arena that notices changes: for tests that look at an arena after every instruction of its owner.
 * Looking makes no memory in the arena.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_SHADOW_EXTENTS 64

struct arena_shadow {
	int fd;
	size_t size_bytes;
	const char *arena; /* shared mapping */
	char *copy;
	int64_t nr_sectors;	 /* of the file, at the last look */
	unsigned int nr_extents; /* what had memory then */
	struct {
		size_t start, end;
	} extents[ARENA_SHADOW_EXTENTS];
};

/* fd is borrowed. */
void arena_shadow_init(struct arena_shadow *shadow, int fd);
void arena_shadow_deinit(struct arena_shadow *shadow);

/* True if anything is different from the last look, or this is the first. */
bool arena_shadow_update(struct arena_shadow *shadow);

/* A new memfd with what the last look found. The caller closes it. */
int arena_shadow_copy(const struct arena_shadow *shadow);
