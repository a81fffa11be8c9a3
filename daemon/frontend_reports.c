/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read-only files with figures.
 *
 * They are made when they are read, and nothing is kept for an open one but stats.prom: that is made when it is opened,
 * once a second at most, so that it is of one piece however it is read. The short ones fit into one read.
 * block_state has lines of one length, so that an offset is a line: which block that is about is remembered from the
 * read before. A read ends with its buffer, so that it takes no longer than one of data.
 */

#include "frontend_reports.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "figures.h"
#include "frontend_internal.h"
#include "metrics.h"
#include "store/device.h"

#define KIND_SHIFT  56
#define KIND_MASK   UINT64_C(15)
#define ID_MASK	    ((UINT64_C(1) << 54) - 1)
#define TEXT_BYTES  256
#define FRESH_NSEC  INT64_C(1000000000)
#define ZRAM_PAGE   ((uint64_t)4096) /* zram counts in pages */
#define STATE_BYTES 40		     /* a line of block_state, its newline included */

enum report {
	REPORT_TOP,    /* .zsd */
	REPORT_PROM,   /* .zsd/stats.prom */
	REPORT_DEVICE, /* .zsd/NAME */
	REPORT_FIRST_FILE,
	REPORT_MM_STAT = REPORT_FIRST_FILE,
	REPORT_IO_STAT,
	REPORT_BD_STAT,
	REPORT_DEBUG_STAT,
	REPORT_BLOCK_STATE,
	REPORT_COMP_ALGORITHM,
	NR_REPORTS,
};

static const char *const names[NR_REPORTS] = {
	[REPORT_PROM] = "stats.prom",
	[REPORT_MM_STAT] = "mm_stat",
	[REPORT_IO_STAT] = "io_stat",
	[REPORT_BD_STAT] = "bd_stat",
	[REPORT_DEBUG_STAT] = "debug_stat",
	[REPORT_BLOCK_STATE] = "block_state",
	[REPORT_COMP_ALGORITHM] = "comp_algorithm",
};

static uint64_t node_of(enum report report, uint64_t id)
{
	return ZSD_REPORTS_BIT | (uint64_t)report << KIND_SHIFT | id;
}

static enum report report_of(uint64_t node)
{
	return (enum report)(node >> KIND_SHIFT & KIND_MASK);
}

static bool is_directory(enum report report)
{
	return report == REPORT_TOP || report == REPORT_DEVICE;
}

/* Borrows the device that a node is about. */
static struct zs_device *get_device(struct zsd_frontend *frontend, uint64_t node)
{
	return zs_device_get(frontend->store, node & ID_MASK, NULL);
}

void zsd_reports_init(struct zsd_reports *reports)
{
	pthread_mutex_init(&reports->making, NULL);
	pthread_mutex_init(&reports->lock, NULL);
}

void zsd_reports_deinit(struct zsd_reports *reports)
{
	pthread_mutex_destroy(&reports->making);
	pthread_mutex_destroy(&reports->lock);
	for (unsigned int i = 0; i < ZSD_REPORT_TEXTS; i++)
		free(reports->texts[i].bytes);
}

/*
 * names
 */

static int look_up_top(struct zsd_frontend *frontend, const char *name, uint64_t *ret_node)
{
	uint64_t id;

	if (strcmp(name, names[REPORT_PROM]) == 0) {
		*ret_node = node_of(REPORT_PROM, 0);
		return 0;
	}
	if (zs_store_find(frontend->store, name, &id))
		return -ENOENT;
	*ret_node = node_of(REPORT_DEVICE, id);
	return 0;
}

int zsd_reports_lookup(struct zsd_frontend *frontend, uint64_t directory, const char *name, uint64_t *ret_node)
{
	if (directory == ZSD_ROOT_NODE && strcmp(name, ZSD_REPORTS_NAME) == 0) {
		*ret_node = node_of(REPORT_TOP, 0);
		return 0;
	}
	if (!zsd_is_report(directory))
		return -ENOENT;
	if (report_of(directory) == REPORT_TOP)
		return look_up_top(frontend, name, ret_node);
	if (report_of(directory) != REPORT_DEVICE)
		return -ENOTDIR;
	for (unsigned int report = REPORT_FIRST_FILE; report < NR_REPORTS; report++) {
		if (strcmp(name, names[report]) == 0) {
			*ret_node = node_of(report, directory & ID_MASK);
			return 0;
		}
	}
	return -ENOENT;
}

/* Which blocks are in use is the business of whoever may read them; everything else is for all. */
static uint32_t mode_of(enum report report)
{
	if (is_directory(report))
		return 0555;
	return report == REPORT_BLOCK_STATE ? 0400 : 0444;
}

int zsd_reports_getattr(struct zsd_frontend *frontend, uint64_t node, struct zsd_attributes *ret_attributes)
{
	enum report report = report_of(node);
	struct zsd_attributes attributes = {
		.node = node,
		.is_directory = is_directory(report),
		.is_fleeting = true,
		.block_size = ZS_PAGE_SIZE,
		.mode = mode_of(report),
		.uid = geteuid(),
		.gid = getegid(),
		.accessed_nsec = zsd_frontend_now_nsec(),
	};

	if (report >= REPORT_DEVICE) {
		struct zs_device *device = get_device(frontend, node);
		struct zs_device_info info;

		if (!device)
			return -ESTALE;
		zs_device_info(device, &info);
		zs_device_put(device, NULL);
		attributes.uid = info.uid;
		attributes.gid = info.gid;
	}
	attributes.modified_nsec = attributes.changed_nsec = attributes.accessed_nsec;
	*ret_attributes = attributes;
	return 0;
}

/* stats.prom, then the devices; their cursor is one more than that of the root. */
static bool next_in_top(struct zsd_frontend *frontend, uint64_t *cursor, char name[static ZSD_NAME_BYTES],
			uint64_t *ret_node)
{
	uint64_t devices = *cursor ? *cursor - 1 : 0, node;

	if (!*cursor) {
		strcpy(name, names[REPORT_PROM]);
		*ret_node = node_of(REPORT_PROM, 0);
		*cursor = 1;
		return true;
	}
	if (!zsd_frontend_next(frontend, ZSD_ROOT_NODE, &devices, name, &node))
		return false;
	*ret_node = node_of(REPORT_DEVICE, node - ZSD_NODE_OFFSET);
	*cursor = devices + 1;
	return true;
}

bool zsd_reports_next(struct zsd_frontend *frontend, uint64_t directory, uint64_t *cursor,
		      char name[static ZSD_NAME_BYTES], uint64_t *ret_node)
{
	unsigned int report;

	if (report_of(directory) == REPORT_TOP)
		return next_in_top(frontend, cursor, name, ret_node);
	report = REPORT_FIRST_FILE + (unsigned int)*cursor;
	if (report_of(directory) != REPORT_DEVICE || report >= NR_REPORTS)
		return false;
	strcpy(name, names[report]);
	*ret_node = node_of(report, directory & ID_MASK);
	*cursor += 1;
	return true;
}

/*
 * short files, in zram's formats
 */

static int write_mm_stat(struct zsd_frontend *frontend, const struct zsd_figures *figures, char *text)
{
	struct zs_store_stats pool;

	zs_store_stats(frontend->store, &pool);
	return snprintf(text, TEXT_BYTES, "%8llu %8llu %8llu %8lu %8ld %8llu %8lu %8llu %8llu\n",
			(unsigned long long)figures->data_bytes, (unsigned long long)figures->stats.compressed_bytes,
			(unsigned long long)figures->stats.memory_bytes,
			(unsigned long)figures->info.memory_limit_bytes, (long)figures->stats.peak_bytes,
			(unsigned long long)(figures->same_bytes / ZRAM_PAGE), (unsigned long)pool.pool.compacted_pages,
			(unsigned long long)(figures->incompressible_bytes / ZRAM_PAGE),
			(unsigned long long)(figures->incompressible_bytes / ZRAM_PAGE));
}

static int write_io_stat(const struct zsd_figures *figures, char *text)
{
	return snprintf(text, TEXT_BYTES, "%8llu %8llu %8llu %8llu\n", (unsigned long long)figures->stats.corrupt,
			(unsigned long long)figures->stats.no_space, 0ULL,
			(unsigned long long)(figures->stats.discarded_bytes / ZRAM_PAGE));
}

static int write_bd_stat(const struct zsd_figures *figures, char *text)
{
	return snprintf(text, TEXT_BYTES, "%8llu %8llu %8llu\n",
			(unsigned long long)(figures->written_back_bytes / ZRAM_PAGE),
			(unsigned long long)(figures->stats.read_back_bytes / ZRAM_PAGE),
			(unsigned long long)(figures->stats.written_back_bytes / ZRAM_PAGE));
}

/* All codecs, the device's in brackets. */
static int write_comp_algorithm(const struct zsd_figures *figures, char *text)
{
	bool zstd = figures->info.codec.codec == ZS_CODEC_ZSTD;

	return snprintf(text, TEXT_BYTES, "%s\n", zstd ? "lz4 [zstd]" : "[lz4] zstd");
}

static int write_short(struct zsd_frontend *frontend, enum report report, struct zs_device *device, char *text)
{
	struct zsd_figures figures;

	zsd_figures_get(device, &figures);
	switch (report) {
	case REPORT_MM_STAT:
		return write_mm_stat(frontend, &figures, text);
	case REPORT_IO_STAT:
		return write_io_stat(&figures, text);
	case REPORT_BD_STAT:
		return write_bd_stat(&figures, text);
	case REPORT_COMP_ALGORITHM:
		return write_comp_algorithm(&figures, text);
	case REPORT_DEBUG_STAT:
		/* writestall and miss_free: there is neither here. */
		return snprintf(text, TEXT_BYTES, "version: 1\n%8llu %8llu\n", 0ULL, 0ULL);
	default:
		return 0;
	}
}

/* The part of a text from offset on. */
static size_t copy_part(const char *text, size_t text_length, uint64_t offset, void *buffer, size_t length)
{
	size_t part = offset < text_length ? zs_min(length, text_length - offset) : 0;

	if (part)
		memcpy(buffer, text + offset, part);
	return part;
}

/*
 * block_state
 */

/*
 * zram's flags mean, in this order: same, written back, huge, idle, recompressed, incompressible. What recompression
 * has tried in vain can't be told from what it has stored again, but for raw blocks.
 */
static void write_state(char line[static STATE_BYTES + 1], uint64_t block, const struct zs_block_state *state)
{
	bool is_huge = state->kind == ZS_BLOCK_INCOMPRESSIBLE;

	snprintf(line, STATE_BYTES + 1, "%12llu %12llu.%06lu %c%c%c%c%c%c\n",
		 (unsigned long long)(block % UINT64_C(1000000000000)), (unsigned long long)state->used_sec, 0UL,
		 state->kind == ZS_BLOCK_SAME ? 's' : '.', state->kind == ZS_BLOCK_WRITTEN_BACK ? 'w' : '.',
		 is_huge ? 'h' : '.', state->is_idle ? 'i' : '.', state->is_dense && !is_huge ? 'r' : '.',
		 state->is_dense && is_huge ? 'n' : '.');
}

/* Where a line is: from the nearest place that is known, or from the beginning. */
static struct zsd_report_place find_place(struct zsd_reports *reports, uint64_t node, uint64_t line)
{
	struct zsd_report_place best = {.node = node};

	pthread_mutex_lock(&reports->lock);
	/* The newest first: an older one may be of a reading of what was there before. */
	for (unsigned int i = 1; i <= ZSD_REPORT_PLACES; i++) {
		const struct zsd_report_place *place = &reports->places[(reports->next_place - i) % ZSD_REPORT_PLACES];

		if (place->node == node && place->line <= line && place->line > best.line)
			best = *place;
	}
	pthread_mutex_unlock(&reports->lock);
	return best;
}

static void keep_place(struct zsd_reports *reports, const struct zsd_report_place *place)
{
	pthread_mutex_lock(&reports->lock);
	reports->places[reports->next_place++ % ZSD_REPORT_PLACES] = *place;
	pthread_mutex_unlock(&reports->lock);
}

static size_t read_states(struct zsd_frontend *frontend, struct zs_device *device, uint64_t node, uint64_t offset,
			  char *buffer, size_t length)
{
	struct zsd_report_place place = find_place(&frontend->reports, node, offset / STATE_BYTES);
	char line[STATE_BYTES + 1];
	struct zs_block_state state;
	size_t done = 0;

	while (done < length && zs_device_next_block(device, &place.block, &state)) {
		uint64_t begin = place.line * STATE_BYTES;

		/* What is left of the line; none if it is in front of what was asked for. */
		if (begin + STATE_BYTES > offset + done) {
			write_state(line, place.block, &state);
			done += copy_part(line, STATE_BYTES, offset + done - begin, buffer + done, length - done);
			/* The rest of this line is for the next read, which finds it here. */
			if (offset + done < begin + STATE_BYTES)
				break;
		}
		place.block++;
		place.line++;
	}
	keep_place(&frontend->reports, &place);
	return done;
}

/*
 * stats.prom: opens within a second share a text, and a reader has at least ZSD_REPORT_TEXTS - 1 seconds
 */

static uint64_t handle_of(const struct zsd_report_text *text)
{
	return ZSD_HANDLE_BIT | node_of(REPORT_PROM, text->serial);
}

/* Under the lock. NULL if there is none, or none any more. */
static struct zsd_report_text *find_text(struct zsd_reports *reports, uint64_t serial)
{
	struct zsd_report_text *text = &reports->texts[serial % ZSD_REPORT_TEXTS];

	return serial && text->serial == serial ? text : NULL;
}

static void drop_text(struct zsd_report_text *text)
{
	free(text->bytes);
	*text = (struct zsd_report_text){.serial = 0};
}

/* Under the lock: the newest text, if it may be given out at that time, with one more user. */
static bool take_newest(struct zsd_reports *reports, int64_t now, uint64_t *ret_handle)
{
	struct zsd_report_text *text = find_text(reports, reports->serial);

	if (!text || now < text->made_nsec || now >= text->made_nsec + FRESH_NSEC)
		return false;
	text->nr_opens++;
	*ret_handle = handle_of(text);
	return true;
}

/* Under the lock: in the place of the oldest, whose readers have had their time. Takes bytes over. */
static void add_text(struct zsd_reports *reports, char *bytes, size_t length, int64_t now)
{
	struct zsd_report_text *last = find_text(reports, reports->serial);
	struct zsd_report_text *text;

	if (last && !last->nr_opens)
		drop_text(last);
	text = &reports->texts[++reports->serial % ZSD_REPORT_TEXTS];
	drop_text(text);
	*text = (struct zsd_report_text){
		.serial = reports->serial,
		.bytes = bytes,
		.length = length,
		.made_nsec = now,
	};
}

static int open_metrics(struct zsd_frontend *frontend, uint64_t *ret_handle)
{
	struct zsd_reports *reports = &frontend->reports;
	int64_t now = zsd_frontend_now_nsec();
	size_t length;
	char *bytes;
	bool taken;
	int r = 0;

	/* Two locks: who reads an older text doesn't wait for a new one. */
	pthread_mutex_lock(&reports->making);
	pthread_mutex_lock(&reports->lock);
	taken = take_newest(reports, now, ret_handle);
	pthread_mutex_unlock(&reports->lock);
	if (!taken)
		r = zsd_metrics_render(frontend->store, reports->facts, ZSD_METRICS_PROMETHEUS, &bytes, &length);
	if (!taken && !r) {
		pthread_mutex_lock(&reports->lock);
		add_text(reports, bytes, length, now);
		take_newest(reports, now, ret_handle);
		pthread_mutex_unlock(&reports->lock);
	}
	pthread_mutex_unlock(&reports->making);
	return r;
}

static int read_metrics(struct zsd_frontend *frontend, uint64_t serial, uint64_t offset, void *buffer, size_t length,
			size_t *ret_done)
{
	struct zsd_reports *reports = &frontend->reports;
	const struct zsd_report_text *text;

	pthread_mutex_lock(&reports->lock);
	text = find_text(reports, serial);
	if (text)
		*ret_done = copy_part(text->bytes, text->length, offset, buffer, length);
	pthread_mutex_unlock(&reports->lock);
	return text ? 0 : -ESTALE;
}

int zsd_reports_open(struct zsd_frontend *frontend, uint64_t node, uint64_t *ret_handle)
{
	struct zsd_attributes attributes;

	if (report_of(node) == REPORT_PROM)
		return open_metrics(frontend, ret_handle);
	*ret_handle = node;
	return zsd_reports_getattr(frontend, node, &attributes);
}

/* The newest one is kept: the next open may be soon. */
void zsd_reports_release(struct zsd_frontend *frontend, uint64_t handle)
{
	struct zsd_reports *reports = &frontend->reports;
	struct zsd_report_text *text;

	pthread_mutex_lock(&reports->lock);
	text = find_text(reports, handle & ID_MASK);
	if (text && text->nr_opens)
		text->nr_opens--;
	if (text && !text->nr_opens && text->serial != reports->serial)
		drop_text(text);
	pthread_mutex_unlock(&reports->lock);
}

int zsd_reports_read(struct zsd_frontend *frontend, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *ret_done)
{
	enum report report = report_of(node);
	struct zs_device *device;
	char text[TEXT_BYTES];

	if (report == REPORT_PROM)
		return read_metrics(frontend, node & ID_MASK, offset, buffer, length, ret_done);
	if (report < REPORT_FIRST_FILE || report >= NR_REPORTS)
		return -EISDIR;
	device = get_device(frontend, node);
	if (!device)
		return -ENODEV;
	if (report == REPORT_BLOCK_STATE)
		*ret_done = read_states(frontend, device, node, offset, buffer, length);
	else
		*ret_done = copy_part(text, (size_t)write_short(frontend, report, device, text), offset, buffer,
				      length);
	zs_device_put(device, NULL);
	return 0;
}
