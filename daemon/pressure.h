#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether memory is short, as the kernel sees it: pressure stall information. */

/*
 * A trigger of the daemon's control group, or else of the system: a descriptor that has EPOLLPRI while tasks wait for
 * memory, and EPOLLERR when the group is gone. -1 where the kernel or the sandbox has neither. Context: any thread.
 */
int zsd_pressure_open(void);
