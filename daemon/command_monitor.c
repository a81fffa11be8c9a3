/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitor: replies for as long as the client listens.
 *
 * What a client has been told is carried from step to step, as {"seen": {NAME: Device}, "queue": [event], "ready":
 * bool}. An empty queue is filled by comparing the devices with what was seen; if nothing differs the client waits for
 * an interval. Nobody has to tell that something happened, a client that reads slowly is told the newest only, and
 * there is no timer without a client.
 */

#include "command_monitor.h"

#include <errno.h>

#include "base/cleanup.h"
#include "command_answer.h"
#include "command_report.h"
#include "service.h"

#define INTERVAL_DEFAULT_USEC ((json_int_t)1000000)
#define INTERVAL_MIN_USEC     ((json_int_t)100000)
#define INTERVAL_MAX_USEC     ((json_int_t)3600 * 1000000)

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

/* device NULL: an event about all. Returns 0 or -ENOMEM. */
static int enqueue(json_t *queue, const char *event, json_t *device)
{
	return json_array_append_new(queue, json_pack("{s:s, s:O*}", "event", event, "device", device)) ? -ENOMEM : 0;
}

/* All devices by name: a new object, or NULL. */
static json_t *take_snapshot(struct zsd_service *service)
{
	CLEANUP_JSON json_t *snapshot = json_object();
	unsigned int cursor = 0;
	uint64_t id;

	while (snapshot && zs_store_next(zsd_service_store(service), &cursor, &id)) {
		struct zs_device *device = zs_device_get(zsd_service_store(service), id, NULL);
		json_t *report;

		if (!device)
			continue;
		report = zsd_report_device(service, device);
		zs_device_put(device, NULL);
		if (!report || json_object_set(snapshot, json_string_value(json_object_get(report, "name")), report)) {
			json_decref(report);
			return NULL;
		}
		json_decref(report);
	}
	return zs_take(snapshot);
}

/* Queues what differs. */
static int compare(json_t *queue, json_t *seen, json_t *now, bool ready)
{
	const char *name;
	json_t *device;
	int error = 0;

	json_object_foreach(seen, name, device)
	{
		if (!error && !json_object_get(now, name))
			error = enqueue(queue, "removed", device);
	}
	json_object_foreach(now, name, device)
	{
		json_t *before = json_object_get(seen, name);

		if (error || (before && json_equal(before, device)))
			continue;
		error = enqueue(queue, !ready ? "present" : before ? "changed" : "added", device);
	}
	return error;
}

/* Fills the queue. Returns 0 or -ENOMEM. */
static int look(struct zsd_call *call, json_t *queue)
{
	CLEANUP_JSON json_t *now = take_snapshot(call->service);
	bool ready = json_is_true(json_object_get(call->carried, "ready"));
	int error = now ? compare(queue, json_object_get(call->carried, "seen"), now, ready) : -ENOMEM;

	if (!error && !ready)
		error = enqueue(queue, "ready", NULL);
	if (error)
		return error;
	return json_object_set(call->carried, "seen", now) || json_object_set_new(call->carried, "ready", json_true())
		       ? -ENOMEM
		       : 0;
}

static int reply_first(json_t *queue, struct zsd_answer *ret_answer)
{
	int error = zsd_reply(ret_answer, NULL, json_incref(json_array_get(queue, 0)));

	json_array_remove(queue, 0);
	ret_answer->continues = true;
	return error;
}

int zsd_command_monitor(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	json_int_t interval = zsd_call_int(call, "interval_usec", INTERVAL_DEFAULT_USEC);
	json_t *queue;
	int error = 0;

	if (!call->wire.more)
		return zsd_reply(ret_answer, "org.varlink.service.ExpectedMore", json_object());
	if (interval < INTERVAL_MIN_USEC || interval > INTERVAL_MAX_USEC)
		return zsd_reply_invalid_number(ret_answer, "interval_usec", interval, "use 100000 to 3600000000");
	if (!call->carried)
		call->carried = json_pack("{s:{}, s:[], s:b}", "seen", "queue", "ready", 0);
	queue = json_object_get(call->carried, "queue");
	if (!queue)
		return -ENOMEM;
	if (!json_array_size(queue))
		error = look(call, queue);
	if (error)
		return error;
	if (json_array_size(queue))
		return reply_first(queue, ret_answer);
	*ret_answer = (struct zsd_answer){.wait_usec = (uint64_t)interval, .continues = true};
	return 0;
}
