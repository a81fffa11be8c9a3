#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of the kernel's FUSE protocol that we read and write ourselves; facts from fuse(4) and the kernel's
 * include/uapi/linux/fuse.h. All numbers are in the machine's byte order. Requests that are not in here are libfuse's.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* Makes an open /dev/fuse a further descriptor of the connection whose descriptor is given. */
#define ZSD_FUSE_CLONE _IOR(229, 0, uint32_t)

enum zsd_fuse_opcode {
	ZSD_FUSE_FORGET = 2, /* never answered */
	ZSD_FUSE_OPEN = 14,
	ZSD_FUSE_READ = 15,
	ZSD_FUSE_WRITE = 16,
	ZSD_FUSE_RELEASE = 18,
	ZSD_FUSE_FSYNC = 20,
	ZSD_FUSE_FLUSH = 25,
	ZSD_FUSE_INIT = 26,
	ZSD_FUSE_INTERRUPT = 36,    /* never answered */
	ZSD_FUSE_BATCH_FORGET = 42, /* never answered */
	ZSD_FUSE_FALLOCATE = 43,
	ZSD_FUSE_LSEEK = 46,
};

/* The last one that there is, COPY_FILE_RANGE_64. Two are missing before it. */
#define ZSD_FUSE_OPCODE_MAX 53

/* Flags of the answer to OPEN. */
#define ZSD_FUSE_OPEN_DIRECT_IO		     (UINT32_C(1) << 0)
#define ZSD_FUSE_OPEN_KEEP_CACHE	     (UINT32_C(1) << 1)
#define ZSD_FUSE_OPEN_NOFLUSH		     (UINT32_C(1) << 5)
#define ZSD_FUSE_OPEN_PARALLEL_DIRECT_WRITES (UINT32_C(1) << 6) /* since 6.0; older kernels ignore it */

/* Errors beyond this are refused by the kernel. */
#define ZSD_FUSE_ERRNO_MAX 511

/* The protocol's version; who is offered a later one answers this, and gets INIT once more. */
#define ZSD_FUSE_MAJOR 7

/* Flags of INIT, in request and answer. */
#define ZSD_FUSE_INIT_EXTENDED		    (UINT32_C(1) << 30) /* of flags: there are flags2 */
#define ZSD_FUSE_INIT2_DIRECT_IO_ALLOW_MMAP (UINT32_C(1) << 4)	/* of flags2, since 6.6 */
#define ZSD_FUSE_INIT2_OVER_IO_URING	    (UINT32_C(1) << 9)	/* of flags2, since 6.14 */

struct zsd_fuse_in_header {
	uint32_t length; /* of the whole request */
	uint32_t opcode;
	uint64_t unique;
	uint64_t node;
	uint32_t uid, gid, pid;
	uint16_t extension_length; /* 8-byte units, at the end of the request; only if asked for in INIT */
	uint16_t padding;
};

struct zsd_fuse_out_header {
	uint32_t length;
	int32_t error; /* 0 or -errno */
	uint64_t unique;
};

/* What both grow by in newer versions is left out. */
struct zsd_fuse_init_in {
	uint32_t major, minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint32_t flags2;
};

struct zsd_fuse_init_out {
	uint32_t major, minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint16_t max_background;
	uint16_t congestion_threshold;
	uint32_t max_write;
	uint32_t time_granularity_nsec;
	uint16_t max_pages;
	uint16_t map_alignment;
	uint32_t flags2;
};

struct zsd_fuse_open_in {
	uint32_t flags; /* of open(2) */
	uint32_t open_flags;
};

struct zsd_fuse_open_out {
	uint64_t handle;
	uint32_t open_flags;
	int32_t backing_id;
};

struct zsd_fuse_read_in {
	uint64_t handle;
	uint64_t offset;
	uint32_t size;
	uint32_t read_flags;
	uint64_t lock_owner;
	uint32_t flags;
	uint32_t padding;
};

struct zsd_fuse_write_in {
	uint64_t handle;
	uint64_t offset;
	uint32_t size;
	uint32_t write_flags;
	uint64_t lock_owner;
	uint32_t flags;
	uint32_t padding;
};

struct zsd_fuse_write_out {
	uint32_t size;
	uint32_t padding;
};

struct zsd_fuse_release_in {
	uint64_t handle;
	uint32_t flags;
	uint32_t release_flags;
	uint64_t lock_owner;
};

struct zsd_fuse_fsync_in {
	uint64_t handle;
	uint32_t flags;
	uint32_t padding;
};

struct zsd_fuse_flush_in {
	uint64_t handle;
	uint32_t unused;
	uint32_t padding;
	uint64_t lock_owner;
};

struct zsd_fuse_fallocate_in {
	uint64_t handle;
	uint64_t offset;
	uint64_t length;
	uint32_t mode;
	uint32_t padding;
};

struct zsd_fuse_lseek_in {
	uint64_t handle;
	uint64_t offset;
	uint32_t whence;
	uint32_t padding;
};

struct zsd_fuse_lseek_out {
	uint64_t offset;
};

/*
 * Over io_uring, since 6.14. An entry is a pair of buffers that the kernel fills with one request and takes the answer
 * from: a header like this one, and the payload, which is all but header and fixed argument. Each entry belongs to one
 * queue; there is one for each possible CPU, and the kernel uses the one of the CPU that the client is on.
 */
#define ZSD_FUSE_RING_PART_BYTES 128

struct zsd_fuse_ring_header {
	union {
		struct zsd_fuse_in_header in;
		struct zsd_fuse_out_header out;
		char in_out[ZSD_FUSE_RING_PART_BYTES];
	};
	char argument[ZSD_FUSE_RING_PART_BYTES]; /* the fixed part of this opcode */
	uint64_t flags;
	uint64_t commit_id; /* names the request in its answer */
	uint32_t payload_length;
	uint32_t padding;
	uint64_t reserved;
};

/* What goes into the command area of an IORING_OP_URING_CMD on /dev/fuse; cmd_op is one of the operations. */
struct zsd_fuse_ring_command {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t queue;
	uint8_t padding[6];
};

enum zsd_fuse_ring_operation {
	ZSD_FUSE_RING_REGISTER = 1, /* addr, len: two iovecs, header and payload; completes with the first request */
	ZSD_FUSE_RING_COMMIT_AND_FETCH = 2, /* answers a request; completes with the entry's next one */
};

_Static_assert(sizeof(struct zsd_fuse_in_header) == 40, "FUSE request header");
_Static_assert(offsetof(struct zsd_fuse_in_header, extension_length) == 36, "FUSE request header");
_Static_assert(sizeof(struct zsd_fuse_out_header) == 16, "FUSE reply header");
_Static_assert(sizeof(struct zsd_fuse_init_in) == 20, "FUSE INIT");
_Static_assert(offsetof(struct zsd_fuse_init_out, flags2) == 32, "FUSE INIT");
_Static_assert(sizeof(struct zsd_fuse_open_in) == 8, "FUSE OPEN");
_Static_assert(sizeof(struct zsd_fuse_open_out) == 16, "FUSE OPEN");
_Static_assert(sizeof(struct zsd_fuse_read_in) == 40, "FUSE READ");
_Static_assert(sizeof(struct zsd_fuse_write_in) == 40, "FUSE WRITE");
_Static_assert(sizeof(struct zsd_fuse_write_out) == 8, "FUSE WRITE");
_Static_assert(sizeof(struct zsd_fuse_release_in) == 24, "FUSE RELEASE");
_Static_assert(sizeof(struct zsd_fuse_fsync_in) == 16, "FUSE FSYNC");
_Static_assert(sizeof(struct zsd_fuse_flush_in) == 24, "FUSE FLUSH");
_Static_assert(sizeof(struct zsd_fuse_fallocate_in) == 32, "FUSE FALLOCATE");
_Static_assert(sizeof(struct zsd_fuse_lseek_in) == 24, "FUSE LSEEK");
_Static_assert(sizeof(struct zsd_fuse_lseek_out) == 8, "FUSE LSEEK");
_Static_assert(sizeof(struct zsd_fuse_ring_header) == 288, "FUSE over io_uring");
_Static_assert(offsetof(struct zsd_fuse_ring_header, argument) == 128, "FUSE over io_uring");
_Static_assert(offsetof(struct zsd_fuse_ring_header, flags) == 256, "FUSE over io_uring");
_Static_assert(offsetof(struct zsd_fuse_ring_header, commit_id) == 264, "FUSE over io_uring");
_Static_assert(offsetof(struct zsd_fuse_ring_header, payload_length) == 272, "FUSE over io_uring");
_Static_assert(sizeof(struct zsd_fuse_ring_command) == 24, "FUSE over io_uring");
_Static_assert(offsetof(struct zsd_fuse_ring_command, queue) == 16, "FUSE over io_uring");
