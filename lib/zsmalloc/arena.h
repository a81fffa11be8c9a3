#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arena: one sparse memfd with everything that must outlive the process, found by index and never by pointer.
 *
 *   header | device table | group table | slot tables | handle words | segment table | dictionaries | pages
 *
 * The file is as long as it may ever become; only touched pages take memory. This module owns the descriptor and the
 * mapping, and is the only one that calls mmap, memfd_create and madvise; it knows where the regions are
 * and not what is in them. Any thread may call any function; there are no locks, since the layout never changes.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/bits.h"

/* Raised whenever the meaning of a byte in the arena changes; an arena of another version is refused. */
#define ZS_ARENA_LAYOUT_VERSION 5

enum zs_region {
	ZS_REGION_DEVICES,	/* struct zs_device_entry, see store/entry.h */
	ZS_REGION_GROUPS,	/* struct zs_group_entry, see store/group_internal.h */
	ZS_REGION_SLOTS,	/* the devices' slot tables */
	ZS_REGION_HANDLES,	/* handle words, see zsmalloc/handle.h */
	ZS_REGION_SEGMENTS,	/* of the backing file, see store/segments.h */
	ZS_REGION_DICTIONARIES, /* see store/dictionaries.c */
	ZS_REGION_PAGES,	/* zspages */
	ZS_REGION_NR,
};

/* Sizes in bytes, rounded up to pages; they bound what can ever be stored and cost nothing by themselves. */
struct zs_arena_options {
	uint64_t region_bytes[ZS_REGION_NR];
	bool pool_per_device; /* kept for the arena's user: zspages are not shared by devices */
};

struct zs_arena {
	int fd;
	char *base;
	uint64_t size_bytes;
	uint64_t region_offset[ZS_REGION_NR];
	uint64_t region_bytes[ZS_REGION_NR];
	bool pool_per_device;
};

/* Sizes for a machine with that much memory (sysconf's if 0). */
void zs_arena_options_default(struct zs_arena_options *options, uint64_t memory_bytes);

/* Creates an empty arena. Returns 0, -EINVAL (a region of size 0), -ENOMEM, -EMFILE or -ENFILE. */
int zs_arena_create(struct zs_arena *arena, const struct zs_arena_options *options);

/*
 * Maps an existing arena; fd is duplicated, not consumed. Nothing is written. Returns 0, -EMEDIUMTYPE (not an arena),
 * -EPROTONOSUPPORT (another layout version or geometry), -EBADMSG (header damaged, or file truncated), -ENOMEM.
 */
int zs_arena_open(struct zs_arena *arena, int fd);

/* Unmaps and closes; the memory lives on if somebody else holds a descriptor of it. */
void zs_arena_close(struct zs_arena *arena);

static inline void *zs_arena_at(const struct zs_arena *arena, enum zs_region region, uint64_t offset)
{
	return arena->base + arena->region_offset[region] + offset;
}

/*
 * Makes memory for a page-aligned range, so that touching it can't fail later. Returns 0 or -ENOMEM; part of the range
 * may have been populated then, and the caller punches it.
 */
int zs_arena_populate(const struct zs_arena *arena, enum zs_region region, uint64_t offset, uint64_t length);

/*
 * Takes page-aligned ranges of memory out of the page tables. What is the arena's keeps its content: who touches it
 * finds it again, at the price of a page fault, and any thread may be using it. What is private (zs_reserve()) is
 * dropped, and reads as zeros. For speed and memory only, so there is no error.
 *
 * Each change of a page table makes the kernel interrupt all CPUs that run a thread of this process. Since Linux 6.16
 * there is one interrupt for all ranges of a call, but for pages that were written: these take one for each page table,
 * which is of 2 MiB.
 */
void zs_unmap(const struct iovec *ranges, unsigned int nr);

/* Gives a page-aligned range back to the system; it reads as zeros. It can't fail on a memfd. */
void zs_arena_punch(const struct zs_arena *arena, enum zs_region region, uint64_t offset, uint64_t length);

/* The node of the machine's memory that a page is on: get_mempolicy(2), which makes its memory. -errno if not known. */
int zs_arena_node(const struct zs_arena *arena, enum zs_region region, uint64_t offset);

/* Moves a page to another node: move_pages(2). Returns 0 or its errno. */
int zs_arena_move_page(const struct zs_arena *arena, enum zs_region region, uint64_t offset, unsigned int node);

/*
 * The next range with memory at or after *offset: sets *offset and *ret_length, page-aligned; false if there is none.
 */
bool zs_arena_next_data(const struct zs_arena *arena, enum zs_region region, uint64_t *offset, uint64_t *ret_length);

/* Memory that the arena's file takes now, as the kernel counts it. */
uint64_t zs_arena_resident_bytes(const struct zs_arena *arena);

/* The next number that names one device for ever; kept in the header, so that no reopened arena repeats one. */
uint64_t zs_arena_next_generation(const struct zs_arena *arena);

/*
 * Zeroed private memory that is reserved at its maximum and takes room as it is touched: for derived tables whose size
 * follows the arena's. Returns NULL when address space is short. Free with zs_reserve_free().
 */
void *zs_reserve(uint64_t size_bytes);
void zs_reserve_free(void *memory, uint64_t size_bytes);
