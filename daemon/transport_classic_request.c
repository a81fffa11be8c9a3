/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request read from /dev/fuse, and its answer. */

#include "transport_classic_request.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pulse.h"
#include "transport_classic_lane.h"
#include "transport_classic_wait.h"

ssize_t zsd_classic_receive(const struct zsd_classic_port *port)
{
	ssize_t length = read(port->fd, zsd_classic_request(port), ZSD_CLASSIC_REQUEST_BYTES);

	if (length >= 0)
		return length;
	/* ENOENT: whoever asked was killed before we could read it. */
	return errno == EINTR || errno == ENOENT ? -EAGAIN : -errno;
}

void zsd_classic_send(int fd, const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
		      struct zsd_fuse_reply *reply)
{
	struct iovec parts[] = {
		{&reply->header, sizeof(reply->header)},
		{(void *)reply->body, reply->body_length},
	};

	if (writev(fd, parts, reply->body_length ? 2 : 1) < 0)
		zsd_fuse_undelivered(server, request, reply);
}

static ssize_t write_rare(void *argument, struct iovec *parts, int nr_parts)
{
	const struct zsd_classic_port *port = argument;

	return writev(port->fd, parts, nr_parts);
}

static void serve_rare(const struct zsd_classic_port *port, size_t length)
{
	const struct zsd_fuse_sink sink = {write_rare, (void *)port};

	zsd_fuse_session_serve(port->session, zsd_classic_request(port), length, &sink);
}

static bool is_for_lane(const struct zsd_classic_port *port, const struct zsd_fuse_request *request)
{
	return port->lane && !request->payload_length && zsd_fuse_takes_long(request);
}

/* To where it may wait, or else all others wait with it. */
static void serve_waiting(const struct zsd_classic_port *port, struct zsd_fuse_request *request,
			  struct zsd_fuse_reply *reply)
{
	request->done = reply->done;
	if (port->wait && !zsd_classic_wait_add(port->wait, request, port->fd))
		return;
	zsd_pulse_set_waits(port->pulse, true);
	zsd_fuse_serve_waiting(&port->server, request, reply);
	zsd_pulse_set_waits(port->pulse, false);
	zsd_classic_send(port->fd, &port->server, request, reply);
}

/* Whoever asked would wait for ever. */
static void serve_unsound(const struct zsd_classic_port *port, size_t length)
{
	const struct zsd_fuse_request request = {.header = zsd_classic_request(port)};
	struct zsd_fuse_reply reply;

	if (zsd_fuse_refuse_unsound(&port->server, request.header, length, &reply))
		zsd_classic_send(port->fd, &port->server, &request, &reply);
}

void zsd_classic_serve(const struct zsd_classic_port *port, size_t length)
{
	struct zsd_fuse_request request;
	struct zsd_fuse_reply reply;

	if (!zsd_fuse_split(zsd_classic_request(port), length, &request)) {
		serve_unsound(port, length);
		return;
	}
	request.output = port->buffer + ZSD_CLASSIC_DATA_OFFSET;
	request.output_capacity = ZSD_FUSE_MAX_IO_BYTES;
	if (is_for_lane(port, &request) && !zsd_classic_lane_add(port->lane, &request, port->fd))
		return;
	switch (zsd_fuse_serve(&port->server, &request, &reply)) {
	case ZSD_FUSE_REPLY:
		zsd_classic_send(port->fd, &port->server, &request, &reply);
		break;
	case ZSD_FUSE_RARE:
		serve_rare(port, length);
		break;
	case ZSD_FUSE_WAIT:
		serve_waiting(port, &request, &reply);
		break;
	case ZSD_FUSE_SILENT:
		break;
	}
}
