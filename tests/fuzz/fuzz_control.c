/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Varlink messages of any bytes, to the methods of a daemon that has a real store. Promises:
 * - each sound call that wants a reply gets its last one, in its turn, unless it asks for news without an end;
 * - each reply is sound, and its error is one that the interface tells of;
 * - who may not change anything changes nothing, and a call that is refused has changed nothing;
 * - the next client is served, whatever was before.
 * The first byte of the input says who calls and how long the pieces are, the rest is what the client sends.
 */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "changes.h"
#include "config.h"
#include "control_connection.h"
#include "frontend.h"
#include "fuzz.h"
#include "interface.h"
#include "reload.h"
#include "service_internal.h"
#include "store/group.h"
#include "support/small_store.h"
#include "tasks.h"

#define LIMIT_BYTES ((uint64_t)64 << 20)

enum who {
	MAY_CHANGE = 1 << 0,
	AT_METRICS = 1 << 1,
	PIECE_SHIFT = 2,
};

static struct zsd_service service;
static char *interface_text;
static char *state; /* of all devices, groups and limits, as it was in the beginning */

/* The client at hand. */
static struct {
	int fd;
	struct zsd_connection *connection;
	struct zs_frames frames; /* what it was answered */
	unsigned int nr_last;	 /* replies that were the last one of their call */
	bool refused;		 /* one of them was an error */
} client;

/*
 * state
 */

/* What a method says to who may do everything. */
static json_t *ask(const char *method)
{
	const struct zsd_peer peer = {.may_change = true};
	struct zs_wire_call wire;
	struct zsd_answer answer = {};
	struct zsd_call call;
	char text[128];
	int length = snprintf(text, sizeof(text), "{\"method\":\"io.zsd.control.%s\"}", method);

	zs_assert(zs_wire_call_decode(text, (size_t)length, &wire) == 0);
	zsd_call_init(&call, &wire, &service, &peer);
	do {
		zs_assert(zsd_call_step(&call, &answer) == 0 && !answer.error);
	} while (answer.works);
	zsd_call_deinit(&call);
	return answer.parameters;
}

static char *take_state(void)
{
	struct zs_store_stats stats;
	json_t *all;
	char *text;

	zs_store_stats(service.store, &stats);
	all = json_pack("{s:o, s:o, s:I, s:i, s:i}", "list", ask("List"), "groups", ask("Groups"), "limit",
			(json_int_t)stats.heap.limit_bytes, "level", (int)service.config->log_level, "quota",
			(int)service.config->policy.quota_percent);
	text = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	zs_assert(text);
	return text;
}

static void reset_groups(void)
{
	json_t *groups = ask("Groups"), *group;
	size_t i;

	json_array_foreach(json_object_get(groups, "groups"), i, group)
	{
		const char *name = json_string_value(json_object_get(group, "name"));

		if (name)
			zs_store_set_group_limit(service.store, name, 0);
	}
	json_decref(groups);
}

/* All devices and groups go, and all keys get their defaults. */
static void reset_state(void)
{
	json_t *report = NULL, *messages = NULL;
	unsigned int cursor = 0;
	uint64_t id;
	char *now;

	while (zs_store_next(service.store, &cursor, &id))
		zs_assert(zs_store_remove(service.store, id) == 0);
	reset_groups();
	zs_assert(zsd_reload(&service, &report, &messages) == 0);
	json_decref(report);
	json_decref(messages);
	zs_store_set_limit(service.store, LIMIT_BYTES);
	zs_log_set_sink(NULL, ZS_LOG_ERR);
	now = take_state();
	zs_assert(strcmp(now, state) == 0);
	free(now);
}

static void make_world(void)
{
	service = (struct zsd_service){.lock_fd = -1, .mount = {.path = (char *)"/run/zsd/mnt", .fuse_fd = -1}};
	service.store = test_store_create(LIMIT_BYTES);
	zs_assert(sd_event_new(&service.event) >= 0);
	zs_assert(!zsd_changes_create(1, &service.changes));
	zs_assert(!zsd_tasks_create(service.store, &service.tasks));
	zs_assert(!zsd_frontend_create(service.store, &service.frontend));
	zs_assert(!zsd_config_load(NULL, false, &service.config));
	interface_text = zsd_interface_text(ZSD_INTERFACE_CONTROL);
	zs_assert(interface_text);
	zs_log_set_sink(NULL, ZS_LOG_ERR);
}

/*
 * replies
 */

static void check_error(const char *error)
{
	const char *name = strrchr(error, '.');
	char declaration[80];

	zs_assert(name);
	if (strncmp(error, "org.varlink.service.", strlen("org.varlink.service.")) == 0)
		return;
	zs_assert(strncmp(error, "io.zsd.control.", strlen("io.zsd.control.")) == 0);
	snprintf(declaration, sizeof(declaration), "\nerror %s ", name + 1);
	zs_assert(strstr(interface_text, declaration));
}

static void check_reply(const char *text, size_t length)
{
	struct zs_wire_reply reply;

	zs_assert(zs_wire_reply_decode(text, length, &reply) == 0);
	if (reply.error)
		check_error(reply.error);
	client.nr_last += !reply.continues;
	client.refused |= reply.error != NULL;
	zs_wire_reply_deinit(&reply);
}

static void take_replies(void)
{
	char bytes[1 << 16];
	const char *text;
	ssize_t received;
	size_t length;

	while ((received = recv(client.fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		zs_assert(zs_frames_feed(&client.frames, bytes, (size_t)received) == 0);
		while (zs_frames_next(&client.frames, &text, &length))
			check_reply(text, length);
	}
}

/*
 * a client
 */

static void on_closed(struct zsd_connection *connection, void *owner)
{
	zsd_connection_destroy(connection);
	client.connection = NULL;
}

static void on_used(struct zsd_connection *connection, void *owner)
{
}

/* The time passes at once for which a message in too many pieces is waited for. Answers whether there was one. */
static bool end_pause(void)
{
	struct zsd_connection *connection = client.connection;
	int enabled = SD_EVENT_OFF;

	if (!connection || connection->waiting)
		return false;
	zs_assert(sd_event_source_get_enabled(connection->news, &enabled) >= 0);
	if (enabled == SD_EVENT_OFF)
		return false;
	zs_assert(sd_event_source_set_time(connection->news, 0) >= 0);
	return true;
}

/* Until there is nothing more to do at once. */
static void serve(void)
{
	int r;

	do {
		r = sd_event_run(service.event, 0);
		zs_assert(r >= 0);
		take_replies();
	} while (r > 0 || end_pause());
}

static void begin_client(unsigned int flags)
{
	struct zsd_peer peer = {.may_change = flags & MAY_CHANGE, .metrics = flags & AT_METRICS};
	int fds[2];

	zs_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	client.fd = fds[0];
	client.nr_last = 0;
	client.refused = false;
	zs_frames_init(&client.frames, (size_t)64 << 20);
	zs_assert(zsd_connection_create(service.event, fds[1], &peer, &service, &client.connection) == 0);
	client.connection->on_closed = on_closed;
	client.connection->on_used = on_used;
}

static void send_pieces(const char *bytes, size_t size, size_t piece)
{
	for (size_t sent = 0; sent < size && client.connection; sent += piece) {
		size_t length = size - sent < piece ? size - sent : piece;

		if (send(client.fd, bytes + sent, length, MSG_NOSIGNAL) < 0)
			break;
		serve();
	}
}

/* True if the daemon had closed the connection already. */
static bool end_client(void)
{
	bool was_closed = !client.connection;

	zs_assert(!zs_frames_partial(&client.frames));
	zs_frames_deinit(&client.frames);
	close(client.fd);
	for (unsigned int i = 0; client.connection && i < 100; i++)
		zs_assert(sd_event_run(service.event, 0) >= 0);
	zs_assert(!client.connection);
	return was_closed;
}

/*
 * what the client may expect
 */

struct expected {
	unsigned int nr_calls;
	unsigned int nr_last; /* replies */
	bool endless;	      /* it waits for news, what comes behind is not looked at */
	bool is_cut_off;      /* behind that, a message is no call */
};

/* From the bytes alone. */
static struct expected expect(const char *bytes, size_t size)
{
	struct expected expected = {.nr_calls = 0};
	struct zs_frames frames;
	struct zs_wire_call call;
	const char *text;
	size_t length;

	zs_frames_init(&frames, ZS_WIRE_CALL_MAX_BYTES);
	zs_assert(zs_frames_feed(&frames, bytes, size) == 0);
	while (!expected.is_cut_off && zs_frames_next(&frames, &text, &length)) {
		expected.is_cut_off = zs_wire_call_decode(text, length, &call);
		if (expected.is_cut_off)
			break;
		expected.nr_calls++;
		expected.nr_last += !call.oneway;
		expected.endless |= strcmp(call.method, "io.zsd.control.Monitor") == 0 && call.more;
		zs_wire_call_deinit(&call);
	}
	expected.is_cut_off |= !expected.is_cut_off && zs_frames_hopeless(&frames);
	zs_frames_deinit(&frames);
	return expected;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct expected expected;
	char *now;

	if (!size || size > ((size_t)64 << 10))
		return 0;
	if (!state) {
		make_world();
		state = take_state();
	}
	expected = expect((const char *)data + 1, size - 1);
	begin_client(data[0]);
	send_pieces((const char *)data + 1, size - 1, ((size_t)(data[0] >> PIECE_SHIFT) << 4) + 1);
	zs_assert(end_client() == expected.is_cut_off || expected.endless);
	zs_assert(client.nr_last <= expected.nr_last);
	zs_assert(client.nr_last == expected.nr_last || expected.endless || expected.is_cut_off);
	now = take_state();
	if (!(data[0] & MAY_CHANGE) || data[0] & AT_METRICS || (expected.nr_calls == 1 && client.refused))
		zs_assert(strcmp(now, state) == 0);
	if (strcmp(now, state))
		reset_state();
	free(now);
	return 0;
}
