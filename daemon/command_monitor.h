#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The method Monitor; as command.h. */

struct zsd_answer;
struct zsd_call;

int zsd_command_monitor(struct zsd_call *call, struct zsd_answer *ret_answer);
