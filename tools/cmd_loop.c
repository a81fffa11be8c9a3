/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attach, detach, mount, umount */

#include "cmd.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "loop.h"
#include "options.h"
#include "output.h"
#include "program.h"
#include "request.h"

/* A loop device can't have larger sectors than this. */
#define SECTOR_MAX_BYTES 4096

struct target {
	json_t *device; /* as List answers it */
	const char *file;
	uint32_t sector_bytes;
	bool is_empty;
};

static void target_deinit(struct target *target)
{
	json_decref(target->device);
}

#define CLEANUP_TARGET ZS_CLEANUP(target_deinit)

static enum zsctl_exit find_target(const struct zsctl_options *options, const char *name, struct target *ret_target)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	enum zsctl_exit status = zsctl_check_name(name);
	json_t *device;
	json_int_t block;

	if (!status)
		status = zsctl_connect(options, &client);
	if (!status)
		status = zsctl_call(client, name, "List", json_pack("{s:s}", "name", name), false, &result);
	if (status)
		return status;
	device = json_array_get(json_object_get(result, "devices"), 0);
	block = json_integer_value(json_object_get(device, "block_size_bytes"));
	*ret_target = (struct target){
		.device = json_incref(device),
		.file = json_string_value(json_object_get(device, "file")) ?: "",
		.sector_bytes = (uint32_t)zs_min(block, SECTOR_MAX_BYTES),
		.is_empty = !json_integer_value(json_object_get(device, "data_bytes")),
	};
	return ZSCTL_OK;
}

/*
 * attach and detach
 */

static const char *attach_remedy(int error)
{
	switch (error) {
	case -EACCES:
	case -EPERM:
		return "; loop devices are for root";
	case -ENOENT:
		return "; load the kernel module loop, and see whether the file is there (zsctl doctor)";
	case -EOPNOTSUPP:
		return "; the kernel refuses direct I/O on this file";
	default:
		return "";
	}
}

static enum zsctl_exit refuse(const char *what, const char *name, int error)
{
	fprintf(stderr, "zsctl: %s %s: %s%s\n", what, name, strerror(-error), attach_remedy(error));
	return ZSCTL_ERROR;
}

enum zsctl_exit cmd_attach(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_TARGET struct target target = {};
	ZS_CLEANUP_CLOSE int fd = -1;
	char loop[ZSCTL_LOOP_BYTES];
	unsigned int cursor = 0;
	enum zsctl_exit status = find_target(options, names[0], &target);
	int error;

	if (status)
		return status;
	/* Two loop devices over one file, both mounted, would destroy what is on it. */
	error = zsctl_loop_next(target.file, &cursor, loop)
			? 0
			: zsctl_loop_attach(target.file, target.sector_bytes, false, loop, &fd);
	if (error)
		return refuse("attach", names[0], error);
	if (options->json)
		return zsctl_print_json(options, json_pack("{s:s}", "loop", loop));
	puts(loop);
	return ZSCTL_OK;
}

static enum zsctl_exit detach_all(const struct target *target, const char *name)
{
	char loop[ZSCTL_LOOP_BYTES];
	unsigned int cursor = 0, nr = 0;

	for (; zsctl_loop_next(target->file, &cursor, loop); nr++) {
		ZS_CLEANUP_FREE char *where = zsctl_mounted_at(loop);
		int error;

		if (where) {
			fprintf(stderr, "zsctl: detach %s: %s is mounted at %s; unmount it first (zsctl umount %s)\n",
				name, loop, where, name);
			return ZSCTL_ERROR;
		}
		error = zsctl_loop_detach(loop);
		if (error)
			return refuse("detach", name, error);
	}
	if (nr)
		return ZSCTL_OK;
	fprintf(stderr, "zsctl: detach %s: it has no loop device\n", name);
	return ZSCTL_ERROR;
}

enum zsctl_exit cmd_detach(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_TARGET struct target target = {};
	enum zsctl_exit status = find_target(options, names[0], &target);

	return status ?: detach_all(&target, names[0]);
}

/*
 * mount and umount
 */

static enum zsctl_exit check_mkfs(const struct zsctl_options *options, const struct target *target, const char *name)
{
	const char *type = options->mkfs;

	if (target->is_empty && !type) {
		fprintf(stderr, "zsctl: mount %s: the device is empty; add --mkfs TYPE, as in --mkfs ext4\n", name);
		return ZSCTL_ERROR;
	}
	for (; type && *type; type++) {
		if (!isalnum((unsigned char)*type)) {
			fprintf(stderr, "zsctl: --mkfs %s: not a type of file system; use ext4, xfs or the like\n",
				options->mkfs);
			return ZSCTL_USAGE;
		}
	}
	return ZSCTL_OK;
}

/* Makes a file system if there is nothing, and mounts it. */
static enum zsctl_exit make_and_mount(const struct zsctl_options *options, const struct target *target,
				      const char *loop, const char *directory)
{
	const char *mkfs[] = {"mkfs", "-t", options->mkfs, "-q", loop, NULL};
	/* -i: no helper; one that is called as mount.zsd must not call itself. */
	const char *mount[] = {"mount", "-i", "-o", options->mount_options ?: "discard", loop, directory, NULL};
	int status = target->is_empty ? zsctl_run_program(mkfs) : 0;

	if (status) {
		fprintf(stderr, "zsctl: mount: mkfs -t %s ended with %d; nothing is mounted\n", options->mkfs, status);
		return ZSCTL_ERROR;
	}
	status = zsctl_run_program(mount);
	if (!status)
		return ZSCTL_OK;
	fprintf(stderr, "zsctl: mount: mount(8) ended with %d; nothing is mounted\n", status);
	return ZSCTL_ERROR;
}

static enum zsctl_exit refuse_mounted(const char *name, const char *loop)
{
	ZS_CLEANUP_FREE char *where = zsctl_mounted_at(loop);

	if (where)
		fprintf(stderr, "zsctl: mount %s: it is mounted at %s already\n", name, where);
	else
		fprintf(stderr, "zsctl: mount %s: it is attached to %s already; detach it first (zsctl detach %s)\n",
			name, loop, name);
	return ZSCTL_ERROR;
}

enum zsctl_exit cmd_mount(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_TARGET struct target target = {};
	/* Held until the mount does: the loop device goes with its last user, also when something fails here. */
	ZS_CLEANUP_CLOSE int fd = -1;
	char loop[ZSCTL_LOOP_BYTES];
	unsigned int cursor = 0;
	enum zsctl_exit status = find_target(options, names[0], &target);
	int error;

	if (!status)
		status = check_mkfs(options, &target, names[0]);
	if (status)
		return status;
	if (zsctl_loop_next(target.file, &cursor, loop))
		return refuse_mounted(names[0], loop);
	error = zsctl_loop_attach(target.file, target.sector_bytes, true, loop, &fd);
	if (error)
		return refuse("mount", names[0], error);
	return make_and_mount(options, &target, loop, names[1]);
}

enum zsctl_exit cmd_umount(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_TARGET struct target target = {};
	char loop[ZSCTL_LOOP_BYTES];
	unsigned int cursor = 0, nr = 0;
	enum zsctl_exit status = find_target(options, names[0], &target);

	while (!status && zsctl_loop_next(target.file, &cursor, loop)) {
		ZS_CLEANUP_FREE char *where = zsctl_mounted_at(loop);
		const char *umount[] = {"umount", where, NULL};

		if (!where)
			continue;
		nr++;
		if (zsctl_run_program(umount))
			return ZSCTL_ERROR;
		/* One that does not go by itself was attached by hand. */
		zsctl_loop_detach(loop);
	}
	if (!status && !nr) {
		fprintf(stderr, "zsctl: umount %s: it is not mounted\n", names[0]);
		return ZSCTL_ERROR;
	}
	return status;
}
