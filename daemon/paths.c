/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where things are. */

#include "paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

int zsd_path_join(const char *directory, const char *name, char **ret_path)
{
	char *path;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

static int duplicate(const char *path, char **ret_path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	*ret_path = copy;
	return 0;
}

/* An environment variable that names a directory; empty is as good as unset. */
static const char *directory_from(const char *variable)
{
	const char *directory = getenv(variable);

	return directory && *directory ? directory : NULL;
}

int zsd_path_runtime(const char *wanted, char **ret_path)
{
	const char *parent = directory_from("XDG_RUNTIME_DIR");

	if (wanted)
		return duplicate(wanted, ret_path);
	if (!geteuid())
		return duplicate("/run/zsd", ret_path);
	return parent ? zsd_path_join(parent, "zsd", ret_path) : -ENOENT;
}

int zsd_path_config(char **ret_path)
{
	const char *configuration = directory_from("XDG_CONFIG_HOME");
	const char *home = directory_from("HOME");
	const char *service = directory_from("CONFIGURATION_DIRECTORY");

	if (service)
		return zsd_path_join(service, "zsd.conf", ret_path);
	if (!geteuid())
		return duplicate(ZSD_CONFIG_PATH, ret_path);
	if (configuration)
		return zsd_path_join(configuration, "zsd/zsd.conf", ret_path);
	return home ? zsd_path_join(home, ".config/zsd/zsd.conf", ret_path) : -ENOENT;
}

/* The file need not exist. */
static int make_absolute(const char *path, char **ret_path)
{
	ZS_CLEANUP_FREE char *directory = getcwd(NULL, 0);
	char *absolute;

	if (!directory)
		return -errno;
	if (asprintf(&absolute, "%s/%s", directory, path) < 0)
		return -ENOMEM;
	*ret_path = absolute;
	return 0;
}

int zsd_path_chosen_config(const char *wanted, bool none, char **ret_path)
{
	int r;

	if (none)
		return 0;
	if (wanted && *wanted != '/')
		return make_absolute(wanted, ret_path);
	if (wanted)
		return duplicate(wanted, ret_path);
	r = zsd_path_config(ret_path);
	return r == -ENOENT ? 0 : r;
}

int zsd_path_resolve(const char *path, char **ret_path)
{
	ZS_CLEANUP_FREE char *copy = strdup(path);
	ZS_CLEANUP_FREE char *parent = NULL;
	size_t length;
	char *slash;

	if (!copy)
		return -ENOMEM;
	for (length = strlen(copy); length && copy[length - 1] == '/'; length--)
		copy[length - 1] = '\0';
	slash = strrchr(copy, '/');
	if (!*copy || !strcmp(slash ? slash + 1 : copy, ".") || !strcmp(slash ? slash + 1 : copy, ".."))
		return -EINVAL;
	if (slash)
		*slash = '\0';
	parent = realpath(!slash ? "." : slash == copy ? "/" : copy, NULL);
	if (!parent)
		return -errno;
	return zsd_path_join(strcmp(parent, "/") ? parent : "", slash ? slash + 1 : copy, ret_path);
}
