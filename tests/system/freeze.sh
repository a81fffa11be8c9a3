# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Stopping threads of a daemon, for the tests that have to; sourced after common.sh.
# shellcheck disable=SC2154 # what common.sh sets

# freeze_thread NAME: a thread of the daemon stops, until end_process "${started[-1]}". Not while it holds a lock.
freeze_thread()
{
	local task
	task=$(grep -lx "$1" "/proc/$daemon"/task/*/comm)
	task=${task%/comm}
	idle 0.2
	start "$BUILD/tests/system/freeze" "${task##*/}" >frozen
	eventually "freezing $task" grep -qx frozen frozen
}
