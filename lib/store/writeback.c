/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing blocks back.
 *
 *   a block           its item     its object
 *   is wanted         free         in memory
 *   is handed over    pending      pinned: it can't move, nor its handle be reused; it can be read and replaced
 *   is in the file    -            evicted; or it was replaced meanwhile, and the unpin frees it; or somebody reads it
 *                     busy         pinned; tried again a few times, then left in memory
 *
 * Whatever fails, the object is in memory and is unpinned. Items borrow the device of their block: removing a device
 * waits for what is under way.
 */

#include "store/writeback.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/counter.h"
#include "store/block_internal.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "store/trouble.h"
#include "store/writeback_internal.h"
#include "zsmalloc/object.h"

/* Blocks that may be under way: some MiB of records. */
#define NR_ITEMS 4096
/* An object that is being read is looked at so often; at the end of the run with pauses in between. */
#define BUSY_TRIES	100
#define BUSY_PAUSE_NSEC 100000
/* How often room in the file is looked at, and when it is short: some segments of the usual size. */
#define ROOM_INTERVAL	 256
#define ROOM_SHORT_BYTES ((uint64_t)4 << 20)
/* Segments collected at a time, and what must be dead in them: a quarter in advance, a tenth when the file is full. */
#define COLLECT_SEGMENTS	2
#define COLLECT_PERCENT		25
#define COLLECT_PERCENT_AT_LAST 10
/* Counters: the thread has no stream. */
#define SHARD 0

struct writeback_item {
	struct zs_list link;	  /* free_items or busy_items */
	struct zs_device *device; /* borrowed */
	uint64_t bytes;		  /* of the record */
	struct zs_object object;  /* pinned */
	struct zs_place place;	  /* busy only */
	unsigned int tries;
};

/*
 * what is over
 */

static void end_item(struct writeback *run, struct writeback_item *item)
{
	zs_obj_read_end(item->device->pool, &item->object);
	zs_device_put(item->device, NULL);
	zs_list_push(&run->free_items, &item->link);
}

/* The record is in the file: so may the object be, unless somebody was faster. */
static void settle_item(struct writeback *run, struct writeback_item *item)
{
	int error = zs_cold_evict(item->device, SHARD, &item->object, item->place);

	if (error == -EBUSY && ++item->tries < BUSY_TRIES) {
		zs_list_push(&run->busy_items, &item->link);
		return;
	}
	if (error) {
		zs_backing_free(run->store->cold.backing, &item->place);
		zs_counter_add(error == -EBUSY ? &run->progress->busy_blocks : &run->progress->replaced_blocks, 1);
	} else {
		zs_counter_add(&run->progress->finished_blocks, 1);
		zs_counter_add(&run->progress->freed_bytes, zs_pool_cost(item->object.info.size));
	}
	end_item(run, item);
}

static void item_done(void *context, void *cookie, const struct zs_place *place, int error)
{
	struct writeback *run = context;
	struct writeback_item *item = cookie;

	run->nr_pending--;
	if (error) {
		run->failure = error == -ENOSPC ? -ENOSPC : -EIO;
		run->allowance_bytes += item->bytes;
		zs_counter_add(&run->progress->failed_blocks, 1);
		end_item(run, item);
		return;
	}
	item->place = *place;
	settle_item(run, item);
}

static void item_soon(void *context, void *cookie)
{
	const struct writeback_item *item = cookie;

	zs_obj_prefetch(item->device->pool, item->object.handle);
	__builtin_prefetch((const void *)zs_cold_warmth(item->device->store, item->object.handle), 1);
}

static void retry_busy(struct writeback *run)
{
	struct zs_list busy;

	zs_list_init(&busy);
	while (!zs_list_empty(&run->busy_items)) {
		struct zs_list *link = run->busy_items.next;

		zs_list_unlink(link);
		zs_list_push(&busy, link);
	}
	while (!zs_list_empty(&busy)) {
		struct writeback_item *item = zs_list_entry(busy.next, struct writeback_item, link);

		zs_list_unlink(&item->link);
		settle_item(run, item);
	}
}

/* Waits for all that was handed over. */
static void drain(struct writeback *run)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NSEC};

	zs_backing_submit(run->store->cold.backing);
	zs_backing_reap(run->store->cold.backing, true);
	zs_assert(!run->nr_pending);
	retry_busy(run);
	while (!zs_list_empty(&run->busy_items)) {
		nanosleep(&pause, NULL);
		retry_busy(run);
	}
}

void writeback_rest(struct writeback *run)
{
	uint64_t written = atomic_load_explicit(&run->progress->written_blocks, memory_order_relaxed);

	/* Half a page is lost each time that a buffer goes out before it is full. */
	if (run->nr_pending && written == run->nr_at_rest)
		zs_backing_submit(run->store->cold.backing);
	run->nr_at_rest = written;
	zs_backing_reap(run->store->cold.backing, false);
	retry_busy(run);
}

/*
 * room in the file
 */

/* True if there may be more room than before. */
static bool collect(struct writeback *run, unsigned int percent)
{
	int collected = zs_store_collect(run->store, percent, COLLECT_SEGMENTS);

	writeback_budget_settle(run);
	return collected > 0;
}

static void look_at_room(struct writeback *run)
{
	if (++run->nr_unchecked < ROOM_INTERVAL)
		return;
	run->nr_unchecked = 0;
	if (zs_backing_room(run->store->cold.backing) < ROOM_SHORT_BYTES)
		collect(run, COLLECT_PERCENT);
}

/*
 * handing over
 */

static struct writeback_item *take_item(struct writeback *run)
{
	struct writeback_item *item;

	if (zs_list_empty(&run->free_items) && run->nr_items < NR_ITEMS)
		return &run->items[run->nr_items++];
	if (zs_list_empty(&run->free_items))
		drain(run);
	item = zs_list_entry(run->free_items.next, struct writeback_item, link);
	zs_list_unlink(&item->link);
	return item;
}

/* Pins what a block has in memory, if it is wanted. */
static bool pin_block(struct writeback *run, struct zs_device *device, uint64_t block, struct zs_object *ret_object)
{
	uint64_t slot = zs_table_load(&device->table, block);

	if (!writeback_wants(run->request, device, slot) ||
	    zs_obj_read_begin(device->pool, zs_slot_handle(slot), ret_object))
		return false;
	if (ret_object->payload && zs_table_load(&device->table, block) == slot) {
		if (!zs_obj_verify(ret_object))
			return true;
		/* What is damaged must not look sound again because it is somewhere else. */
		zs_trouble_damage(device, SHARD, block, "writing back");
	}
	zs_obj_read_end(device->pool, ret_object);
	return false;
}

/* True if one more record would pass a limit of the request. */
static bool is_at_limit(const struct writeback *run, uint64_t bytes)
{
	const struct zs_writeback_request *request = run->request;

	return (request->limit_blocks && atomic_load(&run->progress->written_blocks) >= request->limit_blocks) ||
	       (request->limit_bytes && atomic_load(&run->progress->written_bytes) + bytes > request->limit_bytes);
}

static int append(struct writeback *run, uint64_t block, struct writeback_item *item)
{
	const struct zs_object *object = &item->object;
	struct zs_record record = {
		.handle = object->handle,
		.meta = zs_object_meta(&object->info),
		.checksum = object->checksum,
		.device_id = item->device->own_id,
		.block = block,
		.payload = object->payload,
	};
	int error;

	run->nr_pending++;
	error = zs_backing_append(run->store->cold.backing, &record, item);
	if (error == -ENOSPC && collect(run, COLLECT_PERCENT_AT_LAST))
		error = zs_backing_append(run->store->cold.backing, &record, item);
	run->nr_pending -= error != 0;
	return error;
}

/* The item has the block's object and device. */
static int hand_over(struct writeback *run, uint64_t block, struct writeback_item *item)
{
	int error;

	item->tries = 0;
	item->bytes = zs_backing_record_bytes(run->store->cold.backing, zs_object_meta(&item->object.info));
	if (is_at_limit(run, item->bytes))
		return 1;
	error = writeback_budget_take(run, item->bytes);
	if (error)
		return error;
	error = append(run, block, item);
	if (error) {
		run->allowance_bytes += item->bytes;
		return error;
	}
	zs_counter_add(&run->progress->written_blocks, 1);
	zs_counter_add(&run->progress->written_bytes, item->bytes);
	return 0;
}

int writeback_block(struct writeback *run, struct zs_device *device, uint64_t block)
{
	struct writeback_item *item = take_item(run);
	int error;

	item->device = zs_device_get(run->store, device->own_id, NULL);
	if (item->device && pin_block(run, device, block, &item->object)) {
		error = hand_over(run, block, item);
		if (error)
			end_item(run, item);
		else
			look_at_room(run);
		return error;
	}
	if (item->device)
		zs_device_put(item->device, NULL);
	zs_list_push(&run->free_items, &item->link);
	return 0;
}

static int run_init(struct writeback *run)
{
	run->items = zs_malloc(NR_ITEMS * sizeof(run->items[0]));
	if (!run->items)
		return -ENOMEM;
	zs_list_init(&run->free_items);
	zs_list_init(&run->busy_items);
	zs_backing_set_done(run->store->cold.backing, item_done, run);
	zs_backing_set_soon(run->store->cold.backing, item_soon);
	return 0;
}

int zs_store_writeback(struct zs_store *store, const struct zs_writeback_request *request,
		       struct zs_writeback_progress *progress)
{
	struct writeback run = {.store = store, .request = request, .progress = progress};
	int error;

	if (!store->cold.backing)
		return -EOPNOTSUPP;
	error = writeback_check_request(store, request) ?: run_init(&run);
	if (error)
		return error;
	zs_backing_use_batch(store->cold.backing, request->batch_bytes);
	error = writeback_select(&run);
	drain(&run);
	zs_backing_use_batch(store->cold.backing, 0);
	writeback_budget_settle(&run);
	zs_backing_set_soon(store->cold.backing, NULL);
	zs_backing_set_done(store->cold.backing, NULL, NULL);
	free(run.items);
	/* Reaching a limit of the request is not an error. */
	return error < 0 ? error : run.failure;
}
