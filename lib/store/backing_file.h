#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file below the backing store, or the device: opened, judged, lengthened and punched. Context: as backing.h. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/backing.h"

struct zs_backing_file {
	int fd;
	char *path;		 /* owned */
	bool is_device;		 /* a block device */
	bool is_direct;		 /* O_DIRECT */
	bool has_barrier;	 /* punching waits for direct writes of processes that are gone */
	uint64_t device_bytes;	 /* of a device */
	_Atomic uint64_t length; /* of a file: what it was lengthened to. The cold thread's */
};

/* What is in a file that was not opened before. */
enum zs_backing_content { ZS_BACKING_EMPTY, ZS_BACKING_OURS, ZS_BACKING_FOREIGN };

/* Opens and locks it; errnos of backing.h. */
int zs_backing_file_open(struct zs_backing_file *file, const struct zs_backing_options *options);
void zs_backing_file_close(struct zs_backing_file *file);

/* The header, if there is one. Returns 0, -EIO, or -ENOMEM; a file that is too short is EMPTY or FOREIGN. */
int zs_backing_file_judge(struct zs_backing_file *file, enum zs_backing_content *ret_content,
			  struct zs_backing_header *ret_header);
/* Removes what was in it, and writes a header. Returns 0, -ENOSPC, -EIO or -ENOMEM. */
int zs_backing_file_format(struct zs_backing_file *file, const struct zs_backing_header *header,
			   enum zs_backing_content content);
uint64_t zs_backing_header_checksum(const struct zs_backing_header *header);

/* Makes a file at least as long; what is new is a hole. Failing matters to nobody: a write lengthens it, too. */
void zs_backing_file_lengthen(struct zs_backing_file *file, uint64_t bytes);
/* Gives a range back; it is undefined what it reads as. Errors are ignored: the file then keeps its room. */
void zs_backing_file_punch(struct zs_backing_file *file, uint64_t offset, uint64_t bytes);
/* Waits until direct writes of processes that are gone are over; a range that nothing is written to. */
void zs_backing_file_barrier(struct zs_backing_file *file, uint64_t offset, uint64_t bytes);
/* What a file takes of its file system. */
uint64_t zs_backing_file_bytes(const struct zs_backing_file *file);
