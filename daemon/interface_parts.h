#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the definition of io.zsd.control; interface.c puts them together. */

extern const char zsd_interface_observe[];
extern const char zsd_interface_change[];
extern const char zsd_interface_cold[];

/* io.zsd.metrics, all of it. */
extern const char zsd_interface_metrics[];
/* io.systemd.Metrics. */
extern const char zsd_interface_systemd[];
