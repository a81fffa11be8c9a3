/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How often each device is open: one word per index of the device table.
 *
 *   bits  0-19  opens that are not released yet
 *   bit  20     closed: the device is about to go, or is gone
 *   bits 21-63  the generation of the device that this is about
 *
 * A word of an older generation counts as 0 for a newer device, and a release of an older device finds that the word
 * is not about it any more; so a file that was removed while open never confuses its successor.
 */

#include "frontend_opens.h"

#include <errno.h>

#define INDEX_BITS	       12
#define OPENS_MASK	       UINT64_C(0xfffff)
#define OPENS_CLOSED	       (UINT64_C(1) << 20)
#define OPENS_GENERATION_SHIFT 21

_Static_assert(ZS_DEVICES_MAX == 1 << INDEX_BITS, "the index is the low bits of an id");

static unsigned int index_of(uint64_t id)
{
	return (unsigned int)(id & (ZS_DEVICES_MAX - 1));
}

static uint64_t generation_of(uint64_t id)
{
	return (id >> INDEX_BITS) << OPENS_GENERATION_SHIFT;
}

/* The word as it is for this device: of another generation means that nobody has it open. */
static uint64_t as_of(uint64_t word, uint64_t id)
{
	uint64_t generation = generation_of(id);

	return word >> OPENS_GENERATION_SHIFT == generation >> OPENS_GENERATION_SHIFT ? word : generation;
}

int zsd_opens_add(struct zsd_opens *opens, uint64_t id)
{
	_Atomic uint64_t *entry = &opens->words[index_of(id)];
	uint64_t old = atomic_load(entry);
	uint64_t word;

	do {
		word = as_of(old, id);
		if (word & OPENS_CLOSED)
			return -ESTALE;
		if ((word & OPENS_MASK) == OPENS_MASK)
			return -ENFILE;
	} while (!atomic_compare_exchange_weak(entry, &old, word + 1));
	return 0;
}

void zsd_opens_remove(struct zsd_opens *opens, uint64_t id)
{
	_Atomic uint64_t *entry = &opens->words[index_of(id)];
	uint64_t old = atomic_load(entry);

	do {
		if (!(as_of(old, id) & OPENS_MASK))
			return;
	} while (!atomic_compare_exchange_weak(entry, &old, old - 1));
}

unsigned int zsd_opens_count(const struct zsd_opens *opens, uint64_t id)
{
	return (unsigned int)(as_of(atomic_load(&opens->words[index_of(id)]), id) & OPENS_MASK);
}

int zsd_opens_close(struct zsd_opens *opens, uint64_t id, bool force, unsigned int *ret_count)
{
	_Atomic uint64_t *entry = &opens->words[index_of(id)];
	uint64_t old = atomic_load(entry);
	uint64_t word;

	do {
		word = as_of(old, id);
		if (!force && (word & OPENS_MASK)) {
			*ret_count = (unsigned int)(word & OPENS_MASK);
			return -EBUSY;
		}
	} while (!atomic_compare_exchange_weak(entry, &old, word | OPENS_CLOSED));
	return 0;
}

void zsd_opens_reopen(struct zsd_opens *opens, uint64_t id)
{
	_Atomic uint64_t *entry = &opens->words[index_of(id)];
	uint64_t old = atomic_load(entry);

	do {
		if (as_of(old, id) != old)
			return;
	} while (!atomic_compare_exchange_weak(entry, &old, old & ~OPENS_CLOSED));
}
