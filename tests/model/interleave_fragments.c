/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Holes, and compaction. */

#include "interleave_fragments.h"

#include "interleave_words.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/small_store.h"
#include "zsmalloc/pool_internal.h"

/* Those from here on are in the last zspage. */
#define FIRST_LAST 256

void fragments_init(struct fragments *fragments, struct zs_store *store, struct zs_stream *stream, uint64_t step)
{
	struct zs_codec_params lz4 = {.codec = ZS_CODEC_LZ4, .level = 1};
	uint64_t id = test_device_add(store, "fragments", NR_FRAGMENTS * BLOCK_SIZE, BLOCK_SIZE, lz4);

	*fragments = (struct fragments){.store = store, .device = zs_device_get(store, id, stream), .step = step};
}

static void write_one(struct fragments *fragments, struct zs_stream *stream, unsigned int i)
{
	/* Halves that differ, so that it does not fit into the slot. */
	fragments->content[i] = (uint64_t)(i + 1) << 40 | ++fragments->version;
	write_block(fragments->device, stream, i, fragments->content[i], fragments->step);
}

static void discard_one(struct fragments *fragments, struct zs_stream *stream, unsigned int i)
{
	fragments->content[i] = 0;
	zs_assert(!zs_device_discard(fragments->device, stream, (uint64_t)i * BLOCK_SIZE, BLOCK_SIZE));
}

void fragments_fill(struct fragments *fragments, struct zs_stream *stream)
{
	for (unsigned int i = 0; i < NR_FRAGMENTS; i++)
		discard_one(fragments, stream, i);
	for (unsigned int i = 0; i < NR_FRAGMENTS; i++)
		write_one(fragments, stream, i);
}

void fragments_thin(struct fragments *fragments, struct zs_stream *stream)
{
	for (unsigned int i = 0; i < NR_FRAGMENTS; i++) {
		if (i % (i < FIRST_LAST ? 2 : 8))
			discard_one(fragments, stream, i);
	}
}

/* Where the block's object is, if it is in memory. */
static uint64_t place_of(struct zs_device *device, uint64_t block)
{
	uint64_t slot = zs_table_load(&device->table, block);

	if (zs_slot_state(slot) != ZS_SLOT_OBJECT)
		return 0;
	return atomic_load(heap_handle_word(device->store->heap, zs_slot_handle(slot).index)) >>
	       ZS_HANDLE_LOCATION_SHIFT;
}

static uint64_t nr_moved(struct zs_store *store)
{
	struct zs_store_stats stats;

	zs_store_stats(store, &stats);
	return stats.pool.moved_objects;
}

bool fragments_close(struct fragments *fragments, struct zs_stream *stream, struct zs_device *device, uint64_t block)
{
	uint64_t before = place_of(device, block), moved = nr_moved(fragments->store);
	bool found;

	zs_store_compact(fragments->store, UINT64_MAX);
	zs_assert(nr_moved(fragments->store) > moved);
	found = before && place_of(device, block) != before;
	for (unsigned int i = 0; i < NR_FRAGMENTS; i++) {
		if (!fragments->content[i])
			write_one(fragments, stream, i);
	}
	return found;
}

bool fragments_are_whole(const struct fragments *fragments, struct zs_stream *stream)
{
	for (unsigned int i = 0; i < NR_FRAGMENTS; i++) {
		if (read_block(fragments->device, stream, i, fragments->step) != fragments->content[i])
			return false;
	}
	return true;
}
