#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What most suites are about: a store, empty at first, and the stream of the thread that tests it. One at a time. */

#include "codec/stream.h"
#include "store/store.h"

extern struct zs_store *store;
extern struct zs_stream *stream;

/* Of a suite: both are made; the store is checked, and closed. */
void test_store_set_up(void);
void test_store_tear_down(void);
