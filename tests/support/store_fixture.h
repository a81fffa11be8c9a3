#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What most suites are about: a store, empty at first, and the stream of the thread that tests it. One at a time. */

#include <stddef.h>
#include <stdint.h>

#include "codec/stream.h"
#include "store/store.h"

extern struct zs_store *store;
extern struct zs_stream *stream;

/* Of a suite: both are made; the store is checked, and closed. */
void test_store_set_up(void);
void test_store_tear_down(void);

unsigned int test_store_nr_devices(void);
/* Asserts that the device is there and takes all of it. */
void test_store_write(uint64_t id, uint64_t offset, const void *data, size_t length);
