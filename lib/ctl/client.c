/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Varlink client.
 *
 * The socket does not block; poll(2) does, so that a daemon that hangs costs the timeout and not for ever. Only
 * connect(2) blocks, on a full backlog, which SO_SNDTIMEO bounds.
 */

#include "ctl/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"

#define READ_BYTES ((size_t)64 << 10)

struct zs_client {
	int fd;
	int timeout_ms;
	struct zs_frames frames;
};

static void client_destroyp(struct zs_client **client)
{
	zs_client_destroy(*client);
}

static int connect_blocking(int fd, const char *path, unsigned int timeout_ms)
{
	struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)))
		return -errno;
	while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
	return fcntl(fd, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

int zs_client_connect(const char *path, unsigned int timeout_ms, struct zs_client **ret_client)
{
	ZS_CLEANUP(client_destroyp) struct zs_client *client = zs_calloc(1, sizeof(*client));
	int error;

	if (!client)
		return -ENOMEM;
	client->timeout_ms = (int)timeout_ms;
	zs_frames_init(&client->frames, ZS_WIRE_REPLY_MAX_BYTES);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return -errno;
	error = connect_blocking(client->fd, path, timeout_ms);
	if (error)
		return error;
	*ret_client = zs_take(client);
	return 0;
}

void zs_client_destroy(struct zs_client *client)
{
	if (!client)
		return;
	if (client->fd >= 0)
		close(client->fd);
	zs_frames_deinit(&client->frames);
	free(client);
}

/* Returns 0 when the socket is ready or the peer is gone, -ETIMEDOUT. */
static int wait_for(const struct zs_client *client, short events)
{
	struct pollfd poll_fd = {.fd = client->fd, .events = events};
	int nr;

	do {
		nr = poll(&poll_fd, 1, client->timeout_ms);
	} while (nr < 0 && errno == EINTR);
	if (nr < 0)
		return -errno;
	return nr ? 0 : -ETIMEDOUT;
}

/* One step of I/O that did not go through: 0 to try again. */
static int after_failure(const struct zs_client *client, short events)
{
	if (errno == EINTR)
		return 0;
	if (errno == EAGAIN)
		return wait_for(client, events);
	return errno == EPIPE ? -ECONNRESET : -errno;
}

static int send_all(struct zs_client *client, const char *text, size_t length)
{
	while (length) {
		ssize_t sent = send(client->fd, text, length, MSG_NOSIGNAL);
		int error = sent < 0 ? after_failure(client, POLLOUT) : 0;

		if (error)
			return error;
		if (sent > 0) {
			text += sent;
			length -= (size_t)sent;
		}
	}
	return 0;
}

int zs_client_send(struct zs_client *client, const char *method, json_t *parameters, bool more)
{
	ZS_CLEANUP_FREE char *text = NULL;
	size_t length;
	int error = zs_wire_call_encode(method, parameters, more, &text, &length);

	return error ? error : send_all(client, text, length);
}

static int receive_some(struct zs_client *client)
{
	char bytes[READ_BYTES];
	ssize_t received = recv(client->fd, bytes, sizeof(bytes), 0);

	if (received < 0)
		return after_failure(client, POLLIN);
	return received ? zs_frames_feed(&client->frames, bytes, (size_t)received) : -ECONNRESET;
}

int zs_client_receive(struct zs_client *client, struct zs_wire_reply *ret_reply)
{
	const char *text;
	size_t length;

	while (!zs_frames_next(&client->frames, &text, &length)) {
		int error = receive_some(client);

		if (error)
			return error;
	}
	return zs_wire_reply_decode(text, length, ret_reply);
}

int zs_client_call(struct zs_client *client, const char *method, json_t *parameters, struct zs_wire_reply *ret_reply)
{
	struct zs_wire_reply reply;
	int error = zs_client_send(client, method, parameters, false);

	if (!error)
		error = zs_client_receive(client, &reply);
	if (error)
		return error;
	/* Nobody asked for more than one. */
	if (reply.continues) {
		zs_wire_reply_deinit(&reply);
		return -EBADMSG;
	}
	*ret_reply = reply;
	return 0;
}
