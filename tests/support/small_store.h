#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stores with small arenas, and copies of arenas. A failure of the machinery itself ends the test. */

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

/*
 * Small enough for the address space that the thread sanitizer leaves, large enough for 256 MiB of data: 64 MiB of
 * slots name 32 GiB of 4 KiB blocks.
 */
void test_arena_options(struct zs_arena_options *options);

/* An empty store with such an arena. */
struct zs_store *test_store_create(uint64_t memory_limit_bytes);

/* Adds a device, asserts that it worked. */
uint64_t test_device_add(struct zs_store *store, const char *name, uint64_t size_bytes, uint32_t block_size,
			 struct zs_codec_params codec);

/*
 * Whether threads keep some of what they free (zsmalloc/kept.c) in stores as small as a test's, too. While there is no
 * store. And how many raw blocks of 4 KiB they have kept.
 */
void test_keep_of_few(bool keep);
uint32_t test_count_kept(struct zs_store *store);

/* A new memfd with the same length and content; untouched pages stay so. The caller closes it. */
int test_arena_copy(int fd);

/* A number that names the content of a file, however its zeros are stored. */
uint64_t test_arena_hash(int fd);
