/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which blocks are written back, and in which order.
 *
 * By index they are written as they are found. In an order, blocks have a key: 0 to 255, the lowest first. One walk
 * over all slots counts how many there are of each key; further ones each write as many keys as fit into a list of
 * bounded length, or a single one without any list. So the order costs some walks over the slots, and not memory that
 * grows with the device.
 */

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/counter.h"
#include "store/age.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "store/writeback_internal.h"

#define NR_KEYS 256
/* 2 MiB of list. */
#define CANDIDATES_MAX ((uint64_t)128 << 10)
/* Blocks looked at without writing one, after which what has been handed over is looked after. */
#define REST_INTERVAL 4096

/*
 * Cold objects are in no cache: blocks between asking for a handle word, for what it names, and writing that. Measured
 * with 1 GiB in the order of the device: 11 % less processor time a block, together with zs_backing_soon.
 */
#define HANDLE_AHEAD 16
#define OBJECT_AHEAD 2

struct candidate {
	uint64_t id;
	uint64_t key : 8;
	uint64_t block : 56;
};

/* One walk: what it is for. */
struct pass {
	unsigned int first_key, last_key; /* the others are passed over */
	uint64_t *histogram;		  /* count only */
	struct candidate *candidates;	  /* list only, room for CANDIDATES_MAX */
	uint64_t nr_candidates;
};

static bool writes(const struct pass *pass)
{
	return !pass->histogram && !pass->candidates;
}

static bool is_idle(const struct zs_writeback_request *request, uint64_t slot)
{
	return zs_age_is_idle(slot, request->idle_sec, zs_age_now());
}

bool writeback_wants(const struct zs_writeback_request *request, const struct zs_device *device, uint64_t slot)
{
	bool huge = slot & ZS_SLOT_INCOMPRESSIBLE;

	if (!zs_slot_is_sound(slot) || zs_slot_state(slot) != ZS_SLOT_OBJECT || slot & ZS_SLOT_FILL)
		return false;
	switch (request->type) {
	case ZS_WRITEBACK_IDLE:
		return is_idle(request, slot);
	case ZS_WRITEBACK_HUGE:
		return huge;
	case ZS_WRITEBACK_INCOMPRESSIBLE:
		return huge && (slot & ZS_SLOT_DENSE || !zs_device_has_recompress(device));
	case ZS_WRITEBACK_HUGE_IDLE:
		return huge && is_idle(request, slot);
	default:
		return true;
	}
}

/* 16 steps for each doubling: grows with value, up to 255. */
static unsigned int steps(uint64_t value)
{
	unsigned int log = value < 16 ? 0 : zs_ilog2(value) - 3;

	return zs_min(log * 16 + (log ? value >> (log - 1) & 15 : value), NR_KEYS - 1);
}

static unsigned int key_of(const struct writeback *run, struct zs_device *device, uint64_t slot)
{
	switch (run->request->order) {
	case ZS_WRITEBACK_LARGEST:
		return NR_KEYS - 1 - steps(zs_obj_cost(device->pool, zs_slot_handle(slot)));
	case ZS_WRITEBACK_COLDEST:
		return NR_KEYS - 1 - steps(zs_age_between(zs_slot_tick(slot), zs_age_now()) / ZS_TICK_SEC);
	default:
		return 0;
	}
}

/*
 * walking
 */

typedef void prefetch_fn(struct zs_pool *pool, struct zs_handle handle);

static void prefetch(const struct writeback *run, struct zs_device *device, uint64_t block, prefetch_fn *fn)
{
	uint64_t slot = block < device->table.nr_blocks ? zs_table_load(&device->table, block) : 0;

	if (writeback_wants(run->request, device, slot))
		fn(device->pool, zs_slot_handle(slot));
}

/* Counts, lists or writes a block. */
static int visit(struct writeback *run, struct pass *pass, struct zs_device *device, uint64_t id, uint64_t block)
{
	uint64_t slot = zs_table_load(&device->table, block);
	unsigned int key;

	if (!writeback_wants(run->request, device, slot) || !zs_obj_cost(device->pool, zs_slot_handle(slot)))
		return 0;
	key = key_of(run, device, slot);
	if (key < pass->first_key || key > pass->last_key)
		return 0;
	if (pass->histogram) {
		pass->histogram[key]++;
		return 0;
	}
	if (!pass->candidates)
		return writeback_block(run, device, block);
	if (pass->nr_candidates < CANDIDATES_MAX)
		pass->candidates[pass->nr_candidates++] = (struct candidate){.id = id, .key = key, .block = block};
	return 0;
}

static int walk_range(struct writeback *run, struct pass *pass, struct zs_device *device, uint64_t id,
		      struct zs_writeback_range range)
{
	uint64_t nr = 0;
	int error = 0;

	for (uint64_t block = zs_table_next(&device->table, range.first); !error && block <= range.last;
	     block = zs_table_next(&device->table, block + 1)) {
		if (atomic_load_explicit(&run->progress->cancel, memory_order_relaxed))
			return -ECANCELED;
		/* It is being removed, which waits for us. */
		if (atomic_load_explicit(&device->id, memory_order_relaxed) != id)
			return 0;
		if (++nr % REST_INTERVAL == 0)
			writeback_rest(run);
		if (writes(pass)) {
			prefetch(run, device, block + HANDLE_AHEAD, zs_handle_prefetch);
			prefetch(run, device, block + OBJECT_AHEAD, zs_obj_prefetch_payload);
		}
		error = visit(run, pass, device, id, block);
		zs_counter_add(&run->progress->scanned_blocks, 1);
	}
	return error;
}

static int walk_device(struct writeback *run, struct pass *pass, uint64_t id)
{
	const struct zs_writeback_request *request = run->request;
	struct zs_device *device = zs_device_get(run->store, id, NULL);
	int error = 0;

	if (!device)
		return 0;
	if (!request->nr_ranges)
		error = walk_range(run, pass, device, id,
				   (struct zs_writeback_range){.last = device->table.nr_blocks - 1});
	for (unsigned int i = 0; !error && i < request->nr_ranges; i++)
		error = walk_range(run, pass, device, id, request->ranges[i]);
	zs_device_put(device, NULL);
	return error;
}

static int walk(struct writeback *run, struct pass *pass)
{
	const struct zs_writeback_request *request = run->request;
	unsigned int cursor = 0;
	uint64_t id;
	int error = 0;

	for (unsigned int i = 0; !error && i < request->nr_devices; i++)
		error = walk_device(run, pass, request->devices[i]);
	while (!error && !request->nr_devices && zs_store_next(run->store, &cursor, &id))
		error = walk_device(run, pass, id);
	return error;
}

/*
 * ordered
 */

static int compare(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;

	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	if (left->id != right->id)
		return left->id < right->id ? -1 : 1;
	return (left->block > right->block) - (left->block < right->block);
}

/* Those of another device are left out: few are. */
static void prefetch_candidates(const struct writeback *run, struct zs_device *device,
				const struct candidate *candidates, uint64_t nr)
{
	if (nr > HANDLE_AHEAD && candidates[HANDLE_AHEAD].id == device->own_id)
		prefetch(run, device, candidates[HANDLE_AHEAD].block, zs_handle_prefetch);
	if (nr > OBJECT_AHEAD && candidates[OBJECT_AHEAD].id == device->own_id)
		prefetch(run, device, candidates[OBJECT_AHEAD].block, zs_obj_prefetch_payload);
}

static int write_candidates(struct writeback *run, struct candidate *candidates, uint64_t nr)
{
	int error = 0;

	qsort(candidates, nr, sizeof(candidates[0]), compare);
	for (uint64_t i = 0; !error && i < nr; i++) {
		struct zs_device *device = zs_device_get(run->store, candidates[i].id, NULL);

		if (!device)
			continue;
		prefetch_candidates(run, device, candidates + i, nr - i);
		error = atomic_load_explicit(&run->progress->cancel, memory_order_relaxed)
				? -ECANCELED
				: writeback_block(run, device, candidates[i].block);
		zs_device_put(device, NULL);
	}
	return error;
}

/* Writes blocks with keys from first on, as many as fit into the list. Answers the first key that is left. */
static int write_keys(struct writeback *run, const uint64_t *histogram, struct candidate *candidates,
		      unsigned int first, unsigned int *ret_next)
{
	struct pass pass = {.first_key = first, .last_key = first};
	uint64_t nr = histogram[first];
	int error;

	while (pass.last_key < NR_KEYS - 1 && nr + histogram[pass.last_key + 1] <= CANDIDATES_MAX)
		nr += histogram[++pass.last_key];
	*ret_next = pass.last_key + 1;
	if (!nr)
		return 0;
	/* Of one key any order will do. */
	if (pass.last_key > first)
		pass.candidates = candidates;
	error = walk(run, &pass);
	return error ?: write_candidates(run, candidates, pass.nr_candidates);
}

static int write_ordered(struct writeback *run)
{
	ZS_CLEANUP_FREE struct candidate *candidates = zs_malloc(CANDIDATES_MAX * sizeof(*candidates));
	uint64_t histogram[NR_KEYS] = {0};
	struct pass count = {.last_key = NR_KEYS - 1, .histogram = histogram};
	unsigned int key = 0;
	int error;

	if (!candidates)
		return -ENOMEM;
	error = walk(run, &count);
	while (!error && key < NR_KEYS)
		error = write_keys(run, histogram, candidates, key, &key);
	return error;
}

int writeback_select(struct writeback *run)
{
	struct pass all = {.last_key = NR_KEYS - 1};

	return run->request->order == ZS_WRITEBACK_BY_INDEX ? walk(run, &all) : write_ordered(run);
}

/*
 * checking
 */

static int check_device(struct zs_store *store, const struct zs_writeback_request *request, uint64_t id)
{
	struct zs_device *device = zs_device_get(store, id, NULL);
	int error = 0;

	if (!device)
		return -ENODEV;
	for (unsigned int i = 0; i < request->nr_ranges; i++) {
		if (request->ranges[i].last >= device->table.nr_blocks)
			error = -ERANGE;
	}
	zs_device_put(device, NULL);
	return error;
}

int writeback_check_request(struct zs_store *store, const struct zs_writeback_request *request)
{
	int error = 0;

	for (unsigned int i = 0; i < request->nr_ranges; i++) {
		if (request->ranges[i].first > request->ranges[i].last)
			return -EINVAL;
	}
	for (unsigned int i = 0; !error && i < request->nr_devices; i++)
		error = check_device(store, request, request->devices[i]);
	return error;
}
