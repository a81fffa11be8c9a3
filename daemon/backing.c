/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file that the configuration names. */

#include "backing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "config.h"
#include "store/cold.h"
#include "store/writeback.h"

/* Devices below devices; more than anybody has. */
#define DEPTH_MAX 8

/*
 * our own devices
 */

/* By their texts. */
static bool is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 && (path[length] == '/' || !path[length]);
}

/* The first line of a file in sysfs; false if there is none. */
static bool read_line(const char *directory, const char *name, char *line, size_t size)
{
	char path[PATH_MAX];
	ssize_t length;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return false;
	ZS_CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	length = read(fd, line, size - 1);
	if (length <= 0)
		return false;
	line[length] = 0;
	line[strcspn(line, "\n")] = 0;
	return true;
}

static bool is_device_ours(const char *sysfs, const char *mount_point, unsigned int depth);

/* Of a device that is made of others. */
static bool is_slave_ours(const char *sysfs, const char *mount_point, unsigned int depth)
{
	char path[PATH_MAX];
	bool found = false;
	struct dirent *entry;
	DIR *slaves;

	if (snprintf(path, sizeof(path), "%s/slaves", sysfs) >= (int)sizeof(path))
		return false;
	slaves = opendir(path);
	while (slaves && !found && (entry = readdir(slaves))) {
		if (*entry->d_name != '.' &&
		    snprintf(path, sizeof(path), "%s/slaves/%s", sysfs, entry->d_name) < (int)sizeof(path))
			found = is_device_ours(path, mount_point, depth + 1);
	}
	if (slaves)
		closedir(slaves);
	return found;
}

/* sysfs: the directory of a block device. */
static bool is_device_ours(const char *sysfs, const char *mount_point, unsigned int depth)
{
	char line[PATH_MAX];

	if (depth > DEPTH_MAX)
		return false;
	if (read_line(sysfs, "loop/backing_file", line, sizeof(line)))
		return is_below(line, mount_point);
	if (read_line(sysfs, "partition", line, sizeof(line)) &&
	    snprintf(line, sizeof(line), "%s/..", sysfs) < (int)sizeof(line))
		return is_device_ours(line, mount_point, depth + 1);
	return is_slave_ours(sysfs, mount_point, depth);
}

/* The directory that a file is in, as the kernel names it; or NULL. */
static char *real_directory(const char *path)
{
	ZS_CLEANUP_FREE char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;

	if (!slash)
		return NULL;
	slash[slash == copy] = 0;
	return realpath(copy, NULL);
}

bool zsd_backing_is_ours(const char *path, const char *mount_point)
{
	ZS_CLEANUP_FREE char *directory = NULL;
	char sysfs[64];
	struct stat status;
	dev_t device;

	/* First of all: a look at what is below a mount that nobody serves would take for ever. */
	if (is_below(path, mount_point))
		return true;
	directory = real_directory(path);
	if (!directory)
		return false;
	if (is_below(directory, mount_point))
		return true;
	if (stat(path, &status) < 0 && stat(directory, &status) < 0)
		return false;
	device = S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev;
	snprintf(sysfs, sizeof(sysfs), "/sys/dev/block/%u:%u", major(device), minor(device));
	return is_device_ours(sysfs, mount_point, 0);
}

/*
 * attaching
 */

static int refuse(const char *path, int error, const char *why)
{
	zs_log(ZS_LOG_ERR, "backing file %s: %s", path, why);
	return error;
}

const char *zsd_backing_size_reason(int error)
{
	return error == -EFBIG ? "the device is smaller than that; correct Size= of [Writeback]"
			       : "Size= of [Writeback] is too small; use 4M or more";
}

static const char *path_reason(int error)
{
	switch (error) {
	case -ENOENT:
		return "its directory does not exist; make it, or correct Backing=";
	case -EISDIR:
		return "it is a directory; name a file in it";
	case -ENOTBLK:
		return "it is neither a regular file nor a block device; correct Backing=";
	case -EACCES:
	case -EPERM:
		return "zsd may not read and write it; change its owner or mode";
	case -EROFS:
		return "it is on a read-only file system; choose another one with Backing=";
	case -EBUSY:
		return "it is in use: by another zsd, or mounted; each zsd needs one of its own";
	case -EMEDIUMTYPE:
		return "there is something else in it; choose an empty one, or remove what is in it yourself";
	case -ESTALE:
		return "it is not the one that was used before, or it is damaged; bring that one back";
	case -EOVERFLOW:
		return "the device is too small; use one of 4M or more";
	case -ENOSPC:
		return "no room for it; free some, or choose another file system with Backing=";
	default:
		return NULL;
	}
}

static const char *reason_of(const struct zsd_config_writeback *wanted, int error, enum zs_backing_field field)
{
	if (field == ZS_BACKING_FIELD_ENCRYPT)
		return "this zsd was built without encryption; remove Encrypt=yes, or build it with libsodium";
	/* Of a size that nobody has asked for. */
	return field == ZS_BACKING_FIELD_SIZE && wanted->size_bytes ? zsd_backing_size_reason(error)
								    : path_reason(error);
}

/* Sets *ret_made if there was none. Whatever is wrong with one that is there is found when it is attached. */
static int make_file(const char *path, bool *ret_made)
{
	ZS_CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);

	*ret_made = fd >= 0;
	return fd >= 0 || errno == EEXIST ? 0 : -errno;
}

uint64_t zsd_backing_total(const struct zsd_config_writeback *wanted)
{
	return wanted->total_bytes ?: ZS_NO_TOTAL_LIMIT;
}

/* Nobody writes back yet, so this thread may. */
static void set_limits(struct zs_store *store, const struct zsd_config_writeback *wanted)
{
	zs_store_set_promotion(store, wanted->promote_reads);
	zs_backing_set_batch(zs_store_backing(store), wanted->batch_bytes);
	zs_store_set_daily_limit(store, wanted->day_bytes, ZS_LIMIT_AT_START);
	zs_store_set_total_limit(store, zsd_backing_total(wanted), ZS_LIMIT_AT_START);
	zs_store_keep_writeback_budget(store);
}

int zsd_backing_attach(struct zs_store *store, const struct zsd_config_writeback *wanted, const char *mount_point)
{
	const struct zs_backing_options options = {
		.path = wanted->path,
		.size_bytes = wanted->size_bytes,
		.encrypt = wanted->encrypt,
	};
	enum zs_backing_field field = ZS_BACKING_FIELD_PATH;
	const char *why;
	bool made = false;
	int r;

	if (zsd_backing_is_ours(wanted->path, mount_point))
		return refuse(wanted->path, -ELOOP, "it lies on a device of zsd itself; choose another Backing=");
	r = make_file(wanted->path, &made);
	if (!r)
		r = zs_store_attach_backing(store, &options, &field);
	if (!r) {
		set_limits(store, wanted);
		return 0;
	}
	if (made)
		unlink(wanted->path);
	why = reason_of(wanted, r, field);
	return refuse(wanted->path, r, why ? why : strerror(-r));
}
