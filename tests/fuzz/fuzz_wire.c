/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Varlink decoder under any bytes. Promises:
 * - however a stream is cut into pieces, the same messages come out of it;
 * - a stream is refused exactly when a message in it is longer than the limit;
 * - what decodes can be encoded, and decodes to the same again.
 * The first byte of the input says how long the pieces are, the rest is the stream.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ctl/wire.h"
#include "fuzz.h"

/* Small, so that short inputs get there. */
#define LIMIT_BYTES 4096

static void check_call(const char *text, size_t length)
{
	struct zs_wire_call call, again;
	size_t encoded_length;
	char *encoded;
	int error = zs_wire_call_decode(text, length, &call);

	zs_assert(!error || error == -EBADMSG || error == -EEXIST);
	if (error)
		return;
	zs_assert(call.method && (!call.parameters || json_is_object(call.parameters)));
	zs_assert(zs_wire_call_encode(call.method, call.parameters, call.more, &encoded, &encoded_length) == 0);
	zs_assert(encoded[encoded_length - 1] == 0 && strlen(encoded) == encoded_length - 1);
	zs_assert(zs_wire_call_decode(encoded, encoded_length - 1, &again) == 0);
	zs_assert(strcmp(again.method, call.method) == 0 && again.more == call.more);
	zs_assert(!again.parameters == !call.parameters);
	zs_wire_call_deinit(&again);
	zs_wire_call_deinit(&call);
	free(encoded);
}

static void check_reply(const char *text, size_t length)
{
	struct zs_wire_reply reply, again;
	size_t encoded_length;
	char *encoded;
	int error = zs_wire_reply_decode(text, length, &reply);

	zs_assert(!error || error == -EBADMSG);
	if (error)
		return;
	zs_assert(zs_wire_reply_encode(reply.error, reply.parameters, reply.continues, &encoded, &encoded_length) == 0);
	zs_assert(zs_wire_reply_decode(encoded, encoded_length - 1, &again) == 0);
	zs_assert(!again.error == !reply.error && again.continues == reply.continues);
	zs_wire_reply_deinit(&again);
	zs_wire_reply_deinit(&reply);
	free(encoded);
}

/* Takes out all messages and compares them with the stream at *at. */
static void drain(struct zs_frames *frames, const char *stream, size_t *at)
{
	const char *text;
	size_t length;

	while (zs_frames_next(frames, &text, &length)) {
		zs_assert(length <= LIMIT_BYTES);
		zs_assert(strlen(stream + *at) == length && memcmp(stream + *at, text, length) == 0);
		*at += length + 1;
		check_call(text, length);
		check_reply(text, length);
	}
}

static bool has_long_message(const char *stream, size_t size)
{
	size_t start = 0;

	for (size_t i = 0; i < size; i++) {
		if (!stream[i])
			start = i + 1;
		else if (i - start >= LIMIT_BYTES)
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size ? (size_t)data[0] * data[0] + 1 : 1, fed = 0, at = 0;
	struct zs_frames frames;
	char *stream;
	int error = 0;

	if (!size)
		return 0;
	/* Ends with a NUL of its own, so that strlen(3) stays inside. */
	stream = calloc(1, size);
	zs_assert(stream);
	memcpy(stream, data + 1, --size);
	zs_frames_init(&frames, LIMIT_BYTES);
	while (fed < size && !error) {
		size_t length = size - fed < piece ? size - fed : piece;

		error = zs_frames_feed(&frames, stream + fed, length);
		fed += error ? 0 : length;
		drain(&frames, stream, &at);
		zs_assert(zs_frames_partial(&frames) == (at < fed));
	}
	zs_assert(!error || error == -EMSGSIZE);
	zs_assert(!error == !has_long_message(stream, size));
	zs_frames_deinit(&frames);
	free(stream);
	return 0;
}
