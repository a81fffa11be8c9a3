/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket.
 *
 * There are CONNECTIONS_MAX connections at most. One more takes the place of the client that was silent for the
 * longest time, so that a program that collects connections keeps nobody out; if none has been silent for
 * SILENT_USEC, the newcomer is turned away.
 *
 * Each connection costs some ten microseconds. From a program that connects in a loop one is taken in ACCEPT_USEC,
 * beyond the first ACCEPT_BURST; the others wait in the backlog, and when that is full the program does. next_usec is
 * when the next one is due, and never more than the burst in the past.
 */

#include "control.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "control_connection.h"
#include "control_socket.h"

#define CONNECTIONS_MAX 64
#define SILENT_USEC	(UINT64_C(1) * 1000 * 1000)
/* A client that connects in a loop must not fill the log. */
#define TELL_USEC    (UINT64_C(60) * 1000 * 1000)
#define ACCEPT_USEC  UINT64_C(1000)
#define ACCEPT_BURST 128
/* How long accepting rests when they come faster: a wake-up for several connections. */
#define FLOOD_REST_USEC (20 * ACCEPT_USEC)
/* A client with so much to say and to be told has made the daemon's heap larger than it is to stay. */
#define TRIM_BYTES ((uint64_t)256 << 10)
/* How long accepting rests when the system is short of descriptors: the connection stays in the backlog meanwhile. */
#define REST_USEC (UINT64_C(1) * 1000 * 1000)

struct zsd_control {
	sd_event *event;
	struct zsd_service *service;
	enum zsd_door door;
	gid_t group; /* who may change things, or (gid_t)-1 */
	int listen_fd;
	sd_event_source *listen;
	sd_event_source *rest;	    /* one-shot timer, enables listen again */
	uint64_t next_usec;	    /* when the next connection is due; CLOCK_MONOTONIC */
	struct zs_list connections; /* struct zsd_connection.link, most recently used first */
	unsigned int nr_connections;
	bool trim_due;	    /* when the last connection ends */
	uint64_t tell_usec; /* when it may be logged again that newcomers are turned away; CLOCK_MONOTONIC */
	char *path;	    /* the socket file that was made here, or NULL */
	struct stat path_status;
};

static void control_destroyp(struct zsd_control **control)
{
	zsd_control_destroy(*control);
}

static void drop(struct zsd_control *control, struct zsd_connection *connection)
{
	zs_list_unlink(&connection->link);
	control->nr_connections--;
	control->trim_due = control->trim_due || connection->answering || connection->handled_bytes >= TRIM_BYTES;
	zsd_connection_destroy(connection);
	/*
	 * A list of thousands of devices leaves megabytes of free heap behind, which an idle daemon has no use for.
	 * After each client it would be too much: giving memory back interrupts the threads that serve data.
	 */
	if (control->nr_connections || !control->trim_due)
		return;
	malloc_trim(0);
	control->trim_due = false;
}

static void on_closed(struct zsd_connection *connection, void *owner)
{
	drop(owner, connection);
}

static void on_used(struct zsd_connection *connection, void *owner)
{
	struct zsd_control *control = owner;

	zs_list_unlink(&connection->link);
	zs_list_push(&control->connections, &connection->link);
}

/* Drops the client that was silent for the longest time. False if there is none to drop. */
static bool make_room(struct zsd_control *control)
{
	uint64_t now;

	if (sd_event_now(control->event, CLOCK_MONOTONIC, &now) < 0)
		return false;
	for (struct zs_list *link = control->connections.previous; link != &control->connections;
	     link = link->previous) {
		struct zsd_connection *connection = zs_list_entry(link, struct zsd_connection, link);

		if (connection->used_usec + SILENT_USEC > now)
			return false;
		if (zsd_connection_is_idle(connection)) {
			drop(control, connection);
			return true;
		}
	}
	return false;
}

static int turn_away(struct zsd_control *control, const struct zsd_peer *peer)
{
	uint64_t now;

	if (sd_event_now(control->event, CLOCK_MONOTONIC, &now) >= 0 && now >= control->tell_usec) {
		zs_log(ZS_LOG_WARNING, "control connections are refused, %d others are busy: pid=%d uid=%u",
		       CONNECTIONS_MAX, peer->pid, peer->uid);
		control->tell_usec = now + TELL_USEC;
	}
	return -EBUSY;
}

static int take_in(struct zsd_control *control, int fd)
{
	struct zsd_connection *connection;
	struct zsd_peer peer;
	int error = zsd_control_peer(fd, control->group, &peer);

	if (error)
		return error;
	peer.metrics = control->door == ZSD_DOOR_METRICS;
	if (control->nr_connections >= CONNECTIONS_MAX && !make_room(control))
		return turn_away(control, &peer);
	error = zsd_connection_create(control->event, fd, &peer, control->service, &connection);
	if (error)
		return error;
	connection->on_closed = on_closed;
	connection->on_used = on_used;
	connection->owner = control;
	zs_list_push(&control->connections, &connection->link);
	control->nr_connections++;
	return 0;
}

static int rest(struct zsd_control *control, uint64_t usec)
{
	sd_event_source_set_enabled(control->listen, SD_EVENT_OFF);
	sd_event_source_set_time_relative(control->rest, usec);
	sd_event_source_set_enabled(control->rest, SD_EVENT_ONESHOT);
	return 0;
}

/* Connections come faster than they are to be taken; otherwise this one is counted. */
static bool is_flooded(struct zsd_control *control)
{
	const uint64_t burst_usec = ACCEPT_BURST * ACCEPT_USEC;
	uint64_t now;

	if (sd_event_now(control->event, CLOCK_MONOTONIC, &now) < 0)
		return false;
	if (control->next_usec > now)
		return true;
	control->next_usec = zs_max(control->next_usec + burst_usec, now) - burst_usec + ACCEPT_USEC;
	return false;
}

static int on_rest_over(sd_event_source *source, uint64_t usec, void *data)
{
	struct zsd_control *control = data;

	return sd_event_source_set_enabled(control->listen, SD_EVENT_ON);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct zsd_control *control = data;
	ZS_CLEANUP_CLOSE int accepted = -1;

	if (is_flooded(control))
		return rest(control, FLOOD_REST_USEC);
	accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	/* The listening socket stays readable: without a rest the loop would do nothing else than fail. */
	if (accepted < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
		zs_log(ZS_LOG_WARNING, "control socket: no connection accepted for a second: %s", strerror(errno));
		return rest(control, REST_USEC);
	}
	if (accepted >= 0 && take_in(control, accepted) == 0)
		(void)zs_take_fd(accepted);
	return 0;
}

/* The socket given, or one of our own. */
static int open_socket(struct zsd_control *control, int listen_fd, const char *path)
{
	int error;

	if (listen_fd >= 0)
		return zsd_control_adopt(listen_fd);
	error = zsd_control_listen(path, control->door == ZSD_DOOR_METRICS ? 0666 : 0660, control->group,
				   &control->listen_fd);
	if (error)
		return error;
	control->path = zs_fault() ? NULL : strdup(path);
	return control->path && stat(path, &control->path_status) == 0 ? 0 : -ENOMEM;
}

static int add_sources(struct zsd_control *control, int listen_fd)
{
	int error = sd_event_add_io(control->event, &control->listen, listen_fd, EPOLLIN, on_connection, control);

	if (error >= 0)
		error = sd_event_source_set_priority(control->listen, ZSD_CONTROL_PRIORITY);
	if (error >= 0)
		error = sd_event_add_time_relative(control->event, &control->rest, CLOCK_MONOTONIC, REST_USEC,
						   ACCEPT_USEC, on_rest_over, control);
	if (error >= 0)
		error = sd_event_source_set_enabled(control->rest, SD_EVENT_OFF);
	return error < 0 ? error : 0;
}

int zsd_control_create(sd_event *event, struct zsd_service *service, enum zsd_door door, int listen_fd,
		       const char *path, struct zsd_control **ret_control)
{
	ZS_CLEANUP(control_destroyp) struct zsd_control *control = zs_calloc(1, sizeof(*control));
	int error;

	if (!control)
		return -ENOMEM;
	zs_list_init(&control->connections);
	control->listen_fd = -1;
	control->event = sd_event_ref(event);
	control->service = service;
	control->door = door;
	control->group = zsd_control_group();
	error = open_socket(control, listen_fd, path);
	if (!error)
		error = add_sources(control, listen_fd >= 0 ? listen_fd : control->listen_fd);
	if (error)
		return error;
	if (listen_fd >= 0)
		control->listen_fd = listen_fd;
	*ret_control = zs_take(control);
	return 0;
}

/* Unless somebody has put another file there meanwhile. */
static void remove_socket_file(const struct zsd_control *control)
{
	struct stat status;

	if (stat(control->path, &status) == 0 && status.st_dev == control->path_status.st_dev &&
	    status.st_ino == control->path_status.st_ino)
		unlink(control->path);
}

void zsd_control_destroy(struct zsd_control *control)
{
	if (!control)
		return;
	while (!zs_list_empty(&control->connections))
		drop(control, zs_list_entry(control->connections.next, struct zsd_connection, link));
	sd_event_source_disable_unref(control->listen);
	sd_event_source_disable_unref(control->rest);
	if (control->path)
		remove_socket_file(control);
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	sd_event_unref(control->event);
	free(control->path);
	free(control);
}
