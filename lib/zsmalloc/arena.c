/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arena's file, mapping and header.
 *
 * Page 0 is the header. Its first part never changes and carries a checksum; the generation behind it checks itself
 * (base/residue.h). Regions start at multiples of 2 MiB.
 *
 * Memory is made with MADV_POPULATE_WRITE (Linux 5.14), which answers an error where a first touch would end in SIGBUS
 * or in the out-of-memory killer. Older kernels get fallocate(2), which answers the same errors and leaves the page
 * table entries to the first touch.
 */

#include "zsmalloc/arena.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/residue.h"
#include "zsmalloc/geometry.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* include/uapi/asm-generic/mman-common.h; glibc has it since 2.35 */
#endif

#ifndef PIDFD_SELF
#define PIDFD_SELF -10000 /* include/uapi/linux/pidfd.h, Linux 6.15 */
#endif

#define REGION_ALIGNMENT ((uint64_t)2 << 20)

/* Slot tables for 2 PiB of 4 KiB blocks; the file system's limit for a memfd is far above. */
#define DEFAULT_SLOTS_BYTES ((uint64_t)4 << 40)
/* 4096 entries of 256 bytes, store/entry.h. */
#define DEFAULT_DEVICES_BYTES ((uint64_t)1 << 20)
/* 256 entries of 128 bytes, store/group_internal.h. */
#define DEFAULT_GROUPS_BYTES ((uint64_t)32 << 10)
/* All that 32-bit handles can name. */
#define DEFAULT_HANDLES_BYTES ((uint64_t)8 << 32)
/* A page for the file, and words for 8 TiB in the smallest segments. */
#define DEFAULT_SEGMENTS_BYTES (((uint64_t)256 << 20) + ZS_PAGE_SIZE)
/* 2047 places of 128 KiB, store/dictionaries.c. */
#define DEFAULT_DICTIONARIES_BYTES ((uint64_t)2047 << 17)
/*
 * A zspage needs pages in a row, which may be hard to find where short runs lie scattered, so the pages region is
 * longer than memory is; a free run without memory takes address space only.
 */
#define DEFAULT_PAGES_FACTOR 8

#define HEADER_POOL_PER_DEVICE UINT64_C(1)

static const char magic[8] = {'Z', 'S', 'D', 'A', 'R', 'E', 'N', 'A'};

struct arena_header {
	char magic[8];
	uint32_t layout_version;
	uint32_t nr_regions;
	uint64_t size_bytes;
	uint64_t geometry; /* zs_geometry_hash(): class indexes in handle words mean the same */
	uint64_t region_offset[ZS_REGION_NR];
	uint64_t region_bytes[ZS_REGION_NR];
	uint64_t flags;	   /* HEADER_POOL_PER_DEVICE */
	uint64_t checksum; /* XXH3-64 of all above */
	/* From here on the header changes. */
	_Atomic uint64_t generation; /* last one given out, sealed */
};

static_assert(sizeof(struct arena_header) <= ZS_PAGE_SIZE, "the header is one page");

static struct arena_header *arena_header(const struct zs_arena *arena)
{
	return (struct arena_header *)(void *)arena->base;
}

static uint64_t header_checksum(const struct arena_header *header)
{
	return XXH3_64bits(header, offsetof(struct arena_header, checksum));
}

void zs_arena_options_default(struct zs_arena_options *options, uint64_t memory_bytes)
{
	if (!memory_bytes)
		memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * ZS_PAGE_SIZE;
	*options = (struct zs_arena_options){
		.region_bytes =
			{
				[ZS_REGION_DEVICES] = DEFAULT_DEVICES_BYTES,
				[ZS_REGION_GROUPS] = DEFAULT_GROUPS_BYTES,
				[ZS_REGION_SLOTS] = DEFAULT_SLOTS_BYTES,
				[ZS_REGION_HANDLES] = DEFAULT_HANDLES_BYTES,
				[ZS_REGION_SEGMENTS] = DEFAULT_SEGMENTS_BYTES,
				[ZS_REGION_DICTIONARIES] = DEFAULT_DICTIONARIES_BYTES,
				[ZS_REGION_PAGES] = zs_align_up(memory_bytes, REGION_ALIGNMENT) * DEFAULT_PAGES_FACTOR,
			},
	};
}

/* Sets offsets and sizes; false if a region is empty or the sum is absurd. */
static bool arena_lay_out(struct zs_arena *arena, const struct zs_arena_options *options)
{
	uint64_t offset = REGION_ALIGNMENT;

	for (unsigned int i = 0; i < ZS_REGION_NR; i++) {
		uint64_t bytes = options->region_bytes[i];

		if (!bytes || bytes >> 56)
			return false;
		arena->region_offset[i] = offset;
		arena->region_bytes[i] = zs_align_up(bytes, ZS_PAGE_SIZE);
		offset = zs_align_up(offset + bytes, REGION_ALIGNMENT);
	}
	arena->size_bytes = offset;
	arena->pool_per_device = options->pool_per_device;
	return true;
}

static int arena_map(struct zs_arena *arena)
{
	void *base;

	if (zs_fault())
		return -ENOMEM;
	base = mmap(NULL, arena->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, arena->fd, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	/* A core dump of the store would hold everybody's data, and delay the restart by seconds. */
	madvise(base, arena->size_bytes, MADV_DONTDUMP);
	arena->base = base;
	return 0;
}

static void arena_write_header(struct zs_arena *arena)
{
	struct arena_header *header = arena_header(arena);

	*header = (struct arena_header){
		.layout_version = ZS_ARENA_LAYOUT_VERSION,
		.nr_regions = ZS_REGION_NR,
		.size_bytes = arena->size_bytes,
		.geometry = zs_geometry_hash(),
		.flags = arena->pool_per_device ? HEADER_POOL_PER_DEVICE : 0,
	};
	memcpy(header->magic, magic, sizeof(magic));
	memcpy(header->region_offset, arena->region_offset, sizeof(header->region_offset));
	memcpy(header->region_bytes, arena->region_bytes, sizeof(header->region_bytes));
	header->checksum = header_checksum(header);
}

int zs_arena_create(struct zs_arena *ret_arena, const struct zs_arena_options *options)
{
	struct zs_arena arena = {.fd = -1};
	ZS_CLEANUP_CLOSE int fd = -1;
	int error;

	if (!arena_lay_out(&arena, options))
		return -EINVAL;
	fd = memfd_create("zsd-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)arena.size_bytes) < 0)
		return -errno;
	/* Nobody who gets hold of the descriptor can pull the memory away from under us. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	arena.fd = fd;
	error = arena_map(&arena);
	if (error)
		return error;
	arena_write_header(&arena);
	*ret_arena = arena;
	zs_take_fd(fd);
	return 0;
}

/* Judges the header of a file of file_bytes. */
static int arena_check_header(const struct arena_header *header, uint64_t file_bytes)
{
	if (memcmp(header->magic, magic, sizeof(magic)) != 0)
		return -EMEDIUMTYPE;
	if (header->layout_version != ZS_ARENA_LAYOUT_VERSION)
		return -EPROTONOSUPPORT;
	if (header->checksum != header_checksum(header) || header->size_bytes != file_bytes)
		return -EBADMSG;
	if (header->nr_regions != ZS_REGION_NR || header->geometry != zs_geometry_hash() ||
	    header->flags & ~HEADER_POOL_PER_DEVICE)
		return -EPROTONOSUPPORT;
	if (!zs_residue_is_sound(atomic_load_explicit(&header->generation, memory_order_relaxed)))
		return -EBADMSG;
	return 0;
}

int zs_arena_open(struct zs_arena *ret_arena, int fd)
{
	struct zs_arena arena = {.fd = -1};
	ZS_CLEANUP_CLOSE int own_fd = -1;
	struct arena_header header;
	struct stat status;
	ssize_t length;
	int error;

	if (fstat(fd, &status) < 0)
		return -errno;
	length = pread(fd, &header, sizeof(header), 0);
	if (length < 0)
		return -errno;
	if ((size_t)length < sizeof(header))
		return -EMEDIUMTYPE;
	error = arena_check_header(&header, (uint64_t)status.st_size);
	if (error)
		return error;
	own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own_fd < 0)
		return -errno;
	arena.fd = own_fd;
	arena.size_bytes = header.size_bytes;
	arena.pool_per_device = header.flags & HEADER_POOL_PER_DEVICE;
	memcpy(arena.region_offset, header.region_offset, sizeof(arena.region_offset));
	memcpy(arena.region_bytes, header.region_bytes, sizeof(arena.region_bytes));
	error = arena_map(&arena);
	if (error)
		return error;
	*ret_arena = arena;
	zs_take_fd(own_fd);
	return 0;
}

void zs_arena_close(struct zs_arena *arena)
{
	if (arena->base)
		munmap(arena->base, arena->size_bytes);
	if (arena->fd >= 0)
		close(arena->fd);
	*arena = (struct zs_arena){.fd = -1};
}

static void assert_range(const struct zs_arena *arena, enum zs_region region, uint64_t offset, uint64_t length)
{
	zs_assert(!((offset | length) & (ZS_PAGE_SIZE - 1)));
	zs_assert(offset <= arena->region_bytes[region] && length <= arena->region_bytes[region] - offset);
}

int zs_arena_populate(const struct zs_arena *arena, enum zs_region region, uint64_t offset, uint64_t length)
{
	int result;

	assert_range(arena, region, offset, length);
	if (zs_fault())
		return -ENOMEM;
	do {
		result = madvise(zs_arena_at(arena, region, offset), length, MADV_POPULATE_WRITE);
	} while (result < 0 && (errno == EINTR || errno == EAGAIN));
	if (result < 0 && errno == EINVAL)
		result = fallocate(arena->fd, FALLOC_FL_KEEP_SIZE, (off_t)(arena->region_offset[region] + offset),
				   (off_t)length);
	return result < 0 ? -ENOMEM : 0;
}

void zs_unmap(const struct iovec *ranges, unsigned int nr)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < nr; i++)
		bytes += ranges[i].iov_len;
	if (syscall(SYS_process_madvise, PIDFD_SELF, ranges, (size_t)nr, MADV_DONTNEED, 0U) == (ssize_t)bytes)
		return;
	/* Older kernels take no other advice than of pages that are not needed for a while, or don't know SELF. */
	for (unsigned int i = 0; i < nr; i++)
		(void)madvise(ranges[i].iov_base, ranges[i].iov_len, MADV_DONTNEED);
}

void zs_arena_punch(const struct zs_arena *arena, enum zs_region region, uint64_t offset, uint64_t length)
{
	int result;

	assert_range(arena, region, offset, length);
	if (!length)
		return;
	do {
		result = fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)(arena->region_offset[region] + offset), (off_t)length);
	} while (result < 0 && errno == EINTR);
	zs_assert_msg(!result, "punching %llu bytes at %llu: errno %d", (unsigned long long)length,
		      (unsigned long long)offset, errno);
}

int zs_arena_node(const struct zs_arena *arena, enum zs_region region, uint64_t offset)
{
	int node = -1;

	assert_range(arena, region, offset, ZS_PAGE_SIZE);
	if (syscall(SYS_get_mempolicy, &node, NULL, 0UL, zs_arena_at(arena, region, offset), MPOL_F_NODE | MPOL_F_ADDR))
		return -errno;
	return node;
}

int zs_arena_move_page(const struct zs_arena *arena, enum zs_region region, uint64_t offset, unsigned int node)
{
	void *page = zs_arena_at(arena, region, offset);
	int target = (int)node, status = 0;

	assert_range(arena, region, offset, ZS_PAGE_SIZE);
	if (syscall(SYS_move_pages, 0, 1UL, &page, &target, &status, MPOL_MF_MOVE) < 0)
		return -errno;
	return status < 0 ? status : 0;
}

bool zs_arena_next_data(const struct zs_arena *arena, enum zs_region region, uint64_t *offset, uint64_t *ret_length)
{
	uint64_t start = arena->region_offset[region], end = start + arena->region_bytes[region];
	off_t data, hole;

	if (*offset >= arena->region_bytes[region])
		return false;
	data = lseek(arena->fd, (off_t)(start + *offset), SEEK_DATA);
	if (data < 0 || (uint64_t)data >= end)
		return false;
	hole = lseek(arena->fd, data, SEEK_HOLE);
	zs_assert(hole > data);
	*offset = (uint64_t)data - start;
	*ret_length = zs_min((uint64_t)hole, end) - (uint64_t)data;
	return true;
}

uint64_t zs_arena_resident_bytes(const struct zs_arena *arena)
{
	struct stat status;

	return fstat(arena->fd, &status) < 0 ? 0 : (uint64_t)status.st_blocks * 512;
}

uint64_t zs_arena_next_generation(const struct zs_arena *arena)
{
	_Atomic uint64_t *generation = &arena_header(arena)->generation;
	uint64_t old = atomic_load(generation);

	while (!atomic_compare_exchange_weak(generation, &old, zs_residue_seal(zs_residue_value(old) + 1)))
		continue;
	return zs_residue_value(old) + 1;
}

void *zs_reserve(uint64_t size_bytes)
{
	void *memory;

	if (zs_fault())
		return NULL;
	memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

void zs_reserve_free(void *memory, uint64_t size_bytes)
{
	if (memory)
		munmap(memory, size_bytes);
}
