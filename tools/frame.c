/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A picture of top. */

#include "frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/size.h"
#include "rates.h"

#define NAME_COLUMNS 8
#define BAR_MAX	     120
/* What stands beside a bar, at most. */
#define BESIDE_BAR 40
#define BAR_MIN	   10
#define ALERT_FULL 90 /* percent of the pool's limit */

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *size(json_int_t bytes, char text[static ZS_SIZE_TEXT_BYTES])
{
	return zs_size_format(bytes > 0 ? (uint64_t)bytes : 0, text);
}

void zsctl_frame_deinit(struct zsctl_frame *frame)
{
	json_decref(frame->history);
	frame->history = NULL;
}

static void put(const struct zsctl_frame *frame, unsigned int *line, const char *text)
{
	if (!frame->lines || *line < frame->lines)
		frame->put(*line, text, frame->data);
	++*line;
}

/*
 * bars
 */

static unsigned int bar_width(const struct zsctl_frame *frame)
{
	unsigned int taken = NAME_COLUMNS + BESIDE_BAR;

	return (unsigned int)zs_min(frame->columns > taken + BAR_MIN ? frame->columns - taken : BAR_MIN, BAR_MAX);
}

/* Appends so many letters as the part is of the whole, one at least of what is there. */
static void fill_part(char *bar, unsigned int width, json_int_t part, json_int_t whole, char letter)
{
	size_t used = strlen(bar), letters = whole > 0 ? (size_t)((double)part / (double)whole * width + 0.5) : 0;

	if (part > 0 && !letters)
		letters = 1;
	letters = zs_min(letters, width - used);
	memset(bar + used, letter, letters);
	bar[used + letters] = 0;
}

static void fill_rest(char *bar, unsigned int width)
{
	size_t used = strlen(bar);

	memset(bar + used, '.', width - used);
	bar[width] = 0;
}

static void draw_pool(const struct zsctl_frame *frame, unsigned int *line, const json_t *pool)
{
	json_int_t used = number(pool, "used_bytes"), limit = number(pool, "memory_limit_bytes");
	char bar[BAR_MAX + 1] = "", text[ZSCTL_FRAME_BYTES], a[ZS_SIZE_TEXT_BYTES], b[ZS_SIZE_TEXT_BYTES];
	unsigned int width = bar_width(frame);
	size_t length;

	fill_part(bar, width, used, limit, '#');
	fill_rest(bar, width);
	if (limit)
		snprintf(text, sizeof(text), "%-*s[%s] %s / %s %d%%", NAME_COLUMNS, "pool", bar, size(used, a),
			 size(limit, b), (int)(used * 100 / limit));
	else
		snprintf(text, sizeof(text), "%-*s[%s] %s", NAME_COLUMNS, "pool", bar, size(used, a));
	length = strlen(text);
	if (frame->pressure >= 0)
		snprintf(text + length, sizeof(text) - length, "  psi some %.1f%%", frame->pressure);
	put(frame, line, text);
}

static void draw_head(const struct zsctl_frame *frame, unsigned int *line, const json_t *status)
{
	const json_t *pool = json_object_get(status, "pool"), *ratio = json_object_get(pool, "ratio");
	json_int_t data = number(pool, "data_bytes"), nr = number(pool, "devices");
	json_int_t saved = data - number(pool, "written_back_bytes") - number(pool, "used_bytes");
	char text[ZSCTL_FRAME_BYTES], a[ZS_SIZE_TEXT_BYTES], b[ZS_SIZE_TEXT_BYTES], ratio_text[32] = "";

	if (ratio)
		snprintf(ratio_text, sizeof(ratio_text), ", %.2fx", json_number_value(ratio));
	snprintf(text, sizeof(text), "zsd %.20s  %lld device%s %s, and save%s %s%s",
		 json_string_value(json_object_get(status, "version")) ?: "?", (long long)nr,
		 nr == 1 ? " holds" : "s hold", size(data, a), nr == 1 ? "s" : "", size(saved, b), ratio_text);
	put(frame, line, text);
}

/* What is read from the backing file and written there: nothing while all data is in memory. */
static void describe_backing(const json_t *devices, const json_t *rates, char text[static ZSCTL_FRAME_BYTES])
{
	json_int_t cold = 0, read = 0, written = 0;
	char a[ZS_SIZE_TEXT_BYTES], b[ZS_SIZE_TEXT_BYTES], c[ZS_SIZE_TEXT_BYTES];
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)devices, i, row) cold += number(row, "written_back_bytes");
	json_array_foreach((json_t *)rates, i, row)
	{
		read += number(row, "backing_read_bytes_per_sec");
		written += number(row, "backing_written_bytes_per_sec");
	}
	*text = 0;
	if (cold || read || written)
		snprintf(text, ZSCTL_FRAME_BYTES, "; %s on disk, R %s W %s", size(cold, a), size(read, b),
			 size(written, c));
}

/* What asks for attention, or how compaction and writing back are. */
static void draw_alert(const struct zsctl_frame *frame, unsigned int *line, const json_t *status, const char *backing)
{
	const json_t *pool = json_object_get(status, "pool");
	json_int_t used = number(pool, "used_bytes"), limit = number(pool, "memory_limit_bytes");
	const char *refusal = json_string_value(json_object_get(status, "refusal"));
	bool full = limit && used * 100 / limit >= ALERT_FULL;
	char text[ZSCTL_FRAME_BYTES], a[ZS_SIZE_TEXT_BYTES];

	if (number(status, "degraded_devices"))
		snprintf(text, sizeof(text), "! damaged blocks on %lld devices: zsctl list -o NAME,ERRORS",
			 (long long)number(status, "degraded_devices"));
	else if (full && refusal)
		snprintf(text, sizeof(text), "! the pool is full to %lld%%; at its limit data is refused: %.40s",
			 (long long)(used * 100 / limit), refusal);
	else if (full)
		snprintf(text, sizeof(text), "! the pool is full to %lld%%%.100s", (long long)(used * 100 / limit),
			 backing);
	else
		snprintf(text, sizeof(text), "compaction %.10s, %s could be freed%.100s",
			 json_string_value(json_object_get(pool, "compaction")) ?: "?",
			 size(number(pool, "freeable_bytes"), a), backing);
	put(frame, line, text);
}

/* At most so many columns of a name; UTF-8 is not cut within a character, whose width may be two: no harm is done. */
static void fit_name(const char *name, char text[static ZSCTL_FRAME_BYTES])
{
	size_t columns = 0, bytes = 0;

	for (; name[bytes] && columns < NAME_COLUMNS - 1; columns++) {
		bytes++;
		while (((unsigned char)name[bytes] & 0xc0) == 0x80)
			bytes++;
	}
	memcpy(text, name, bytes);
	memset(text + bytes, ' ', NAME_COLUMNS - columns);
	text[bytes + NAME_COLUMNS - columns] = 0;
}

static void draw_bar(const struct zsctl_frame *frame, unsigned int *line, const json_t *device)
{
	json_int_t whole = number(device, "size_bytes");
	const json_t *ratio = json_object_get(device, "ratio");
	char bar[BAR_MAX + 1] = "", text[ZSCTL_FRAME_BYTES * 2], name[ZSCTL_FRAME_BYTES], ratio_text[32] = "";
	char a[ZS_SIZE_TEXT_BYTES], b[ZS_SIZE_TEXT_BYTES], c[ZS_SIZE_TEXT_BYTES];
	unsigned int width = bar_width(frame);

	fit_name(json_string_value(json_object_get(device, "name")) ?: "?", name);
	fill_part(bar, width, number(device, "same_bytes"), whole, 's');
	fill_part(bar, width, number(device, "compressed_bytes"), whole, 'c');
	fill_part(bar, width, number(device, "incompressible_bytes"), whole, 'i');
	fill_part(bar, width, number(device, "written_back_bytes"), whole, 'w');
	fill_rest(bar, width);
	if (ratio)
		snprintf(ratio_text, sizeof(ratio_text), " %.2fx", json_number_value(ratio));
	snprintf(text, sizeof(text), "%s[%s] %s / %s -> %s%s", name, bar, size(number(device, "data_bytes"), a),
		 size(whole, b), size(number(device, "memory_bytes"), c), ratio_text);
	put(frame, line, text);
}

/*
 * sparklines
 */

/* The history of one rate, with the present one at its end: borrowed, or NULL. */
static json_t *remember(struct zsctl_frame *frame, const char *name, const char *which, json_int_t rate)
{
	json_t *device, *rates;

	frame->history = frame->history ?: json_object();
	device = json_object_get(frame->history, name);
	if (!device && json_object_set_new(frame->history, name, device = json_object()))
		return NULL;
	rates = json_object_get(device, which);
	if (!rates && json_object_set_new(device, which, rates = json_array()))
		return NULL;
	if (json_array_append_new(rates, json_integer(rate)))
		return NULL;
	if (json_array_size(rates) > ZSCTL_HISTORY)
		json_array_remove(rates, 0);
	return rates;
}

/* As high as the rate is of the highest one shown. */
static void draw_sparks(const struct zsctl_frame *frame, const json_t *rates, char text[static ZSCTL_HISTORY * 4 + 1])
{
	static const char *const steps[2][8] = {
		{" ", ".", ":", "-", "=", "+", "*", "#"},
		{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
	};
	json_int_t highest = 1;
	size_t nr = json_array_size(rates);
	const json_t *rate;
	size_t i;

	*text = 0;
	json_array_foreach((json_t *)rates, i, rate) highest = zs_max(highest, json_integer_value(rate));
	for (i = nr; i < ZSCTL_HISTORY; i++)
		text = stpcpy(text, " ");
	json_array_foreach((json_t *)rates, i, rate)
	{
		double part = (double)json_integer_value(rate) / (double)highest;

		text = stpcpy(text, steps[frame->utf8][(int)(part * 7 + 0.5)]);
	}
}

/* "11/17us": reads and writes; a dash where there was none. */
static void format_pair(const json_t *rates, const char *percentile, char text[static 32])
{
	char field[32], part[2][12];

	for (unsigned int i = 0; i < 2; i++) {
		snprintf(field, sizeof(field), "%s_%s_ns", zsctl_operations[i], percentile);
		if (json_object_get(rates, field))
			snprintf(part[i], sizeof(part[i]), "%.0f", (double)number(rates, field) / 1000);
		else
			strcpy(part[i], "-");
	}
	snprintf(text, 32, "%.10s/%.10sus", part[0], part[1]);
}

static int draw_rates(struct zsctl_frame *frame, unsigned int *line, const char *name, const json_t *rates)
{
	json_int_t read = number(rates, "read_bytes_per_sec"), written = number(rates, "written_bytes_per_sec");
	json_t *reads = remember(frame, name, "r", read), *writes = remember(frame, name, "w", written);
	char text[ZSCTL_FRAME_BYTES], a[ZS_SIZE_TEXT_BYTES], b[ZS_SIZE_TEXT_BYTES], p50[32], p99[32];
	char read_sparks[ZSCTL_HISTORY * 4 + 1], write_sparks[ZSCTL_HISTORY * 4 + 1];

	if (!reads || !writes)
		return -ENOMEM;
	draw_sparks(frame, reads, read_sparks);
	draw_sparks(frame, writes, write_sparks);
	format_pair(rates, "p50", p50);
	format_pair(rates, "p99", p99);
	snprintf(text, sizeof(text), "%*sR %5s %s W %5s %s  p50 %s  p99 %s", NAME_COLUMNS, "", size(read, a),
		 read_sparks, size(written, b), write_sparks, p50, p99);
	put(frame, line, text);
	return 0;
}

/*
 * order
 */

struct entry {
	const json_t *device;
	const json_t *rates;
	enum zsctl_order order;
};

static json_int_t weight(const struct entry *entry)
{
	if (entry->order == ZSCTL_BY_MEMORY)
		return number(entry->device, "memory_bytes");
	if (entry->order == ZSCTL_BY_RATE)
		return number(entry->rates, "read_bytes_per_sec") + number(entry->rates, "written_bytes_per_sec");
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;
	json_int_t first = weight(one), second = weight(other);

	if (first != second)
		return first > second ? -1 : 1;
	return strcmp(json_string_value(json_object_get(one->device, "name")) ?: "",
		      json_string_value(json_object_get(other->device, "name")) ?: "");
}

static int draw_devices(struct zsctl_frame *frame, unsigned int *line, const json_t *devices, const json_t *rates)
{
	size_t nr = json_array_size(devices), i;
	ZS_CLEANUP_FREE struct entry *entries = calloc(nr + 1, sizeof(*entries));
	char text[64];

	if (!entries)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		const json_t *device = json_array_get(devices, i);

		entries[i] = (struct entry){device, zsctl_find_named(rates, i, device), frame->order};
	}
	qsort(entries, nr, sizeof(*entries), compare);
	/* The last line is for those that have no place. */
	for (i = 0; i < nr && (!frame->lines || *line + 2 < frame->lines || (i + 1 == nr && *line + 1 < frame->lines));
	     i++) {
		const char *name = json_string_value(json_object_get(entries[i].device, "name")) ?: "?";

		draw_bar(frame, line, entries[i].device);
		if (draw_rates(frame, line, name, entries[i].rates))
			return -ENOMEM;
	}
	snprintf(text, sizeof(text), "%zu more", nr - i);
	if (i < nr)
		put(frame, line, text);
	return 0;
}

/*
 * usage
 */

static void draw_usage_row(const struct zsctl_frame *frame, unsigned int *line, const json_t *row)
{
	const json_t *ratio = json_object_get(row, "ratio");
	char text[ZSCTL_FRAME_BYTES], a[ZS_SIZE_TEXT_BYTES], b[ZS_SIZE_TEXT_BYTES], ratio_text[32] = "-";

	if (ratio)
		snprintf(ratio_text, sizeof(ratio_text), "%.2fx", json_number_value(ratio));
	snprintf(text, sizeof(text), "%-14.14s %6s %6s %6s %5.1f%%",
		 json_string_value(json_object_get(row, "type")) ?: "?", size(number(row, "data_bytes"), a),
		 size(number(row, "stored_bytes"), b), ratio_text,
		 json_number_value(json_object_get(row, "share")) * 100);
	put(frame, line, text);
}

static void draw_usage(const struct zsctl_frame *frame, unsigned int *line)
{
	char text[ZSCTL_FRAME_BYTES], a[ZS_SIZE_TEXT_BYTES], b[ZS_SIZE_TEXT_BYTES], c[ZS_SIZE_TEXT_BYTES];
	const json_t *row;
	size_t i;

	put(frame, line, "TYPE             DATA STORED  RATIO  SHARE");
	json_array_foreach(json_object_get(frame->usage, "usage"), i, row) draw_usage_row(frame, line, row);
	snprintf(text, sizeof(text), "%-14s %6s %6s   in %s of memory", "total",
		 size(number(frame->usage, "data_bytes"), a), size(number(frame->usage, "stored_bytes"), b),
		 size(number(frame->usage, "memory_bytes"), c));
	put(frame, line, text);
}

int zsctl_frame_draw(struct zsctl_frame *frame, const json_t *status, const json_t *devices, const json_t *rates)
{
	char backing[ZSCTL_FRAME_BYTES];
	unsigned int line = 0;

	describe_backing(devices, rates, backing);
	draw_head(frame, &line, status);
	draw_pool(frame, &line, json_object_get(status, "pool"));
	draw_alert(frame, &line, status, backing);
	put(frame, &line, "");
	if (frame->usage) {
		draw_usage(frame, &line);
		return 0;
	}
	return draw_devices(frame, &line, devices, rates);
}
