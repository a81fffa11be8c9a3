#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interfaces in Varlink's definition language (https://varlink.org/Interface-Definition): what clients may rely
 * on. An interface has no version; it grows by new methods and by parameters and fields that may be absent.
 */

#define ZSD_INTERFACE_SERVICE "org.varlink.service"
#define ZSD_INTERFACE_CONTROL "io.zsd.control"
#define ZSD_INTERFACE_METRICS "io.zsd.metrics"
/* systemd's, which is in its sources as src/shared/varlink-io.systemd.Metrics.c. */
#define ZSD_INTERFACE_SYSTEMD "io.systemd.Metrics"

/* The definition of an interface that is served; free(3) it. NULL if there is none, or for lack of memory. */
char *zsd_interface_text(const char *name);
