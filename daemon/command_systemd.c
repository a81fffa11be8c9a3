/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of io.systemd.Metrics, by which systemd-report (systemd 260) finds what a service counts.
 *
 * All is taken from the text for Prometheus, so that both say the same: zsd_device_reads_total{device="vm0"} is
 * io.zsd.DeviceReadsTotal of the object vm0. That interface has no histograms; they are left out. The text is made at
 * the first step and carried; one line of it is a reply.
 */

#include "command_systemd.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "command_answer.h"
#include "metrics.h"
#include "service.h"

#define PREFIX	   "zsd_"
#define NAME_BYTES 96
/* A label's value is a device's name at most; each byte of it may be escaped. */
#define VALUE_BYTES 160

static bool starts_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The line after this one, or NULL. */
static const char *next_line(const char *line)
{
	line = strchr(line, '\n');
	return line && line[1] ? line + 1 : NULL;
}

/* A family is "# HELP NAME TEXT", "# TYPE NAME TYPE", and its samples. True of the HELP of a histogram's. */
static bool is_histogram(const char *help)
{
	const char *type = next_line(help), *end = type ? strchr(type, '\n') : NULL;
	size_t length = strlen(" histogram");

	return end && (size_t)(end - type) > length && strncmp(end - length, " histogram", length) == 0;
}

/* The first line from here on that is a family's HELP, or else a sample; NULL if there is none. */
static const char *find(const char *line, bool help)
{
	bool skipped = false;

	for (; line; line = next_line(line)) {
		bool is_help = starts_with(line, "# HELP ");

		if (is_help)
			skipped = is_histogram(line);
		if (!skipped && (help ? is_help : *line != '#'))
			return line;
	}
	return NULL;
}

/* zsd_pool_memory becomes io.zsd.PoolMemory. Answers what is behind the name. */
static const char *read_name(const char *text, char name[static NAME_BYTES])
{
	char *at = stpcpy(name, "io.zsd.");
	bool begins = true;

	text += strlen(PREFIX);
	for (; isalnum((unsigned char)*text) || *text == '_'; text++) {
		if (*text != '_' && at < name + NAME_BYTES - 1)
			*at++ = (char)(begins ? toupper((unsigned char)*text) : *text);
		begins = *text == '_';
	}
	*at = 0;
	return text;
}

/* A value in quotes. Answers what is behind it. */
static const char *read_quoted(const char *text, char value[static VALUE_BYTES])
{
	size_t length = 0;

	for (text++; *text && *text != '"'; text++) {
		char letter = *text;

		if (letter == '\\' && text[1])
			letter = *++text == 'n' ? '\n' : *text;
		if (length < VALUE_BYTES - 1)
			value[length++] = letter;
	}
	value[length] = 0;
	return *text ? text + 1 : text;
}

/* {LABEL="VALUE",...}: the device is the object, the others are fields. Answers what is behind it. */
static const char *read_labels(const char *text, json_t *reply)
{
	char label[NAME_BYTES], value[VALUE_BYTES];

	while (*text == '{' || *text == ',') {
		size_t length = strcspn(++text, "=\n");
		json_t *fields = json_object_get(reply, "fields");

		if (length >= sizeof(label) || text[length] != '=')
			return text;
		memcpy(label, text, length);
		label[length] = 0;
		text = read_quoted(text + length + 1, value);
		if (strcmp(label, "device") == 0)
			json_object_set_new(reply, "object", json_string(value));
		else if (fields || !json_object_set_new(reply, "fields", fields = json_object()))
			json_object_set_new(fields, label, json_string(value));
	}
	return *text == '}' ? text + 1 : text;
}

/* Counts stay whole numbers. */
static json_t *read_number(const char *text)
{
	char *end;
	json_int_t number = strtoll(text, &end, 10);

	return *end == '\n' || !*end ? json_integer(number) : json_real(strtod(text, NULL));
}

static json_t *list_reply(const char *line)
{
	char name[NAME_BYTES];
	const char *text = read_name(line, name);
	json_t *reply = json_pack("{s:s}", "name", name);

	text = read_labels(text, reply);
	if (!json_object_set_new(reply, "value", read_number(text)))
		return reply;
	json_decref(reply);
	return NULL;
}

static json_t *describe_reply(const char *line)
{
	char name[NAME_BYTES];
	const char *text = read_name(line + strlen("# HELP "), name), *type = strrchr(name, 'T');
	size_t length;

	text += *text == ' ';
	length = strcspn(text, "\n");
	return json_pack("{s:s, s:s%, s:s}", "name", name, "description", text, length, "type",
			 type && strcmp(type, "Total") == 0 ? "counter" : "gauge");
}

/* Returns 0 or -ENOMEM. */
static int make_text(struct zsd_call *call)
{
	ZS_CLEANUP_FREE char *text = NULL;
	size_t length;
	int error = zsd_metrics_render(zsd_service_store(call->service), zsd_service_facts(call->service),
				       ZSD_METRICS_PROMETHEUS, &text, &length);

	if (error)
		return error;
	call->carried = json_stringn(text, length);
	return call->carried ? 0 : -ENOMEM;
}

static int run(struct zsd_call *call, bool help, struct zsd_answer *ret_answer)
{
	const char *text, *line, *next;
	int error = 0;

	if (!call->wire.more)
		return zsd_reply(ret_answer, "org.varlink.service.ExpectedMore", json_object());
	if (!call->carried)
		error = make_text(call);
	if (error)
		return error;
	text = json_string_value(call->carried);
	line = find(text + call->cursor, help);
	if (!line)
		return zsd_reply(ret_answer, ZSD_INTERFACE_SYSTEMD ".NoSuchMetric", json_object());
	next = next_line(line);
	/* A sample behind is not of a histogram, unless a family begins between. */
	next = next ? find(next, help) : NULL;
	error = zsd_reply(ret_answer, NULL, help ? describe_reply(line) : list_reply(line));
	if (!error && next) {
		call->cursor = (unsigned int)(next - text);
		ret_answer->continues = true;
	}
	return error;
}

static int run_list(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	return run(call, false, ret_answer);
}

static int run_describe(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	return run(call, true, ret_answer);
}

const struct zsd_method zsd_systemd_methods[] = {
	{.name = "List", .run = run_list},
	{.name = "Describe", .run = run_describe},
	{},
};
