/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The listening socket of the control interface.
 *
 * A socket file outlives a killed daemon. Whether one is stale is asked by connecting to it: ECONNREFUSED says that
 * nobody listens. Nothing else is ever unlinked: not another daemon's socket, and not a file that isn't a socket.
 */

#include "control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "varlink.h"

#define BACKLOG 64
/* /etc/group lines of this length are read; a longer one is grown for. */
#define GROUP_BYTES	1024
#define GROUP_BYTES_MAX ((size_t)1 << 20)

gid_t zsd_control_group(void)
{
	for (size_t size = GROUP_BYTES; size <= GROUP_BYTES_MAX; size *= 2) {
		ZS_CLEANUP_FREE char *buffer = zs_malloc(size);
		struct group group, *found;
		int error = buffer ? getgrnam_r(ZSD_CONTROL_GROUP, &group, buffer, size, &found) : ENOMEM;

		if (error != ERANGE)
			return !error && found ? found->gr_gid : (gid_t)-1;
	}
	return (gid_t)-1;
}

static int set_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path)) {
		zs_log(ZS_LOG_ERR,
		       "control socket %s: the path is longer than %zu bytes; use a shorter runtime directory", path,
		       sizeof(address->sun_path) - 1);
		return -ENAMETOOLONG;
	}
	strcpy(address->sun_path, path);
	return 0;
}

/* Unlinks a socket file that nobody listens on. Returns 0 if the path is free then, or an errno that says why not. */
static int clear_path(const struct sockaddr_un *address)
{
	const char *path = address->sun_path;
	ZS_CLEANUP_CLOSE int fd = -1;
	struct stat status;

	if (lstat(path, &status))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN is a full backlog: somebody listens, though slowly. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

/* The socket file is made without any permission and opened up last, when it has its group. */
static int bind_and_listen(int fd, const struct sockaddr_un *address, mode_t mode, gid_t group)
{
	const char *path = address->sun_path;

	/* bind(2) gives the file the mode of the unbound socket, less the umask. */
	if (fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return -errno;
	/* An ordinary user who is not in the group can't give the socket to it; the socket is the user's own then. */
	if (group != (gid_t)-1 && lchown(path, (uid_t)-1, group) && errno != EPERM)
		return -errno;
	if (chmod(path, mode) || listen(fd, BACKLOG))
		return -errno;
	return 0;
}

static int listen_failed(const char *path, int error)
{
	if (error == -EADDRINUSE)
		zs_log(ZS_LOG_ERR,
		       "control socket %s: another daemon listens there; stop it, or use another --runtime-dir", path);
	else if (error == -EEXIST)
		zs_log(ZS_LOG_ERR, "control socket %s: the file is not a socket; remove it", path);
	else
		zs_log(ZS_LOG_ERR, "control socket %s: can't listen: %s", path, strerror(-error));
	return error;
}

int zsd_control_listen(const char *path, mode_t mode, gid_t group, int *ret_fd)
{
	ZS_CLEANUP_CLOSE int fd = -1;
	struct sockaddr_un address;
	int error = set_address(&address, path);

	if (error)
		return error;
	error = clear_path(&address);
	if (error)
		return listen_failed(path, error);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	error = fd < 0 ? -errno : bind_and_listen(fd, &address, mode, group);
	if (error)
		return listen_failed(path, error);
	*ret_fd = zs_take_fd(fd);
	return 0;
}

static bool socket_option_is(int fd, int option, int wanted)
{
	socklen_t length = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 && value == wanted;
}

int zsd_control_adopt(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || !socket_option_is(fd, SO_DOMAIN, AF_UNIX) || !socket_option_is(fd, SO_TYPE, SOCK_STREAM) ||
	    !socket_option_is(fd, SO_ACCEPTCONN, 1) || fcntl(fd, F_SETFL, flags | O_NONBLOCK)) {
		zs_log(ZS_LOG_ERR,
		       "control socket: the descriptor passed in (%d) is not a listening Unix stream socket; "
		       "check ListenStream= of the socket unit",
		       fd);
		return -ENOTSOCK;
	}
	return 0;
}

/* True if group is one of the peer's supplementary groups. The kernel says how many there are if there is no room. */
static bool peer_has_group(int fd, gid_t group)
{
	ZS_CLEANUP_FREE gid_t *groups = NULL;
	socklen_t length = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) == 0 || errno != ERANGE)
		return false;
	groups = zs_malloc(length);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length))
		return false;
	for (size_t i = 0; i < length / sizeof(gid_t); i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

int zsd_control_peer(int fd, gid_t group, struct zsd_peer *ret_peer)
{
	struct ucred credentials;
	socklen_t length = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length))
		return -errno;
	*ret_peer = (struct zsd_peer){.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
	ret_peer->may_change = credentials.uid == 0 || credentials.uid == geteuid() ||
			       (group != (gid_t)-1 && (credentials.gid == group || peer_has_group(fd, group)));
	return 0;
}
