/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reset, and what it has in common with Remove. */

#include "command_reset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "command_answer.h"
#include "service.h"

/* The kernel tells of the last close(2) some time after that has returned: what is open is looked at for so long. */
#define CLOSING_LOOK_USEC 10000
#define CLOSING_LOOKS	  25

/* What would be lost. */
static uint64_t data_bytes(struct zs_store *store, const char *name)
{
	struct zs_device_stats stats;
	struct zs_device *device;
	uint64_t id;

	if (zs_store_find(store, name, &id))
		return 0;
	device = zs_device_get(store, id, NULL);
	if (!device)
		return 0;
	zs_device_stats(device, &stats);
	zs_device_put(device, NULL);
	return stats.data_bytes;
}

static int answer_busy(struct zsd_answer *ret_answer, struct zsd_service *service, const char *name,
		       unsigned int open_count, const char *remedy)
{
	char message[ZSD_MESSAGE_BYTES];

	snprintf(message, sizeof(message),
		 "%s: in use, its file is open %u time%s; close it (unmount it, detach its loop device)%s", name,
		 open_count, open_count == 1 ? "" : "s", remedy);
	return zsd_reply(ret_answer, ZSD_ERROR("DeviceBusy"),
			 json_pack("{s:s, s:I, s:s, s:s++, s:I}", "name", name, "open_count", (json_int_t)open_count,
				   "message", message, "file", zsd_service_mount_point(service), "/", name,
				   "data_bytes", (json_int_t)data_bytes(zsd_service_store(service), name)));
}

int zsd_reply_busy(struct zsd_call *call, const char *name, unsigned int open_count, const char *remedy,
		   struct zsd_answer *ret_answer)
{
	if (call->wire.oneway || call->cursor++ == CLOSING_LOOKS)
		return answer_busy(ret_answer, call->service, name, open_count, remedy);
	*ret_answer = (struct zsd_answer){.wait_usec = CLOSING_LOOK_USEC, .continues = true};
	return 0;
}

/* It is so large that it fills half of the slot tables, or there are ZS_DEVICES_MAX devices. */
static int answer_no_place(struct zsd_answer *ret_answer, const char *name, int error)
{
	char message[ZSD_MESSAGE_BYTES];

	snprintf(message, sizeof(message),
		 "%s: a reset needs a second %s for a moment, and there is no room; remove the device and add it again",
		 name, error == -EFBIG ? "slot table of its size" : "device");
	return zsd_reply(ret_answer, ZSD_ERROR("System"),
			 json_pack("{s:i, s:s, s:s, s:s}", "errno", -error, "errno_name", strerrorname_np(-error),
				   "step", "resetting the device", "message", message));
}

int zsd_command_reset(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	const char *name = zsd_call_string(call, "name");
	unsigned int open_count = 0;
	int error = zsd_service_try_reset(call->service, name, &open_count);

	switch (error) {
	case 0:
		zs_log_event(ZS_EVENT_DEVICE_RESET, ZS_LOG_INFO, name, 0,
			     "device reset by command: name=%s uid=%u pid=%d", name, call->peer->uid, call->peer->pid);
		return zsd_reply(ret_answer, NULL, json_object());
	case -ENODEV:
		return zsd_reply_no_such_device(ret_answer, name);
	case -EBUSY:
		return zsd_reply_busy(call, name, open_count, " first", ret_answer);
	case -EAGAIN:
		/* Devices that are being removed are in the way: a piece was freed, and others have their turn. */
		*ret_answer = (struct zsd_answer){.works = true, .continues = true};
		return 0;
	case -EFBIG:
	case -ENFILE:
		return answer_no_place(ret_answer, name, error);
	default:
		return zsd_reply_system(ret_answer, error, "resetting the device");
	}
}
