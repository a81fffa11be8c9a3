#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes to one file through io_uring: the file and the buffers are registered where that is allowed, so that the
 * kernel looks them up and pins them once. Without io_uring (kernel.io_uring_disabled, seccomp) it writes with
 * pwrite(2), which is as safe and waits for each write.
 *
 * Context: one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_uring;

/* Told of each write that is over: its tag; bytes written, or -errno. */
typedef void zs_uring_done(void *context, unsigned int tag, int result);

/*
 * nr buffers of size bytes each, one behind the other; up to nr writes at a time. Buffers and file stay the caller's.
 * Returns 0 or -ENOMEM.
 */
int zs_uring_create(int fd, void *buffers, unsigned int nr, size_t size, struct zs_uring **ret_uring);
/* All writes must be over. */
void zs_uring_destroy(struct zs_uring *uring);

/* Writes the first bytes of a buffer; the buffer's number is the tag. */
void zs_uring_write(struct zs_uring *uring, unsigned int buffer, size_t bytes, uint64_t offset);
/* Tells of what is over; wait: of one at least, which must be on its way. */
void zs_uring_reap(struct zs_uring *uring, bool wait, zs_uring_done *done, void *context);
/* True if writes are asynchronous. */
bool zs_uring_is_real(const struct zs_uring *uring);
