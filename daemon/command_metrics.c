/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of io.zsd.metrics.
 *
 * The text of thousands of devices is some megabytes: it is made at the first step and sent in slices, which end with a
 * line, as fast as the reader takes them.
 */

#include "command_metrics.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "command_answer.h"
#include "metrics.h"
#include "service.h"

/* Half a millisecond to make it a string of JSON: so long do other clients wait. */
#define SLICE_BYTES ((size_t)64 << 10)

/* Returns 0, or 1 if the call was refused in *ret_answer, or -ENOMEM. */
static int read_format(const struct zsd_call *call, enum zsd_metrics_format *ret_format, struct zsd_answer *ret_answer)
{
	const char *format = zsd_call_string(call, "format");

	if (!format || strcmp(format, "prometheus") == 0)
		*ret_format = ZSD_METRICS_PROMETHEUS;
	else if (strcmp(format, "openmetrics") == 0)
		*ret_format = ZSD_METRICS_OPENMETRICS;
	else
		return zsd_reply_invalid_value(ret_answer, "format", format, "unknown; use prometheus or openmetrics")
			       ?: 1;
	return 0;
}

static int reply_text(struct zsd_answer *ret_answer, enum zsd_metrics_format format, const char *text, size_t length)
{
	return zsd_reply(
		ret_answer, NULL,
		json_pack("{s:s, s:s%}", "content_type", zsd_metrics_content_type(format), "text", text, length));
}

static size_t slice_length(const char *text, size_t length)
{
	const char *end;

	if (length <= SLICE_BYTES)
		return length;
	end = memrchr(text, '\n', SLICE_BYTES);
	return end ? (size_t)(end - text) + 1 : length;
}

/* One slice a step; the whole text is carried, and how much of it was sent is the cursor. */
static int render_more(struct zsd_call *call, enum zsd_metrics_format format, struct zsd_answer *ret_answer)
{
	const char *text = json_string_value(call->carried) + call->cursor;
	size_t left = json_string_length(call->carried) - call->cursor, length = slice_length(text, left);
	int error = reply_text(ret_answer, format, text, length);

	call->cursor += (unsigned int)length;
	if (!error)
		ret_answer->continues = length < left;
	return error;
}

static int run_render(struct zsd_call *call, struct zsd_answer *ret_answer)
{
	ZS_CLEANUP_FREE char *text = NULL;
	enum zsd_metrics_format format;
	size_t length;
	int error = read_format(call, &format, ret_answer);

	if (error)
		return error < 0 ? error : 0;
	if (call->carried)
		return render_more(call, format, ret_answer);
	error = zsd_metrics_render(zsd_service_store(call->service), zsd_service_facts(call->service), format, &text,
				   &length);
	if (error)
		return error;
	if (!call->wire.more)
		return reply_text(ret_answer, format, text, length);
	/* Each slice is checked when it is sent. */
	call->carried = json_stringn_nocheck(text, length);
	return call->carried ? render_more(call, format, ret_answer) : -ENOMEM;
}

const struct zsd_method zsd_metrics_methods[] = {
	{
		.name = "Render",
		.parameters = {{"format", ZSD_PARAMETER_STRING, false}},
		.run = run_render,
	},
	{},
};
