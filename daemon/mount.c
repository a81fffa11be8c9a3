/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The runtime directory and the mount point.
 *
 * A mount of zsd's type at our mount point whose server is gone is told from one that is served by asking it, in a
 * child process that can be killed if there is no answer: a dead one says ENOTCONN. Our own lock file doesn't tell it,
 * since a daemon with another runtime directory may have been configured with the same mount point.
 */

#include "mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "mount_helper.h"

#define MOUNT_TYPE "fuse.zsd"
#define LOCK_NAME  "zsd.lock"

#define PROBE_INTERVAL_NSEC 5000000
#define PROBE_INTERVALS	    400 /* 2 seconds */
/* Dead mounts on top of each other; each start would leave at most one. */
#define DETACH_MAX 16

/* directories */

/* The mode is set apart from making, since the umask would take bits away. */
static int make_directory(const char *path)
{
	if (!mkdir(path, 0755))
		return chmod(path, 0755) ? -errno : 0;
	return errno == EEXIST ? 0 : -errno;
}

static pid_t read_owner(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

static int write_owner(int fd)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)length, 0) != length)
		return -errno;
	return 0;
}

int zsd_runtime_lock(const char *directory, int *ret_lock_fd, pid_t *ret_owner)
{
	ZS_CLEANUP_CLOSE int directory_fd = -1;
	ZS_CLEANUP_CLOSE int fd = -1;
	int r = make_directory(directory);

	if (r)
		return r;
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return -errno;
	fd = openat(directory_fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return -errno;
		*ret_owner = read_owner(fd);
		return -EBUSY;
	}
	r = write_owner(fd);
	if (r)
		return r;
	*ret_lock_fd = zs_take_fd(fd);
	return 0;
}

/* what is mounted */

struct mount_entry {
	int id;
	char type[32];
	char source[64];
};

static void unref_tablep(struct libmnt_table **table)
{
	mnt_unref_table(*table);
}

/* The topmost mount at exactly this path. Returns 0, -ENOENT (there is none) or an errno of reading mountinfo. */
static int find_mount(const char *path, struct mount_entry *ret_entry)
{
	ZS_CLEANUP(unref_tablep) struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_fs *fs;
	const char *source;

	if (!table)
		return -EIO;
	/* Without a cache libmount compares texts and touches no path. */
	fs = mnt_table_find_target(table, path, MNT_ITER_BACKWARD);
	if (!fs)
		return -ENOENT;
	source = mnt_fs_get_source(fs);
	ret_entry->id = mnt_fs_get_id(fs);
	snprintf(ret_entry->type, sizeof(ret_entry->type), "%s", mnt_fs_get_fstype(fs));
	snprintf(ret_entry->source, sizeof(ret_entry->source), "%s", source ? source : "none");
	return 0;
}

static void probe(const char *path)
{
	struct statfs answer;

	_exit(statfs(path, &answer) && errno == ENOTCONN);
}

/* True if the server behind the mount is gone; one that doesn't answer in time is not. */
static bool is_dead(const char *path)
{
	const struct timespec interval = {.tv_nsec = PROBE_INTERVAL_NSEC};
	pid_t child = fork();
	int status = 0;
	pid_t r = 0;

	if (child < 0)
		return false;
	if (!child)
		probe(path);
	for (int i = 0; i < PROBE_INTERVALS && !r; i++) {
		nanosleep(&interval, NULL);
		r = waitpid(child, &status, WNOHANG);
	}
	if (!r) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
	}
	return r == child && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static int detach(const char *path)
{
	if (!umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW))
		return 0;
	return errno == EPERM ? zsd_fusermount_detach(path) : -errno;
}

/* Detaches dead mounts of ours until there is none, or something else. */
static int clear_mounts(const char *path, bool *ret_detached, struct zsd_mount_obstacle *ret_obstacle)
{
	struct mount_entry entry = {.id = -1};
	int r = find_mount(path, &entry);

	for (int i = 0; !r && i < DETACH_MAX; i++) {
		if (strcmp(entry.type, MOUNT_TYPE) || !is_dead(path))
			break;
		r = detach(path);
		if (r)
			return r;
		*ret_detached = true;
		r = find_mount(path, &entry);
	}
	if (r)
		return r == -ENOENT ? 0 : r;
	ret_obstacle->is_mount = true;
	snprintf(ret_obstacle->what, sizeof(ret_obstacle->what), "%s (%s)", entry.source, entry.type);
	return -EBUSY;
}

static void close_directoryp(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

static int check_empty(const char *path, struct zsd_mount_obstacle *ret_obstacle)
{
	ZS_CLEANUP(close_directoryp) DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		ret_obstacle->is_mount = false;
		snprintf(ret_obstacle->what, sizeof(ret_obstacle->what), "%.100s", entry->d_name);
		return -EBUSY;
	}
	return 0;
}

int zsd_mount_prepare(const char *path, bool *ret_detached, struct zsd_mount_obstacle *ret_obstacle)
{
	bool detached = false;
	int r = clear_mounts(path, &detached, ret_obstacle);

	if (!r)
		r = make_directory(path);
	if (!r)
		r = check_empty(path, ret_obstacle);
	if (!r)
		*ret_detached = detached;
	return r;
}

/* mounting */

static int mount_directly(const char *path, int *ret_fuse_fd)
{
	ZS_CLEANUP_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[128];

	if (fd < 0)
		return -errno;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,allow_other", fd, geteuid(),
		 getegid());
	if (mount("zsd", path, MOUNT_TYPE, MS_NOSUID | MS_NODEV | MS_NOEXEC, options))
		return -errno;
	*ret_fuse_fd = zs_take_fd(fd);
	return 0;
}

static int attach(const char *path, int *ret_fuse_fd, bool *ret_for_all)
{
	bool for_all = zsd_fusermount_may_allow_other();
	int r;

	if (!geteuid()) {
		r = mount_directly(path, ret_fuse_fd);
		if (!r)
			*ret_for_all = true;
		if (r != -EPERM)
			return r;
	}
	/* Not root, or root in a container that may not mount. */
	r = zsd_fusermount(path, for_all, ret_fuse_fd);
	if (!r)
		*ret_for_all = for_all;
	return r;
}

int zsd_mount_open(const char *path, struct zsd_mount *ret_mount)
{
	ZS_CLEANUP_FREE char *copy = strdup(path);
	struct mount_entry entry = {.id = -1};
	bool for_all;
	int fd, r;

	if (!copy)
		return -ENOMEM;
	r = attach(path, &fd, &for_all);
	if (r)
		return r;
	if (find_mount(path, &entry))
		entry.id = -1;
	*ret_mount = (struct zsd_mount){
		.path = zs_take(copy),
		.fuse_fd = fd,
		.id = entry.id,
		.for_all = for_all,
		.is_ours = true,
	};
	return 0;
}

int zsd_mount_adopt(const char *path, int fuse_fd, struct zsd_mount *ret_mount)
{
	char *copy = strdup(path);

	if (!copy) {
		close(fuse_fd);
		return -ENOMEM;
	}
	*ret_mount = (struct zsd_mount){.path = copy, .fuse_fd = fuse_fd, .id = -1, .for_all = true};
	return 0;
}

int zsd_mount_detach_all(const char *path)
{
	struct mount_entry entry;
	int r = find_mount(path, &entry);

	for (int i = 0; !r && !strcmp(entry.type, MOUNT_TYPE) && i < DETACH_MAX; i++) {
		r = detach(path);
		if (!r)
			r = find_mount(path, &entry);
	}
	return r == -ENOENT ? 0 : r;
}

int zsd_mount_detach(const struct zsd_mount *mount)
{
	struct mount_entry entry;
	int r = find_mount(mount->path, &entry);

	if (r == -ENOENT || (!r && entry.id != mount->id))
		return 0;
	return r ? r : detach(mount->path);
}

void zsd_mount_close(struct zsd_mount *mount)
{
	close(mount->fuse_fd);
	free(mount->path);
	*mount = (struct zsd_mount){.fuse_fd = -1, .id = -1};
}
