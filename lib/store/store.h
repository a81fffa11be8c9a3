#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store: devices over one heap. It owns the arena, the heap, the pool and the device table.
 *
 * Data goes through store/device.h. Adding, removing and finding devices is here. Any thread may call any function;
 * adding and removing are serialised inside.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"
#include "store/deferred.h"
#include "zsmalloc/account.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/pool.h"

struct zs_class_stats;
struct zs_device;
struct zs_store;
struct zs_stream;

#define ZS_DEVICE_NAME_BYTES 65 /* 64 and the NUL */
#define ZS_DEVICES_MAX	     4096
/* What recompression may use, one after the other; and with the codec of writes. */
#define ZS_RECOMPRESS_CODECS 3
#define ZS_CODECS	     (1 + ZS_RECOMPRESS_CODECS)
#define ZS_BLOCK_MIN_BYTES   ((size_t)4 << 10)

struct zs_store_options {
	struct zs_arena_options arena; /* used by zs_store_create() only */
	uint64_t memory_limit_bytes;   /* 0 = none */
	/* nr_nodes 0: off; without node_of_page the kernel is asked. Owners are devices, see store/owners.h */
	struct zs_account_options account;
};

/* What a device is made from. */
struct zs_device_options {
	const char *name; /* 1 to 64 bytes of UTF-8 without '/', '.' and control characters */
	uint64_t size_bytes;
	uint32_t block_size;	      /* 0 = 4 KiB; a power of two up to 64 KiB */
	struct zs_codec_params codec; /* level in range */
	unsigned int nr_recompress;   /* ZS_RECOMPRESS_CODECS at most; see store/recompress.h */
	struct zs_codec_params recompress[ZS_RECOMPRESS_CODECS];
	uint64_t memory_limit_bytes; /* 0 = none */
	uint32_t mode;		     /* permission bits of the file, 0 = 0600 */
	uint32_t uid, gid;
	bool page_cache;   /* the kernel may cache the file's content; nothing to the store */
	bool read_only;	   /* see zs_device_set_read_only() */
	const char *group; /* see store/group.h; a name as a device's, NULL = of none. It stays so */
};

/* Which field of zs_device_options a refusal is about, so that the caller can name it. */
enum zs_device_field {
	ZS_FIELD_NONE,
	ZS_FIELD_NAME,
	ZS_FIELD_SIZE,
	ZS_FIELD_BLOCK_SIZE,
	ZS_FIELD_CODEC,
	ZS_FIELD_RECOMPRESS,
	ZS_FIELD_MEMORY_LIMIT,
	ZS_FIELD_GROUP,
};

struct zs_device_info {
	uint64_t id; /* never reused; the low 12 bits are the index in the device table */
	char name[ZS_DEVICE_NAME_BYTES];
	uint64_t size_bytes;
	uint32_t block_size;
	struct zs_codec_params codec;
	unsigned int nr_recompress;
	struct zs_codec_params recompress[ZS_RECOMPRESS_CODECS];
	uint64_t memory_limit_bytes;
	uint32_t mode, uid, gid;
	bool page_cache;
	bool read_only;
	int64_t created_sec;		  /* Unix time */
	char group[ZS_DEVICE_NAME_BYTES]; /* "" = of none */
};

/*
 * Counters of a device. blocks = empty + same + objects + backed; data_bytes = (same_blocks + object_blocks +
 * backed_blocks) * block size, what zram calls orig_data_size; zram's same_pages and huge_pages are same_blocks and
 * huge_blocks, its bd_count, bd_reads and bd_writes are backed_blocks, read_back_blocks and written_back_blocks.
 */
struct zs_device_stats {
	uint64_t data_bytes;
	uint64_t same_blocks;
	uint64_t object_blocks; /* with an object in memory, huge ones included; fill objects count as same */
	uint64_t huge_blocks;	/* incompressible: stored raw, in memory */
	uint64_t zstd_blocks;	/* with an object in memory whose codec is zstd, and the payload of these */
	uint64_t zstd_bytes;
	uint64_t compressed_bytes; /* payload of all objects in memory, without headers: zram's compr_data_size */
	uint64_t memory_bytes;	   /* the objects' share of pages, handle words, slot table pages, dictionaries */
	uint64_t peak_bytes;	   /* the most that memory_bytes was, see zs_device_add_cost() */
	uint64_t reads, read_bytes;
	uint64_t writes, written_bytes;
	uint64_t discards, discarded_bytes;
	uint64_t no_space;     /* writes refused for lack of room */
	uint64_t recompressed; /* blocks that got a denser codec, so far, and the memory that this has saved */
	uint64_t recompression_saved_bytes;
	uint64_t corrupt;      /* blocks found damaged: each time one was read, or lost at open */
	int64_t modified_nsec; /* Unix time of the last change of data, coarse */
	/* The backing file, see store/cold.h. */
	uint64_t backed_blocks; /* with an object there */
	uint64_t backed_bytes;	/* these objects' records; of discarded blocks, too, until they are free */
	uint64_t written_back_blocks, written_back_bytes;
	uint64_t read_back_blocks, read_back_bytes;
	uint64_t promoted_blocks; /* of those, back in memory afterwards */
	uint64_t unreadable;	  /* blocks that could not be read back: each time one was read */
};

struct zs_store_stats {
	struct zs_heap_stats heap;
	struct zs_pool_stats pool;
	struct zs_deferred_stats deferred;
	uint64_t resident_bytes; /* memory of the arena's file, as the kernel counts it */
	uint64_t nr_devices;
	bool pool_per_device; /* devices share no zspages */
};

/*
 * life
 *
 * zs_store_create() makes an empty arena; zs_store_open() takes an existing one (fd is duplicated), scans its slot
 * tables and rebuilds all else: blocks that it finds damaged read as EIO from then on and are counted. Errnos as
 * zs_arena_create() and zs_arena_open(), and -EBADMSG for a damaged device or group table; nothing in the arena is
 * changed if it is refused. zs_store_close() keeps nothing but the arena's content, which lives while somebody holds
 * zs_store_fd()'s descriptor.
 */
int zs_store_create(const struct zs_store_options *options, struct zs_store **ret_store);
int zs_store_open(int fd, const struct zs_store_options *options, struct zs_store **ret_store);
void zs_store_close(struct zs_store *store);

/*
 * Starts the maintenance thread: from then on discards and removals are answered at once and their memory is freed by
 * it. Returns 0, -ENOMEM or -EAGAIN. Once at most.
 */
int zs_store_start_maintenance(struct zs_store *store);
/* Frees now whatever waits to be freed, and gives its memory back. */
void zs_store_flush(struct zs_store *store);

/* The arena's descriptor; borrowed. */
int zs_store_fd(const struct zs_store *store);
void zs_store_set_limit(struct zs_store *store, uint64_t memory_limit_bytes);
void zs_store_stats(struct zs_store *store, struct zs_store_stats *ret_stats);
/*
 * The size classes, summed over all pools; returns how many there are. ret_classes has room for ZS_CLASSES_MAX. See
 * zsmalloc/report.h.
 */
unsigned int zs_store_classes(struct zs_store *store, struct zs_class_stats *ret_classes);
/* Compacts all pools, see zs_pool_compact(). Returns the pages freed. */
uint64_t zs_store_compact(struct zs_store *store, uint64_t page_budget);
/* Asserts all invariants: slots, counters, pool. Context: no other thread uses the store. */
void zs_store_check(struct zs_store *store);
/* The pool that devices share. */
struct zs_pool *zs_store_pool(struct zs_store *store);

/*
 * devices
 *
 * zs_store_add() returns 0 and the device's id; -EEXIST (name taken), -EINVAL (*ret_field says which field),
 * -EFBIG (size: larger than the longest free range of slot tables), -ENFILE (ZS_DEVICES_MAX reached), -EUSERS (the
 * group would be one more than ZS_GROUPS_MAX), -ENOMEM. Blocks that are written take memory of the pool, a device none.
 * ret_field may be NULL. Where a device that is being removed is in the way, what it holds is freed first; one that is
 * in use yet is not waited for.
 *
 * zs_store_try_add() is for who must not wait: it frees a piece at most, as zs_deferred_help() does, and returns
 * -EAGAIN if the device may be added after more of it. What others keep discarding is not waited for, but as long as
 * there is a removed device to be freed.
 */
int zs_store_try_add(struct zs_store *store, const struct zs_device_options *options, enum zs_device_field *ret_field,
		     uint64_t *ret_id);
int zs_store_add(struct zs_store *store, const struct zs_device_options *options, enum zs_device_field *ret_field,
		 uint64_t *ret_id);

/*
 * Removes a device and frees all it holds; I/O in flight is waited for, later I/O answers -ENODEV. Returns 0 or
 * -ENODEV. Whether somebody has it open is the caller's business.
 */
int zs_store_remove(struct zs_store *store, uint64_t id);

/*
 * The same for who must not wait, since a disk may hold up I/O in flight for long. zs_store_is_removing(): some of it
 * has not ended yet. Before zs_store_start_maintenance() it is waited for.
 */
int zs_store_remove_begin(struct zs_store *store, uint64_t id);
bool zs_store_is_removing(struct zs_store *store, uint64_t id);

/*
 * Puts an empty device in the place of this one, with the same name and options: it has an id of its own and counts
 * from 0, as after removing and adding it, but nothing has happened if it fails. A process that is killed leaves the
 * old one or the empty one. While both are there they take two places. Errnos, and what is waited for, as with
 * zs_store_try_add() without -EEXIST, and -ENODEV. Who has the old one borrowed keeps it.
 */
int zs_store_try_reset(struct zs_store *store, uint64_t id, uint64_t *ret_id);

/* The largest device that could be added now, bytes, for this block size. */
uint64_t zs_store_max_device_bytes(struct zs_store *store, uint32_t block_size);

/* Finds by name. Returns 0 and the id or -ENODEV. */
int zs_store_find(struct zs_store *store, const char *name, uint64_t *ret_id);

/*
 * Walks over all devices in the order of their index: *cursor starts at 0; false at the end. Devices added or removed
 * meanwhile may or may not be seen.
 */
bool zs_store_next(struct zs_store *store, unsigned int *cursor, uint64_t *ret_id);

/*
 * Borrows a device: it stays until zs_device_put(). NULL if there is no such device (any more). Lock-free; the hot
 * path of every request. stream may be NULL outside of the data path.
 */
struct zs_device *zs_device_get(struct zs_store *store, uint64_t id, struct zs_stream *stream);
void zs_device_put(struct zs_device *device, struct zs_stream *stream);
