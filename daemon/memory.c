/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of the process.
 *
 * When a file system is mounted over a loop device over one of our files, the kernel may ask us to take dirty pages
 * because memory is short. If our own allocations then waited for such pages to be written, both would wait for ever;
 * PR_SET_IO_FLUSHER says that they must not. It needs CAP_SYS_RESOURCE.
 *
 * Memory is not locked: the arena's pages are shared memory that only swap could take away, and the service's unit
 * forbids that where it matters (MemorySwapMax=0), without an mlock for each page of a store that grows and shrinks.
 */

#include "memory.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/log.h"

/* Where the kernel keeps the limits of control groups: the unified hierarchy, or the memory controller's own. */
static const struct hierarchy {
	const char *controller; /* second field of /proc/self/cgroup */
	const char *directory;
	const char *file;
} hierarchies[] = {
	{"", "/sys/fs/cgroup", "memory.max"},
	{"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
};

static void fclosep(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* The limit of one group; UINT64_MAX if there is none. */
static uint64_t read_limit(const char *group, const char *name)
{
	char path[PATH_MAX + 32];
	unsigned long long limit;
	ZS_CLEANUP(fclosep) FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/%s", group, name);
	file = fopen(path, "re");
	/* "max" is no number. */
	return file && fscanf(file, "%llu", &limit) == 1 ? limit : UINT64_MAX;
}

/* The lowest limit of a group and all those above it; groups that we can't see have none. */
static uint64_t lowest_limit(const struct hierarchy *hierarchy, const char *group)
{
	char path[PATH_MAX];
	uint64_t limit = UINT64_MAX;

	snprintf(path, sizeof(path), "%s%s", hierarchy->directory, group);
	while (strlen(path) >= strlen(hierarchy->directory)) {
		limit = zs_min(limit, read_limit(path, hierarchy->file));
		*strrchr(path, '/') = '\0';
	}
	return limit;
}

/* One line of /proc/self/cgroup: "NUMBER:CONTROLLERS:GROUP". */
static uint64_t limit_of_line(char *line)
{
	char *controllers = strchr(line, ':');
	char *group = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!group)
		return UINT64_MAX;
	*group++ = '\0';
	group[strcspn(group, "\n")] = '\0';
	for (size_t i = 0; i < ZS_ARRAY_SIZE(hierarchies); i++) {
		if (!strcmp(controllers + 1, hierarchies[i].controller))
			return lowest_limit(&hierarchies[i], group);
	}
	return UINT64_MAX;
}

static uint64_t cgroup_limit(void)
{
	ZS_CLEANUP(fclosep) FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX - 64];
	uint64_t limit = UINT64_MAX;

	while (file && fgets(line, sizeof(line), file))
		limit = zs_min(limit, limit_of_line(line));
	return limit;
}

uint64_t zsd_memory_available(void)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);

	return zs_min(machine, cgroup_limit());
}

uint64_t zsd_memory_default_limit(void)
{
	return zsd_memory_available() / 2;
}

void zsd_memory_prepare_process(void)
{
	/* The data path doesn't allocate; one arena is enough for the rest, and keeps an idle daemon small. */
	mallopt(M_ARENA_MAX, 1);
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		zs_log(ZS_LOG_DEBUG, "can't become an I/O flusher: %s", strerror(errno));
}
