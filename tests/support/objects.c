/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects past the store. */

#include "support/objects.h"

#include "base/check.h"
#include "codec/codec.h"

/* Two zspages of the smallest objects and a half. */
#define FRAGMENT_OBJECTS 320

struct zs_handle test_object_alloc(struct zs_store *store, size_t size)
{
	struct zs_handle handle;

	zs_assert(!zs_pool_alloc(zs_store_pool(store), size, ZS_URGENCY_NEW, &handle));
	return handle;
}

void test_objects_leave_garbage(struct zs_store *store, const char *data, size_t size)
{
	struct zs_object_info info = {.size = (uint32_t)size, .codec = ZS_CODEC_RAW};

	zs_obj_write(zs_store_pool(store), test_object_alloc(store, size), &info, data);
	test_object_alloc(store, size);
}

void test_objects_fragment(struct zs_store *store, uint32_t size)
{
	const char payload[16] = {0};
	struct zs_object_info info = {.size = size, .codec = ZS_CODEC_FILL}, freed;
	struct zs_handle handles[FRAGMENT_OBJECTS];

	for (unsigned int i = 0; i < FRAGMENT_OBJECTS; i++) {
		zs_assert(!zs_pool_alloc(zs_store_pool(store), size, ZS_URGENCY_NEW, &handles[i]));
		zs_obj_write(zs_store_pool(store), handles[i], &info, payload);
	}
	for (unsigned int i = 0; i < FRAGMENT_OBJECTS; i++) {
		if (i < FRAGMENT_OBJECTS / 2 || i % 3 == 0)
			zs_pool_free(zs_store_pool(store), handles[i], &freed);
	}
}
