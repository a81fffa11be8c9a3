#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of store/block.h share. */

#include <stddef.h>
#include <stdint.h>

#include "zsmalloc/pool.h"

struct zs_device;
struct zs_stream;

/*
 * Reads what *slot says, following it if it changes. The object that was read stays pinned, and the caller unpins it
 * unless its handle is 0: there was none. Returns 0; -EREMOTE if the object is in the backing file, where nothing was
 * read yet, but it is pinned; -EBADMSG or -ENOMEM, nothing being pinned.
 */
int zs_block_load_slot(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t *slot, void *buffer,
		       struct zs_object *ret_object);

/*
 * Stores the content of *slot* as another payload that takes less memory. The caller has the content from the slot's
 * object and keeps that pinned. Tick and idle mark stay, flags are added. Returns 0; -EAGAIN if the block has changed,
 * -ENOSPC or -ENOMEM, and then nothing is done.
 */
int zs_block_recode(struct zs_device *device, struct zs_stream *stream, uint64_t block, uint64_t slot, uint64_t flags,
		    const struct zs_object_info *info, const void *payload);

/*
 * Decompresses a block's pinned object whose payload is in memory, after a look at its checksum. Returns 0, -EBADMSG,
 * -ENOMEM, or -ESTALE: the block is another one by now, and the object's dictionary may be gone.
 */
int zs_block_unpack(struct zs_device *device, struct zs_stream *stream, uint64_t block, const struct zs_object *object,
		    void *buffer);
