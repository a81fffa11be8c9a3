/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers that several methods of io.zsd.control give. */

#include "command_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"

int zsd_reply(struct zsd_answer *ret_answer, const char *error, json_t *parameters)
{
	if (!parameters)
		return -ENOMEM;
	*ret_answer = (struct zsd_answer){.error = error, .parameters = parameters};
	return 0;
}

/* How much of a text goes into a message. A sequence is not cut in the middle: it would not be UTF-8 any more. */
static int shown_bytes(const char *text)
{
	int shown = (int)zs_min(strlen(text), ZSD_SHOWN_MAX);

	while (text[shown] && shown && ((unsigned char)text[shown] & 0xc0) == 0x80)
		shown--;
	return shown;
}

/* name: of what it was refused; may be NULL. */
static int refuse(struct zsd_answer *ret_answer, const char *name, const char *parameter, const char *value,
		  const char *reason)
{
	int shown = shown_bytes(value), shown_name = name ? shown_bytes(name) : 0;
	char message[ZSD_MESSAGE_BYTES];

	snprintf(message, sizeof(message), "%.*s%s%s '%.*s%s': %s", shown_name, name ?: "", name ? ": " : "", parameter,
		 shown, value, value[shown] ? "..." : "", reason);
	return zsd_reply(ret_answer, ZSD_ERROR("InvalidValue"),
			 json_pack("{s:s, s:s}", "parameter", parameter, "message", message));
}

int zsd_reply_invalid_value(struct zsd_answer *ret_answer, const char *parameter, const char *value, const char *reason)
{
	return refuse(ret_answer, NULL, parameter, value, reason);
}

int zsd_reply_invalid_number(struct zsd_answer *ret_answer, const char *parameter, json_int_t value, const char *reason)
{
	char text[32];

	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, value);
	return zsd_reply_invalid_value(ret_answer, parameter, text, reason);
}

int zsd_reply_bad_value(const struct zsd_call *call, struct zsd_answer *ret_answer, const char *parameter,
			const char *value, const char *reason)
{
	return refuse(ret_answer, zsd_call_string(call, "name"), parameter, value, reason);
}

int zsd_reply_bad_number(const struct zsd_call *call, struct zsd_answer *ret_answer, const char *parameter,
			 json_int_t value, const char *reason)
{
	char text[32];

	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, value);
	return zsd_reply_bad_value(call, ret_answer, parameter, text, reason);
}

int zsd_reply_no_such_device(struct zsd_answer *ret_answer, const char *name)
{
	return zsd_reply(
		ret_answer, ZSD_ERROR("NoSuchDevice"),
		json_pack("{s:s, s:s+}", "name", name, "message", name, ": there is no device with this name"));
}

int zsd_reply_system(struct zsd_answer *ret_answer, int error, const char *step)
{
	char message[ZSD_MESSAGE_BYTES];
	const char *name = strerrorname_np(-error);

	snprintf(message, sizeof(message), "%s: %s (%s); the daemon's log may say more", step, strerror(-error),
		 name ? name : "?");
	return zsd_reply(ret_answer, ZSD_ERROR("System"),
			 json_pack("{s:i, s:s, s:s, s:s}", "errno", -error, "errno_name", name ? name : "?", "step",
				   step, "message", message));
}
