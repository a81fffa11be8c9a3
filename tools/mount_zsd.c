/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mount.zsd NAME DIRECTORY [-sfnv] [-o OPTION,...] [-t TYPE] [-N NAMESPACE]
 *
 * Options of its own are taken out, and the others are for the file system:
 *
 *   mkfs=TYPE    make a file system if the device is empty
 *   socket=PATH  the control socket
 */

#include "mount_zsd.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd.h"
#include "options.h"

/* Exit statuses of mount(8). */
enum { MOUNT_OK = 0, MOUNT_USAGE = 1, MOUNT_FAILED = 32 };

_Bool zsctl_is_mount_helper(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strcmp(slash ? slash + 1 : program, "mount.zsd") == 0;
}

static bool is_for_mount_only(const char *option)
{
	static const char *const prefixes[] = {"x-", "X-", "comment="};
	static const char *const words[] = {"noauto", "auto", "nofail", "_netdev", "defaults"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (strncmp(option, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(option, words[i]) == 0)
			return true;
	}
	return false;
}

/* Takes our own options out of the list, in place; kept has room for all of it. */
static void read_options(char *list, struct zsctl_options *options, char *kept)
{
	char *save = NULL;

	*kept = 0;
	for (char *option = strtok_r(list, ",", &save); option; option = strtok_r(NULL, ",", &save)) {
		if (strncmp(option, "mkfs=", 5) == 0) {
			options->mkfs = option + 5;
		} else if (strncmp(option, "socket=", 7) == 0) {
			options->socket = option + 7;
		} else if (!is_for_mount_only(option)) {
			if (*kept)
				strcat(kept, ",");
			strcat(kept, option);
		}
	}
	if (*kept)
		options->mount_options = kept;
}

int zsctl_mount_helper(int argc, char **argv)
{
	struct zsctl_options options = {.socket = getenv("ZSD_SOCKET") ?: "/run/zsd/io.zsd.control"};
	ZS_CLEANUP_FREE char *kept = NULL;
	char *list = NULL;
	bool fake = false;
	int letter;

	/* mount(8) puts the two words in front; getopt(3) moves them behind. */
	while ((letter = getopt(argc, argv, "sfnvo:t:N:")) >= 0) {
		if (letter == '?')
			return MOUNT_USAGE;
		if (letter == 'o')
			list = optarg;
		fake = fake || letter == 'f';
	}
	if (argc - optind != 2) {
		fputs("mount.zsd: usage: mount -t zsd NAME DIRECTORY [-o mkfs=TYPE,socket=PATH,...]\n", stderr);
		return MOUNT_USAGE;
	}
	kept = calloc(1, list ? strlen(list) + 1 : 1);
	if (!kept)
		return MOUNT_FAILED;
	if (list)
		read_options(list, &options, kept);
	if (fake)
		return MOUNT_OK;
	return cmd_mount(&options, argv + optind) ? MOUNT_FAILED : MOUNT_OK;
}
