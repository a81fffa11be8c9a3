#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of io.zsd.control about groups of devices, and about whose memory lies where. See zsd_method.run. */

#include "varlink.h"

int zsd_command_groups(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_set_group_limit(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_owners(struct zsd_call *call, struct zsd_answer *ret_answer);
