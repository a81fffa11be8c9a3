#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libzs: compressed disks in memory, in a process of one's own, and calls to the daemon. See zsd-internals(7).
 *
 * Functions that can fail return 0 or -errno; outputs come last and are untouched on failure. Sizes and offsets are in
 * bytes. This is all that the library exports; names and types that are here stay as they are.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ZS_PUBLIC __attribute__((visibility("default")))

/*
 * the daemon
 */

/*
 * Calls a method of a daemon, such as "io.zsd.control.List", over its socket (NULL: /run/zsd/io.zsd.control), and waits
 * for the reply, for 30 seconds at most. parameters is the text of a JSON object, or NULL. The reply is one as well, to
 * be freed with free(3). Returns 0; -EREMOTEIO if the daemon answered an error: *ret_reply is the text of
 * {"error": NAME, "parameters": {...}} in this case; -EINVAL (parameters), -ENOENT, -ECONNREFUSED, -EACCES (of
 * connecting), -ETIMEDOUT, -ECONNRESET, -EBADMSG (no Varlink), -EMSGSIZE or -ENOMEM. Context: any thread.
 */
ZS_PUBLIC int zs_call(const char *socket, const char *method, const char *parameters, char **ret_reply);

/*
 * disks
 *
 * Disks of one set share a pool of memory. Any thread may use a set; the data of a disk is read and written through a
 * handle, which belongs to one thread at a time. A disk may have any number of handles, and is best used by several
 * threads with one each. A block is replaced as a whole: who reads at the same time gets the old data or the new.
 */
struct zs_disks;
struct zs_disk;

struct zs_disk_options {
	const char *name;	     /* 1 to 64 bytes of UTF-8 without '/', '.' and control characters */
	const char *algorithm;	     /* "lz4", "zstd:3", ... as in zsctl(1); NULL = lz4 */
	uint64_t size_bytes;	     /* a multiple of the block size */
	uint64_t memory_limit_bytes; /* 0 = that of the set only */
	uint32_t block_size;	     /* 4096 to 65536, a power of two; 0 = 4096 */
	uint32_t reserved[7];	     /* 0 */
};

struct zs_disk_info {
	uint64_t size_bytes;
	uint64_t data_bytes;	   /* of blocks that are not empty */
	uint64_t compressed_bytes; /* what these have become */
	uint64_t memory_bytes;	   /* that it takes, tables included */
	uint32_t block_size;
	uint32_t reserved[9]; /* 0 */
};

/* memory_limit_bytes: for all disks, tables included; 0 = none. Returns 0, -ENOMEM, -EMFILE or -ENFILE. */
ZS_PUBLIC int zs_disks_create(uint64_t memory_limit_bytes, struct zs_disks **ret_disks);
/* With all data; there must be no handle any more. NULL is allowed. */
ZS_PUBLIC void zs_disks_destroy(struct zs_disks *disks);

/*
 * Adds an empty disk. Returns 0, -EEXIST (name), -EINVAL (an option is not as above), -EFBIG (size), -ENFILE (too many
 * disks), -ENOSPC or -ENOMEM.
 */
ZS_PUBLIC int zs_disks_add(struct zs_disks *disks, const struct zs_disk_options *options);
/* Removes a disk and its data; handles answer -ENODEV from then on. Returns 0 or -ENODEV. */
ZS_PUBLIC int zs_disks_remove(struct zs_disks *disks, const char *name);

/* Returns 0, -ENODEV or -ENOMEM. Close it before its set is destroyed. */
ZS_PUBLIC int zs_disk_open(struct zs_disks *disks, const char *name, struct zs_disk **ret_disk);
/* NULL is allowed. */
ZS_PUBLIC void zs_disk_close(struct zs_disk *disk);

/* What was never written reads as zeros. Returns 0, -ENODEV, -EINVAL (range), -EIO (damaged in memory) or -ENOMEM. */
ZS_PUBLIC int zs_disk_read(struct zs_disk *disk, uint64_t offset, void *buffer, size_t length);
/*
 * Returns 0 and how much was written, less than length only if room ran out on the way; -ENODEV, -ENOSPC (no room, or
 * beyond the end), -EIO (the rest of a partly written block is damaged) or -ENOMEM.
 */
ZS_PUBLIC int zs_disk_write(struct zs_disk *disk, uint64_t offset, const void *buffer, size_t length, size_t *ret_done);
/* The range reads as zeros from then on and takes no memory. Returns 0, -ENODEV, -ENOSPC, -EIO or -ENOMEM. */
ZS_PUBLIC int zs_disk_discard(struct zs_disk *disk, uint64_t offset, uint64_t length);
/* Returns 0 or -ENODEV. */
ZS_PUBLIC int zs_disk_info(struct zs_disk *disk, struct zs_disk_info *ret_info);

#ifdef __cplusplus
}
#endif
