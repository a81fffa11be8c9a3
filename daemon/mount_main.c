/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zsd-mount: mounts for the service, or unmounts.
 *
 * The daemon of zsd.service has a mount namespace of its own and no privilege: it can't mount, and nobody would see it
 * if it did. This program is run by the service manager before and after it, as root: it mounts in the manager's
 * namespace, gives the connection's descriptor to the manager, which passes it to the daemon, and exits. It reads
 * nothing that the daemon could have written.
 *
 * A command with "+" is not restricted by its unit, but systemd 252 gives it a mount namespace if the unit's other
 * commands need one; so we leave that first.
 *
 * The mount point is written down, since the configuration may have another one when the service is stopped.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "config.h"
#include "mount.h"
#include "mount_point.h"
#include "notify.h"
#include "paths.h"

#define RECORD_NAME "mount-point"

enum { EXIT_USAGE = 2 };

struct options {
	const char *runtime_dir;
	const char *config_path;
	bool unmount;
};

static const char help[] = "Usage: zsd-mount [--umount] [--runtime-dir DIR] [--config FILE]\n"
			   "\n"
			   "Mounts for zsd.service and hands the connection to the service manager, or\n"
			   "unmounts. Run by the service manager only; see zsd(8).\n";

static int fail(int r, const char *what, const char *remedy)
{
	zs_log(ZS_LOG_ERR, "%s: %s; %s", what, strerror(-r), remedy);
	return r;
}

/* the record */

static int write_record(const char *record, const char *mount_point)
{
	ZS_CLEANUP_CLOSE int fd = open(record, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	return dprintf(fd, "%s\n", mount_point) < 0 ? -EIO : 0;
}

/* Returns 0, -ENOENT, or -errno. */
static int read_record(const char *record, char **ret_mount_point)
{
	ZS_CLEANUP_CLOSE int fd = open(record, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[PATH_MAX + 1];
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, sizeof(text) - 1);
	if (length < 0)
		return -errno;
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	*ret_mount_point = strdup(text);
	return *ret_mount_point ? 0 : -ENOMEM;
}

/* work */

static void freep_config(struct zsd_config **config)
{
	zsd_config_free(*config);
}

/* What is wrong with it the daemon says, which reads it as well; we do only if it won't be started. */
static int load(const char *path, bool must_exist, struct zsd_config **ret_config)
{
	int r;

	zs_log_set_sink(NULL, ZS_LOG_ERR);
	r = zsd_config_load(path, must_exist, ret_config);
	zsd_notify_log(ZS_LOG_INFO);
	return r ? zsd_config_load(path, must_exist, ret_config) : 0;
}

static int choose(const struct options *options, const char *runtime_dir, char **ret_mount_point)
{
	ZS_CLEANUP(freep_config) struct zsd_config *config = NULL;
	ZS_CLEANUP_FREE char *path = NULL;
	int r = options->config_path ? 0 : zsd_path_config(&path);

	if (!r)
		r = load(path ? path : options->config_path, options->config_path, &config);
	return r ? r : zsd_mount_point_choose(runtime_dir, config->mount_point, ret_mount_point);
}

static int hand_over(const char *record, const struct zsd_mount *mount)
{
	int r = write_record(record, mount->path);

	if (r)
		return fail(r, record, "the runtime directory must be root's");
	r = zsd_notify_store_fuse(mount->fuse_fd);
	return r ? fail(r, "can't hand the mount over", "this program is run by zsd.service only") : 0;
}

static int mount_for_service(const struct options *options, const char *runtime_dir, const char *record)
{
	ZS_CLEANUP_FREE char *mount_point = NULL;
	struct zsd_mount mount;
	int r = choose(options, runtime_dir, &mount_point);

	if (!r)
		r = zsd_mount_point_open(mount_point, &mount);
	if (r)
		return r;
	r = hand_over(record, &mount);
	if (r)
		zsd_mount_detach(&mount);
	zsd_mount_close(&mount);
	return r;
}

static int unmount(const char *record)
{
	ZS_CLEANUP_FREE char *mount_point = NULL;
	int r = read_record(record, &mount_point);

	if (r == -ENOENT)
		return 0;
	if (!r)
		r = zsd_mount_detach_all(mount_point);
	if (r)
		return fail(r, mount_point ? mount_point : record, "unmount it with 'umount -l'");
	unlink(record);
	return 0;
}

static int enter_managers_namespace(void)
{
	ZS_CLEANUP_CLOSE int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);

	return fd < 0 || setns(fd, CLONE_NEWNS) ? -errno : 0;
}

static int run(const struct options *options)
{
	ZS_CLEANUP_FREE char *runtime_dir = NULL;
	ZS_CLEANUP_FREE char *wanted = NULL;
	ZS_CLEANUP_FREE char *record = NULL;
	int r = zsd_path_runtime(options->runtime_dir, &wanted);

	if (!r)
		r = zsd_path_resolve(wanted, &runtime_dir);
	if (!r)
		r = zsd_path_join(runtime_dir, RECORD_NAME, &record);
	if (r)
		return fail(r, wanted ? wanted : "runtime directory", "it must be in a directory that exists");
	return options->unmount ? unmount(record) : mount_for_service(options, runtime_dir, record);
}

static const struct option long_options[] = {
	{"umount", no_argument, NULL, 'u'},
	{"runtime-dir", required_argument, NULL, 'd'},
	{"config", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

int main(int argc, char *argv[])
{
	struct options options = {0};
	int option;

	while ((option = getopt_long(argc, argv, "ud:c:h", long_options, NULL)) >= 0) {
		switch (option) {
		case 'u':
			options.unmount = true;
			break;
		case 'd':
			options.runtime_dir = optarg;
			break;
		case 'c':
			options.config_path = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "zsd-mount: unexpected argument '%s'\n%s", argv[optind], help);
		return EXIT_USAGE;
	}
	zsd_notify_log(ZS_LOG_INFO);
	if (enter_managers_namespace()) {
		zs_log(ZS_LOG_ERR, "can't enter the mount namespace of process 1: %s; run this as root",
		       strerror(errno));
		return EXIT_FAILURE;
	}
	return run(&options) ? EXIT_FAILURE : EXIT_SUCCESS;
}
