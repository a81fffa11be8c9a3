/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods about groups of devices, and about whose memory lies where. */

#include "command_group.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "command_answer.h"
#include "command_report.h"
#include "service.h"
#include "store/group.h"
#include "store/owners.h"

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

static int reply_no_such_group(struct zsd_answer *ret_answer, const char *name)
{
	return zsd_reply(ret_answer, ZSD_ERROR("NoSuchGroup"),
			 json_pack("{s:s, s:s+}", "name", name, "message", name,
				   ": there is no group with this name; it begins with its first device"));
}

/* All groups, in a new array; NULL when memory is short. */
static struct zs_group_stats *all_groups(struct zs_store *store, unsigned int *ret_nr)
{
	struct zs_group_stats *groups = zs_malloc(ZS_GROUPS_MAX * sizeof(*groups));

	if (groups)
		*ret_nr = zs_store_groups(store, groups);
	return groups;
}

/*
 * Groups
 */

static json_t *report_group(const struct zs_group_stats *group)
{
	const struct zsd_field fields[] = {
		{"devices", group->nr_devices},
		{"data_bytes", group->data_bytes},
		{"stored_bytes", group->compressed_bytes},
		{"memory_bytes", group->memory_bytes},
		{"charged_bytes", group->charged_bytes},
		{"memory_limit_bytes", group->memory_limit_bytes},
	};
	size_t nr = ZS_ARRAY_SIZE(fields) - !group->memory_limit_bytes;
	CLEANUP_JSON json_t *report = json_pack("{s:s}", "name", group->name);

	return zsd_set_numbers(report, fields, nr) ? zs_take(report) : NULL;
}

int zsd_command_groups(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	const char *name = zsd_call_string(call, "name");
	unsigned int nr = 0;
	ZS_CLEANUP_FREE struct zs_group_stats *groups = all_groups(zsd_service_store(call->service), &nr);
	CLEANUP_JSON json_t *reports = json_array();

	if (!groups)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++) {
		if (name && strcmp(groups[i].name, name) != 0)
			continue;
		if (json_array_append_new(reports, report_group(&groups[i])))
			return -ENOMEM;
	}
	if (name && !json_array_size(reports))
		return reply_no_such_group(ret_answer, name);
	return zsd_reply(ret_answer, NULL, json_pack("{s:O}", "groups", reports));
}

/*
 * SetGroupLimit
 */

int zsd_command_set_group_limit(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	const char *name = zsd_call_string(call, "name");
	json_int_t limit = zsd_call_int(call, "memory_limit_bytes", 0);

	if (limit < 0)
		return zsd_reply_invalid_number(ret_answer, "memory_limit_bytes", limit,
						"less than nothing; use a positive number, or 0 for no limit");
	if (zs_store_set_group_limit(zsd_service_store(call->service), name, (uint64_t)limit))
		return reply_no_such_group(ret_answer, name);
	zsd_service_limits_changed(call->service);
	zs_log(ZS_LOG_INFO, "group limit set by command: group=%s memory_limit_bytes=%" PRIu64 " uid=%u pid=%d", name,
	       (uint64_t)limit, call->peer->uid, call->peer->pid);
	return zsd_reply(ret_answer, NULL, json_object());
}

/*
 * Owners
 */

/* Nobody can mean it. */
#define NODE_ALL INT64_MIN

/* What the rows of an answer are about. */
struct owners {
	json_t *rows;
	struct zs_store *store;
	unsigned int first_node;
	unsigned int end_node;
};

/* One row a node; owners without memory on a node have none. Returns 0 or -ENOMEM. */
static int append_row(struct owners *owners, const char *kind, const char *name, const char *group, unsigned int node,
		      const struct zs_account_sum *sum)
{
	const struct zsd_field fields[] = {
		{"node", node},
		{"stored_bytes", sum->payload_bytes},
		{"share_bytes", sum->share_bytes},
	};
	json_t *row;

	if (!sum->share_bytes)
		return 0;
	row = json_pack("{s:s, s:s}", "kind", kind, "name", name);
	if (!zsd_set_numbers(row, fields, ZS_ARRAY_SIZE(fields)) || !zsd_set_group(row, group)) {
		json_decref(row);
		return -ENOMEM;
	}
	return json_array_append_new(owners->rows, row) ? -ENOMEM : 0;
}

static int append_device(struct owners *owners, uint64_t id)
{
	struct zs_device *device = zs_device_get(owners->store, id, NULL);
	struct zs_device_info info;
	struct zs_account_sum sum;
	int error = 0;

	if (!device)
		return 0;
	zs_device_info(device, &info);
	for (unsigned int node = owners->first_node; !error && node < owners->end_node; node++) {
		error = zs_device_account(device, node, &sum);
		if (!error)
			error = append_row(owners, "device", info.name, info.group, node, &sum);
	}
	zs_device_put(device, NULL);
	return error;
}

static int append_groups(struct owners *owners)
{
	unsigned int nr = 0;
	ZS_CLEANUP_FREE struct zs_group_stats *groups = all_groups(owners->store, &nr);
	int error = groups ? 0 : -ENOMEM;

	for (unsigned int i = 0; !error && i < nr; i++) {
		for (unsigned int node = owners->first_node; !error && node < owners->end_node; node++)
			error = append_row(owners, "group", groups[i].name, "", node, &groups[i].nodes[node]);
	}
	return error;
}

/* All devices and groups. */
static int append_all(struct owners *owners)
{
	unsigned int cursor = 0;
	uint64_t id;
	int error = 0;

	while (!error && zs_store_next(owners->store, &cursor, &id))
		error = append_device(owners, id);
	return error ?: append_groups(owners);
}

/* Nodes from the call, all by default. Returns 0, or 1 if the call was refused in *ret_answer, or -ENOMEM. */
static int read_nodes(const struct zsd_call *call, struct owners *owners, struct zsd_answer *ret_answer)
{
	unsigned int nr = zs_store_nr_nodes(owners->store);
	json_int_t node = zsd_call_int(call, "node", NODE_ALL);
	char reason[ZSD_REASON_BYTES];

	if (!nr)
		return zsd_reply(ret_answer, ZSD_ERROR("AccountingOff"),
				 json_pack("{s:s}", "message",
					   "accounting is off; set Accounting=yes in the section [Pool] of zsd.conf, "
					   "and start the daemon again"))
			       ?: 1;
	owners->end_node = nr;
	if (node == NODE_ALL)
		return 0;
	if (node < 0 || node >= nr) {
		snprintf(reason, sizeof(reason), "there is no such node; use %s%u", nr > 1 ? "0 to " : "", nr - 1);
		return zsd_reply_invalid_number(ret_answer, "node", node, reason) ?: 1;
	}
	owners->first_node = (unsigned int)node;
	owners->end_node = owners->first_node + 1;
	return 0;
}

int zsd_command_owners(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	CLEANUP_JSON json_t *rows = json_array();
	struct owners owners = {.rows = rows, .store = zsd_service_store(call->service)};
	const char *name = zsd_call_string(call, "name");
	struct zs_account_sum total = {0};
	uint64_t id;
	int error = rows ? read_nodes(call, &owners, ret_answer) : -ENOMEM;

	if (error)
		return error < 0 ? error : 0;
	if (name && zs_store_find(owners.store, name, &id))
		return zsd_reply_no_such_device(ret_answer, name);
	error = name ? append_device(&owners, id) : append_all(&owners);
	if (error)
		return -ENOMEM;
	zs_store_account(owners.store, &total);
	return zsd_reply(ret_answer, NULL,
			 json_pack("{s:O, s:i, s:I, s:I}", "owners", rows, "nodes",
				   (int)zs_store_nr_nodes(owners.store), "stored_bytes",
				   (json_int_t)total.payload_bytes, "share_bytes", (json_int_t)total.share_bytes));
}
