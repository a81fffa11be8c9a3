/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One client of the control socket.
 *
 *   socket -> frames -> call -> step -> output -> socket
 *
 * A round of work is at most one read of READ_BYTES and ROUND_STEPS replies, or one part of a long one; what is left
 * waits for the next round of the event loop, behind everybody else. There is no reading while complete messages are
 * left, no answering while OUTPUT_FULL_BYTES are unsent, and a call is held until the client has read most of what it
 * was sent: so a client that sends without reading stops itself, and what it costs is one message, a few replies and
 * two buffers.
 *
 * The timer runs while a message is half there, replies are unsent or a call is held, and closes the connection after
 * STUCK_USEC. It is set anew only for a good reason: everything was sent, or a buffer's worth of it was. A byte now and
 * then is none.
 *
 * A message that comes in more than PIECES_MAX pieces is waited for, each time twice as long, and a read finds what has
 * come meanwhile: byte by byte, they took a third of a CPU.
 */

#include "control_connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#define READ_BYTES ((size_t)64 << 10)
/* Of a message's beginning: a call is shorter, and what is no call is seen to be none before more of it is copied. */
#define READ_FIRST_BYTES  ((size_t)4 << 10)
#define ROUND_STEPS	  32
#define OUTPUT_FULL_BYTES ((size_t)4 << 10)
/* The kernel takes twice this, and finds room when half of it is left, each time with what it keeps the bytes in. */
#define SOCKET_BYTES (32 << 10)
/* Of what is sent before a client has another STUCK_USEC. */
#define PROGRESS_BYTES	((size_t)64 << 10)
#define STUCK_USEC	(UINT64_C(5) * 1000 * 1000)
#define PIECES_MAX	8
#define PIECE_USEC	(UINT64_C(40) * 1000)
#define PIECE_SHIFT_MAX 6

static void connection_destroyp(struct zsd_connection **connection)
{
	zsd_connection_destroy(*connection);
}

static size_t unsent(const struct zsd_connection *connection)
{
	return connection->output_end - connection->output_begin;
}

bool zsd_connection_is_idle(const struct zsd_connection *connection)
{
	if (unsent(connection))
		return false;
	/* A call with one reply that waits is work that is under way; one with more may go on for days. */
	return (connection->waiting && connection->call.wire.more) ||
	       (!connection->answering && connection->drained && !zs_frames_partial(&connection->frames));
}

/*
 * output
 */

static void output_compact(struct zsd_connection *connection)
{
	size_t left = unsent(connection);

	if (left && connection->output_begin)
		memmove(connection->output, connection->output + connection->output_begin, left);
	connection->output_begin = 0;
	connection->output_end = left;
	/* An idle client keeps no buffer: there may be many of them. */
	if (!left) {
		free(connection->output);
		connection->output = NULL;
		connection->output_capacity = 0;
	}
}

static int output_append(struct zsd_connection *connection, const char *bytes, size_t length)
{
	size_t capacity = connection->output_capacity ? connection->output_capacity : 4096;
	char *output;

	output_compact(connection);
	while (capacity < connection->output_end + length)
		capacity *= 2;
	if (capacity != connection->output_capacity) {
		output = zs_fault() ? NULL : realloc(connection->output, capacity);
		if (!output)
			return -ENOMEM;
		connection->output = output;
		connection->output_capacity = capacity;
	}
	memcpy(connection->output + connection->output_end, bytes, length);
	connection->output_end += length;
	connection->handled_bytes += length;
	return 0;
}

static int output_flush(struct zsd_connection *connection)
{
	while (unsent(connection)) {
		ssize_t sent = send(connection->fd, connection->output + connection->output_begin, unsent(connection),
				    MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 0 : -errno;
		connection->output_begin += (size_t)sent;
		connection->timed_sent += (size_t)sent;
	}
	output_compact(connection);
	return 0;
}

/*
 * calls
 */

/* Takes up the next complete message, if there is one. */
static int next_call(struct zsd_connection *connection)
{
	struct zs_wire_call wire;
	const char *text;
	size_t length;
	int error;

	connection->drained = !zs_frames_next(&connection->frames, &text, &length);
	if (connection->drained)
		return zs_frames_hopeless(&connection->frames) ? -EBADMSG : 0;
	connection->nr_pieces = 0;
	connection->pause_due = false;
	error = zs_wire_call_decode(text, length, &wire);
	if (error)
		return error;
	zsd_call_init(&connection->call, &wire, connection->service, &connection->peer);
	connection->answering = true;
	connection->held = true;
	return 0;
}

/*
 * Replies that nobody reads are made in vain, and each takes as long as some ten requests for data. The kernel calls a
 * socket writable when it is less than a quarter full; one that the client has closed is, too, and send(2) says so.
 */
static bool begin_call(struct zsd_connection *connection)
{
	struct pollfd socket = {.fd = connection->fd, .events = POLLOUT};

	connection->held = connection->held && poll(&socket, 1, 0) == 0;
	return !connection->held;
}

static int send_answer(struct zsd_connection *connection, const struct zsd_answer *answer)
{
	ZS_CLEANUP_FREE char *text = NULL;
	size_t length;
	int error;

	if (connection->call.wire.oneway)
		return 0;
	error = zs_wire_reply_encode(answer->error, answer->parameters, answer->continues, &text, &length);
	return error ? error : output_append(connection, text, length);
}

/* Runs again after this time, and hears nothing of the client meanwhile unless listen. Returns 0 or an errno. */
static int pause_for(struct zsd_connection *connection, uint64_t usec, uint64_t accuracy_usec, bool listen)
{
	int error = sd_event_source_set_time_relative(connection->news, usec);

	if (error >= 0)
		error = sd_event_source_set_time_accuracy(connection->news, accuracy_usec);
	if (error >= 0)
		error = sd_event_source_set_enabled(connection->news, SD_EVENT_ONESHOT);
	if (error >= 0)
		error = sd_event_source_set_enabled(connection->io, listen ? SD_EVENT_ON : SD_EVENT_OFF);
	return error < 0 ? error : 0;
}

/*
 * A oneway call has nobody to wait for. Who waits for news ends that by leaving; a call with one reply goes on, and so
 * does what was sent after it.
 */
static int wait_for_news(struct zsd_connection *connection, uint64_t usec)
{
	int error;

	if (connection->call.wire.oneway)
		return -EPROTO;
	error = pause_for(connection, usec, usec / 4, connection->call.wire.more);
	connection->waiting = !error;
	return error;
}

/* ret_works: the step has taken some time, and there will be more. */
static int answer_step(struct zsd_connection *connection, bool *ret_works)
{
	struct zsd_answer answer = {};
	int error = zsd_call_step(&connection->call, &answer);

	if (error)
		return error;
	*ret_works = answer.works;
	if (answer.works)
		return 0;
	if (answer.wait_usec)
		return wait_for_news(connection, answer.wait_usec);
	error = send_answer(connection, &answer);
	json_decref(answer.parameters);
	/* Nobody reads the replies to a oneway call, however many there are. */
	if (!answer.continues || connection->call.wire.oneway) {
		zsd_call_deinit(&connection->call);
		connection->answering = false;
	}
	return error;
}

static int answer_some(struct zsd_connection *connection)
{
	bool works = false;
	int error = 0;

	for (unsigned int i = 0; i < ROUND_STEPS && !error && !works && unsent(connection) < OUTPUT_FULL_BYTES; i++) {
		if (!connection->answering)
			error = next_call(connection);
		if (error || !connection->answering || connection->waiting || !begin_call(connection))
			break;
		error = answer_step(connection, &works);
	}
	/* Also what was answered before an error is sent. */
	return output_flush(connection) ?: error;
}

/*
 * events
 */

static bool has_calls(const struct zsd_connection *connection)
{
	return connection->answering || !connection->drained;
}

/* True if there is something to do at once. */
static bool can_answer(const struct zsd_connection *connection)
{
	return has_calls(connection) && !connection->waiting && !connection->held;
}

/* A message is half there. */
static bool has_part(const struct zsd_connection *connection)
{
	return connection->drained && zs_frames_partial(&connection->frames);
}

static int watch_timer(struct zsd_connection *connection)
{
	bool stuck = unsent(connection) || connection->held || has_part(connection);

	if (connection->timing && stuck && connection->timed_sent < PROGRESS_BYTES)
		return 0;
	if (!connection->timing && !stuck)
		return 0;
	connection->timing = stuck;
	connection->timed_sent = 0;
	if (!stuck)
		return sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
	return sd_event_source_set_time_relative(connection->timer, STUCK_USEC)
		       ?: sd_event_source_set_enabled(connection->timer, SD_EVENT_ONESHOT);
}

/* There are 5 seconds for all of the message. */
static int wait_for_pieces(struct zsd_connection *connection)
{
	uint64_t usec = PIECE_USEC << zs_min(connection->nr_pieces - PIECES_MAX - 1, PIECE_SHIFT_MAX);

	connection->pause_due = false;
	/* Not all of them at once: that would be a long wake-up. */
	return pause_for(connection, usec, PIECE_USEC / 10, false);
}

/* Waits for what can go on: calls that are left, the client's next bytes, room for ours. */
static int watch(struct zsd_connection *connection)
{
	bool full = unsent(connection) >= OUTPUT_FULL_BYTES;
	uint32_t events = unsent(connection) || connection->held ? EPOLLOUT : 0;
	int error;

	if (!connection->ended && !has_calls(connection) && !full)
		events |= EPOLLIN;
	error = sd_event_source_set_io_events(connection->io, events);
	if (error >= 0)
		error = sd_event_source_set_enabled(connection->resume,
						    can_answer(connection) && !full ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	if (error >= 0 && connection->pause_due && has_part(connection) && !unsent(connection))
		error = wait_for_pieces(connection);
	return error < 0 ? error : watch_timer(connection);
}

/* What the client has done, for people. */
static const char *describe(int error)
{
	switch (error) {
	case -EBADMSG:
		return "a message that is no call: not an object of JSON, or a member unknown or of a wrong type";
	case -EEXIST:
		return "a message with a member twice";
	case -EMSGSIZE:
		return "a message of more than 1 MiB";
	case -ETIMEDOUT:
		return "half a message, or replies left unread, for 5 seconds";
	case -EPROTO:
		return "a call that wants no reply asks for news";
	default:
		return strerror(-error);
	}
}

/* Nothing louder than debug: hostile clients could fill the log. */
static void close_connection(struct zsd_connection *connection, int error)
{
	if (error)
		zs_log(ZS_LOG_DEBUG, "control connection closed: pid=%d uid=%u reason=%s", connection->peer.pid,
		       connection->peer.uid, describe(error));
	connection->on_closed(connection, connection->owner);
}

/* One round. Closes the connection when it fails or is done. */
static int work(struct zsd_connection *connection)
{
	int error = answer_some(connection);

	if (!error)
		error = watch(connection);
	if (error < 0 || (connection->ended && !has_calls(connection) && !unsent(connection)))
		close_connection(connection, error < 0 ? error : 0);
	return 0;
}

static uint64_t now_usec(void)
{
	return zs_clock_nsec() / 1000;
}

static int receive_some(struct zsd_connection *connection)
{
	char bytes[READ_BYTES];
	size_t wanted = zs_frames_partial(&connection->frames) ? sizeof(bytes) : READ_FIRST_BYTES;
	ssize_t received = recv(connection->fd, bytes, wanted, 0);

	if (received < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	connection->ended = received == 0;
	connection->drained = connection->drained && received == 0;
	connection->used_usec = now_usec();
	connection->handled_bytes += (size_t)received;
	connection->nr_pieces += (size_t)received < wanted;
	connection->pause_due = (size_t)received < wanted && connection->nr_pieces > PIECES_MAX;
	connection->on_used(connection, connection->owner);
	return zs_frames_feed(&connection->frames, bytes, (size_t)received);
}

/*
 * EPOLLHUP needs no care: what the client sent before it left is still read and obeyed, then recv(2) says that there
 * is no more, or send(2) that nobody listens.
 */
static int on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct zsd_connection *connection = data;
	int error = 0;

	/* Nothing is read from who waits for news. */
	if (events & (EPOLLHUP | EPOLLERR) && connection->waiting) {
		close_connection(connection, 0);
		return 0;
	}
	if (events & EPOLLIN && connection->drained && !connection->ended)
		error = receive_some(connection);
	if (!error)
		return work(connection);
	close_connection(connection, error);
	return 0;
}

static int on_resume(sd_event_source *source, void *data)
{
	return work(data);
}

static int on_news(sd_event_source *source, uint64_t usec, void *data)
{
	struct zsd_connection *connection = data;

	connection->waiting = false;
	if (sd_event_source_set_enabled(connection->io, SD_EVENT_ON) < 0) {
		close_connection(connection, -EIO);
		return 0;
	}
	return work(connection);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	close_connection(data, -ETIMEDOUT);
	return 0;
}

/*
 * life
 */

static int add_sources(struct zsd_connection *connection, sd_event *event, int fd)
{
	sd_event_source **sources[] = {&connection->io, &connection->resume, &connection->timer, &connection->news};
	int error = sd_event_add_io(event, &connection->io, fd, EPOLLIN, on_io, connection);

	if (error >= 0)
		error = sd_event_add_defer(event, &connection->resume, on_resume, connection);
	if (error >= 0)
		error = sd_event_source_set_enabled(connection->resume, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_time_relative(event, &connection->timer, CLOCK_MONOTONIC, STUCK_USEC, 0, on_timer,
						   connection);
	if (error >= 0)
		error = sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_time_relative(event, &connection->news, CLOCK_MONOTONIC, STUCK_USEC, 0, on_news,
						   connection);
	if (error >= 0)
		error = sd_event_source_set_enabled(connection->news, SD_EVENT_OFF);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(sources) && error >= 0; i++)
		error = sd_event_source_set_priority(*sources[i], ZSD_CONTROL_PRIORITY);
	return error < 0 ? error : 0;
}

int zsd_connection_create(sd_event *event, int fd, const struct zsd_peer *peer, struct zsd_service *service,
			  struct zsd_connection **ret_connection)
{
	ZS_CLEANUP(connection_destroyp) struct zsd_connection *connection = zs_calloc(1, sizeof(*connection));
	const int socket_bytes = SOCKET_BYTES;
	int error;

	if (!connection)
		return -ENOMEM;
	zs_list_init(&connection->link);
	connection->fd = -1;
	connection->peer = *peer;
	connection->service = service;
	connection->drained = true;
	connection->used_usec = now_usec();
	zs_frames_init(&connection->frames, ZS_WIRE_CALL_MAX_BYTES);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof(socket_bytes));
	error = add_sources(connection, event, fd);
	if (error)
		return error;
	connection->fd = fd;
	*ret_connection = zs_take(connection);
	return 0;
}

void zsd_connection_destroy(struct zsd_connection *connection)
{
	if (!connection)
		return;
	sd_event_source_disable_unref(connection->io);
	sd_event_source_disable_unref(connection->resume);
	sd_event_source_disable_unref(connection->timer);
	sd_event_source_disable_unref(connection->news);
	if (connection->answering)
		zsd_call_deinit(&connection->call);
	zs_frames_deinit(&connection->frames);
	free(connection->output);
	if (connection->fd >= 0)
		close(connection->fd);
	free(connection);
}
