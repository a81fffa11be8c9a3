/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store under test. */

#include "support/store_fixture.h"

#include "base/check.h"
#include "support/small_store.h"

struct zs_store *store;
struct zs_stream *stream;

void test_store_set_up(void)
{
	store = test_store_create(0);
	zs_assert(!zs_stream_create(0, &stream));
}

void test_store_tear_down(void)
{
	zs_store_check(store);
	zs_store_close(store);
	zs_stream_destroy(stream);
}
