/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loop devices.
 *
 * Everything is found by the path that the kernel tells, in /sys/block, /proc/self/mountinfo and /proc/PID/fd: nothing
 * here asks the file system that the file is in, which may not answer.
 */

#include "loop.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Somebody may take the free device that was found before we do. */
#define TRIES	  64
#define LOOPS_MAX 4096
#define TEXT_MAX  4096

/* Reads a small file without its last newline. False if it isn't there. */
static bool read_text(const char *path, char text[static TEXT_MAX])
{
	ZS_CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, TEXT_MAX - 1);

	if (length < 0)
		return false;
	text[length] = 0;
	if (length && text[length - 1] == '\n')
		text[length - 1] = 0;
	return true;
}

/*
 * attaching
 */

static int configure(int loop_fd, int file_fd, const char *file, uint32_t sector_bytes, bool autoclear)
{
	struct loop_config config = {
		.fd = (uint32_t)file_fd,
		.block_size = sector_bytes,
		.info.lo_flags = LO_FLAGS_DIRECT_IO | (autoclear ? LO_FLAGS_AUTOCLEAR : 0),
	};
	struct loop_info64 info;

	snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", file);
	if (ioctl(loop_fd, LOOP_CONFIGURE, &config))
		return -errno;
	if (ioctl(loop_fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_flags & LO_FLAGS_DIRECT_IO)
		return 0;
	ioctl(loop_fd, LOOP_CLR_FD);
	return -EOPNOTSUPP;
}

static int attach_to_free(int control_fd, int file_fd, const char *file, uint32_t sector_bytes, bool autoclear,
			  char ret_path[static ZSCTL_LOOP_BYTES], int *ret_fd)
{
	ZS_CLEANUP_CLOSE int loop_fd = -1;
	int number = ioctl(control_fd, LOOP_CTL_GET_FREE), error;

	if (number < 0)
		return -errno;
	snprintf(ret_path, ZSCTL_LOOP_BYTES, "/dev/loop%d", number);
	loop_fd = open(ret_path, O_RDWR | O_CLOEXEC);
	if (loop_fd < 0)
		return -errno;
	error = configure(loop_fd, file_fd, file, sector_bytes, autoclear);
	if (!error)
		*ret_fd = zs_take_fd(loop_fd);
	return error;
}

static int open_file(const char *file)
{
	int fd = open(file, O_RDWR | O_CLOEXEC | O_DIRECT);

	return fd < 0 && errno == EROFS ? open(file, O_RDONLY | O_CLOEXEC | O_DIRECT) : fd;
}

int zsctl_loop_attach(const char *file, uint32_t sector_bytes, bool autoclear, char ret_path[static ZSCTL_LOOP_BYTES],
		      int *ret_fd)
{
	/* The kernel makes a read-only device of a descriptor that is read-only. */
	ZS_CLEANUP_CLOSE int file_fd = open_file(file);
	ZS_CLEANUP_CLOSE int control_fd = -1;
	int error;

	if (file_fd < 0)
		return -errno;
	control_fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control_fd < 0)
		return -errno;
	for (unsigned int i = 0; i < TRIES; i++) {
		error = attach_to_free(control_fd, file_fd, file, sector_bytes, autoclear, ret_path, ret_fd);
		if (error != -EBUSY)
			break;
	}
	return error;
}

int zsctl_loop_detach(const char *path)
{
	ZS_CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* ENXIO: it is gone already. */
	return ioctl(fd, LOOP_CLR_FD) && errno != ENXIO ? -errno : 0;
}

/*
 * finding
 */

bool zsctl_loop_next(const char *file, unsigned int *cursor, char ret_path[static ZSCTL_LOOP_BYTES])
{
	char path[64], backing[TEXT_MAX];

	for (; *cursor < LOOPS_MAX; ++*cursor) {
		snprintf(path, sizeof(path), "/sys/block/loop%u/loop/backing_file", *cursor);
		if (!read_text(path, backing) || strcmp(backing, file))
			continue;
		snprintf(ret_path, ZSCTL_LOOP_BYTES, "/dev/loop%u", (*cursor)++);
		return true;
	}
	return false;
}

/* Replaces "\040" and the like, in place. */
static void unescape(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (*text == '\\' && isdigit((unsigned char)text[1]) && isdigit((unsigned char)text[2]) &&
		    isdigit((unsigned char)text[3])) {
			*out++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + text[3] - '0');
			text += 3;
		} else {
			*out++ = *text;
		}
	}
	*out = 0;
}

char *zsctl_mounted_at(const char *device)
{
	FILE *stream = fopen("/proc/self/mountinfo", "re");
	char path[64], number[TEXT_MAX], line[TEXT_MAX], where[TEXT_MAX], its[32], *found = NULL;

	snprintf(path, sizeof(path), "/sys/class/block/%s/dev", device + strlen("/dev/"));
	if (!read_text(path, number) || !stream) {
		if (stream)
			fclose(stream);
		return NULL;
	}
	/* ID PARENT MAJOR:MINOR ROOT MOUNT-POINT ...; the last one is mounted on top of the others. */
	while (fgets(line, sizeof(line), stream)) {
		if (sscanf(line, "%*d %*d %31s %*s %4095s", its, where) != 2 || strcmp(its, number))
			continue;
		free(found);
		unescape(where);
		found = strdup(where);
	}
	fclose(stream);
	return found;
}

/* True if the process has the file open. */
static bool has_open(const char *pid, const char *file)
{
	char path[300], target[TEXT_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	directory = opendir(path);
	while (directory && !found && (entry = readdir(directory))) {
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = 0;
		found = strcmp(target, file) == 0;
	}
	if (directory)
		closedir(directory);
	return found;
}

bool zsctl_find_holder(const char *file, char ret_holder[static ZSCTL_HOLDER_BYTES])
{
	char path[300], command[TEXT_MAX], loop[ZSCTL_LOOP_BYTES];
	unsigned int cursor = 0;
	struct dirent *entry;
	bool found = false;
	DIR *directory;

	if (zsctl_loop_next(file, &cursor, loop)) {
		ZS_CLEANUP_FREE char *where = zsctl_mounted_at(loop);

		snprintf(ret_holder, ZSCTL_HOLDER_BYTES, "%s%s%.80s", loop, where ? ", mounted at " : "", where ?: "");
		return true;
	}
	directory = opendir("/proc");
	while (directory && !found && (entry = readdir(directory))) {
		/* What we have open ourselves was handed to us, and goes with us. */
		if (!isdigit((unsigned char)*entry->d_name) || atoi(entry->d_name) == getpid() ||
		    !has_open(entry->d_name, file))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (!read_text(path, command))
			continue;
		snprintf(ret_holder, ZSCTL_HOLDER_BYTES, "process %.16s (%.60s)", entry->d_name, command);
		found = true;
	}
	if (directory)
		closedir(directory);
	return found;
}
