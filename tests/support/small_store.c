/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stores with small arenas, and copies of arenas. */

#include "support/small_store.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "zsmalloc/pool_internal.h"

#define CHUNK_PAGES 16

void test_arena_options(struct zs_arena_options *options)
{
	*options = (struct zs_arena_options){
		.region_bytes =
			{
				[ZS_REGION_DEVICES] = (uint64_t)1 << 20,
				[ZS_REGION_GROUPS] = (uint64_t)32 << 10,
				[ZS_REGION_SLOTS] = (uint64_t)64 << 20,
				[ZS_REGION_HANDLES] = (uint64_t)2 << 20,
				[ZS_REGION_SEGMENTS] = (uint64_t)64 << 10,
				[ZS_REGION_DICTIONARIES] = (uint64_t)4 << 20,
				[ZS_REGION_PAGES] = (uint64_t)256 << 20,
			},
	};
}

struct zs_store *test_store_create(uint64_t memory_limit_bytes)
{
	struct zs_store_options options = {.memory_limit_bytes = memory_limit_bytes};
	struct zs_store *store = NULL;

	test_arena_options(&options.arena);
	zs_assert(!zs_store_create(&options, &store));
	return store;
}

uint64_t test_device_add(struct zs_store *store, const char *name, uint64_t size_bytes, uint32_t block_size,
			 struct zs_codec_params codec)
{
	struct zs_device_options options = {
		.name = name, .size_bytes = size_bytes, .block_size = block_size, .codec = codec};
	uint64_t id = 0;

	zs_assert(!zs_store_add(store, &options, NULL, &id));
	return id;
}

void test_keep_of_few(bool keep)
{
	zs_kept_of_few = keep;
}

uint32_t test_count_kept(struct zs_store *store)
{
	struct zs_pool *pool = zs_store_pool(store);
	unsigned int class = zs_geometry_class(zs_geometry(), ZS_BLOCK_MIN_BYTES + ZS_OBJECT_HEADER_BYTES);
	ZS_LOCK_SCOPE(pool_lock(pool, class));

	return pool_count_kept(pool, class, NULL);
}

/* The next range of the file that is not a hole. */
static bool next_data(int fd, off_t *ret_start, off_t *end)
{
	*ret_start = lseek(fd, *end, SEEK_DATA);
	if (*ret_start < 0) {
		zs_assert(errno == ENXIO);
		return false;
	}
	*end = lseek(fd, *ret_start, SEEK_HOLE);
	zs_assert(*end > *ret_start);
	return true;
}

static void copy_range(int from, int to, off_t start, off_t end)
{
	char chunk[CHUNK_PAGES * ZS_PAGE_SIZE];

	while (start < end) {
		size_t length = zs_min(sizeof(chunk), (uint64_t)(end - start));

		zs_assert(pread(from, chunk, length, start) == (ssize_t)length);
		zs_assert(pwrite(to, chunk, length, start) == (ssize_t)length);
		start += (off_t)length;
	}
}

int test_arena_copy(int fd)
{
	int copy = memfd_create("arena-copy", MFD_CLOEXEC);
	off_t start, end = 0;
	struct stat status;

	zs_assert(copy >= 0 && !fstat(fd, &status) && !ftruncate(copy, status.st_size));
	while (next_data(fd, &start, &end))
		copy_range(fd, copy, start, end);
	return copy;
}

static bool is_zero(const char *page)
{
	return !page[0] && !memcmp(page, page + 1, ZS_PAGE_SIZE - 1);
}

uint64_t test_arena_hash(int fd)
{
	char page[ZS_PAGE_SIZE];
	off_t start, end = 0;
	uint64_t hash = 0;

	while (next_data(fd, &start, &end)) {
		for (; start < end; start += (off_t)sizeof(page)) {
			ssize_t length = pread(fd, page, sizeof(page), start);

			zs_assert(length > 0);
			if ((size_t)length == sizeof(page) && is_zero(page))
				continue;
			hash = XXH3_64bits_withSeed(&start, sizeof(start), hash);
			hash = XXH3_64bits_withSeed(page, (size_t)length, hash);
		}
	}
	return hash;
}
