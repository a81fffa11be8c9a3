/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A copy of an arena that notices changes. */

#include "support/arena_shadow.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

void arena_shadow_init(struct arena_shadow *shadow, int fd)
{
	struct stat status;

	zs_assert(!fstat(fd, &status));
	*shadow = (struct arena_shadow){.fd = fd, .size_bytes = (size_t)status.st_size};
	shadow->arena = mmap(NULL, shadow->size_bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	shadow->copy = mmap(NULL, shadow->size_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	zs_assert(shadow->arena != MAP_FAILED && shadow->copy != MAP_FAILED);
}

void arena_shadow_deinit(struct arena_shadow *shadow)
{
	munmap((void *)shadow->arena, shadow->size_bytes);
	munmap(shadow->copy, shadow->size_bytes);
}

/* Notes one extent; true if it is not as it was. */
static bool update_extent(struct arena_shadow *shadow, unsigned int index, size_t start, size_t end)
{
	bool changed = index >= shadow->nr_extents || shadow->extents[index].start != start ||
		       shadow->extents[index].end != end;

	shadow->extents[index].start = start;
	shadow->extents[index].end = end;
	if (!changed && !memcmp(shadow->copy + start, shadow->arena + start, end - start))
		return false;
	memcpy(shadow->copy + start, shadow->arena + start, end - start);
	return true;
}

/* Extents change only with the number of pages: no instruction and no system call both takes and gives some. */
static bool has_same_extents(struct arena_shadow *shadow)
{
	struct stat status;
	bool same;

	zs_assert(!fstat(shadow->fd, &status));
	same = shadow->nr_extents && status.st_blocks == shadow->nr_sectors;
	shadow->nr_sectors = status.st_blocks;
	return same;
}

bool arena_shadow_update(struct arena_shadow *shadow)
{
	unsigned int nr = 0;
	bool changed = false;
	off_t start, end = 0;

	if (has_same_extents(shadow)) {
		for (; nr < shadow->nr_extents; nr++)
			changed |= update_extent(shadow, nr, shadow->extents[nr].start, shadow->extents[nr].end);
		return changed;
	}
	while ((start = lseek(shadow->fd, end, SEEK_DATA)) >= 0) {
		end = lseek(shadow->fd, start, SEEK_HOLE);
		zs_assert(end > start && nr < ARENA_SHADOW_EXTENTS);
		changed |= update_extent(shadow, nr++, (size_t)start, (size_t)end);
	}
	zs_assert(errno == ENXIO);
	changed |= nr != shadow->nr_extents;
	shadow->nr_extents = nr;
	return changed;
}

int arena_shadow_copy(const struct arena_shadow *shadow)
{
	int fd = memfd_create("arena-shadow", MFD_CLOEXEC);

	zs_assert(fd >= 0 && !ftruncate(fd, (off_t)shadow->size_bytes));
	for (unsigned int i = 0; i < shadow->nr_extents; i++) {
		size_t start = shadow->extents[i].start, length = shadow->extents[i].end - start;

		zs_assert(pwrite(fd, shadow->copy + start, length, (off_t)start) == (ssize_t)length);
	}
	return fd;
}
