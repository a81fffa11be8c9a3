/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dictionaries of crash_points.c. */

#include "model/crash_dictionary.h"

#include "base/check.h"
#include "codec/stream.h"
#include "store/device_internal.h"
#include "store/recompress.h"

/* Copied one instruction at a time. */
#define CONTENT_BYTES 200

static const struct zs_codec_params zstd = {ZS_CODEC_ZSTD, 1};

/* The child's, that it is about to publish. */
static struct zs_dictionary *made;

static struct zs_dictionary *make(struct zs_device *device, const char *block)
{
	struct zs_dictionary *dictionary;

	zs_assert(!zs_dictionary_create(zs_dictionary_new_id(device->store), block, CONTENT_BYTES, &dictionary));
	return dictionary;
}

static void publish(struct zs_device *device, struct zs_dictionary *dictionary)
{
	uint32_t version;

	zs_assert(!zs_dictionary_publish(device, dictionary, &version));
}

void crash_dictionary_prepare(const struct scenario *scenario, struct zs_device *device, const char *block)
{
	if (scenario->operation == OPERATION_RECOMPRESS || scenario->operation == OPERATION_RETIRE)
		publish(device, make(device, block));
	if (scenario->operation == OPERATION_RETIRE)
		publish(device, make(device, block));
}

void crash_dictionary_begin(const struct scenario *scenario, struct zs_device *device, struct zs_stream *stream,
			    const char *block)
{
	struct zs_dictionary *current;
	const void *payload;
	unsigned int number;
	size_t length;

	if (scenario->operation == OPERATION_TRAIN)
		made = make(device, block);
	if (scenario->operation != OPERATION_RECOMPRESS)
		return;
	number = zs_dictionary_current(device, &current);
	zs_assert(number);
	zs_stream_compress_with(stream, &zstd, current, block, device->block_size, &payload, &length);
	zs_dictionary_put(device->store, number);
}

static void recompress(struct zs_device *device, struct zs_stream *stream, uint64_t number)
{
	const struct zs_recompress_request request = {
		.types = ZS_RECOMPRESS_ALL, .first = number, .last = number, .nr_codecs = 1, .codecs = {zstd}};
	struct zs_recompress_progress progress;
	struct zs_recompress job;

	zs_assert(!zs_recompress_begin(&job, device, &request, NULL));
	while (zs_recompress_slice(&job, device, stream, UINT64_MAX / 2))
		continue;
	zs_recompress_end(&job);
	zs_recompress_progress(&job, &progress);
	zs_assert(progress.recompressed == 1);
}

void crash_dictionary_change(const struct scenario *scenario, struct zs_device *device, struct zs_stream *stream,
			     uint64_t number)
{
	switch (scenario->operation) {
	case OPERATION_TRAIN:
		publish(device, made);
		break;
	case OPERATION_RECOMPRESS:
		recompress(device, stream, number);
		break;
	default:
		zs_assert(zs_store_retire_dictionaries(device->store) == 1);
	}
}
