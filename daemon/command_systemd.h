#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of io.systemd.Metrics, which only read; as command.h. */

#include "varlink.h"

extern const struct zsd_method zsd_systemd_methods[];
