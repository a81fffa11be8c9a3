/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines, readiness and sockets. */

#include "notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "journal.h"

#define STORE_TIMEOUT_USEC (UINT64_C(10) * 1000000)

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

static void log_event(const struct zs_event_line *what)
{
	if (zsd_journal_send(what) < 0)
		log_to_journal(what->level, what->line);
}

void zsd_notify_log(enum zs_log_level max_level)
{
	bool is_journal = stderr_is_journal();

	zs_log_set_event_sink(is_journal && zsd_journal_is_there() ? log_event : NULL);
	zs_log_set_sink(is_journal ? log_to_journal : log_to_terminal, max_level);
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

static const struct zsd_handover nothing = {.control_fd = -1, .metrics_fd = -1, .fuse_fd = -1};

/* Which member a descriptor is for; NULL = none. nr_sockets: how many there are. */
static int *find_place(struct zsd_handover *handover, int fd, const char *name, int nr_sockets)
{
	bool is_socket = sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0;

	if (is_socket && !strcmp(name, ZSD_HANDOVER_METRICS))
		return &handover->metrics_fd;
	if (is_socket && (nr_sockets == 1 || !strcmp(name, ZSD_HANDOVER_CONTROL)))
		return &handover->control_fd;
	return !is_socket && !strcmp(name, ZSD_HANDOVER_FUSE) ? &handover->fuse_fd : NULL;
}

static int count_sockets(int nr)
{
	int nr_sockets = 0;

	for (int i = 0; i < nr; i++)
		nr_sockets += sd_is_socket(SD_LISTEN_FDS_START + i, AF_UNIX, SOCK_STREAM, 1) > 0;
	return nr_sockets;
}

int zsd_notify_take_handover(struct zsd_handover *ret_handover)
{
	ZS_CLEANUP(free_names) char **names = NULL;
	struct zsd_handover handover = nothing;
	int nr = sd_listen_fds_with_names(true, &names);
	int nr_sockets = count_sockets(nr);

	if (nr < 0)
		return nr;
	for (int i = 0; i < nr; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		int *place = find_place(&handover, fd, names[i], nr_sockets);

		if (place && *place < 0)
			*place = fd;
		else
			close(fd);
	}
	*ret_handover = handover;
	return 0;
}

static void drop(int fd)
{
	if (fd >= 0)
		close(fd);
}

void zsd_notify_drop_handover(struct zsd_handover *handover)
{
	drop(handover->control_fd);
	drop(handover->metrics_fd);
	drop(handover->fuse_fd);
	*handover = nothing;
}

int zsd_notify_store_fuse(int fuse_fd)
{
	static const char remove[] = "FDSTOREREMOVE=1\nFDNAME=" ZSD_HANDOVER_FUSE;
	/* Without FDPOLL=0 process 1 would be woken by each request. */
	static const char store[] = "FDSTORE=1\nFDPOLL=0\nFDNAME=" ZSD_HANDOVER_FUSE;
	int r = sd_notify(false, remove);

	if (r > 0)
		r = sd_pid_notify_with_fds(0, false, store, &fuse_fd, 1);
	if (r > 0)
		r = sd_notify_barrier(false, STORE_TIMEOUT_USEC);
	if (r < 0)
		return r;
	return r ? 0 : -EPIPE;
}
