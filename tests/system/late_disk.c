/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk that takes its time: late_disk DIRECTORY SIZE_BYTES STATUS. DIRECTORY/disk is a file of that size, in memory;
 * of the writes to it one in four is late, by up to a tenth of a second, whoever has asked for it and whether that one
 * is still there. Others pass it: writes are over in any order. STATUS is a file to tell what goes on, see late_disk.h.
 * It ends with SIGTERM.
 */

#include "late_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../support/random.h"
#include "base/bits.h"
#include "base/check.h"
#include "frontend.h"
#include "mount.h"
#include "transport.h"

#define DISK_NODE    (ZSD_ROOT_NODE + 1)
#define DISK_NAME    "disk"
#define LATE_PERCENT 25
#define LATE_USEC    100000

struct disk {
	char *bytes;
	uint64_t size_bytes;
	struct late_disk *status;
};

struct thread {
	struct test_random random;
	bool may_wait;
};

static int begin_thread(void *frontend, unsigned int index, void **ret_thread)
{
	struct thread *thread = calloc(1, sizeof(*thread));

	if (!thread)
		return -ENOMEM;
	thread->random.state = (uint64_t)getpid() << 16 | index;
	*ret_thread = thread;
	return 0;
}

static void end_thread(void *frontend, void *thread)
{
	free(thread);
}

static void allow_wait(void *frontend, void *thread, bool may_wait)
{
	((struct thread *)thread)->may_wait = may_wait;
}

static size_t clip(const struct disk *disk, uint64_t offset, size_t length)
{
	return offset >= disk->size_bytes ? 0 : (size_t)zs_min(length, disk->size_bytes - offset);
}

static int read_disk(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *done)
{
	const struct disk *disk = frontend;

	*done = clip(disk, offset, length);
	memcpy(buffer, disk->bytes + offset, *done);
	return 0;
}

/* Threads that serve others, too, must not sleep: the transport has some that may. */
static int write_disk(void *frontend, void *argument, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *done)
{
	struct disk *disk = frontend;
	struct thread *thread = argument;

	if (!thread->may_wait) {
		atomic_fetch_add(&disk->status->begun, 1);
		return -EINPROGRESS;
	}
	if (test_random_chance(&thread->random, LATE_PERCENT))
		usleep((useconds_t)test_random_below(&thread->random, LATE_USEC));
	*done = clip(disk, offset, length);
	memcpy(disk->bytes + offset, buffer, *done);
	atomic_fetch_add(&disk->status->written, 1);
	return length && !*done ? -ENOSPC : 0;
}

static int discard_disk(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	struct disk *disk = frontend;

	memset(disk->bytes + offset, 0, clip(disk, offset, length));
	return 0;
}

static int seek_disk(void *frontend, void *thread, uint64_t node, uint64_t offset, bool data, uint64_t *ret_offset)
{
	return -ENXIO;
}

static int open_disk(void *frontend, uint64_t node, bool to_write, uint64_t *ret_handle, bool *ret_page_cache)
{
	struct disk *disk = frontend;

	*ret_page_cache = false;
	atomic_fetch_add(&disk->status->opens, 1);
	*ret_handle = node;
	return 0;
}

static void release_disk(void *frontend, uint64_t node)
{
	struct disk *disk = frontend;

	atomic_fetch_add(&disk->status->releases, 1);
}

static int lookup(void *frontend, uint64_t directory, const char *name, uint64_t *ret_node)
{
	if (strcmp(name, DISK_NAME))
		return -ENOENT;
	*ret_node = DISK_NODE;
	return 0;
}

static int get_attributes(void *frontend, uint64_t node, struct zsd_attributes *ret_attributes)
{
	const struct disk *disk = frontend;

	*ret_attributes = (struct zsd_attributes){
		.node = node,
		.size_bytes = node == DISK_NODE ? disk->size_bytes : 0,
		.block_size = 4096,
		.is_directory = node == ZSD_ROOT_NODE,
		.mode = node == DISK_NODE ? 0600 : 0755,
		.uid = getuid(),
		.gid = getgid(),
	};
	return 0;
}

static int set_attributes(void *frontend, uint64_t node, unsigned int changes, const struct zsd_attributes *wanted)
{
	return -EPERM;
}

static bool next(void *frontend, uint64_t directory, uint64_t *cursor, char name[static ZSD_NAME_BYTES],
		 uint64_t *ret_node)
{
	if (*cursor)
		return false;
	*cursor = 1;
	strcpy(name, DISK_NAME);
	*ret_node = DISK_NODE;
	return true;
}

static void space(void *frontend, struct zsd_space *ret_space)
{
	*ret_space = (struct zsd_space){.nr_files = 1, .max_files = 1};
}

static const struct zsd_frontend_ops ops = {
	.thread_begin = begin_thread,
	.thread_end = end_thread,
	.thread_allow_wait = allow_wait,
	.read = read_disk,
	.write = write_disk,
	.discard = discard_disk,
	.seek = seek_disk,
	.open = open_disk,
	.release = release_disk,
	.lookup = lookup,
	.getattr = get_attributes,
	.setattr = set_attributes,
	.next = next,
	.space = space,
};

/* The transport's threads inherit the mask: the signal comes to the descriptor only. */
static int open_signal(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static struct late_disk *map_status(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct late_disk *status;

	zs_assert(fd >= 0 && !ftruncate(fd, 4096));
	status = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	zs_assert(status != MAP_FAILED);
	close(fd);
	return status;
}

int main(int argc, char **argv)
{
	struct zsd_transport_options options = {.kind = ZSD_TRANSPORT_CLASSIC, .nr_threads = 2, .may_wait = true};
	struct disk disk = {.size_bytes = argc == 4 ? strtoull(argv[2], NULL, 10) : 0};
	struct pollfd wait = {.events = POLLIN};
	struct zsd_transport *transport;
	struct zsd_mount mount;

	if (!disk.size_bytes) {
		fputs("usage: late_disk DIRECTORY SIZE_BYTES STATUS\n", stderr);
		return 2;
	}
	disk.status = map_status(argv[3]);
	disk.bytes = mmap(NULL, disk.size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	wait.fd = open_signal();
	zs_assert(disk.bytes != MAP_FAILED && wait.fd >= 0);
	zs_assert(!zsd_mount_open(argv[1], &mount));
	options.fuse_fd = mount.fuse_fd;
	zs_assert(!zsd_transport_create(&options, &ops, &disk, &transport));
	while (poll(&wait, 1, -1) < 0 && errno == EINTR)
		;
	zsd_mount_detach(&mount);
	zsd_transport_destroy(transport);
	zsd_mount_close(&mount);
	return 0;
}
