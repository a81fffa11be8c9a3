/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitor: replies for as long as the client listens.
 *
 * What a client has been told is carried from step to step, as {"seen": {NAME: Device}, "queue": [event], "since":
 * generation of the look before, "nr": devices found in this look, "ready", "over": bool}. A look goes over all devices
 * and makes JSON of those that have changed since the look before (see changes.h), STEP_DEVICES at a time; what differs
 * from what was seen is queued, and the queue is sent before the look goes on. When it is over the client waits for an
 * interval. Nobody has to tell that something happened, a client that reads slowly is told the newest only, and there
 * is no timer without a client.
 */

#include "command_monitor.h"

#include <errno.h>

#include "changes.h"
#include "command_answer.h"
#include "command_report.h"
#include "service.h"
#include "store/device.h"
#include "store/store.h"

/* JSON is made of in one step: half a millisecond. */
#define STEP_DEVICES 50

#define INTERVAL_DEFAULT_USEC ((json_int_t)1000000)
#define INTERVAL_MIN_USEC     ((json_int_t)100000)
#define INTERVAL_MAX_USEC     ((json_int_t)3600 * 1000000)

/* device NULL: an event about all. Returns 0 or -ENOMEM. */
static int enqueue(json_t *queue, const char *event, json_t *device)
{
	return json_array_append_new(queue, json_pack("{s:s, s:O*}", "event", event, "device", device)) ? -ENOMEM : 0;
}

static json_t *get(const struct zsd_call *call, const char *name)
{
	return json_object_get(call->carried, name);
}

static int put(struct zsd_call *call, const char *name, json_t *value)
{
	return json_object_set_new(call->carried, name, value) ? -ENOMEM : 0;
}

/* Queues the device if it differs from what was seen. */
static int compare(struct zsd_call *call, json_t *device)
{
	json_t *seen = get(call, "seen"), *name = json_object_get(device, "name");
	json_t *before = json_object_get(seen, json_string_value(name));
	const char *event = !json_is_true(get(call, "ready")) ? "present" : before ? "changed" : "added";

	if (before && json_equal(before, device))
		return 0;
	return json_object_set(seen, json_string_value(name), device) ? -ENOMEM
								      : enqueue(get(call, "queue"), event, device);
}

/* Returns 1 if JSON was made of the device, 0, or -ENOMEM. */
static int look_at(struct zsd_call *call, struct zs_device *device)
{
	uint64_t since = (uint64_t)json_integer_value(get(call, "since"));
	unsigned int nr_open = zsd_service_open_count(call->service, zs_device_id(device));
	json_t *report;
	int error;

	if (!zsd_changes_look(zsd_service_changes(call->service), device, nr_open, since))
		return 0;
	report = zsd_report_device(call->service, device);
	error = report ? compare(call, report) : -ENOMEM;
	json_decref(report);
	return error ?: 1;
}

/* Queues those that were seen and are gone. */
static int find_removed(struct zsd_call *call)
{
	json_t *seen = get(call, "seen"), *device;
	const char *name;
	void *next;
	int error = 0;
	uint64_t id;

	json_object_foreach_safe(seen, next, name, device)
	{
		if (error || zs_store_find(zsd_service_store(call->service), name, &id) == 0)
			continue;
		error = enqueue(get(call, "queue"), "removed", device);
		if (!error)
			json_object_del(seen, name);
	}
	return error;
}

/* Returns 0 or -ENOMEM. */
static int end_look(struct zsd_call *call)
{
	bool removed = (size_t)json_integer_value(get(call, "nr")) != json_object_size(get(call, "seen"));
	int error = removed ? find_removed(call) : 0;

	if (!error && !json_is_true(get(call, "ready")))
		error = enqueue(get(call, "queue"), "ready", NULL);
	if (!error)
		error = put(call, "since", json_integer((json_int_t)call->generation));
	if (!error)
		error = put(call, "nr", json_integer(0));
	call->generation = 0;
	call->cursor = 0;
	return error ?: put(call, "ready", json_true()) ?: put(call, "over", json_true());
}

/* One step of a look. Returns 0 or -ENOMEM. */
static int look(struct zsd_call *call)
{
	json_int_t nr = json_integer_value(get(call, "nr"));
	unsigned int nr_made = 0;
	int made = 0;
	uint64_t id;

	call->generation = zsd_changes_begin(zsd_service_changes(call->service), call->generation);
	while (nr_made < STEP_DEVICES) {
		struct zs_device *device;

		if (!zs_store_next(zsd_service_store(call->service), &call->cursor, &id))
			return put(call, "nr", json_integer(nr)) ?: end_look(call);
		device = zs_device_get(zsd_service_store(call->service), id, NULL);
		if (!device)
			continue;
		made = look_at(call, device);
		zs_device_put(device, NULL);
		if (made < 0)
			return made;
		nr_made += (unsigned int)made;
		nr++;
	}
	return put(call, "nr", json_integer(nr));
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
		call->carried = json_pack("{s:{}, s:[]}", "seen", "queue");
	queue = get(call, "queue");
	if (!queue)
		return -ENOMEM;
	if (!json_array_size(queue) && !json_is_true(get(call, "over")))
		error = look(call);
	if (error)
		return error;
	if (json_array_size(queue))
		return reply_first(queue, ret_answer);
	if (!json_is_true(get(call, "over"))) {
		*ret_answer = (struct zsd_answer){.works = true, .continues = true};
		return 0;
	}
	*ret_answer = (struct zsd_answer){.wait_usec = (uint64_t)interval, .continues = true};
	return put(call, "over", json_false());
}
