/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For LD_PRELOAD: memory is short as long as there is the file FAKE_PRESSURE. Who opens a file memory.pressure, or
 * /proc/pressure/memory, gets a socket that has EPOLLPRI for a moment again and again then, by a byte out of band: the
 * kernel tells once each time. What is written to it, the trigger, is a line more in the file FAKE_PRESSURE.triggers.
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT	    __attribute__((visibility("default")))
#define LOOK_USEC   20000
#define MOMENT_USEC 2000

/* The opener's end, and ours. */
static int ends[2];

static void note_trigger(void)
{
	char path[4096], trigger[64] = "";
	ssize_t length = recv(ends[1], trigger, sizeof(trigger) - 1, 0);
	FILE *file;

	snprintf(path, sizeof(path), "%s.triggers", getenv("FAKE_PRESSURE"));
	file = fopen(path, "a");
	if (length <= 0 || !file)
		abort();
	fprintf(file, "%s\n", trigger);
	fclose(file);
}

static void *press(void *unused)
{
	char byte = 1;

	note_trigger();
	for (;;) {
		usleep(LOOK_USEC);
		if (access(getenv("FAKE_PRESSURE"), F_OK) < 0)
			continue;
		if (send(ends[1], &byte, 1, MSG_OOB) != 1)
			abort();
		usleep(MOMENT_USEC);
		if (recv(ends[0], &byte, 1, MSG_OOB) != 1)
			abort();
	}
	return unused;
}

static int fake(void)
{
	pthread_t thread;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) || pthread_create(&thread, NULL, press, NULL))
		abort();
	pthread_detach(thread);
	return ends[0];
}

static int is_pressure(const char *path)
{
	const char *name = strrchr(path, '/');

	return (name && !strcmp(name, "/memory.pressure")) || !strcmp(path, "/proc/pressure/memory");
}

/* open64() to the linker: offsets have 64 bits. */
EXPORT int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...);
	va_list arguments;
	mode_t mode;

	if (is_pressure(path) && flags & O_RDWR)
		return fake();
	va_start(arguments, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	*(void **)&real = dlsym(RTLD_NEXT, "open64");
	return real(path, flags, mode);
}
