/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines, readiness and sockets. */

#include "notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"

#define SOCKET_NAME	    "varlink"
#define METRICS_SOCKET_NAME "varlink-metrics"

/* $JOURNAL_STREAM is "DEVICE:INODE" of the descriptor that the journal reads; see systemd.exec(5). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat stat;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2 || fstat(STDERR_FILENO, &stat))
		return false;
	return stat.st_dev == device && stat.st_ino == inode;
}

static void log_to_terminal(enum zs_log_level level, const char *line)
{
	fprintf(stderr, "zsd: %s\n", line);
}

static void log_to_journal(enum zs_log_level level, const char *line)
{
	fprintf(stderr, "<%d>%s\n", level, line);
}

void zsd_notify_log(enum zs_log_level max_level)
{
	zs_log_set_sink(stderr_is_journal() ? log_to_journal : log_to_terminal, max_level);
}

bool zsd_notify_is_wanted(void)
{
	return getenv("NOTIFY_SOCKET");
}

void zsd_notify(const char *format, ...)
{
	char text[512];
	va_list arguments;
	int r;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	r = sd_notify(false, text);
	if (r < 0)
		zs_log(ZS_LOG_WARNING, "can't notify the service manager: %s", strerror(-r));
}

static void free_names(char ***names)
{
	for (char **name = *names; name && *name; name++)
		free(*name);
	free(*names);
}

int zsd_notify_take_sockets(int *ret_control_fd, int *ret_metrics_fd)
{
	ZS_CLEANUP(free_names) char **names = NULL;
	int nr = sd_listen_fds_with_names(true, &names);
	int fd = -1, metrics_fd = -1;

	if (nr < 0)
		return nr;
	for (int i = 0; i < nr; i++) {
		int candidate = SD_LISTEN_FDS_START + i;

		if (metrics_fd < 0 && !strcmp(names[i], METRICS_SOCKET_NAME))
			metrics_fd = candidate;
		else if (fd < 0 && (nr == 1 || !strcmp(names[i], SOCKET_NAME)))
			fd = candidate;
		else
			close(candidate);
	}
	*ret_control_fd = fd;
	*ret_metrics_fd = metrics_fd;
	return 0;
}
