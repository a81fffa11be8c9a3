/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that store nothing: null_server DIRECTORY SIZE_BYTES [THREADS [TRANSPORT [POLL_MAX]]]. It plugs a frontend of
 * its own into the transport of zsd, so that what it reaches is the limit that the kernel's FUSE and that transport
 * set. Reads leave the buffer as it is, writes drop it; the files are DIRECTORY/null0 and the next ones, SIZE_BYTES
 * each. It ends with SIGTERM or SIGINT, or when it is unmounted.
 *
 * Exit codes: 0; 1 it could not start (the reason is on stderr); 2 usage.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "frontend.h"
#include "mount.h"
#include "transport.h"

#define FIRST_NODE (ZSD_ROOT_NODE + 1)
#define NR_FILES   4 /* as many devices as one load of bench io takes */

struct null_files {
	uint64_t size_bytes; /* of each */
};

static const char *const names[NR_FILES] = {"null0", "null1", "null2", "null3"};

static bool is_file(uint64_t node)
{
	return node >= FIRST_NODE && node < FIRST_NODE + NR_FILES;
}

static int null_thread_begin(void *frontend, unsigned int index, void **ret_thread)
{
	*ret_thread = frontend;
	return 0;
}

static void null_thread_end(void *frontend, void *thread)
{
}

static size_t clip(const struct null_files *files, uint64_t offset, size_t length)
{
	if (offset >= files->size_bytes)
		return 0;
	return length < files->size_bytes - offset ? length : (size_t)(files->size_bytes - offset);
}

static int null_read(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *ret_done)
{
	if (!is_file(node))
		return -ENODEV;
	*ret_done = clip(frontend, offset, length);
	return 0;
}

static int null_write(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *ret_done)
{
	size_t done = clip(frontend, offset, length);

	if (!is_file(node))
		return -ENODEV;
	if (length && !done)
		return -ENOSPC;
	*ret_done = done;
	return 0;
}

static int null_discard(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	return is_file(node) ? 0 : -ENODEV;
}

static int null_seek(void *frontend, void *thread, uint64_t node, uint64_t offset, bool data, uint64_t *ret_offset)
{
	const struct null_files *files = frontend;

	if (!is_file(node))
		return -ENODEV;
	if (data || offset >= files->size_bytes)
		return -ENXIO;
	*ret_offset = offset;
	return 0;
}

static int null_open(void *frontend, uint64_t node, bool to_write, uint64_t *ret_handle, bool *ret_page_cache)
{
	*ret_handle = node;
	*ret_page_cache = false;
	return is_file(node) ? 0 : -ESTALE;
}

static void null_release(void *frontend, uint64_t node)
{
}

static int null_lookup(void *frontend, uint64_t directory, const char *name, uint64_t *ret_node)
{
	for (unsigned int i = 0; i < NR_FILES; i++) {
		if (strcmp(name, names[i]))
			continue;
		*ret_node = FIRST_NODE + i;
		return 0;
	}
	return -ENOENT;
}

static int null_getattr(void *frontend, uint64_t node, struct zsd_attributes *ret_attributes)
{
	const struct null_files *files = frontend;

	if (!is_file(node) && node != ZSD_ROOT_NODE)
		return -ESTALE;
	*ret_attributes = (struct zsd_attributes){
		.node = node,
		.size_bytes = is_file(node) ? files->size_bytes : 0,
		.block_size = 4096,
		.is_directory = node == ZSD_ROOT_NODE,
		.mode = is_file(node) ? 0600 : 0755,
		.uid = getuid(),
		.gid = getgid(),
	};
	return 0;
}

static int null_setattr(void *frontend, uint64_t node, unsigned int changes, const struct zsd_attributes *wanted)
{
	return -EPERM;
}

static bool null_next(void *frontend, uint64_t directory, uint64_t *cursor, char name[static ZSD_NAME_BYTES],
		      uint64_t *ret_node)
{
	if (*cursor >= NR_FILES)
		return false;
	strcpy(name, names[*cursor]);
	*ret_node = FIRST_NODE + *cursor;
	++*cursor;
	return true;
}

static void null_space(void *frontend, struct zsd_space *ret_space)
{
	*ret_space = (struct zsd_space){.nr_files = NR_FILES, .max_files = NR_FILES};
}

static const struct zsd_frontend_ops null_ops = {
	.thread_begin = null_thread_begin,
	.thread_end = null_thread_end,
	.read = null_read,
	.write = null_write,
	.discard = null_discard,
	.seek = null_seek,
	.open = null_open,
	.release = null_release,
	.lookup = null_lookup,
	.getattr = null_getattr,
	.setattr = null_setattr,
	.next = null_next,
	.space = null_space,
};

/* The transport's threads inherit the mask: signals come to the descriptor only. */
static int open_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static int serve(struct zsd_mount *mount, struct null_files *files, struct zsd_transport_options options, int signal_fd)
{
	struct zsd_transport *transport;
	struct pollfd waits[2];
	int status;

	options.fuse_fd = mount->fuse_fd;
	status = zsd_transport_create(&options, &null_ops, files, &transport);
	if (status) {
		zsd_mount_detach(mount);
		return status;
	}
	waits[0] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
	waits[1] = (struct pollfd){.fd = zsd_transport_ended_fd(transport), .events = POLLIN};
	while (poll(waits, 2, -1) < 0 && errno == EINTR)
		;
	zsd_mount_detach(mount);
	zsd_transport_destroy(transport);
	return 0;
}

static int fail(const char *what, int status)
{
	fprintf(stderr, "null_server: %s: %s\n", what, strerror(-status));
	return 1;
}

int main(int argc, char **argv)
{
	struct zsd_mount mount;
	struct null_files files;
	struct zsd_transport_options options = {.kind = ZSD_TRANSPORT_CLASSIC, .poll_max_nsec = ZSD_POLL_DEFAULT_NSEC};
	long nr_threads;
	ZS_CLEANUP_CLOSE int signal_fd = -1;
	int status;

	if (argc < 3 || argc > 6 || (argc > 4 && zsd_transport_parse(argv[4], &options.kind)) ||
	    (argc > 5 && zsd_poll_parse(argv[5], &options.poll_max_nsec))) {
		fputs("usage: null_server DIRECTORY SIZE_BYTES [THREADS [classic|uring|auto [POLL_MAX]]]\n", stderr);
		return 2;
	}
	files.size_bytes = strtoull(argv[2], NULL, 10);
	nr_threads = argc > 3 ? strtol(argv[3], NULL, 10) : sysconf(_SC_NPROCESSORS_ONLN);
	if (!files.size_bytes || nr_threads < 1 || nr_threads > 256)
		return fail("size or number of threads", -ERANGE);
	signal_fd = open_signals();
	if (signal_fd < 0)
		return fail("signalfd", -errno);
	status = zsd_mount_open(argv[1], &mount);
	if (status)
		return fail(argv[1], status);
	options.nr_threads = (unsigned int)nr_threads;
	status = serve(&mount, &files, options, signal_fd);
	zsd_mount_close(&mount);
	return status ? fail(argv[1], status) : 0;
}
