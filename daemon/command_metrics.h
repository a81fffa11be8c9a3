#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of io.zsd.metrics, which only read; as command.h. */

#include "varlink.h"

/* Ends with an entry without a name. */
extern const struct zsd_method zsd_metrics_methods[];
