#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Varlink wire format (https://varlink.org/Method-Call): a message is one JSON object followed by one NUL byte.
 *
 * Framing cuts a byte stream into messages; decoding checks that a message is a call or a reply. Both are pure: bytes
 * in, values out, no descriptor and no state beyond the struct. What a method means is not known here.
 *
 * Hostile input: a message longer than the limit, nested deeper than ZS_WIRE_DEPTH_MAX, with a key twice, with a NUL
 * in a string, or with a member that the protocol does not know is refused.
 *
 * Context: any thread, one at a time for one struct.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Calls name a thing and a few values; a list of thousands of devices is a long reply. */
#define ZS_WIRE_CALL_MAX_BYTES	((size_t)1 << 20)
#define ZS_WIRE_REPLY_MAX_BYTES ((size_t)16 << 20)
/* Our own messages nest four deep; JSON parsers recurse, so that depth is stack. */
#define ZS_WIRE_DEPTH_MAX 32

struct zs_frames {
	char *bytes;
	size_t capacity;    /* of bytes */
	size_t begin;	    /* first byte that was not handed out yet */
	size_t end;	    /* behind the last byte that was fed */
	size_t scanned;	    /* no NUL from begin up to here */
	size_t nr_blanks;   /* known to be at the beginning of the message that begins there */
	size_t limit_bytes; /* of one message; immutable after init */
};

struct zs_wire_call {
	json_t *root;	    /* owns the rest */
	const char *method; /* "org.varlink.service.GetInfo" */
	json_t *parameters; /* an object, or NULL */
	bool oneway;	    /* no reply wanted */
	bool more;	    /* several replies allowed */
	bool upgrade;	    /* wants to speak another protocol afterwards */
};

struct zs_wire_reply {
	json_t *root;	    /* owns the rest */
	const char *error;  /* "io.zsd.control.NoSuchDevice", or NULL */
	json_t *parameters; /* an object, or NULL; of the error if there is one */
	bool continues;	    /* another reply follows */
};

/* framing */

void zs_frames_init(struct zs_frames *frames, size_t limit_bytes);
void zs_frames_deinit(struct zs_frames *frames);

/*
 * Takes bytes in, once zs_frames_next() has handed out all messages (asserted). Returns 0, -EMSGSIZE (a message is
 * longer than the limit) or -ENOMEM; nothing was taken then.
 */
int zs_frames_feed(struct zs_frames *frames, const void *bytes, size_t length);

/* The next complete message, without its NUL; borrowed until the next feed. False if there is none yet. */
bool zs_frames_next(struct zs_frames *frames, const char **ret_text, size_t *ret_length);

/* True if bytes of a message are there whose end is not. Only after zs_frames_next() answered false. */
bool zs_frames_partial(const struct zs_frames *frames);

/* True if that can't become an object of JSON, whatever comes: so there is no need to wait for its end. */
bool zs_frames_hopeless(struct zs_frames *frames);

/* messages */

/*
 * Returns 0, -EEXIST (an object has a member twice), -EBADMSG (not JSON, not a call, or another of the refusals above)
 * or -ENOMEM. Deinit what it filled.
 */
int zs_wire_call_decode(const char *text, size_t length, struct zs_wire_call *ret_call);
void zs_wire_call_deinit(struct zs_wire_call *call);
/* The same, but for -EEXIST: this is -EBADMSG, too. */
int zs_wire_reply_decode(const char *text, size_t length, struct zs_wire_reply *ret_reply);
void zs_wire_reply_deinit(struct zs_wire_reply *reply);

/*
 * Answers the message with its NUL, which is counted in *ret_length; free(3) it. parameters may be NULL and are
 * borrowed. Returns 0 or -ENOMEM.
 */
int zs_wire_call_encode(const char *method, json_t *parameters, bool more, char **ret_text, size_t *ret_length);
int zs_wire_reply_encode(const char *error, json_t *parameters, bool continues, char **ret_text, size_t *ret_length);
