/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drop-ins of devices. */

#include "persist.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "options.h"
#include "request.h"

#define PATH_BYTES ZSCTL_PERSIST_BYTES

/* Readable for all, whatever the umask, unless it is there already. Returns 0, or -1 and errno. */
static int make_one_directory(const char *path)
{
	struct stat status;

	if (mkdir(path, 0755)) {
		if (errno != EEXIST || stat(path, &status))
			return -1;
		errno = ENOTDIR;
		return S_ISDIR(status.st_mode) ? 0 : -1;
	}
	return chmod(path, 0755);
}

/* With its parents. */
static int make_directory(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (make_one_directory(path))
			return -errno;
		*slash = '/';
	}
	return make_one_directory(path) ? -errno : 0;
}

/* In bytes: what was given is kept as it is, whatever its unit. */
static void print_size(FILE *stream, const char *key, uint64_t bytes)
{
	if (bytes)
		fprintf(stream, "%s=%" PRIu64 "B\n", key, bytes);
}

static void print_text(FILE *stream, const char *key, const char *text)
{
	if (text)
		fprintf(stream, "%s=%s\n", key, text);
}

static int write_file(const char *path, const struct zsctl_options *options, const char *name)
{
	FILE *stream = fopen(path, "we");
	bool failed;

	if (!stream)
		return -errno;
	/* Whatever the umask: the service's user reads it. */
	if (fchmod(fileno(stream), 0644))
		fprintf(stderr, "zsctl: %s: can't be made readable for all: %s\n", path, strerror(errno));
	fprintf(stream, "# Written by 'zsctl add --persist'; 'zsctl remove --persist' takes it away.\n[Device %s]\n",
		name);
	print_size(stream, "Size", options->size_bytes);
	print_text(stream, "Algorithm", options->algorithm);
	print_size(stream, "BlockSize", options->block_size_bytes);
	print_size(stream, "MemoryLimit", options->memory_limit.bytes);
	print_text(stream, "Mode", options->mode);
	fprintf(stream, "Owner=%u:%u\n", getuid(), getgid());
	print_text(stream, "Group", options->group);
	print_text(stream, "Cache", options->cache);
	print_text(stream, "Recompress", options->recompress);
	if (options->read_only)
		fputs("ReadOnly=yes\n", stream);
	failed = fflush(stream) || fsync(fileno(stream));
	return fclose(stream) || failed ? -EIO : 0;
}

static enum zsctl_exit fail(const char *path, int error)
{
	fprintf(stderr, "zsctl: %s: %s; the device is in the daemon only until it ends\n", path, strerror(-error));
	return ZSCTL_ERROR;
}

enum zsctl_exit zsctl_persist_begin(struct zs_client *client, char directory[static ZSCTL_PERSIST_BYTES])
{
	CLEANUP_JSON json_t *status = NULL;
	enum zsctl_exit failed = zsctl_call(client, "--persist", "Status", json_object(), false, &status);
	const char *config = json_string_value(json_object_get(status, "config"));
	int error;

	if (failed)
		return failed;
	if (!config) {
		fputs("zsctl: --persist: the daemon reads no zsd.conf; start it without --no-config\n", stderr);
		return ZSCTL_ERROR;
	}
	error = snprintf(directory, ZSCTL_PERSIST_BYTES, "%s.d", config) < ZSCTL_PERSIST_BYTES - 128 ? 0
												     : -ENAMETOOLONG;
	error = error ?: make_directory(directory);
	if (!error && access(directory, W_OK))
		error = -errno;
	if (!error)
		return ZSCTL_OK;
	fprintf(stderr, "zsctl: %s, where the daemon reads it: %s; nothing is done; leave out --persist\n", directory,
		strerror(-error));
	return ZSCTL_ERROR;
}

enum zsctl_exit zsctl_persist(const char *directory, const struct zsctl_options *options, const char *name)
{
	char path[PATH_BYTES + 128], new_path[PATH_BYTES + 128];
	int error;

	/* No device's name has a slash. Only files that end in .conf are read. */
	snprintf(path, sizeof(path), "%s/80-%.64s.conf", directory, name);
	snprintf(new_path, sizeof(new_path), "%s/80-%.64s.new", directory, name);
	error = write_file(new_path, options, name);
	if (!error && rename(new_path, path) == 0)
		return ZSCTL_OK;
	error = error ?: -errno;
	unlink(new_path);
	return fail(path, error);
}

enum zsctl_exit zsctl_forget(const char *directory, const char *name)
{
	char path[PATH_BYTES + 128];

	snprintf(path, sizeof(path), "%s/80-%.64s.conf", directory, name);
	if (unlink(path) == 0 || errno == ENOENT)
		return ZSCTL_OK;
	fprintf(stderr, "zsctl: %s: %s; the device comes back when the daemon starts\n", path, strerror(errno));
	return ZSCTL_ERROR;
}
