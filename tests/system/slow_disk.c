/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For LD_PRELOAD: a file that is slow or broken. SLOW_DISK names it; what a read of it does is the content of the file
 * SLOW_DISK_DOES at that time:
 *
 *   hold	waits until it is something else; the thread's name is a line more in the file SLOW_DISK_DOES.held
 *   EIO	fails
 *   else	reads
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT	  __attribute__((visibility("default")))
#define LOOK_USEC 5000

/* Whether the descriptor is the file's. */
static bool is_slow(int fd)
{
	const char *path = getenv("SLOW_DISK");
	struct stat wanted, status;

	return path && !stat(path, &wanted) && !fstat(fd, &status) && wanted.st_dev == status.st_dev &&
	       wanted.st_ino == status.st_ino;
}

static bool does(const char *what)
{
	char text[16] = "";
	int fd = open(getenv("SLOW_DISK_DOES"), O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return length > 0 && !strncmp(text, what, strlen(what));
}

/* Who waits. */
static void note(void)
{
	char path[4096], line[32] = "";
	int fd;

	prctl(PR_GET_NAME, line);
	strcat(line, "\n");
	snprintf(path, sizeof(path), "%s.held", getenv("SLOW_DISK_DOES"));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		abort();
	close(fd);
}

/* pread64() to the linker: offsets have 64 bits. */
EXPORT ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
	ssize_t (*real)(int, void *, size_t, off_t);

	if (is_slow(fd)) {
		if (does("hold"))
			note();
		while (does("hold"))
			usleep(LOOK_USEC);
		if (does("EIO")) {
			errno = EIO;
			return -1;
		}
	}
	*(void **)&real = dlsym(RTLD_NEXT, "pread64");
	return real(fd, buffer, size, offset);
}
