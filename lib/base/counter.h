#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters that one thread at a time adds to, and that any thread reads. That takes no locked instruction, which would
 * wait until all that was stored before is in the cache.
 */

#include <stdatomic.h>
#include <stdint.h>

/* Relaxed. Context: nobody else adds to it meanwhile. */
static inline void zs_counter_add(_Atomic uint64_t *counter, uint64_t amount)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
			      memory_order_relaxed);
}
