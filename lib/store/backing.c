/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file: its life, and what is known of it. */

#include "store/backing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "store/backing_crypt.h"
#include "store/backing_internal.h"
#include "zsmalloc/object.h"

#define DEFAULT_SEGMENT_BYTES ((uint32_t)1 << 20)
/* Nothing that a dead process has submitted is written later than that; no device queues for so long. */
#define QUARANTINE_NSEC UINT64_C(60000000000)

uint64_t zs_backing_now_ns(const struct zs_backing *backing)
{
	struct timespec now;

	if (backing->faults && backing->faults->now_ns)
		return backing->faults->now_ns(backing->faults->context);
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/*
 * opening
 */

static int check_options(const struct zs_backing_options *options, enum zs_backing_field *ret_field)
{
	uint32_t segment = options->segment_bytes ?: DEFAULT_SEGMENT_BYTES;

	*ret_field = ZS_BACKING_FIELD_SEGMENT;
	if (!zs_is_power_of_two(segment) || segment < ZS_SEGMENT_MIN_BYTES || segment > ZS_SEGMENT_MAX_BYTES)
		return -EINVAL;
	*ret_field = ZS_BACKING_FIELD_SIZE;
	if (options->size_bytes && options->size_bytes < (uint64_t)ZS_SEGMENTS_MIN * segment)
		return -EOVERFLOW;
	*ret_field = ZS_BACKING_FIELD_ENCRYPT;
	if (options->encrypt && zs_crypt_start())
		return -EOPNOTSUPP;
	*ret_field = ZS_BACKING_FIELD_NONE;
	return 0;
}

static int fill_random(void *buffer, size_t size)
{
	return getrandom(buffer, size, 0) == (ssize_t)size ? 0 : -EIO;
}

/* A file for an arena that has none. */
static int found(struct zs_backing *backing, const struct zs_backing_options *options, enum zs_backing_content content,
		 struct zs_backing_attributes *attributes)
{
	struct zs_backing_header header = {.version = ZS_BACKING_VERSION, .segment_bytes = attributes->segment_bytes};
	int error = fill_random(attributes->id, sizeof(attributes->id));

	if (!error && options->encrypt) {
		attributes->flags |= ZS_BACKING_ENCRYPTED;
		error = fill_random(attributes->key, sizeof(attributes->key));
	}
	if (error)
		return error;
	memcpy(header.magic, ZS_BACKING_MAGIC, sizeof(header.magic));
	memcpy(header.id, attributes->id, sizeof(header.id));
	header.checksum = zs_backing_header_checksum(&header);
	error = zs_backing_file_format(&backing->file, &header, content);
	return error ?: zs_segments_set_attributes(backing->arena, attributes);
}

static bool is_file_of(const struct zs_backing_header *header, const struct zs_backing_attributes *attributes)
{
	return header->checksum == zs_backing_header_checksum(header) && header->version == ZS_BACKING_VERSION &&
	       header->segment_bytes == attributes->segment_bytes &&
	       !memcmp(header->id, attributes->id, sizeof(header->id));
}

/* The arena's file, or a new one. *ret_is_new: its content was of no worth. */
static int identify(struct zs_backing *backing, struct zs_backing_attributes *ret_attributes,
		    enum zs_backing_content *ret_content, bool *ret_is_new)
{
	const struct zs_backing_attributes *known;
	struct zs_backing_header header;
	int error;

	known = zs_segments_attributes(backing->arena, &error);
	*ret_is_new = !known;
	if (error)
		return -ESTALE;
	error = zs_backing_file_judge(&backing->file, ret_content, &header);
	if (error)
		return error;
	if (!known)
		return *ret_content == ZS_BACKING_FOREIGN ? -EMEDIUMTYPE : 0;
	if (*ret_content != ZS_BACKING_OURS || !is_file_of(&header, known))
		return -ESTALE;
	*ret_attributes = *known;
	return 0;
}

/* How large it may become. */
static int choose_size(const struct zs_backing *backing, uint64_t wanted_bytes, uint32_t segment_bytes,
		       uint64_t *ret_bytes)
{
	uint64_t max_bytes = zs_segments_max_bytes(backing->arena, segment_bytes);
	uint64_t bytes = wanted_bytes;

	if (backing->file.is_device) {
		if (wanted_bytes > backing->file.device_bytes)
			return -EFBIG;
		bytes = wanted_bytes ?: backing->file.device_bytes;
	}
	bytes = zs_min(bytes ?: max_bytes, max_bytes);
	if (bytes < (uint64_t)ZS_SEGMENTS_MIN * segment_bytes)
		return -EOVERFLOW;
	*ret_bytes = bytes;
	return 0;
}

/* What the process before this one may have been writing is over now, or in a minute. */
static void quarantine(struct zs_backing *backing, bool is_new, enum zs_backing_content content)
{
	bool has_left = is_new ? content == ZS_BACKING_OURS : backing->segments.nr_state[ZS_SEGMENT_QUARANTINED];

	if (!has_left)
		return;
	if (backing->file.has_barrier) {
		zs_backing_file_barrier(&backing->file, ZS_PAGE_SIZE, ZS_PAGE_SIZE);
		zs_segments_end_quarantine(&backing->segments);
		return;
	}
	backing->quarantine_end_ns = zs_backing_now_ns(backing) + QUARANTINE_NSEC;
	/* All of a file that has changed hands. */
	if (is_new)
		zs_log_pause(backing, -ENOSPC, QUARANTINE_NSEC);
}

void zs_backing_look_at_quarantine(struct zs_backing *backing)
{
	if (!backing->quarantine_end_ns || zs_backing_now_ns(backing) < backing->quarantine_end_ns)
		return;
	backing->quarantine_end_ns = 0;
	zs_segments_end_quarantine(&backing->segments);
}

static void backing_destroy(struct zs_backing *backing)
{
	if (!backing)
		return;
	zs_log_deinit(backing);
	zs_segments_deinit(&backing->segments);
	zs_backing_file_close(&backing->file);
	free(backing->page);
	explicit_bzero(backing->key, sizeof(backing->key));
	/* Of the page, which others may get. */
	if (backing->is_encrypted)
		munlock(backing->key, sizeof(backing->key));
	free(backing);
}

static void backing_destroyp(struct zs_backing **backing)
{
	backing_destroy(*backing);
}

/* The key gets no further than here: out of core dumps (the whole arena is), and out of swap where that is allowed. */
static void take_key(struct zs_backing *backing, const struct zs_backing_options *options,
		     const struct zs_backing_attributes *attributes)
{
	backing->is_encrypted = attributes->flags & ZS_BACKING_ENCRYPTED;
	memcpy(backing->key, attributes->key, sizeof(backing->key));
	if (backing->is_encrypted != options->encrypt)
		zs_log(ZS_LOG_WARNING, "backing file %s: it is%s encrypted, and stays so while the store lives",
		       backing->file.path, backing->is_encrypted ? "" : " not");
	if (backing->is_encrypted &&
	    (zs_segments_lock_attributes(backing->arena) || mlock(backing->key, sizeof(backing->key))))
		zs_log(ZS_LOG_WARNING, "backing file %s: can't lock the key in memory (%s); it may get into swap",
		       backing->file.path, strerror(errno));
}

/* All but the file. */
static int start(struct zs_backing *backing, const struct zs_backing_options *options, enum zs_backing_field *ret_field)
{
	struct zs_backing_attributes attributes = {.segment_bytes = options->segment_bytes ?: DEFAULT_SEGMENT_BYTES};
	enum zs_backing_content content;
	uint64_t size_bytes;
	bool is_new;
	int error;

	*ret_field = ZS_BACKING_FIELD_PATH;
	error = identify(backing, &attributes, &content, &is_new);
	if (error)
		return error;
	*ret_field = ZS_BACKING_FIELD_SIZE;
	error = choose_size(backing, options->size_bytes, attributes.segment_bytes, &size_bytes);
	if (error)
		return error;
	*ret_field = ZS_BACKING_FIELD_NONE;
	if (is_new)
		zs_segments_forget(backing->arena);
	/* What an earlier store has left of it is all that is kept of its file. */
	if (content == ZS_BACKING_OURS)
		zs_budget_load(backing, is_new ? &attributes : NULL);
	error = zs_segments_init(&backing->segments, backing->arena, attributes.segment_bytes, size_bytes);
	if (!error)
		error = zs_log_init(backing);
	if (!error && is_new)
		error = found(backing, options, content, &attributes);
	if (error)
		return error;
	memcpy(backing->id, attributes.id, sizeof(backing->id));
	memcpy(&backing->seal_key, attributes.id, sizeof(backing->seal_key));
	take_key(backing, options, &attributes);
	explicit_bzero(attributes.key, sizeof(attributes.key));
	quarantine(backing, is_new, content);
	return 0;
}

int zs_backing_open(struct zs_arena *arena, const struct zs_backing_options *options, enum zs_backing_field *ret_field,
		    struct zs_backing **ret_backing)
{
	ZS_CLEANUP(backing_destroyp) struct zs_backing *backing = NULL;
	enum zs_backing_field own_field;
	int error;

	ret_field = ret_field ?: &own_field;
	error = check_options(options, ret_field);
	if (error)
		return error;
	backing = zs_calloc(1, sizeof(*backing));
	if (!backing)
		return -ENOMEM;
	backing->arena = arena;
	backing->file.fd = -1;
	backing->page = zs_fault() ? NULL : aligned_alloc(ZS_PAGE_SIZE, ZS_PAGE_SIZE);
	if (!backing->page)
		return -ENOMEM;
	*ret_field = ZS_BACKING_FIELD_PATH;
	error = zs_backing_file_open(&backing->file, options);
	if (!error)
		error = start(backing, options, ret_field);
	if (error)
		return error;
	*ret_backing = zs_take(backing);
	return 0;
}

void zs_backing_close(struct zs_backing *backing)
{
	if (!backing)
		return;
	zs_backing_submit(backing);
	zs_backing_reap(backing, true);
	zs_log_leave(backing);
	backing_destroy(backing);
}

int zs_backing_adopt(struct zs_backing *backing, const struct zs_place *place)
{
	if (!zs_segments_holds(&backing->segments, place->unit, place->units))
		return -EBADMSG;
	zs_segments_add_live(&backing->segments, zs_segment_of(&backing->segments, place->unit), place->units, 1);
	return 0;
}

void zs_backing_adopt_end(struct zs_backing *backing)
{
	zs_segments_adopt_end(&backing->segments);
}

int zs_backing_set_size(struct zs_backing *backing, uint64_t size_bytes)
{
	int error = choose_size(backing, size_bytes, backing->segments.segment_bytes, &size_bytes);

	if (!error)
		zs_segments_set_size(&backing->segments, size_bytes);
	return error;
}

/*
 * use
 */

static_assert(ZS_BATCH_MIN_BYTES == ZS_CHUNK_BYTES && ZS_BATCH_MAX_BYTES == (uint64_t)ZS_CHUNKS * ZS_CHUNK_BYTES,
	      "one write to all of them");

static unsigned int batch_writes(uint64_t bytes)
{
	zs_assert(bytes >= ZS_BATCH_MIN_BYTES && bytes <= ZS_BATCH_MAX_BYTES);
	return (unsigned int)(bytes / ZS_CHUNK_BYTES);
}

void zs_backing_set_batch(struct zs_backing *backing, uint64_t bytes)
{
	atomic_store_explicit(&backing->log.max_writes, batch_writes(bytes), memory_order_relaxed);
}

uint64_t zs_backing_batch(const struct zs_backing *backing)
{
	return (uint64_t)atomic_load_explicit(&backing->log.max_writes, memory_order_relaxed) * ZS_CHUNK_BYTES;
}

void zs_backing_use_batch(struct zs_backing *backing, uint64_t bytes)
{
	backing->log.run_max_writes = bytes ? batch_writes(bytes) : 0;
}

void zs_backing_set_done(struct zs_backing *backing, zs_backing_done *done, void *context)
{
	backing->done = done;
	backing->done_context = context;
}

void zs_backing_set_soon(struct zs_backing *backing, zs_backing_soon *soon)
{
	backing->soon = soon;
}

void zs_backing_set_faults(struct zs_backing *backing, const struct zs_backing_faults *faults)
{
	backing->faults = faults;
}

int zs_backing_append(struct zs_backing *backing, const struct zs_record *record, void *cookie)
{
	int error = zs_log_append(backing, record, &(struct zs_place){0}, cookie);

	if (error)
		return error;
	zs_backing_count_cold(backing, ZS_BACKING_COUNT_APPENDED_RECORDS, 1);
	zs_backing_count_cold(backing, ZS_BACKING_COUNT_APPENDED_BYTES, zs_backing_record_bytes(backing, record->meta));
	zs_backing_count_cold(backing, ZS_BACKING_COUNT_PAYLOAD_BYTES, zs_object_info(record->meta).size);
	return 0;
}

void zs_backing_free(struct zs_backing *backing, const struct zs_place *place)
{
	if (!zs_segments_remove_live(&backing->segments, place->unit, place->units))
		zs_backing_count(backing, ZS_BACKING_COUNT_CORRUPT, 1);
}

unsigned int zs_backing_punch(struct zs_backing *backing)
{
	unsigned int nr = 0;
	uint32_t index;

	zs_backing_look_at_quarantine(backing);
	/* See lengthen() in backing_log.c. */
	if (zs_segments_has_empty(&backing->segments))
		zs_backing_reap(backing, true);
	while (zs_segments_next_empty(&backing->segments, &index)) {
		zs_backing_file_punch(&backing->file, zs_segment_offset(&backing->segments, index),
				      backing->segments.segment_bytes);
		zs_segments_free(&backing->segments, index);
		zs_backing_count(backing, ZS_BACKING_COUNT_PUNCHED_BYTES, backing->segments.segment_bytes);
		nr++;
	}
	if (nr)
		zs_log_note_room(backing);
	return nr;
}

/*
 * insides
 */

const char *zs_backing_path(const struct zs_backing *backing)
{
	return backing->file.path;
}
