/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For LD_PRELOAD: giving memory back takes long, once each time that there is a file SLOW_PUNCH, which is removed then.
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define EXPORT	  __attribute__((visibility("default")))
#define LONG_USEC 300000

/* fallocate64() to the linker: offsets have 64 bits. */
EXPORT int fallocate(int fd, int mode, off_t offset, off_t length)
{
	int (*real)(int, int, off_t, off_t);

	if (mode & FALLOC_FL_PUNCH_HOLE && !unlink(getenv("SLOW_PUNCH")))
		usleep(LONG_USEC);
	*(void **)&real = dlsym(RTLD_NEXT, "fallocate64");
	return real(fd, mode, offset, length);
}
