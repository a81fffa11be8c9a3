/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dictionaries of model_device.c: they are pieces of the device's content, since training would take too long. */

#include "model/model_dictionary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "codec/stream.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/recompress.h"

#define CONTENT_BYTES 4096
#define MAX_BLOCKS    40

/* The first block at or behind a random one that is not empty; false if there is none. */
static bool pick_block(struct zs_device *device, struct test_random *random, uint64_t *ret_block)
{
	struct zs_block_state state;

	*ret_block = test_random_below(random, device->table.nr_blocks);
	if (zs_device_next_block(device, ret_block, &state))
		return true;
	*ret_block = 0;
	return zs_device_next_block(device, ret_block, &state);
}

static void make(struct model_dictionary *model, struct zs_device *device, struct zs_stream *stream,
		 struct test_random *random)
{
	struct zs_dictionary *dictionary;
	char content[CONTENT_BYTES];
	uint32_t version;
	uint64_t block;
	int error;

	if (!pick_block(device, random, &block))
		return;
	zs_assert(!zs_device_read(device, stream, block * device->block_size, content, sizeof(content)));
	zs_assert(!zs_dictionary_create(zs_dictionary_new_id(device->store), content, sizeof(content), &dictionary));
	error = zs_dictionary_publish(device, dictionary, &version);
	zs_assert_msg(!error || error == -EBUSY || error == -ENFILE || error == -ENOSPC, "publishing: %d", error);
	model->made += !error;
	model->refused += error != 0;
	if (error)
		zs_dictionary_destroy(dictionary);
}

static void recompress(struct model_dictionary *model, struct zs_device *device, struct zs_stream *stream,
		       struct test_random *random)
{
	struct zs_recompress_request request = {
		.types = ZS_RECOMPRESS_ALL,
		.last = device->table.nr_blocks - 1,
		.again = true,
		.nr_codecs = 1,
		.codecs = {{ZS_CODEC_ZSTD, 1}},
	};
	struct zs_recompress_progress progress;
	struct zs_recompress job;

	if (!pick_block(device, random, &request.first))
		return;
	if (test_random_chance(random, 90))
		request.last = zs_min(request.first + MAX_BLOCKS, request.last);
	zs_assert(!zs_recompress_begin(&job, device, &request, NULL));
	while (zs_recompress_slice(&job, device, stream, UINT64_MAX / 2))
		continue;
	zs_recompress_end(&job);
	zs_recompress_progress(&job, &progress);
	zs_assert(!progress.failed && !progress.busy);
	model->recompressed += progress.recompressed;
}

static struct zs_device *pick_device(struct zs_store *store, struct test_random *random)
{
	unsigned int cursor = 0;
	uint64_t id, picked = 0;

	for (uint64_t nr = 1; zs_store_next(store, &cursor, &id); nr++)
		picked = test_random_below(random, nr) ? picked : id;
	return zs_device_get(store, picked, NULL);
}

void model_dictionary_step(struct model_dictionary *model, struct zs_store *store, struct test_random *random)
{
	unsigned int dice = (unsigned int)test_random_below(random, 100);
	struct zs_device *device = pick_device(store, random);
	struct zs_stream *stream;

	zs_assert(device && !zs_stream_create(0, &stream));
	if (dice < 25)
		make(model, device, stream, random);
	else if (dice < 50)
		model->retired += zs_store_retire_dictionaries(store);
	else
		recompress(model, device, stream, random);
	zs_stream_destroy(stream);
	zs_device_put(device, NULL);
}

void model_dictionary_print(const struct model_dictionary *model)
{
	printf("%" PRIu64 " dictionaries made, %" PRIu64 " refused, %" PRIu64 " retired; %" PRIu64
	       " blocks recompressed\n",
	       model->made, model->refused, model->retired, model->recompressed);
}
