/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Varlink wire format.
 *
 * Framing: 0 <= begin <= scanned <= end <= capacity. Bytes before begin were handed out; a NUL is looked for from
 * scanned on, so that a message that comes in a thousand pieces is scanned once and not a thousand times.
 */

#include "ctl/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"

#define FRAMES_MIN_BYTES ((size_t)4 << 10)
/* An idle connection keeps no more than this of what its longest message needed. */
#define FRAMES_KEEP_BYTES ((size_t)64 << 10)

/* A member of the outermost object, and where its value goes. */
struct member {
	const char *key;
	json_type type;
	void *target; /* const char ** for a string, json_t ** for an object, bool * for a boolean */
};

void zs_frames_init(struct zs_frames *frames, size_t limit_bytes)
{
	*frames = (struct zs_frames){.limit_bytes = limit_bytes};
}

void zs_frames_deinit(struct zs_frames *frames)
{
	free(frames->bytes);
	*frames = (struct zs_frames){};
}

/* Moves what is left to the front and gives a large buffer back when it is empty. */
static void frames_compact(struct zs_frames *frames)
{
	size_t left = frames->end - frames->begin;

	if (!left && frames->capacity > FRAMES_KEEP_BYTES) {
		free(frames->bytes);
		frames->bytes = NULL;
		frames->capacity = 0;
	}
	if (left && frames->begin)
		memmove(frames->bytes, frames->bytes + frames->begin, left);
	frames->scanned -= frames->begin;
	frames->begin = 0;
	frames->end = left;
}

static int frames_grow(struct zs_frames *frames, size_t needed)
{
	size_t capacity = frames->capacity ? frames->capacity : FRAMES_MIN_BYTES;
	char *bytes;

	if (needed <= frames->capacity)
		return 0;
	while (capacity < needed)
		capacity *= 2;
	bytes = zs_fault() ? NULL : realloc(frames->bytes, capacity);
	if (!bytes)
		return -ENOMEM;
	frames->bytes = bytes;
	frames->capacity = capacity;
	return 0;
}

/* True if a message that the new bytes are part of is longer than the limit. */
static bool exceeds_limit(const struct zs_frames *frames, const char *bytes, size_t length)
{
	size_t before = frames->end - frames->begin;

	while (length) {
		const char *nul = memchr(bytes, 0, length);
		size_t part = nul ? (size_t)(nul - bytes) : length;

		if (before + part > frames->limit_bytes)
			return true;
		if (!nul)
			return false;
		before = 0;
		bytes += part + 1;
		length -= part + 1;
	}
	return false;
}

int zs_frames_feed(struct zs_frames *frames, const void *bytes, size_t length)
{
	int error;

	if (!length)
		return 0;
	zs_assert(frames->scanned == frames->end);
	frames_compact(frames);
	if (exceeds_limit(frames, bytes, length))
		return -EMSGSIZE;
	error = frames_grow(frames, frames->end + length);
	if (error)
		return error;
	memcpy(frames->bytes + frames->end, bytes, length);
	frames->end += length;
	return 0;
}

bool zs_frames_next(struct zs_frames *frames, const char **ret_text, size_t *ret_length)
{
	const char *nul = NULL;

	if (frames->scanned < frames->end)
		nul = memchr(frames->bytes + frames->scanned, 0, frames->end - frames->scanned);
	if (!nul) {
		frames->scanned = frames->end;
		return false;
	}
	*ret_text = frames->bytes + frames->begin;
	*ret_length = (size_t)(nul - *ret_text);
	frames->begin += *ret_length + 1;
	frames->nr_blanks = 0;
	frames->scanned = frames->begin;
	return true;
}

bool zs_frames_partial(const struct zs_frames *frames)
{
	return frames->begin < frames->end;
}

bool zs_frames_hopeless(struct zs_frames *frames)
{
	for (; frames->begin + frames->nr_blanks < frames->end; frames->nr_blanks++) {
		char c = frames->bytes[frames->begin + frames->nr_blanks];

		if (!memchr(" \t\r\n", c, 4))
			return c != '{';
	}
	return false;
}

/* Nesting of arrays and objects, strings left out; looked at before the parser recurses. */
static bool too_deep(const char *text, size_t length)
{
	unsigned int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < length; i++) {
		if (in_string) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				in_string = false;
		} else if (text[i] == '"') {
			in_string = true;
		} else if (text[i] == '{' || text[i] == '[') {
			if (++depth > ZS_WIRE_DEPTH_MAX)
				return true;
		} else if ((text[i] == '}' || text[i] == ']') && depth) {
			depth--;
		}
	}
	return false;
}

static void decrefp(json_t **value)
{
	json_decref(*value);
}

#define CLEANUP_JSON ZS_CLEANUP(decrefp)

static int parse_errno(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_out_of_memory:
		return -ENOMEM;
	case json_error_duplicate_key:
		return -EEXIST;
	default:
		return -EBADMSG;
	}
}

static int parse_object(const char *text, size_t length, json_t **ret_root)
{
	CLEANUP_JSON json_t *root = NULL;
	json_error_t error;

	if (too_deep(text, length))
		return -EBADMSG;
	root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return parse_errno(&error);
	if (!json_is_object(root))
		return -EBADMSG;
	*ret_root = zs_take(root);
	return 0;
}

static bool take_member(const struct member *member, json_t *value)
{
	/* Senders differ in whether an absent member is left out or null. */
	if (json_is_null(value))
		return true;
	if (member->type == JSON_TRUE) {
		*(bool *)member->target = json_is_true(value);
		return json_is_boolean(value);
	}
	if (json_typeof(value) != member->type)
		return false;
	if (member->type == JSON_STRING)
		*(const char **)member->target = json_string_value(value);
	else
		*(json_t **)member->target = value;
	return true;
}

static const struct member *find_member(const struct member *members, size_t nr, const char *key)
{
	for (size_t i = 0; i < nr; i++) {
		if (strcmp(members[i].key, key) == 0)
			return &members[i];
	}
	return NULL;
}

/* Every member of root must be one of members, and of its type. */
static bool take_members(json_t *root, const struct member *members, size_t nr)
{
	const struct member *member;
	const char *key;
	json_t *value;

	json_object_foreach(root, key, value)
	{
		member = find_member(members, nr, key);
		if (!member || !take_member(member, value))
			return false;
	}
	return true;
}

int zs_wire_call_decode(const char *text, size_t length, struct zs_wire_call *ret_call)
{
	CLEANUP_JSON json_t *root = NULL;
	struct zs_wire_call call = {};
	const struct member members[] = {
		{"method", JSON_STRING, &call.method}, {"parameters", JSON_OBJECT, &call.parameters},
		{"oneway", JSON_TRUE, &call.oneway},   {"more", JSON_TRUE, &call.more},
		{"upgrade", JSON_TRUE, &call.upgrade},
	};
	int error = parse_object(text, length, &root);

	if (error)
		return error;
	if (!take_members(root, members, ZS_ARRAY_SIZE(members)) || !call.method)
		return -EBADMSG;
	call.root = zs_take(root);
	*ret_call = call;
	return 0;
}

void zs_wire_call_deinit(struct zs_wire_call *call)
{
	json_decref(call->root);
	*call = (struct zs_wire_call){};
}

int zs_wire_reply_decode(const char *text, size_t length, struct zs_wire_reply *ret_reply)
{
	CLEANUP_JSON json_t *root = NULL;
	struct zs_wire_reply reply = {};
	const struct member members[] = {
		{"error", JSON_STRING, &reply.error},
		{"parameters", JSON_OBJECT, &reply.parameters},
		{"continues", JSON_TRUE, &reply.continues},
	};
	int error = parse_object(text, length, &root);

	if (error)
		return error == -EEXIST ? -EBADMSG : error;
	if (!take_members(root, members, ZS_ARRAY_SIZE(members)))
		return -EBADMSG;
	reply.root = zs_take(root);
	*ret_reply = reply;
	return 0;
}

void zs_wire_reply_deinit(struct zs_wire_reply *reply)
{
	json_decref(reply->root);
	*reply = (struct zs_wire_reply){};
}

/* Takes root over, also when it is NULL for lack of memory. */
static int encode(json_t *root, char **ret_text, size_t *ret_length)
{
	/* Seconds keep their nanoseconds for ten days; the default of 17 prints 3.357 as 3.3570000000000002. */
	char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

	json_decref(root);
	if (!text)
		return -ENOMEM;
	*ret_text = text;
	*ret_length = strlen(text) + 1;
	return 0;
}

int zs_wire_call_encode(const char *method, json_t *parameters, bool more, char **ret_text, size_t *ret_length)
{
	json_t *root = json_pack("{s:s, s:O*}", "method", method, "parameters", parameters);

	if (root && more && json_object_set_new(root, "more", json_true())) {
		json_decref(root);
		root = NULL;
	}
	return encode(root, ret_text, ret_length);
}

int zs_wire_reply_encode(const char *error, json_t *parameters, bool continues, char **ret_text, size_t *ret_length)
{
	json_t *root = json_pack("{s:s*, s:O*}", "error", error, "parameters", parameters);

	if (root && continues && json_object_set_new(root, "continues", json_true())) {
		json_decref(root);
		root = NULL;
	}
	return encode(root, ret_text, ret_length);
}
