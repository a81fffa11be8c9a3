#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects that are made past the store: no slot names them. */

#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

/* Makes an object as the store would; writing it, and its slot, are the caller's business. */
struct zs_handle test_object_alloc(struct zs_store *store, size_t size);

/* Objects that no slot names, one of them not written: as a kill between copying and committing leaves them. */
void test_objects_leave_garbage(struct zs_store *store, const char *data, size_t size);

/*
 * Leaves the zspage with the first object of this size emptier than another one of its class: objects that no slot
 * names fill both, and most of the first one's are freed again. size is at most 16.
 */
void test_objects_fragment(struct zs_store *store, uint32_t size);
