#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dictionaries of crash_points.c. */

#include "model/crash_scenarios.h"

struct zs_device;
struct zs_stream;

/* What a scenario needs to be there before; block is the content of one of the device's. */
void crash_dictionary_prepare(const struct scenario *scenario, struct zs_device *device, const char *block);
/* The child's, before its instructions count: what is made in its own memory is not of interest. */
void crash_dictionary_begin(const struct scenario *scenario, struct zs_device *device, struct zs_stream *stream,
			    const char *block);
/* The change itself; number is the block's. */
void crash_dictionary_change(const struct scenario *scenario, struct zs_device *device, struct zs_stream *stream,
			     uint64_t number);
