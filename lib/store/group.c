/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Groups of devices.
 *
 * A group's charges are always the sum of what its devices' objects cost (ZS_COUNT_COST_BYTES), those of removed
 * devices included until the last of their objects is free.
 */

#include "store/group.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "base/residue.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/group_internal.h"
#include "store/owners.h"

#define NO_POSITION UINT16_MAX

/*
 * entries
 */

static uint64_t entry_checksum(const struct zs_group_entry *entry, uint64_t used)
{
	size_t start = offsetof(struct zs_group_entry, name);

	return XXH3_64bits_withSeed((const char *)entry + start, offsetof(struct zs_group_entry, checksum) - start,
				    used);
}

/* Limits are kept in pages: 54 bits of them are more than 64 bits of bytes. */
static void entry_set_limit(struct zs_group_entry *entry, uint64_t limit_bytes)
{
	uint64_t pages = limit_bytes / ZS_PAGE_SIZE + (limit_bytes % ZS_PAGE_SIZE != 0);

	atomic_store_explicit(&entry->limit_pages, zs_residue_seal(pages), memory_order_release);
}

static uint64_t entry_limit_bytes(const struct zs_group_entry *entry)
{
	uint64_t pages = zs_residue_value(atomic_load_explicit(&entry->limit_pages, memory_order_relaxed));

	return zs_min(pages, UINT64_MAX / ZS_PAGE_SIZE) * ZS_PAGE_SIZE;
}

static void entry_commit(struct zs_group_entry *entry, unsigned int index, const char *name, uint64_t limit_bytes)
{
	memset(entry->name, 0, sizeof(*entry) - offsetof(struct zs_group_entry, name));
	memcpy(entry->name, name, strlen(name));
	entry->checksum = entry_checksum(entry, index + 1);
	entry_set_limit(entry, limit_bytes);
	/* release: the entry is whole before it counts */
	atomic_store_explicit(&entry->used, zs_residue_seal(index + 1), memory_order_release);
}

/* Returns 0, -ENOENT (free) or -EBADMSG (damaged). */
static int entry_check(const struct zs_group_entry *entry, unsigned int index)
{
	uint64_t used = atomic_load_explicit(&entry->used, memory_order_acquire);

	if (!used)
		return -ENOENT;
	if (used != zs_residue_seal(index + 1) || entry->checksum != entry_checksum(entry, index + 1) ||
	    !zs_residue_is_sound(atomic_load(&entry->limit_pages)))
		return -EBADMSG;
	return memchr(entry->name, 0, sizeof(entry->name)) && zs_name_is_valid(entry->name) ? 0 : -EBADMSG;
}

/*
 * groups, under store->lock
 */

static unsigned int index_of(const struct zs_store *store, const struct zs_group *group)
{
	return (unsigned int)(group - store->groups);
}

static struct zs_group_entry *entry_of(const struct zs_store *store, const struct zs_group *group)
{
	return &store->group_entries[index_of(store, group)];
}

static struct zs_group *find(struct zs_store *store, const char *name)
{
	for (unsigned int i = 0; i < store->nr_groups; i++) {
		if (store->groups[i].is_used && !strcmp(store->group_entries[i].name, name))
			return &store->groups[i];
	}
	return NULL;
}

static struct zs_group *find_free(struct zs_store *store)
{
	for (unsigned int i = 0; i < store->nr_groups; i++) {
		if (!store->groups[i].is_used)
			return &store->groups[i];
	}
	return NULL;
}

/* What its entry says holds from now on. */
static void take_limit(struct zs_store *store, struct zs_group *group)
{
	uint64_t limit_bytes = entry_limit_bytes(entry_of(store, group));

	if (limit_bytes && !atomic_load(&group->budget.limit_bytes))
		group->limit_id = ++store->last_limit_id;
	atomic_store(&group->budget.limit_bytes, limit_bytes);
}

static void set_limit(struct zs_store *store, struct zs_group *group, uint64_t limit_bytes)
{
	entry_set_limit(entry_of(store, group), limit_bytes);
	take_limit(store, group);
}

static int make(struct zs_store *store, const char *name, uint64_t limit_bytes, struct zs_group **ret_group)
{
	struct zs_group *group = find_free(store);
	struct zs_group_entry *entry;
	uint64_t offset;
	int error;

	if (!group)
		return -EUSERS;
	offset = index_of(store, group) * sizeof(*entry);
	error = zs_arena_populate(&store->arena, ZS_REGION_GROUPS, zs_align_down(offset, ZS_PAGE_SIZE), ZS_PAGE_SIZE);
	if (error)
		return error;
	entry = entry_of(store, group);
	entry_commit(entry, index_of(store, group), name, limit_bytes);
	group->is_used = true;
	take_limit(store, group);
	*ret_group = group;
	return 0;
}

/* Gives a group back that nobody needs any more. */
static void drop_unused(struct zs_store *store, struct zs_group *group)
{
	if (!group->is_used || group->nr_devices || atomic_load(&group->budget.limit_bytes))
		return;
	zs_assert(!atomic_load(&group->budget.charged_bytes));
	atomic_store_explicit(&entry_of(store, group)->used, 0, memory_order_release);
	group->is_used = false;
}

int zs_group_join(struct zs_device *device, const char *name)
{
	struct zs_store *store = device->store;
	struct zs_group *group;
	int error;

	device->group = NULL;
	if (!name)
		return 0;
	group = find(store, name);
	if (!group) {
		error = make(store, name, 0, &group);
		if (error)
			return error;
	}
	group->nr_devices++;
	device->group = group;
	return 0;
}

void zs_group_rejoin(struct zs_device *device)
{
	uint16_t number = device->entry->group;

	device->group = number ? &device->store->groups[number - 1] : NULL;
	if (device->group)
		device->group->nr_devices++;
}

void zs_group_leave(struct zs_device *device, uint64_t charged_bytes)
{
	struct zs_group *group = device->group;

	if (!group)
		return;
	device->group = NULL;
	atomic_fetch_sub(&group->budget.charged_bytes, charged_bytes);
	if (device->state == ZS_DEVICE_REMOVING)
		atomic_fetch_sub(&group->budget.nr_waiting, 1);
	group->nr_devices--;
	drop_unused(device->store, group);
}

uint16_t zs_group_number(const struct zs_device *device)
{
	return device->group ? (uint16_t)(index_of(device->store, device->group) + 1) : 0;
}

const char *zs_group_name(const struct zs_device *device)
{
	return device->group ? entry_of(device->store, device->group)->name : "";
}

bool zs_group_number_is_sound(struct zs_store *store, uint16_t number)
{
	return !number || (number <= store->nr_groups && store->groups[number - 1].is_used);
}

/*
 * life
 */

void zs_groups_init(struct zs_store *store)
{
	store->group_entries = zs_arena_at(&store->arena, ZS_REGION_GROUPS, 0);
	store->nr_groups = (unsigned int)zs_min(
		store->arena.region_bytes[ZS_REGION_GROUPS] / sizeof(store->group_entries[0]), ZS_GROUPS_MAX);
}

/* Judges an entry, and takes it over if it is one. Returns 0 or -EBADMSG after a message. */
static int adopt(struct zs_store *store, unsigned int index)
{
	struct zs_group_entry *entry = &store->group_entries[index];
	int error = entry_check(entry, index);

	if (error == -ENOENT)
		return 0;
	if (!error && find(store, entry->name))
		error = -EBADMSG;
	if (error) {
		zs_log(ZS_LOG_ERR, "arena refused: entry %u of the group table is damaged", index);
		return error;
	}
	store->groups[index].is_used = true;
	take_limit(store, &store->groups[index]);
	return 0;
}

int zs_groups_adopt(struct zs_store *store)
{
	uint64_t at = 0, length;
	int error = 0;

	/* Pages of the table without memory hold no entries; a look at them would make memory. */
	while (!error && zs_arena_next_data(&store->arena, ZS_REGION_GROUPS, &at, &length)) {
		uint64_t end = zs_min((at + length) / sizeof(struct zs_group_entry), store->nr_groups);

		for (uint64_t i = at / sizeof(struct zs_group_entry); !error && i < end; i++)
			error = adopt(store, (unsigned int)i);
		at += length;
	}
	return error;
}

void zs_groups_adopt_end(struct zs_store *store)
{
	for (unsigned int i = 0; i < store->nr_groups; i++)
		drop_unused(store, &store->groups[i]);
}

int zs_store_add_group(struct zs_store *store, const char *name, uint64_t memory_limit_bytes)
{
	struct zs_group *group;
	ZS_LOCK_SCOPE(&store->lock);

	if (!name || !zs_name_is_valid(name))
		return -EINVAL;
	group = find(store, name);
	if (!group)
		return memory_limit_bytes ? make(store, name, memory_limit_bytes, &group) : 0;
	set_limit(store, group, memory_limit_bytes);
	drop_unused(store, group);
	return 0;
}

int zs_store_set_group_limit(struct zs_store *store, const char *name, uint64_t memory_limit_bytes)
{
	struct zs_group *group;
	ZS_LOCK_SCOPE(&store->lock);

	group = find(store, name);
	if (!group)
		return -ENOENT;
	set_limit(store, group, memory_limit_bytes);
	drop_unused(store, group);
	return 0;
}

/*
 * statistics
 */

bool zs_store_next_limited_group(struct zs_store *store, unsigned int *cursor, struct zs_group_use *ret_use)
{
	ZS_LOCK_SCOPE(&store->lock);

	while (*cursor < store->nr_groups) {
		const struct zs_group *group = &store->groups[(*cursor)++];
		uint64_t limit_bytes = atomic_load(&group->budget.limit_bytes);

		if (!group->is_used || !limit_bytes)
			continue;
		*ret_use = (struct zs_group_use){
			.number = *cursor,
			.limit_id = group->limit_id,
			.memory_limit_bytes = limit_bytes,
			.charged_bytes = atomic_load(&group->budget.charged_bytes),
		};
		memcpy(ret_use->name, store->group_entries[*cursor - 1].name, sizeof(ret_use->name));
		return true;
	}
	return false;
}

bool zs_store_next_in_group(struct zs_store *store, unsigned int number, unsigned int *cursor, uint64_t *ret_id)
{
	ZS_LOCK_SCOPE(&store->lock);

	while (*cursor < store->nr_entries) {
		const struct zs_device *device = atomic_load(&store->devices[(*cursor)++]);

		if (!device || device->state != ZS_DEVICE_ACTIVE || zs_group_number(device) != number)
			continue;
		*ret_id = device->own_id;
		return true;
	}
	return false;
}

/* Where in an answer each group is. */
struct answer {
	struct zs_group_stats *groups;
	unsigned int nr;
	uint16_t position[ZS_GROUPS_MAX];
};

static void list_groups(struct zs_store *store, struct answer *answer)
{
	ZS_LOCK_SCOPE(&store->lock);

	for (unsigned int i = 0; i < store->nr_groups; i++) {
		struct zs_group *group = &store->groups[i];
		struct zs_group_stats *stats = &answer->groups[answer->nr];

		answer->position[i] = NO_POSITION;
		if (!group->is_used)
			continue;
		*stats = (struct zs_group_stats){
			.memory_limit_bytes = atomic_load(&group->budget.limit_bytes),
			.charged_bytes = atomic_load(&group->budget.charged_bytes),
		};
		memcpy(stats->name, store->group_entries[i].name, sizeof(stats->name));
		answer->position[i] = (uint16_t)answer->nr++;
	}
}

static void add_device(struct answer *answer, struct zs_device *device)
{
	uint16_t number = zs_group_number(device), position = number ? answer->position[number - 1] : NO_POSITION;
	struct zs_group_stats *group;
	struct zs_device_stats stats;
	struct zs_account_sum sum;

	/* Made since the groups were listed, perhaps in the place of another one. */
	if (position == NO_POSITION || strcmp(answer->groups[position].name, zs_group_name(device)) != 0)
		return;
	group = &answer->groups[position];
	zs_device_stats(device, &stats);
	group->nr_devices++;
	group->data_bytes += stats.data_bytes;
	group->compressed_bytes += stats.compressed_bytes;
	group->memory_bytes += stats.memory_bytes;
	for (unsigned int node = 0; !zs_device_account(device, node, &sum); node++) {
		group->nodes[node].payload_bytes += sum.payload_bytes;
		group->nodes[node].share_bytes += sum.share_bytes;
	}
}

unsigned int zs_store_groups(struct zs_store *store, struct zs_group_stats *ret_stats)
{
	struct answer answer = {.groups = ret_stats};
	unsigned int cursor = 0;
	uint64_t id;

	list_groups(store, &answer);
	while (answer.nr && zs_store_next(store, &cursor, &id)) {
		struct zs_device *device = zs_device_get(store, id, NULL);

		if (!device)
			continue;
		add_device(&answer, device);
		zs_device_put(device, NULL);
	}
	return answer.nr;
}

/*
 * checking
 */

void zs_groups_assert(struct zs_store *store)
{
	uint64_t charged[ZS_GROUPS_MAX] = {0};
	unsigned int nr_devices[ZS_GROUPS_MAX] = {0};

	for (unsigned int i = 0; i < store->nr_entries; i++) {
		const struct zs_device *device = atomic_load(&store->devices[i]);

		if (!device || !device->group)
			continue;
		zs_assert(device->state != ZS_DEVICE_FREE && device->entry->group == zs_group_number(device));
		charged[zs_group_number(device) - 1] += zs_shards_sum(&device->shards, ZS_COUNT_COST_BYTES);
		nr_devices[zs_group_number(device) - 1]++;
	}
	for (unsigned int i = 0; i < store->nr_groups; i++) {
		struct zs_group *group = &store->groups[i];

		zs_assert(group->nr_devices == nr_devices[i]);
		zs_assert(atomic_load(&group->budget.charged_bytes) == charged[i]);
		if (!group->is_used)
			continue;
		zs_assert(!entry_check(&store->group_entries[i], i));
		zs_assert(atomic_load(&group->budget.limit_bytes) == entry_limit_bytes(&store->group_entries[i]));
	}
}
