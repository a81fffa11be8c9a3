#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stops a child process between two of its instructions, with ptrace(2).
 *
 * The child runs until its first thread calls single_step_begin(); from then on this thread, and no other of the child,
 * can be stopped after every instruction until it calls single_step_end(). A system call counts as one instruction. The
 * child dies with its parent.
 */

#include <stdbool.h>
#include <stdint.h>

typedef void single_step_child(void *context);
/* The child has stopped. */
typedef void single_step_stop(void *context);

/* Runs child in a process of its own, and stop in this one after each instruction; answers how many there were. */
uint64_t single_step_run(single_step_child *child, single_step_stop *stop, void *context);

/*
 * For a child that does the same thing again and again, between a begin and an end each, until single_step_is_over().
 * Calls stop once each time: after as many instructions as first says (1 or more), then after stride more, and so on,
 * until there are no more. Answers how often.
 */
uint64_t single_step_run_each(single_step_child *child, single_step_stop *stop, void *context, uint64_t first,
			      uint64_t stride);

/* Called by the child. */
void single_step_begin(void);
void single_step_end(void);
bool single_step_is_over(void);
