#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where things are, for root and for ordinary users. Context: the control thread, at start. */

#include <stdbool.h>

/*
 * The runtime directory: the one asked for, /run/zsd for root, or zsd in $XDG_RUNTIME_DIR. The caller frees it. Returns
 * 0, -ENOENT ($XDG_RUNTIME_DIR is not set) or -ENOMEM.
 */
int zsd_path_runtime(const char *wanted, char **ret_path);

/*
 * The default configuration: in $CONFIGURATION_DIRECTORY, which a service manager sets, since the user whom it runs us
 * as doesn't tell; ZSD_CONFIG_PATH for root, zsd/zsd.conf where users keep theirs. Errnos as above.
 */
int zsd_path_config(char **ret_path);

/*
 * The configuration that was asked for, or the default one; NULL if there is none, or none is wanted. The caller frees
 * it. Returns 0 or -ENOMEM.
 */
int zsd_path_chosen_config(const char *wanted, bool none, char **ret_path);

/* DIRECTORY/NAME. The caller frees it. Returns 0 or -ENOMEM. */
int zsd_path_join(const char *directory, const char *name, char **ret_path);

/*
 * The absolute path of what may not exist yet, and must not be touched if it does: its parent is resolved, the last
 * component is kept as it is. Returns 0, -EINVAL (no last component), -ENOMEM or an errno of realpath(3).
 */
int zsd_path_resolve(const char *path, char **ret_path);
