/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call of the daemon. */

#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/size.h"
#include "ctl/client.h"
#include "loop.h"
#include "options.h"
#include "suggest.h"

#define INTERFACE "io.zsd.control."
/* What sd-varlink waits. */
#define TIMEOUT_MS 45000

enum zsctl_exit zsctl_no_memory(void)
{
	fputs("zsctl: out of memory\n", stderr);
	return ZSCTL_ERROR;
}

static const char *why_not_connected(int error)
{
	switch (error) {
	case -ENOENT:
		return "there is no such socket; start the daemon (systemctl start zsd), or name its socket (--socket)";
	case -ECONNREFUSED:
		return "nobody listens; start the daemon (systemctl start zsd)";
	case -EACCES:
	case -EPERM:
		return "no permission; become root, or a member of the group zsd";
	case -ETIMEDOUT:
		return "the daemon does not take the connection; is it stuck?";
	case -ENAMETOOLONG:
		return "the path is too long for a socket; use a shorter one";
	default:
		return strerror(-error);
	}
}

enum zsctl_exit zsctl_connect(const struct zsctl_options *options, struct zs_client **ret_client)
{
	return zsctl_connect_for(options, TIMEOUT_MS, ret_client);
}

enum zsctl_exit zsctl_connect_for(const struct zsctl_options *options, unsigned int timeout_ms,
				  struct zs_client **ret_client)
{
	int error = zs_client_connect(options->socket, timeout_ms, ret_client);

	if (!error)
		return ZSCTL_OK;
	fprintf(stderr, "zsctl: %s: %s\n", options->socket, why_not_connected(error));
	return ZSCTL_UNREACHABLE;
}

static enum zsctl_exit refuse_broken(const char *what, int error)
{
	if (error == -ENOMEM)
		return zsctl_no_memory();
	fprintf(stderr, "zsctl: %s: %s\n", what,
		error == -ETIMEDOUT    ? "the daemon does not answer; is it stuck?"
		: error == -ECONNRESET ? "the daemon closed the connection; with LogLevel=debug its log says why"
		: error == -EBADMSG    ? "the answer is not Varlink; is this the socket of a zsd?"
				       : strerror(-error));
	return ZSCTL_UNREACHABLE;
}

/* A message may quote a name with anything in it; the terminal must not obey it. */
static void print_safely(const char *text)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;
		bool c1 = byte == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80;

		fputc(byte < 0x20 || byte == 0x7f || c1 ? '?' : byte, stderr);
		text += c1;
	}
}

/* What the daemon's errors leave open, since they don't know who asks. */
static const struct {
	const char *error;
	const char *text;
} hints[] = {
	{INTERFACE "NoSuchDevice", "; 'zsctl list' shows those there are"},
	{INTERFACE "NoSuchGroup", "; 'zsctl groups' shows those there are"},
	{"org.varlink.service.PermissionDenied",
	 "no permission to change anything; become root, or a member of the group zsd"},
	{"org.varlink.service.MethodNotFound", "the daemon does not know this command; is it older than zsctl?"},
	{"org.varlink.service.InterfaceNotFound",
	 "the daemon does not know this command; is this the socket of a zsd?"},
	{"org.varlink.service.InvalidParameter", "the daemon does not know a parameter; is it older than zsctl?"},
};

static const char *hint_of(const char *error)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(hints); i++) {
		if (strcmp(hints[i].error, error) == 0)
			return hints[i].text;
	}
	return NULL;
}

/* What a removal is forced by, and costs. A daemon that is older than data_bytes leaves that open. */
static void print_force(const json_t *parameters)
{
	json_int_t data = json_integer_value(json_object_get(parameters, "data_bytes"));
	char text[ZS_SIZE_TEXT_BYTES];

	fputs(" (--force)", stderr);
	if (data > 0)
		fprintf(stderr, ", which drops %s of data", zs_size_format((uint64_t)data, text));
}

/* Who has the file open is found here and not in the daemon, which may not be allowed to look at other processes. */
static void print_holder(const json_t *parameters)
{
	const char *file = json_string_value(json_object_get(parameters, "file"));
	char holder[ZSCTL_HOLDER_BYTES];

	if (!file || !zsctl_find_holder(file, holder))
		return;
	fputs("; it is open in ", stderr);
	print_safely(holder);
}

/* A device whose name is nearly the one that there is none of. */
static void print_similar(struct zs_client *client, const json_t *parameters)
{
	const char *typed = json_string_value(json_object_get(parameters, "name"));
	struct zsctl_suggestion suggestion;
	struct zs_wire_reply reply;
	const json_t *device;
	size_t i;

	if (!typed || zs_client_call(client, INTERFACE "List", NULL, &reply))
		return;
	zsctl_suggest_init(&suggestion, typed);
	json_array_foreach(json_object_get(reply.parameters, "devices"), i, device)
		zsctl_suggest_offer(&suggestion, json_string_value(json_object_get(device, "name")) ?: "");
	if (suggestion.best) {
		fputs("; did you mean ", stderr);
		print_safely(suggestion.best);
		fputc('?', stderr);
	}
	zs_wire_reply_deinit(&reply);
}

static enum zsctl_exit refuse_answered(struct zs_client *client, const char *what, const struct zs_wire_reply *reply)
{
	const char *message = json_string_value(json_object_get(reply->parameters, "message"));
	const char *hint = hint_of(reply->error);
	bool is_missing = strcmp(reply->error, INTERFACE "NoSuchDevice") == 0;
	bool is_busy = strcmp(reply->error, INTERFACE "DeviceBusy") == 0;

	fputs("zsctl: ", stderr);
	if (message) {
		print_safely(message);
	} else {
		print_safely(what);
		fputs(": ", stderr);
	}
	if (hint)
		fputs(hint, stderr);
	else if (!message)
		print_safely(reply->error);
	/* What else may be open is not to be forced. */
	if (is_busy && strncmp(what, "remove ", strlen("remove ")) == 0)
		print_force(reply->parameters);
	if (is_busy)
		print_holder(reply->parameters);
	if (is_missing)
		print_similar(client, reply->parameters);
	fputc('\n', stderr);
	return is_missing ? ZSCTL_NONE_FOUND : ZSCTL_ERROR;
}

/* Moves the devices of a further reply to those of the first one. */
static int merge(json_t *result, json_t *parameters)
{
	json_t *devices = json_object_get(parameters, "devices");

	return json_array_extend(json_object_get(result, "devices"), devices) ? -EBADMSG : 0;
}

static enum zsctl_exit receive(struct zs_client *client, const char *what, bool more, json_t **ret_result)
{
	CLEANUP_JSON json_t *result = NULL;
	struct zs_wire_reply reply;
	bool continues;

	do {
		int error = zs_client_receive(client, &reply);

		if (error)
			return refuse_broken(what, error);
		if (reply.error) {
			enum zsctl_exit status = refuse_answered(client, what, &reply);

			zs_wire_reply_deinit(&reply);
			return status;
		}
		continues = reply.continues;
		if (result)
			error = merge(result, reply.parameters);
		else
			result = reply.parameters ? json_incref(reply.parameters) : json_object();
		zs_wire_reply_deinit(&reply);
		if (error || (continues && !more))
			return refuse_broken(what, -EBADMSG);
	} while (continues);
	if (!result)
		return zsctl_no_memory();
	*ret_result = zs_take(result);
	return ZSCTL_OK;
}

static bool is_failure(enum zsctl_exit status)
{
	return status && status != ZSCTL_NONE_FOUND && status != ZSCTL_SOME_FOUND;
}

enum zsctl_exit zsctl_combine(enum zsctl_exit before, enum zsctl_exit status)
{
	if (is_failure(before) || is_failure(status))
		return is_failure(status) ? status : before;
	return before == status ? status : ZSCTL_SOME_FOUND;
}

enum zsctl_exit zsctl_check_name(const char *name)
{
	CLEANUP_JSON json_t *value = json_string(name);

	if (value)
		return ZSCTL_OK;
	fputs("zsctl: the name is not UTF-8; use another one\n", stderr);
	return ZSCTL_USAGE;
}

enum zsctl_exit zsctl_call(struct zs_client *client, const char *what, const char *method, json_t *parameters,
			   bool more, json_t **ret_result)
{
	char name[64];
	int error;

	snprintf(name, sizeof(name), INTERFACE "%s", method);
	error = parameters ? zs_client_send(client, name, parameters, more) : -ENOMEM;
	json_decref(parameters);
	return error ? refuse_broken(what, error) : receive(client, what, more, ret_result);
}

static enum zsctl_exit receive_one(struct zs_client *client, const char *what, zsctl_reply *on_reply, void *data,
				   bool *ret_continues)
{
	struct zs_wire_reply reply;
	enum zsctl_exit status;
	int error = zs_client_receive(client, &reply);

	if (error)
		return refuse_broken(what, error);
	status = reply.error ? refuse_answered(client, what, &reply) : on_reply(reply.parameters, data);
	*ret_continues = reply.continues;
	zs_wire_reply_deinit(&reply);
	return status;
}

enum zsctl_exit zsctl_stream(struct zs_client *client, const char *what, const char *method, json_t *parameters,
			     zsctl_reply *on_reply, void *data)
{
	int error = parameters ? zs_client_send(client, method, parameters, true) : -ENOMEM;
	enum zsctl_exit status = ZSCTL_OK;
	bool continues = true;

	json_decref(parameters);
	if (error)
		return refuse_broken(what, error);
	while (!status && continues)
		status = receive_one(client, what, on_reply, data, &continues);
	return status;
}
