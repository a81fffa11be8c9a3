/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every Varlink service does. */

#include "varlink.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "command.h"
#include "command_cold.h"
#include "command_metrics.h"
#include "command_systemd.h"
#include "interface.h"

#define ERROR(name) "org.varlink.service." name

static json_t *find_parameter(const struct zsd_call *call, const char *name)
{
	json_t *value = json_object_get(call->wire.parameters, name);

	return json_is_null(value) ? NULL : value;
}

const char *zsd_call_string(const struct zsd_call *call, const char *name)
{
	return json_string_value(find_parameter(call, name));
}

json_int_t zsd_call_int(const struct zsd_call *call, const char *name, json_int_t fallback)
{
	json_t *value = find_parameter(call, name);

	return value ? json_integer_value(value) : fallback;
}

bool zsd_call_bool(const struct zsd_call *call, const char *name)
{
	return json_is_true(find_parameter(call, name));
}

/* An answer that names one thing. */
static int answer_named(struct zsd_answer *ret_answer, const char *error, const char *key, const char *value)
{
	json_t *parameters = json_pack("{s:s}", key, value);

	if (!parameters)
		return -ENOMEM;
	*ret_answer = (struct zsd_answer){.error = error, .parameters = parameters};
	return 0;
}

static bool is_map(const json_t *value)
{
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)value, name, member)
	{
		if (!json_is_string(member))
			return false;
	}
	return json_is_object(value);
}

static bool type_matches(const json_t *value, enum zsd_parameter_type type)
{
	switch (type) {
	case ZSD_PARAMETER_STRING:
		return json_is_string(value);
	case ZSD_PARAMETER_INT:
		return json_is_integer(value);
	case ZSD_PARAMETER_BOOL:
		return json_is_boolean(value);
	case ZSD_PARAMETER_MAP:
		return is_map(value);
	}
	return false;
}

static const struct zsd_parameter *known_parameter(const struct zsd_method *method, const char *name)
{
	for (const struct zsd_parameter *parameter = method->parameters; parameter->name; parameter++) {
		if (strcmp(parameter->name, name) == 0)
			return parameter;
	}
	return NULL;
}

/* The name of the first parameter that is unknown, of the wrong type or missing; NULL if all are well. */
static const char *bad_parameter(const struct zsd_call *call)
{
	const struct zsd_parameter *parameter;
	const char *name;
	json_t *value;

	json_object_foreach(call->wire.parameters, name, value)
	{
		parameter = known_parameter(call->method, name);
		if (!parameter || (!json_is_null(value) && !type_matches(value, parameter->type)))
			return name;
	}
	for (parameter = call->method->parameters; parameter->name; parameter++) {
		if (parameter->required && !find_parameter(call, parameter->name))
			return parameter->name;
	}
	return NULL;
}

static int run_get_info(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	const char *control = call->peer->metrics ? NULL : ZSD_INTERFACE_CONTROL;
	json_t *parameters = json_pack("{s:s, s:s, s:s, s:s, s:[s, s*, s, s]}", "vendor", "zsd", "product",
				       "Compressed RAM block store", "version", ZSD_VERSION, "url", "man:zsd(8)",
				       "interfaces", ZSD_INTERFACE_SERVICE, control, ZSD_INTERFACE_METRICS,
				       ZSD_INTERFACE_SYSTEMD);

	if (!parameters)
		return -ENOMEM;
	*ret_answer = (struct zsd_answer){.parameters = parameters};
	return 0;
}

static int run_get_interface_description(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	const char *name = zsd_call_string(call, "interface");
	ZS_CLEANUP_FREE char *text = zsd_interface_text(name);

	if (!text)
		return answer_named(ret_answer, ERROR("InterfaceNotFound"), "interface", name);
	return answer_named(ret_answer, NULL, "description", text);
}

static const struct zsd_method service_methods[] = {
	{.name = "GetInfo", .run = run_get_info},
	{
		.name = "GetInterfaceDescription",
		.parameters = {{"interface", ZSD_PARAMETER_STRING, true}},
		.run = run_get_interface_description,
	},
	{},
};

static const struct zsd_method *method_table(const struct zsd_peer *peer, const char *interface, size_t length)
{
	static const struct {
		const char *name;
		const struct zsd_method *methods;
		bool with_metrics; /* also where there is nothing else */
	} tables[] = {
		{ZSD_INTERFACE_SERVICE, service_methods, true},
		{ZSD_INTERFACE_METRICS, zsd_metrics_methods, true},
		{ZSD_INTERFACE_SYSTEMD, zsd_systemd_methods, true},
		{ZSD_INTERFACE_CONTROL, zsd_command_methods, false},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(tables); i++) {
		if (peer->metrics && !tables[i].with_metrics)
			continue;
		if (strlen(tables[i].name) == length && memcmp(tables[i].name, interface, length) == 0)
			return tables[i].methods;
	}
	return NULL;
}

/* Why a call can't be run; interface and method are told apart, since the remedies differ. */
static int answer_unknown(const struct zsd_peer *peer, const char *method, struct zsd_answer *ret_answer)
{
	const char *dot = strrchr(method, '.');
	size_t length = dot ? (size_t)(dot - method) : strlen(method);
	json_t *parameters;

	if (dot && method_table(peer, method, length))
		return answer_named(ret_answer, ERROR("MethodNotFound"), "method", method);
	parameters = json_pack("{s:s%}", "interface", method, length);
	if (!parameters)
		return -ENOMEM;
	*ret_answer = (struct zsd_answer){.error = ERROR("InterfaceNotFound"), .parameters = parameters};
	return 0;
}

static const struct zsd_method *find_in(const struct zsd_method *method, const char *name)
{
	for (; method && method->name; method++) {
		if (strcmp(method->name, name) == 0)
			return method;
	}
	return NULL;
}

static const struct zsd_method *find_method(const struct zsd_peer *peer, const char *name)
{
	const char *dot = strrchr(name, '.');
	const struct zsd_method *table = dot ? method_table(peer, name, (size_t)(dot - name)) : NULL, *method;

	method = table ? find_in(table, dot + 1) : NULL;
	return method || table != zsd_command_methods ? method : find_in(zsd_cold_methods, dot + 1);
}

void zsd_call_init(struct zsd_call *call, struct zs_wire_call *wire, struct zsd_service *service,
		   const struct zsd_peer *peer)
{
	*call = (struct zsd_call){
		.wire = *wire,
		.service = service,
		.peer = peer,
		.method = find_method(peer, wire->method),
	};
	*wire = (struct zs_wire_call){};
}

void zsd_call_deinit(struct zsd_call *call)
{
	json_decref(call->carried);
	zs_wire_call_deinit(&call->wire);
	*call = (struct zsd_call){};
}

int zsd_call_step(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	const char *parameter;

	if (!call->method)
		return answer_unknown(call->peer, call->wire.method, ret_answer);
	/* No method hands its connection over to another protocol. */
	if (call->wire.upgrade)
		return answer_named(ret_answer, ERROR("MethodNotImplemented"), "method", call->wire.method);
	if (call->method->changes && !call->peer->may_change) {
		*ret_answer = (struct zsd_answer){.error = ERROR("PermissionDenied")};
		return 0;
	}
	parameter = bad_parameter(call);
	if (parameter)
		return answer_named(ret_answer, ERROR("InvalidParameter"), "parameter", parameter);
	return call->method->run(call, ret_answer);
}
