/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pressure information of the kernel. */

#include "pressure.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Stalled for 150 ms within 2 s: the longest window that needs no privilege. */
#define TRIGGER "some 150000 2000000"

/* The control group's own file, as cgroups(7) names it in /proc/self/cgroup. */
static int open_of_group(void)
{
	char line[4096], path[4200];
	FILE *stream = fopen("/proc/self/cgroup", "re");
	int fd = -1;

	if (!stream)
		return -1;
	while (fd < 0 && fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::/", 4) != 0 || !line[4])
			continue;
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/memory.pressure", line + 4);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	fclose(stream);
	return fd;
}

int zsd_pressure_open(void)
{
	int fd = open_of_group();

	if (fd < 0)
		fd = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && write(fd, TRIGGER, sizeof(TRIGGER)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}
