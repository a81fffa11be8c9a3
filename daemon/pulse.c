/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pulse of a thread that serves data. */

#include "pulse.h"

#include <signal.h>

bool zsd_pulse_call(struct zsd_pulse *pulse, pthread_t thread)
{
	uint32_t beats = atomic_load_explicit(&pulse->beats, memory_order_relaxed);
	bool waits = atomic_load_explicit(&pulse->waits, memory_order_relaxed);
	bool has_moved = !pulse->is_known || beats != pulse->heard || waits;

	pulse->is_known = true;
	pulse->heard = beats;
	/* Serving is not to be interrupted; a signal that comes when it has just begun does no harm. */
	if (!(beats & 1))
		pthread_kill(thread, ZSD_PULSE_SIGNAL);
	return has_moved;
}
