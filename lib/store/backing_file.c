/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file below the backing store. */

#include "store/backing_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342 /* linux/magic.h has it since 5.8 */
#endif

/*
 * An unknown file counts as empty if so much of it is zeros. All that is known to begin later (btrfs: 64 KiB) does so
 * within; what lies at the end only (md 1.0) is a device's, and held by who uses it.
 */
#define LOOKED_AT_BYTES ((size_t)1 << 20)

/* Three seconds. */
#define LOCK_TRIES	   300
#define LOCK_INTERVAL_NSEC 10000000

/*
 * opening
 */

/* A device is taken for us alone, so that nothing mounted is overwritten. */
static int open_flags(const char *path, const struct zs_backing_options *options, int *ret_flags)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return -errno;
	if (S_ISDIR(status.st_mode))
		return -EISDIR;
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return -ENOTBLK;
	*ret_flags = O_RDWR | O_CLOEXEC | O_NONBLOCK | (S_ISBLK(status.st_mode) ? O_EXCL : 0) |
		     (options->buffered ? 0 : O_DIRECT);
	return 0;
}

/* The claim of a device is the open file's, as take_lock()'s lock, and lasts as long as what is in flight. */
static int open_claimed(const char *path, int flags)
{
	const struct timespec interval = {.tv_nsec = LOCK_INTERVAL_NSEC};
	int fd = open(path, flags);

	for (unsigned int i = 0; fd < 0 && errno == EBUSY && i < LOCK_TRIES; i++) {
		nanosleep(&interval, NULL);
		fd = open(path, flags);
	}
	return fd;
}

/* Once more without O_DIRECT, if that is what was not liked. */
static int open_path(struct zs_backing_file *file, const struct zs_backing_options *options)
{
	int flags = 0, error = open_flags(options->path, options, &flags);

	if (error)
		return error;
	file->fd = open_claimed(options->path, flags);
	file->is_direct = flags & O_DIRECT;
	if (file->fd < 0 && errno == EINVAL && file->is_direct) {
		file->fd = open_claimed(options->path, flags & ~O_DIRECT);
		file->is_direct = false;
	}
	return file->fd < 0 ? -errno : 0;
}

/*
 * The lock is the open file's, and what is in flight keeps the file open: the lock of a process that was killed is free
 * when its writes are over, and not before.
 */
static int take_lock(int fd)
{
	const struct timespec interval = {.tv_nsec = LOCK_INTERVAL_NSEC};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	for (unsigned int i = 0; i < LOCK_TRIES; i++) {
		if (!fcntl(fd, F_OFD_SETLK, &lock))
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		nanosleep(&interval, NULL);
	}
	return -EBUSY;
}

/* What is to be known of it, and what its owner should know. */
static int look_at_file(struct zs_backing_file *file, const struct zs_backing_options *options)
{
	struct statfs system;
	struct stat status;

	if (fstat(file->fd, &status) < 0 || fstatfs(file->fd, &system) < 0)
		return -errno;
	file->is_device = S_ISBLK(status.st_mode);
	if (file->is_device)
		return ioctl(file->fd, BLKGETSIZE64, &file->device_bytes) < 0 ? -errno : 0;
	atomic_init(&file->length, (uint64_t)status.st_size);
	file->has_barrier = system.f_type == EXT4_SUPER_MAGIC || system.f_type == XFS_SUPER_MAGIC;
	if (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC)
		zs_log(ZS_LOG_WARNING, "backing file %s: its file system is in memory, so nothing is gained by it",
		       options->path);
	else if (!file->is_direct && !options->buffered)
		zs_log(ZS_LOG_WARNING, "backing file %s: its file system has no O_DIRECT; the page cache is used",
		       options->path);
	return 0;
}

int zs_backing_file_open(struct zs_backing_file *ret_file, const struct zs_backing_options *options)
{
	struct zs_backing_file file = {.fd = -1};
	int error = open_path(&file, options);

	if (!error)
		error = take_lock(file.fd);
	if (!error)
		error = look_at_file(&file, options);
	if (!error && !zs_fault())
		file.path = strdup(options->path);
	if (!error && !file.path)
		error = -ENOMEM;
	if (error) {
		zs_closep(&file.fd);
		return error;
	}
	*ret_file = file;
	return 0;
}

void zs_backing_file_close(struct zs_backing_file *file)
{
	zs_closep(&file->fd);
	free(file->path);
	*file = (struct zs_backing_file){.fd = -1};
}

/*
 * content
 */

static bool is_zero(const char *bytes, size_t size)
{
	return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

/* Up to size bytes; fewer if it ends before. */
static ssize_t read_start(const struct zs_backing_file *file, char *buffer, size_t size)
{
	size_t done = 0;
	ssize_t length;

	while (done < size) {
		length = pread(file->fd, buffer + done, size - done, (off_t)done);
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		/* A direct read ends within a page only at the end of the file. */
		if (!length || length % 512)
			return (ssize_t)done + length;
		done += (size_t)length;
	}
	return (ssize_t)done;
}

int zs_backing_file_judge(struct zs_backing_file *file, enum zs_backing_content *ret_content,
			  struct zs_backing_header *ret_header)
{
	ZS_CLEANUP_FREE void *buffer = zs_fault() ? NULL : aligned_alloc(ZS_PAGE_SIZE, LOOKED_AT_BYTES);
	ssize_t length;

	if (!buffer)
		return -ENOMEM;
	length = read_start(file, buffer, LOOKED_AT_BYTES);
	if (length < 0)
		return (int)length;
	*ret_header = (struct zs_backing_header){0};
	memcpy(ret_header, buffer, zs_min((size_t)length, sizeof(*ret_header)));
	*ret_content = is_zero(buffer, (size_t)length)						? ZS_BACKING_EMPTY
		       : memcmp(ret_header->magic, ZS_BACKING_MAGIC, sizeof(ret_header->magic)) ? ZS_BACKING_FOREIGN
												: ZS_BACKING_OURS;
	return 0;
}

uint64_t zs_backing_header_checksum(const struct zs_backing_header *header)
{
	return XXH3_64bits(header, offsetof(struct zs_backing_header, checksum));
}

/*
 * All that an earlier store has left but the budget: its room, and its records. Its last writes are over then, see
 * has_barrier.
 */
static void clear_file(struct zs_backing_file *file)
{
	uint64_t bytes = file->is_device ? file->device_bytes : atomic_load(&file->length);
	uint64_t from = ZS_BUDGET_END_PAGE * ZS_PAGE_SIZE;

	zs_backing_file_barrier(file, ZS_PAGE_SIZE, ZS_PAGE_SIZE);
	if (bytes > from)
		zs_backing_file_punch(file, from, zs_align_down(bytes - from, ZS_PAGE_SIZE));
}

int zs_backing_file_format(struct zs_backing_file *file, const struct zs_backing_header *header,
			   enum zs_backing_content content)
{
	ZS_CLEANUP_FREE char *page = zs_fault() ? NULL : aligned_alloc(ZS_PAGE_SIZE, ZS_PAGE_SIZE);
	ssize_t length;

	if (!page)
		return -ENOMEM;
	if (content == ZS_BACKING_OURS)
		clear_file(file);
	memset(page, 0, ZS_PAGE_SIZE);
	memcpy(page, header, sizeof(*header));
	length = pwrite(file->fd, page, ZS_PAGE_SIZE, 0);
	if (length == (ssize_t)ZS_PAGE_SIZE) {
		zs_backing_file_lengthen(file, header->segment_bytes);
		return 0;
	}
	return length < 0 ? -errno : -ENOSPC;
}

/*
 * room
 */

void zs_backing_file_lengthen(struct zs_backing_file *file, uint64_t bytes)
{
	if (file->is_device || atomic_load(&file->length) >= bytes)
		return;
	if (!ftruncate(file->fd, (off_t)bytes))
		atomic_store(&file->length, bytes);
}

void zs_backing_file_punch(struct zs_backing_file *file, uint64_t offset, uint64_t bytes)
{
	uint64_t range[2] = {offset, bytes};

	if (file->is_device) {
		range[1] = zs_min(bytes, file->device_bytes - offset);
		(void)!ioctl(file->fd, BLKDISCARD, range);
		return;
	}
	(void)!fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
}

void zs_backing_file_barrier(struct zs_backing_file *file, uint64_t offset, uint64_t bytes)
{
	zs_backing_file_punch(file, offset, bytes);
}

uint64_t zs_backing_file_bytes(const struct zs_backing_file *file)
{
	struct stat status;

	return fstat(file->fd, &status) < 0 ? 0 : (uint64_t)status.st_blocks * 512;
}
