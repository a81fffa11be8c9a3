#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods that look at all of the daemon: Status, Usage, Latencies. As command.h. */

struct zsd_answer;
struct zsd_call;

int zsd_command_status(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_usage(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_latencies(struct zsd_call *call, struct zsd_answer *ret_answer);
