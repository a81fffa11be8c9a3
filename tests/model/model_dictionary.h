#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dictionaries of model_device.c. */

#include "store/store.h"
#include "support/random.h"

struct model_dictionary {
	uint64_t made, retired, refused, recompressed; /* over all rounds; the last one are blocks */
};

/* Makes a dictionary, gives back what is not needed, or recompresses some blocks, of a device by chance. */
void model_dictionary_step(struct model_dictionary *model, struct zs_store *store, struct test_random *random);

/* Says how often things happened. */
void model_dictionary_print(const struct model_dictionary *model);
