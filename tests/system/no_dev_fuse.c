/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For LD_PRELOAD: a process that can't open /dev/fuse, while the set-uid helper that it starts can. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

__attribute__((visibility("default"))) int open(const char *path, int flags, ...)
{
	int (*next)(const char *, int, ...);
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (!strcmp(path, "/dev/fuse")) {
		errno = EACCES;
		return -1;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "open");
	return next(path, flags, mode);
}
