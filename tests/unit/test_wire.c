/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Varlink wire format. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "ctl/wire.h"

#define LIMIT 64

static void expect_message(struct zs_frames *frames, const char *expected)
{
	const char *text;
	size_t length;

	cr_assert(zs_frames_next(frames, &text, &length), "%s", expected);
	cr_expect_eq(length, strlen(expected), "%s: %zu", expected, length);
	cr_expect_eq(memcmp(text, expected, length), 0, "%s", expected);
}

static void expect_none(struct zs_frames *frames)
{
	const char *text;
	size_t length;

	cr_expect_not(zs_frames_next(frames, &text, &length));
}

Test(wire, messages_come_out_however_they_are_cut)
{
	static const char stream[] = "{}\0second\0\0third";

	for (size_t first = 0; first <= sizeof(stream); first++) {
		for (size_t second = first; second <= sizeof(stream); second++) {
			const size_t cuts[] = {0, first, second, sizeof(stream)};
			const char *expected[] = {"{}", "second", "", "third"};
			struct zs_frames frames;
			size_t nr = 0, length;
			const char *text;

			zs_frames_init(&frames, LIMIT);
			for (size_t i = 0; i < 3; i++) {
				cr_assert_eq(zs_frames_feed(&frames, stream + cuts[i], cuts[i + 1] - cuts[i]), 0);
				while (zs_frames_next(&frames, &text, &length)) {
					cr_assert_lt(nr, ZS_ARRAY_SIZE(expected));
					cr_assert_eq(length, strlen(expected[nr]));
					cr_assert_eq(memcmp(text, expected[nr++], length), 0);
				}
			}
			cr_assert_eq(nr, ZS_ARRAY_SIZE(expected), "cut at %zu and %zu", first, second);
			cr_assert_not(zs_frames_partial(&frames));
			zs_frames_deinit(&frames);
		}
	}
}

Test(wire, a_message_without_its_end_is_partial)
{
	struct zs_frames frames;

	zs_frames_init(&frames, LIMIT);
	expect_none(&frames);
	cr_expect_not(zs_frames_partial(&frames));
	cr_expect_eq(zs_frames_feed(&frames, "ab", 2), 0);
	expect_none(&frames);
	cr_expect(zs_frames_partial(&frames));
	cr_expect_eq(zs_frames_feed(&frames, "c\0d", 3), 0);
	expect_message(&frames, "abc");
	expect_none(&frames);
	cr_expect(zs_frames_partial(&frames));
	cr_expect_eq(zs_frames_feed(&frames, "", 1), 0);
	expect_message(&frames, "d");
	expect_none(&frames);
	cr_expect_not(zs_frames_partial(&frames));
	zs_frames_deinit(&frames);
}

Test(wire, what_does_not_begin_as_an_object_is_hopeless)
{
	static const struct {
		const char *text;
		bool is_hopeless;
	} cases[] = {
		{"{", false}, {" \t\r\n", false}, {" \n{x", false}, {"x", true}, {" [", true}, {"\"{", true},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		struct zs_frames frames;
		const char *text;
		size_t length;

		zs_frames_init(&frames, 64);
		cr_assert_not(zs_frames_hopeless(&frames));
		cr_assert_eq(zs_frames_feed(&frames, "{}", 3), 0);
		cr_assert(zs_frames_next(&frames, &text, &length));
		cr_assert_not(zs_frames_next(&frames, &text, &length));
		cr_assert_eq(zs_frames_feed(&frames, cases[i].text, strlen(cases[i].text)), 0);
		cr_assert_not(zs_frames_next(&frames, &text, &length));
		cr_assert_eq(zs_frames_hopeless(&frames), cases[i].is_hopeless, "%s", cases[i].text);
		zs_frames_deinit(&frames);
	}
}

Test(wire, the_limit_is_exact_and_for_every_message)
{
	char message[2 * LIMIT + 8];
	struct zs_frames frames;

	memset(message, 'x', sizeof(message));
	zs_frames_init(&frames, LIMIT);
	cr_expect_eq(zs_frames_feed(&frames, message, LIMIT + 1), -EMSGSIZE);
	cr_expect_eq(zs_frames_feed(&frames, message, LIMIT), 0);
	expect_none(&frames);
	cr_expect_eq(zs_frames_feed(&frames, "x", 2), -EMSGSIZE);
	/* The end of this one and the whole of another: each within the limit, together beyond it. */
	message[0] = 0;
	message[LIMIT + 1] = 0;
	cr_expect_eq(zs_frames_feed(&frames, message, LIMIT + 2), 0);
	cr_expect(zs_frames_next(&frames, &(const char *){NULL}, &(size_t){0}));
	cr_expect(zs_frames_next(&frames, &(const char *){NULL}, &(size_t){0}));
	expect_none(&frames);
	zs_frames_deinit(&frames);
}

Test(wire, a_second_message_beyond_the_limit_is_found_in_the_same_feed)
{
	char bytes[3 * LIMIT] = "a";
	struct zs_frames frames;

	memset(bytes + 2, 'x', LIMIT + 1);
	zs_frames_init(&frames, LIMIT);
	cr_expect_eq(zs_frames_feed(&frames, bytes, 2 + LIMIT + 1), -EMSGSIZE);
	cr_expect_eq(zs_frames_feed(&frames, bytes, 2 + LIMIT), 0);
	expect_message(&frames, "a");
	zs_frames_deinit(&frames);
}

Test(wire, an_empty_buffer_gives_its_memory_back)
{
	size_t large = (size_t)1 << 20;
	char *bytes = calloc(1, large);
	struct zs_frames frames;

	cr_assert(bytes);
	memset(bytes, 'x', large - 1);
	zs_frames_init(&frames, large);
	cr_expect_eq(zs_frames_feed(&frames, bytes, large), 0);
	cr_expect_geq(frames.capacity, large);
	cr_expect(zs_frames_next(&frames, &(const char *){NULL}, &(size_t){0}));
	expect_none(&frames);
	cr_expect_eq(zs_frames_feed(&frames, "x", 1), 0);
	cr_expect_leq(frames.capacity, (size_t)64 << 10);
	zs_frames_deinit(&frames);
	free(bytes);
}

Test(wire, without_memory_nothing_is_taken)
{
	struct zs_frames frames;

	zs_frames_init(&frames, LIMIT);
	zs_fault_arm(1);
	cr_expect_eq(zs_frames_feed(&frames, "ab", 3), -ENOMEM);
	zs_fault_arm(0);
	cr_expect_not(zs_frames_partial(&frames));
	cr_expect_eq(zs_frames_feed(&frames, "ab", 3), 0);
	expect_message(&frames, "ab");
	zs_frames_deinit(&frames);
}

Test(wire, a_call_is_read_with_all_its_members)
{
	static const char text[] = "{\"method\":\"a.b.C\",\"parameters\":{\"x\":1},\"oneway\":true,\"more\":false,"
				   "\"upgrade\":true}";
	struct zs_wire_call call;

	cr_assert_eq(zs_wire_call_decode(text, strlen(text), &call), 0);
	cr_expect_str_eq(call.method, "a.b.C");
	cr_expect_eq(json_integer_value(json_object_get(call.parameters, "x")), 1);
	cr_expect(call.oneway);
	cr_expect_not(call.more);
	cr_expect(call.upgrade);
	zs_wire_call_deinit(&call);
	zs_wire_call_deinit(&call);
}

Test(wire, parameters_may_be_absent_null_or_empty)
{
	static const char *const texts[] = {
		"{\"method\":\"a.B\"}",
		"{\"method\":\"a.B\",\"parameters\":null,\"more\":null}",
		"{\"method\":\"a.B\",\"parameters\":{}}",
		" {\n\t\"method\" : \"a.B\" } ",
	};
	struct zs_wire_call call;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(texts); i++) {
		cr_assert_eq(zs_wire_call_decode(texts[i], strlen(texts[i]), &call), 0, "%s", texts[i]);
		cr_expect_eq(json_object_size(call.parameters), 0);
		zs_wire_call_deinit(&call);
	}
}

Test(wire, what_is_no_call_is_refused_and_touches_nothing)
{
	static const char *const texts[] = {
		"",
		" ",
		"x",
		"null",
		"1",
		"[]",
		"\"a.B\"",
		"{}",
		"{",
		"{\"method\":\"a.B\"",
		"{\"method\":\"a.B\"}}",
		"{\"method\":\"a.B\"}{}",
		"{\"method\":1}",
		"{\"method\":null}",
		"{\"method\":[\"a.B\"]}",
		"{\"parameters\":{}}",
		"{\"method\":\"a.B\",\"parameters\":[]}",
		"{\"method\":\"a.B\",\"parameters\":\"x\"}",
		"{\"method\":\"a.B\",\"more\":1}",
		"{\"method\":\"a.B\",\"more\":\"true\"}",
		"{\"method\":\"a.B\",\"oneway\":{}}",
		"{\"method\":\"a.B\",\"extra\":null}",
		"{\"method\":\"a.B\",\"\":true}",
		"{\"method\":\"a\\u0000B\"}",
		"{\"method\":\"\\ud800\"}",
		"{\"method\":\"\xff\"}",
		"{\"method\":\"\xc0\x80\"}",
		"{\"method\":\"a.B\",\"parameters\":{\"x\":9223372036854775808}}",
		"{\"method\":\"a.B\",\"parameters\":{\"x\":1e999}}",
		"{\"method\":\"a.B\",\"parameters\":{\"x\":NaN}}",
		"{\"method\":\"a.B\",\"parameters\":{\"x\":01}}",
		"{'method':'a.B'}",
		"{\"method\":\"a.B\",}",
	};
	struct zs_wire_call call = {.method = "untouched"};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(texts); i++) {
		cr_expect_eq(zs_wire_call_decode(texts[i], strlen(texts[i]), &call), -EBADMSG, "%s", texts[i]);
		cr_expect_str_eq(call.method, "untouched", "%s", texts[i]);
	}
}

Test(wire, a_member_twice_is_refused_as_that)
{
	static const char *const texts[] = {
		"{\"method\":\"a.B\",\"method\":\"a.B\"}",
		"{\"method\":\"a.B\",\"parameters\":{\"x\":1,\"x\":1}}",
		"{\"method\":\"a.B\",\"parameters\":{\"x\":{\"y\":1,\"y\":2}}}",
	};
	static const char reply_text[] = "{\"parameters\":{},\"parameters\":{}}";
	struct zs_wire_call call = {.method = "untouched"};
	struct zs_wire_reply reply;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(texts); i++) {
		cr_expect_eq(zs_wire_call_decode(texts[i], strlen(texts[i]), &call), -EEXIST, "%s", texts[i]);
		cr_expect_str_eq(call.method, "untouched", "%s", texts[i]);
	}
	cr_expect_eq(zs_wire_reply_decode(reply_text, strlen(reply_text), &reply), -EBADMSG);
}

/* A call whose parameters nest so deep that the message has this depth. */
static void nested_call(char *text, unsigned int depth, const char *open, const char *close)
{
	strcpy(text, "{\"method\":\"a.B\",\"parameters\":{\"x\":");
	for (unsigned int i = 2; i < depth; i++)
		strcat(text, open);
	strcat(text, "1");
	for (unsigned int i = 2; i < depth; i++)
		strcat(text, close);
	strcat(text, "}}");
}

Test(wire, nesting_is_bounded)
{
	struct zs_wire_call call;
	char text[64 * 1024];

	nested_call(text, ZS_WIRE_DEPTH_MAX, "[", "]");
	cr_expect_eq(zs_wire_call_decode(text, strlen(text), &call), 0);
	zs_wire_call_deinit(&call);
	nested_call(text, ZS_WIRE_DEPTH_MAX + 1, "[", "]");
	cr_expect_eq(zs_wire_call_decode(text, strlen(text), &call), -EBADMSG);
	nested_call(text, ZS_WIRE_DEPTH_MAX + 1, "{\"x\":", "}");
	cr_expect_eq(zs_wire_call_decode(text, strlen(text), &call), -EBADMSG);
	/* Far deeper than any stack, and without an end. */
	memset(text, '[', sizeof(text));
	cr_expect_eq(zs_wire_call_decode(text, sizeof(text), &call), -EBADMSG);
}

Test(wire, brackets_in_strings_do_not_nest)
{
	char text[512] = "{\"method\":\"a.B\",\"parameters\":{\"x\":\"\\\"";
	struct zs_wire_call call;

	for (unsigned int i = 0; i < 3 * ZS_WIRE_DEPTH_MAX; i++)
		strcat(text, "[{");
	strcat(text, "\"}}");
	cr_expect_eq(zs_wire_call_decode(text, strlen(text), &call), 0);
	zs_wire_call_deinit(&call);
}

Test(wire, a_call_survives_the_trip)
{
	json_t *parameters = json_pack("{s:s, s:I}", "name", "vm0 \"\u00e4\"", "size_bytes", (json_int_t)1 << 40);
	struct zs_wire_call call;
	size_t length;
	char *text;

	cr_assert_eq(zs_wire_call_encode("a.b.C", parameters, true, &text, &length), 0);
	cr_expect_eq(text[length - 1], 0);
	cr_expect_eq(strlen(text), length - 1);
	cr_assert_eq(zs_wire_call_decode(text, length - 1, &call), 0);
	cr_expect_str_eq(call.method, "a.b.C");
	cr_expect(json_equal(call.parameters, parameters));
	cr_expect(call.more);
	cr_expect_not(call.oneway);
	zs_wire_call_deinit(&call);
	free(text);
	json_decref(parameters);
}

Test(wire, a_reply_survives_the_trip)
{
	static const struct {
		const char *error;
		bool continues;
		const char *text;
	} cases[] = {
		{NULL, false, "{\"parameters\":{\"ratio\":3.357}}"},
		{NULL, true, "{\"parameters\":{\"ratio\":3.357},\"continues\":true}"},
		{"a.b.E", false, "{\"error\":\"a.b.E\",\"parameters\":{\"ratio\":3.357}}"},
	};
	json_t *parameters = json_pack("{s:f}", "ratio", 3.357);

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++) {
		struct zs_wire_reply reply;
		size_t length;
		char *text;

		cr_assert_eq(zs_wire_reply_encode(cases[i].error, parameters, cases[i].continues, &text, &length), 0);
		cr_expect_str_eq(text, cases[i].text);
		cr_assert_eq(zs_wire_reply_decode(text, length - 1, &reply), 0);
		cr_expect_eq(reply.continues, cases[i].continues);
		cr_expect_eq(!reply.error, !cases[i].error);
		cr_expect(json_is_object(reply.parameters));
		zs_wire_reply_deinit(&reply);
		free(text);
	}
	json_decref(parameters);
}

Test(wire, a_reply_may_be_empty_but_not_something_else)
{
	static const char *const bad[] = {"", "[]", "{\"method\":\"a.B\"}", "{\"error\":1}", "{\"continues\":\"x\"}"};
	struct zs_wire_reply reply;

	cr_assert_eq(zs_wire_reply_decode("{}", 2, &reply), 0);
	cr_expect_null(reply.error);
	cr_expect_null(reply.parameters);
	zs_wire_reply_deinit(&reply);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(bad); i++)
		cr_expect_eq(zs_wire_reply_decode(bad[i], strlen(bad[i]), &reply), -EBADMSG, "%s", bad[i]);
}
