/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fusermount3(1).
 *
 * The protocol: the environment variable _FUSE_COMMFD names a socket that the helper inherits; it sends one byte over
 * it, with the descriptor of the new connection attached (SCM_RIGHTS), and exits with 0.
 */

#include "mount_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/bits.h"
#include "base/cleanup.h"

#define PROGRAM	      "fusermount3"
#define CONFIGURATION "/etc/fuse.conf"
#define OPTIONS	      "fsname=zsd,subtype=zsd,default_permissions,nosuid,nodev,noexec"

static void fclosep(FILE **file)
{
	if (*file)
		fclose(*file);
}

bool zsd_fusermount_may_allow_other(void)
{
	ZS_CLEANUP(fclosep) FILE *file = fopen(CONFIGURATION, "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		char *word = line + strspn(line, " \t");

		word[strcspn(word, " \t\n")] = '\0';
		if (!strcmp(word, "user_allow_other"))
			return true;
	}
	return false;
}

/* Runs it; child_fd (-1 = none) is inherited under its number. Returns 0 or -errno as in the header. */
static int run(const char *const arguments[], char *const environment[], int child_fd, pid_t *ret_child)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return -r;
	/* Onto itself: that clears close-on-exec in the child only. */
	if (child_fd >= 0)
		r = posix_spawn_file_actions_adddup2(&actions, child_fd, child_fd);
	if (!r)
		r = posix_spawnp(ret_child, PROGRAM, &actions, NULL, (char *const *)arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int wait_for(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPERM;
}

/* Answers the descriptor, or -EPERM if the other end was closed without one. */
static int receive_fd(int socket)
{
	char byte;
	struct iovec part = {&byte, 1};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *header;
	ssize_t length;
	int fd;

	do {
		length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return -errno;
	header = length ? CMSG_FIRSTHDR(&message) : NULL;
	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPERM;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* The caller's environment and one more variable; the strings are borrowed. NULL when memory is short. */
static char **extend_environment(char *variable)
{
	size_t nr = 0;
	char **environment;

	while (environ[nr])
		nr++;
	environment = calloc(nr + 2, sizeof(*environment));
	if (!environment)
		return NULL;
	memcpy(environment, environ, nr * sizeof(*environment));
	environment[nr] = variable;
	return environment;
}

int zsd_fusermount(const char *path, bool allow_other, int *ret_fuse_fd)
{
	const char *arguments[] = {PROGRAM, "-o", allow_other ? OPTIONS ",allow_other" : OPTIONS, "--", path, NULL};
	ZS_CLEANUP_FREE char **environment = NULL;
	ZS_CLEANUP_CLOSE int our_end = -1;
	ZS_CLEANUP_CLOSE int fd = -1;
	char variable[32];
	int ends[2], r;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	our_end = ends[0];
	snprintf(variable, sizeof(variable), "_FUSE_COMMFD=%d", ends[1]);
	environment = extend_environment(variable);
	r = environment ? run(arguments, environment, ends[1], &child) : -ENOMEM;
	close(ends[1]);
	if (r)
		return r;
	fd = receive_fd(our_end);
	r = wait_for(child);
	if (r || fd < 0)
		return r ? r : fd;
	*ret_fuse_fd = zs_take_fd(fd);
	return 0;
}

int zsd_fusermount_detach(const char *path)
{
	const char *arguments[] = {PROGRAM, "-u", "-z", "--", path, NULL};
	pid_t child;
	int r = run(arguments, environ, -1, &child);

	return r ? r : wait_for(child);
}
