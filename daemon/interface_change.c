/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The part of io.zsd.control that changes how the daemon and its devices are. */

#include "interface_parts.h"

/* clang-format off: one line of the text is one line here. */

const char zsd_interface_change[] =
	"\n"
	"# A key of the configuration that was changed, and what came of it. applied: at once. added: a device that\n"
	"# was not there. needs-restart, needs-new-device: what it takes; the old value stays. kept: a device that is\n"
	"# no longer configured. failed: the message says why.\n"
	"type Change (\n"
	"  # As Pool.MemoryLimit, or the heading of the section: Device vm0.\n"
	"  name: string,\n"
	"  # The new one; absent where a key was taken out and has its default again.\n"
	"  value: ?string,\n"
	"  # One of the words above.\n"
	"  result: string,\n"
	"  # Why it failed, or what it takes.\n"
	"  message: ?string\n"
	")\n"
	"\n"
	"# Changes keys of a device (Algorithm, MemoryLimit, Mode, Owner, ReadOnly, Recompress), or without a name of\n"
	"# the daemon (Daemon.LogLevel, Pool.MemoryLimit, Pool.CompactThreshold, Pool.CompactQuota,\n"
	"# Pool.RecompressAfter, and those of Writeback but for Backing and Encrypt): all of them, or none if one is\n"
	"# refused. Values are as in zsd.conf; the file is not changed.\n"
	"method Set(name: ?string, values: [string]string) -> ()\n"
	"\n"
	"# Drops all data of a device and keeps its name and all that it was added with; it counts from 0 again. One "
	"that\n"
	"# is open is refused: DeviceBusy.\n"
	"method Reset(name: string) -> ()\n"
	"\n"
	"# Reads the configuration again and applies what differs from before. Nothing is changed if it would be\n"
	"# refused at start. warnings are those that were logged.\n"
	"method Reload() -> (changes: []Change, warnings: []string)\n"
	"\n"
	"# The configuration has mistakes; messages are all of them.\n"
	"error ConfigRefused (messages: []string, message: string)\n";

/* clang-format on */
