/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frontend of a store's devices: names, attributes, the directory. */

#include "frontend_internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "store/device.h"

#define NSEC_PER_SEC INT64_C(1000000000)

_Static_assert(ZSD_NAME_BYTES == ZS_DEVICE_NAME_BYTES, "a file is named as its device");

int64_t zsd_frontend_now_nsec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

static struct zsd_file_times *times_of(struct zsd_frontend *frontend, uint64_t node)
{
	return &frontend->times[(node - ZSD_NODE_OFFSET) & (ZS_DEVICES_MAX - 1)];
}

int zsd_frontend_lookup(void *argument, uint64_t directory, const char *name, uint64_t *ret_node)
{
	struct zsd_frontend *frontend = argument;
	uint64_t id;

	/* No device's name has a dot. */
	if (directory != ZSD_ROOT_NODE || *name == '.')
		return zsd_reports_lookup(frontend, directory, name, ret_node);
	if (strlen(name) >= ZS_DEVICE_NAME_BYTES)
		return -ENAMETOOLONG;
	if (zs_store_find(frontend->store, name, &id))
		return -ENOENT;
	*ret_node = id + ZSD_NODE_OFFSET;
	return 0;
}

static void get_root(struct zsd_frontend *frontend, struct zsd_attributes *ret_attributes)
{
	int64_t changed = atomic_load(&frontend->directory_changed_nsec);

	*ret_attributes = (struct zsd_attributes){
		.node = ZSD_ROOT_NODE,
		.mode = 0755,
		.is_directory = true,
		.uid = geteuid(),
		.gid = getegid(),
		.block_size = ZS_PAGE_SIZE,
		.accessed_nsec = changed,
		.modified_nsec = changed,
		.changed_nsec = changed,
	};
}

/* Set times hold until data changes after them. */
static void apply_times(struct zsd_frontend *frontend, uint64_t node, struct zsd_attributes *attributes)
{
	struct zsd_file_times times;

	pthread_mutex_lock(&frontend->times_lock);
	times = *times_of(frontend, node);
	pthread_mutex_unlock(&frontend->times_lock);
	if (times.node != node)
		return;
	if (times.accessed_nsec)
		attributes->accessed_nsec = times.accessed_nsec;
	if (times.modified_nsec && times.set_nsec >= attributes->modified_nsec)
		attributes->modified_nsec = times.modified_nsec;
	if (times.set_nsec > attributes->changed_nsec)
		attributes->changed_nsec = times.set_nsec;
}

int zsd_frontend_getattr(void *argument, uint64_t node, struct zsd_attributes *ret_attributes)
{
	struct zsd_frontend *frontend = argument;
	struct zs_device_info info;
	struct zs_device_stats stats;
	struct zs_device *device;
	int64_t created, modified;

	if (node == ZSD_ROOT_NODE) {
		get_root(frontend, ret_attributes);
		return 0;
	}
	if (zsd_is_report(node))
		return zsd_reports_getattr(frontend, node, ret_attributes);
	device = zsd_frontend_get(frontend, node, NULL);
	if (!device)
		return -ESTALE;
	zs_device_info(device, &info);
	zs_device_stats(device, &stats);
	zs_device_put(device, NULL);
	created = info.created_sec * NSEC_PER_SEC;
	modified = stats.modified_nsec > created ? stats.modified_nsec : created;
	*ret_attributes = (struct zsd_attributes){
		.node = node,
		.size_bytes = info.size_bytes,
		.memory_bytes = stats.memory_bytes,
		.accessed_nsec = modified,
		.modified_nsec = modified,
		.changed_nsec = modified,
		.block_size = info.block_size,
		.mode = info.mode,
		.uid = info.uid,
		.gid = info.gid,
	};
	apply_times(frontend, node, ret_attributes);
	return 0;
}

static void set_times(struct zsd_frontend *frontend, uint64_t node, unsigned int changes,
		      const struct zsd_attributes *wanted)
{
	struct zsd_file_times *times = times_of(frontend, node);

	pthread_mutex_lock(&frontend->times_lock);
	if (times->node != node)
		*times = (struct zsd_file_times){.node = node};
	times->set_nsec = zsd_frontend_now_nsec();
	if (changes & ZSD_CHANGE_ACCESSED)
		times->accessed_nsec = wanted->accessed_nsec;
	if (changes & ZSD_CHANGE_MODIFIED)
		times->modified_nsec = wanted->modified_nsec;
	pthread_mutex_unlock(&frontend->times_lock);
}

static void set_owner(struct zs_device *device, unsigned int changes, const struct zsd_attributes *wanted)
{
	struct zs_device_info info;

	zs_device_info(device, &info);
	zs_device_set_owner(device, changes & ZSD_CHANGE_UID ? wanted->uid : info.uid,
			    changes & ZSD_CHANGE_GID ? wanted->gid : info.gid);
}

int zsd_frontend_setattr(void *argument, uint64_t node, unsigned int changes, const struct zsd_attributes *wanted)
{
	struct zsd_frontend *frontend = argument;
	struct zs_device *device;

	if (node == ZSD_ROOT_NODE || zsd_is_report(node))
		return -EPERM;
	device = zsd_frontend_get(frontend, node, NULL);
	if (!device)
		return -ESTALE;
	if ((changes & ZSD_CHANGE_SIZE) && wanted->size_bytes != zs_device_size(device)) {
		zs_device_put(device, NULL);
		return -EPERM;
	}
	if (changes & ZSD_CHANGE_MODE)
		zs_device_set_mode(device, wanted->mode);
	if (changes & (ZSD_CHANGE_UID | ZSD_CHANGE_GID))
		set_owner(device, changes, wanted);
	set_times(frontend, node, changes, wanted);
	zs_device_put(device, NULL);
	return 0;
}

bool zsd_frontend_next(void *argument, uint64_t directory, uint64_t *cursor, char name[static ZSD_NAME_BYTES],
		       uint64_t *ret_node)
{
	struct zsd_frontend *frontend = argument;
	struct zs_device_info info;
	unsigned int index = (unsigned int)*cursor;
	uint64_t id;

	if (directory != ZSD_ROOT_NODE)
		return zsd_reports_next(frontend, directory, cursor, name, ret_node);
	while (zs_store_next(frontend->store, &index, &id)) {
		struct zs_device *device = zs_device_get(frontend->store, id, NULL);

		if (!device)
			continue;
		zs_device_info(device, &info);
		zs_device_put(device, NULL);
		memcpy(name, info.name, ZSD_NAME_BYTES);
		*cursor = index;
		*ret_node = id + ZSD_NODE_OFFSET;
		return true;
	}
	return false;
}

static uint64_t machine_bytes(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
}

void zsd_frontend_space(void *argument, struct zsd_space *ret_space)
{
	struct zsd_frontend *frontend = argument;
	struct zs_store_stats stats;
	uint64_t total;

	zs_store_stats(frontend->store, &stats);
	total = stats.heap.limit_bytes ? stats.heap.limit_bytes : machine_bytes();
	*ret_space = (struct zsd_space){
		.total_bytes = total,
		.free_bytes = stats.heap.used_bytes < total ? total - stats.heap.used_bytes : 0,
		.nr_files = stats.nr_devices,
		.max_files = ZS_DEVICES_MAX,
	};
}
