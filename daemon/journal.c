/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events as the journal keeps them. */

#define SD_JOURNAL_SUPPRESS_LOCATION

#include "journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/bits.h"

#define SOCKET_PATH "/run/systemd/journal/socket"

/* Random, made once and never changed: programs wait for them. */
static const char *const message_ids[ZS_NR_EVENTS] = {
	[ZS_EVENT_READY] = "a888fbde8b224a69a7dcaa86617a58ce",
	[ZS_EVENT_STOPPING] = "a2b177d56ed44cf38dca2e17d7d8e9d1",
	[ZS_EVENT_DEAD_MOUNT] = "d577f855c4c94559825c95dd8fcb9e99",
	[ZS_EVENT_DEVICE_ADDED] = "338ce33b3662481ba825885937f04587",
	[ZS_EVENT_DEVICE_REMOVED] = "cccea9f188c54c139b7cf55d53614d05",
	[ZS_EVENT_DEVICE_RESET] = "8d47ba36fd994793bd6af6dd85f500c7",
	[ZS_EVENT_DEVICE_LEFT_OUT] = "03e265c147f54ab79b101e03743fb84d",
	[ZS_EVENT_NO_SPACE] = "ef7e8e6f9c874e2c87cdbdf884861eb9",
	[ZS_EVENT_DAMAGED] = "2ccb5072e1a54b48984a2eb9daa364b2",
	[ZS_EVENT_THREAD_HANGS] = "70a79649ce784c67b4c9022506ee8c8c",
	[ZS_EVENT_BACKING_FAILS] = "e133054cd6c84ce49b88b74e05b10d87",
};

/* Room for the longest line and the name of its field. */
#define FIELD_BYTES 1100

struct fields {
	struct iovec vector[5];
	unsigned int nr;
	char texts[5][FIELD_BYTES];
};

__attribute__((format(printf, 2, 3))) static void add(struct fields *fields, const char *format, ...)
{
	char *text = fields->texts[fields->nr];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, FIELD_BYTES, format, arguments);
	va_end(arguments);
	fields->vector[fields->nr++] = (struct iovec){text, zs_min((uint64_t)length, FIELD_BYTES - 1)};
}

bool zsd_journal_is_there(void)
{
	return !access(SOCKET_PATH, W_OK);
}

int zsd_journal_send(const struct zs_event_line *what)
{
	struct fields fields;

	fields.nr = 0;
	add(&fields, "MESSAGE=%s", what->line);
	add(&fields, "PRIORITY=%d", what->level);
	add(&fields, "MESSAGE_ID=%s", message_ids[what->event]);
	if (what->device)
		add(&fields, "ZSD_DEVICE=%s", what->device);
	if (what->error)
		add(&fields, "ERRNO=%d", -what->error);
	return sd_journal_sendv(fields.vector, (int)fields.nr);
}
