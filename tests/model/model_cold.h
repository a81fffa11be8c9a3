#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What model_device.c does with a backing file: blocks are written back, the file is collected, its writes fail now and
 * then, and promotion changes, all at random. None of it may change what a block reads as.
 */

#include <stdbool.h>
#include <stdint.h>

#include "support/cold_store.h"
#include "model/model_dictionary.h"
#include "support/random.h"

struct model_cold {
	struct test_random *random;
	bool is_on;
	char path[TEST_PATH_BYTES];
	unsigned int fail_percent; /* of writes */
	struct zs_backing_faults faults;
	uint64_t written_back, failed, full, collected; /* over all rounds */
	struct model_dictionary dictionary;
};

/* Gives the new store of a round a backing file, or not; in some rounds one that is too small. */
void model_cold_begin(struct model_cold *cold, struct zs_store *store, struct test_random *random);
/* The store was opened again. */
void model_cold_reopened(struct model_cold *cold, struct zs_store *store);
/* Does something. */
void model_cold_step(struct model_cold *cold, struct zs_store *store);
/* The store has no devices any more: the file must be empty. */
void model_cold_end(struct model_cold *cold, struct zs_store *store);

/* Says how often things happened, and asserts that they did. */
void model_cold_print(const struct model_cold *cold);
