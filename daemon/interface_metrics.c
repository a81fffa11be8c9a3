/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The definition of io.zsd.metrics. */

#include "interface_parts.h"

/* clang-format off: one line of the text is one line here. */

const char zsd_interface_metrics[] =
	"# All counters, for monitoring systems. Nothing can be changed here, and whoever can connect may ask.\n"
	"interface io.zsd.metrics\n"
	"\n"
	"# The counters as text in the format prometheus (0.0.4, the default) or openmetrics (1.0.0), and what HTTP\n"
	"# would call it. With 'more': several replies, whose texts belong behind each other, and each ends with a\n"
	"# line.\n"
	"method Render(format: ?string) -> (content_type: string, text: string)\n"
	"\n"
	"# A parameter has the right type and a value that can't be.\n"
	"error InvalidValue (parameter: string, message: string)\n";

const char zsd_interface_systemd[] =
	"# What systemd-report collects of all services. Both methods answer with several replies, and need 'more'.\n"
	"interface io.systemd.Metrics\n"
	"\n"
	"# What a metric is. There are no strings here.\n"
	"type MetricFamilyType (counter, gauge, string)\n"
	"\n"
	"# All that Render of io.zsd.metrics tells, but for histograms: object is the device, fields what divides a\n"
	"# sum into its parts.\n"
	"method List() -> (name: string, value: object, object: ?string, fields: ?[string]string)\n"
	"\n"
	"# What they are.\n"
	"method Describe() -> (name: string, description: string, type: MetricFamilyType)\n"
	"\n"
	"# There is none.\n"
	"error NoSuchMetric ()\n";

/* clang-format on */
