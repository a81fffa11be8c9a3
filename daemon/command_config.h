#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods that change how the daemon and its devices are: Set, Reload. As command.h. */

struct zsd_answer;
struct zsd_call;

int zsd_command_set(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_reload(struct zsd_call *call, struct zsd_answer *ret_answer);
