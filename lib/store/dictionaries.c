/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dictionaries. The region of the arena has places of 128 KiB: an entry, and the content behind it. An object names the
 * place, by its number from 1 on.
 *
 *   state     entry's id  users       next
 *   FREE      0           0           CURRENT, when it is published
 *   CURRENT   id          LIVE + n    OLD, when the device's next version is published
 *   OLD       id          LIVE + n    FREE, when nothing needs it; or when the device is removed
 *
 * Publishing: copy the content -> store the entry -> store its id, the commit -> current of the device. Only then
 * objects are made that name it. Retiring: nobody can borrow it any more -> id 0, the commit -> punch. So a process
 * killed anywhere has no object without its dictionary; a dictionary without objects is one that was just published.
 *
 * Borrowing. A reader has pinned an object, borrows what it names, and then looks whether the object is still its
 * block's: if so, it was counted when the dictionary was borrowed, which therefore is the one that it was made with. If
 * not, the dictionary may be gone or another's by now, and the reader begins anew with the slot (store/block_load.c).
 * Recompression borrows what is current, and then looks whether it still is.
 *
 * Retiring looks at four things, in this order:
 *   1. it isn't current    so who borrows it from now on makes no object with it
 *   2. nobody borrows it   and nobody is about to, with what was borrowed before
 *   3. no backed object    of this device; only the calling thread makes more. Those that were promoted meanwhile are
 *                          counted in memory before they are taken off here
 *   4. no object           and then none can come
 * and replaces users, if that is still LIVE + 0, by 0.
 *
 * A damaged entry keeps its place, so that no other dictionary is taken for it. Lock: lock, and under it charges.
 */

#include "store/dictionaries.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/log.h"
#include "base/residue.h"
#include "store/device_internal.h"

#define PLACE_BYTES ((uint64_t)ZS_DICTIONARY_MAX_BYTES)

static struct zs_dictionary_entry *entry_of(const struct zs_store *store, unsigned int number)
{
	return zs_arena_at(&store->arena, ZS_REGION_DICTIONARIES, (number - 1) * PLACE_BYTES);
}

static struct zs_dictionary_place *place_of(struct zs_store *store, unsigned int number)
{
	return &store->dictionaries.places[number - 1];
}

static uint64_t entry_bytes(size_t size)
{
	return zs_align_up(sizeof(struct zs_dictionary_entry) + size, ZS_PAGE_SIZE);
}

static uint64_t entry_checksum(const struct zs_dictionary_entry *entry, uint64_t id)
{
	size_t from = offsetof(struct zs_dictionary_entry, device_id);

	return XXH3_64bits_withSeed(&entry->device_id, offsetof(struct zs_dictionary_entry, checksum) - from, id);
}

/*
 * borrowing
 */

int zs_dictionary_get(struct zs_store *store, unsigned int number, struct zs_dictionary **ret_dictionary)
{
	struct zs_dictionary_place *place;
	uint64_t users;

	if (number > store->dictionaries.nr)
		return -EBADMSG;
	place = place_of(store, number);
	users = atomic_load(&place->users);
	do {
		if (!(users & ZS_DICTIONARY_LIVE))
			return -EBADMSG;
	} while (!atomic_compare_exchange_weak(&place->users, &users, users + 1));
	if (place->dictionary) {
		*ret_dictionary = place->dictionary;
		return 0;
	}
	zs_dictionary_put(store, number);
	return -EBADMSG;
}

void zs_dictionary_put(struct zs_store *store, unsigned int number)
{
	if (number)
		atomic_fetch_sub(&place_of(store, number)->users, 1);
}

unsigned int zs_dictionary_current(struct zs_device *device, struct zs_dictionary **ret_dictionary)
{
	unsigned int number;

	*ret_dictionary = NULL;
	while ((number = atomic_load(&device->dictionary))) {
		if (zs_dictionary_get(device->store, number, ret_dictionary))
			continue;
		if (atomic_load(&device->dictionary) == number)
			break;
		zs_dictionary_put(device->store, number);
		*ret_dictionary = NULL;
	}
	return number;
}

void zs_dictionary_count_object(struct zs_store *store, unsigned int number, uint64_t sign)
{
	if (number && number <= store->dictionaries.nr)
		atomic_fetch_add_explicit(&place_of(store, number)->nr_objects, sign, memory_order_acq_rel);
}

/*
 * publishing
 */

uint64_t zs_dictionary_new_id(struct zs_store *store)
{
	return zs_arena_next_generation(&store->arena);
}

uint64_t zs_dictionary_pages(const struct zs_dictionary *dictionary)
{
	return (entry_bytes(dictionary->size) + zs_align_up(dictionary->decoder_bytes, ZS_PAGE_SIZE)) / ZS_PAGE_SIZE;
}

/* Against the limits of pool, device and group, or none of them. Returns 0 or -ENOSPC. */
static int charge(struct zs_device *device, uint64_t nr_pages, enum zs_urgency urgency)
{
	struct zs_heap *heap = device->store->heap;
	int error = zs_heap_charge_dictionary(heap, nr_pages, urgency);

	if (error)
		return error;
	error = zs_charge(device, nr_pages * ZS_PAGE_SIZE, urgency);
	if (error)
		zs_heap_uncharge_dictionary(heap, nr_pages);
	else
		zs_device_add_cost(device, 0, nr_pages * ZS_PAGE_SIZE);
	return error;
}

static void uncharge(struct zs_device *device, uint64_t nr_pages)
{
	zs_device_add_cost(device, 0, -(nr_pages * ZS_PAGE_SIZE));
	zs_uncharge(device, nr_pages * ZS_PAGE_SIZE);
	zs_heap_uncharge_dictionary(device->store->heap, nr_pages);
}

/* Under the lock. Returns 0 and a free place's number and the version, -EBUSY or -ENFILE. */
static int find_free(const struct zs_device *device, unsigned int *ret_number, uint32_t *ret_version)
{
	struct zs_store *store = device->store;
	unsigned int found = 0, versions = 0;
	uint32_t newest = 0;

	for (unsigned int number = store->dictionaries.nr; number; number--) {
		struct zs_dictionary_place *place = place_of(store, number);

		/* Objects without a dictionary would take the new one for their own. */
		if (!atomic_load(&place->users) && !atomic_load(&place->nr_objects))
			found = number;
		if (place->device_id != device->own_id)
			continue;
		versions++;
		newest = zs_max(newest, entry_of(store, number)->version);
	}
	if (versions == ZS_DICTIONARY_VERSIONS)
		return -EBUSY;
	*ret_number = found;
	*ret_version = newest + 1;
	return found ? 0 : -ENFILE;
}

/* Content, entry, id: in this order. There is memory for them. */
static void write_entry(const struct zs_device *device, unsigned int number, uint32_t version,
			struct zs_dictionary *dictionary)
{
	struct zs_dictionary_entry *entry = entry_of(device->store, number);

	memcpy(entry + 1, dictionary->content, dictionary->size);
	entry->device_id = device->own_id;
	entry->content_checksum = XXH3_64bits(entry + 1, dictionary->size);
	entry->created_sec = time(NULL);
	entry->size = (uint32_t)dictionary->size;
	entry->version = version;
	memset(entry->reserved, 0, sizeof(entry->reserved));
	entry->checksum = entry_checksum(entry, dictionary->id);
	dictionary->content = entry + 1;
	/* release: the commit */
	atomic_store_explicit(&entry->id, zs_residue_seal(dictionary->id), memory_order_release);
}

static void make_live(struct zs_device *device, unsigned int number, struct zs_dictionary *dictionary,
		      uint64_t nr_pages)
{
	struct zs_dictionary_place *place = place_of(device->store, number);

	place->device_id = device->own_id;
	place->nr_pages = nr_pages;
	place->dictionary = dictionary;
	atomic_store(&place->users, ZS_DICTIONARY_LIVE);
}

int zs_dictionary_publish(struct zs_device *device, struct zs_dictionary *dictionary, uint32_t *ret_version)
{
	uint64_t nr_pages = zs_dictionary_pages(dictionary), bytes = entry_bytes(dictionary->size);
	struct zs_store *store = device->store;
	unsigned int number;
	uint64_t offset;
	int error;
	ZS_LOCK_SCOPE(&store->dictionaries.lock);

	zs_assert(bytes <= PLACE_BYTES);
	error = find_free(device, &number, ret_version) ?: charge(device, nr_pages, ZS_URGENCY_NEW);
	if (error)
		return error;
	offset = (number - 1) * PLACE_BYTES;
	error = zs_arena_populate(&store->arena, ZS_REGION_DICTIONARIES, offset, bytes);
	if (error) {
		zs_arena_punch(&store->arena, ZS_REGION_DICTIONARIES, offset, bytes);
		uncharge(device, nr_pages);
		return error;
	}
	write_entry(device, number, *ret_version, dictionary);
	make_live(device, number, dictionary, nr_pages);
	atomic_store(&device->dictionary, number);
	return 0;
}

/*
 * retiring
 */

/* Frees what nobody can borrow any more. Under the lock. */
static void give_back(struct zs_device *device, unsigned int number)
{
	struct zs_dictionary_place *place = place_of(device->store, number);

	/* the commit: from here on there is no such dictionary */
	atomic_store_explicit(&entry_of(device->store, number)->id, 0, memory_order_release);
	zs_arena_punch(&device->store->arena, ZS_REGION_DICTIONARIES, (number - 1) * PLACE_BYTES, PLACE_BYTES);
	zs_dictionary_destroy(zs_take(place->dictionary));
	uncharge(device, place->nr_pages);
	place->device_id = 0;
}

/* See above. Under the lock; true if nobody can borrow it any more. */
static bool is_unused(struct zs_device *device, unsigned int number)
{
	struct zs_dictionary_place *place = place_of(device->store, number);
	uint64_t unused = ZS_DICTIONARY_LIVE;

	return atomic_load(&device->dictionary) != number && atomic_load(&place->users) == unused &&
	       !zs_shards_sum(&device->shards, ZS_COUNT_BACKED) && !atomic_load(&place->nr_objects) &&
	       atomic_compare_exchange_strong(&place->users, &unused, 0);
}

unsigned int zs_store_retire_dictionaries(struct zs_store *store)
{
	unsigned int retired = 0;
	ZS_LOCK_SCOPE(&store->dictionaries.lock);

	for (unsigned int number = 1; number <= store->dictionaries.nr; number++) {
		uint64_t id = place_of(store, number)->device_id;
		struct zs_device *device = id ? zs_device_get(store, id, NULL) : NULL;

		/* Who removes a device gives back what it has. */
		if (!device)
			continue;
		if (is_unused(device, number)) {
			give_back(device, number);
			retired++;
		}
		zs_device_put(device, NULL);
	}
	return retired;
}

/*
 * No object of the device is left to be read, but who is late with another device's may have borrowed this one by a
 * number that was given anew: it sees that, and puts it, in a moment. It holds no lock meanwhile.
 */
static void end_borrowing(struct zs_dictionary_place *place)
{
	uint64_t unused = ZS_DICTIONARY_LIVE;

	while (!atomic_compare_exchange_weak(&place->users, &unused, 0)) {
		zs_assert(unused & ZS_DICTIONARY_LIVE);
		unused = ZS_DICTIONARY_LIVE;
		sched_yield();
	}
}

void zs_dictionaries_forget(struct zs_device *device)
{
	struct zs_store *store = device->store;
	ZS_LOCK_SCOPE(&store->dictionaries.lock);

	atomic_store(&device->dictionary, 0);
	for (unsigned int number = 1; number <= store->dictionaries.nr; number++) {
		struct zs_dictionary_place *place = place_of(store, number);

		if (place->device_id != device->own_id)
			continue;
		end_borrowing(place);
		/* Objects of a removed device are not counted one by one. */
		atomic_store(&place->nr_objects, 0);
		give_back(device, number);
	}
}

/*
 * adopting
 */

/* Whose it is; NULL if the device was removed. */
static struct zs_device *owner_of(struct zs_store *store, const struct zs_dictionary_entry *entry)
{
	struct zs_device *device = atomic_load(&store->devices[zs_device_index(entry->device_id)]);

	return device && device->state == ZS_DEVICE_ACTIVE && device->own_id == entry->device_id ? device : NULL;
}

static bool entry_is_sound(const struct zs_dictionary_entry *entry, uint64_t id)
{
	return zs_residue_is_sound(id) && entry->checksum == entry_checksum(entry, zs_residue_value(id)) &&
	       entry->size && entry_bytes(entry->size) <= PLACE_BYTES;
}

/* Makes it usable; NULL if its content is damaged. Returns 0 or -ENOMEM. */
static int adopt_content(const struct zs_device *device, const struct zs_dictionary_entry *entry, uint64_t id,
			 struct zs_dictionary **ret_dictionary)
{
	*ret_dictionary = NULL;
	if (XXH3_64bits(entry + 1, entry->size) == entry->content_checksum)
		return zs_dictionary_create(zs_residue_value(id), entry + 1, entry->size, ret_dictionary);
	zs_log_event(ZS_EVENT_DAMAGED, ZS_LOG_ERR, device->entry->name, -EIO,
		     "device=%s dictionary=%u: damaged in the arena; blocks that need it read as I/O errors",
		     device->entry->name, entry->version);
	return 0;
}

/* The newest one that is sound becomes the current one. */
static void adopt_current(struct zs_device *device, unsigned int number)
{
	unsigned int current = atomic_load(&device->dictionary);

	if (!current || entry_of(device->store, current)->version < entry_of(device->store, number)->version)
		atomic_store(&device->dictionary, number);
}

static int adopt_entry(struct zs_store *store, unsigned int number)
{
	struct zs_dictionary_entry *entry = entry_of(store, number);
	uint64_t id = atomic_load(&entry->id), nr_pages;
	struct zs_dictionary *dictionary;
	struct zs_device *device;
	int error;

	if (id && !entry_is_sound(entry, id)) {
		zs_log(ZS_LOG_ERR, "dictionary %u is damaged in the arena: blocks that need it read as I/O errors",
		       number);
		atomic_store(&place_of(store, number)->users, ZS_DICTIONARY_LIVE);
		return 0;
	}
	device = id ? owner_of(store, entry) : NULL;
	if (!device) {
		atomic_store_explicit(&entry->id, 0, memory_order_release);
		zs_arena_punch(&store->arena, ZS_REGION_DICTIONARIES, (number - 1) * PLACE_BYTES, PLACE_BYTES);
		return 0;
	}
	error = adopt_content(device, entry, id, &dictionary);
	if (error)
		return error;
	nr_pages = dictionary ? zs_dictionary_pages(dictionary) : entry_bytes(entry->size) / ZS_PAGE_SIZE;
	zs_assert(!charge(device, nr_pages, ZS_URGENCY_MUST));
	make_live(device, number, dictionary, nr_pages);
	if (dictionary)
		adopt_current(device, number);
	return 0;
}

int zs_dictionaries_adopt(struct zs_store *store)
{
	uint64_t at = 0, length;
	int error = 0;

	/* Pages without memory hold nothing; a look at them would make memory. */
	while (!error && zs_arena_next_data(&store->arena, ZS_REGION_DICTIONARIES, &at, &length)) {
		unsigned int number = (unsigned int)(at / PLACE_BYTES) + 1;

		if (number > store->dictionaries.nr)
			break;
		error = adopt_entry(store, number);
		at = number * PLACE_BYTES;
	}
	return error;
}

/*
 * life, looking
 */

int zs_dictionaries_init(struct zs_store *store)
{
	struct zs_dictionaries *dictionaries = &store->dictionaries;
	uint64_t nr = store->arena.region_bytes[ZS_REGION_DICTIONARIES] / PLACE_BYTES;

	dictionaries->places = zs_calloc(zs_min(nr, ZS_DICTIONARIES_MAX) + 1, sizeof(dictionaries->places[0]));
	if (!dictionaries->places)
		return -ENOMEM;
	dictionaries->nr = (unsigned int)zs_min(nr, ZS_DICTIONARIES_MAX);
	return 0;
}

void zs_dictionaries_deinit(struct zs_store *store)
{
	for (unsigned int number = 1; number <= store->dictionaries.nr; number++)
		zs_dictionary_destroy(place_of(store, number)->dictionary);
	free(store->dictionaries.places);
	zs_lock_deinit(&store->dictionaries.lock);
}

static struct zs_dictionary_info describe(struct zs_device *device, unsigned int number)
{
	const struct zs_dictionary_entry *entry = entry_of(device->store, number);
	struct zs_dictionary_place *place = place_of(device->store, number);

	return (struct zs_dictionary_info){
		.version = entry->version,
		.is_current = atomic_load(&device->dictionary) == number,
		.is_damaged = !place->dictionary,
		.size_bytes = entry->size,
		.memory_bytes = place->nr_pages * ZS_PAGE_SIZE,
		.blocks = atomic_load(&place->nr_objects),
		.created_sec = entry->created_sec,
	};
}

unsigned int zs_device_dictionaries(struct zs_device *device,
				    struct zs_dictionary_info ret_infos[static ZS_DICTIONARY_VERSIONS])
{
	unsigned int nr = 0, i;
	ZS_LOCK_SCOPE(&device->store->dictionaries.lock);

	for (unsigned int number = 1; number <= device->store->dictionaries.nr; number++) {
		struct zs_dictionary_info info;

		if (place_of(device->store, number)->device_id != device->own_id)
			continue;
		info = describe(device, number);
		for (i = nr++; i && ret_infos[i - 1].version > info.version; i--)
			ret_infos[i] = ret_infos[i - 1];
		ret_infos[i] = info;
	}
	return nr;
}

uint64_t zs_dictionaries_bytes(struct zs_device *device)
{
	struct zs_dictionary_info infos[ZS_DICTIONARY_VERSIONS];
	unsigned int nr = zs_device_dictionaries(device, infos);
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < nr; i++)
		bytes += infos[i].memory_bytes;
	return bytes;
}

void zs_dictionaries_check(struct zs_store *store, const uint64_t *nr_objects)
{
	for (unsigned int number = 1; number <= store->dictionaries.nr; number++) {
		struct zs_dictionary_place *place = place_of(store, number);
		uint64_t users = atomic_load(&place->users);

		zs_assert(users == 0 || users == ZS_DICTIONARY_LIVE);
		zs_assert(atomic_load(&place->nr_objects) == nr_objects[number]);
		/* A damaged object may name what isn't there. */
		zs_assert(users || (!place->device_id && !place->dictionary));
	}
}
