#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of io.zsd.control: the only place that turns an errno into an error that clients see. What they promise
 * is written in the interface's definition, interface.c.
 *
 * Context: the control thread only.
 */

#include "varlink.h"

/* Ends with an entry without a name. */
extern const struct zsd_method zsd_command_methods[];
