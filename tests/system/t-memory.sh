#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Where no limit is configured the pool may take half of the machine's memory, or half of what the control group allows.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

# default_limit: what the next daemon says, in MiB.
default_limit()
{
	sed -n 's/.*ready: .*memory limit //p' "$test_dir/run.log" |
		awk '/G$/ { print int($1 * 1024) } /M$/ { print int($1) }'
}

# The group that we are in, where limits can be set.
find_group()
{
	local path
	path=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
	if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
		path=$(sed -n 's/^0:://p' /proc/self/cgroup)
		group=/sys/fs/cgroup$path limit_file=memory.max
	elif [[ $path ]]; then
		group=/sys/fs/cgroup/memory$path limit_file=memory.limit_in_bytes
	else
		skip "no control groups for memory"
	fi
	[[ -d $group ]] || group=${group%"$path"}
}

leave_group()
{
	echo $$ >"$group/cgroup.procs"
	rmdir "$group/zsd-test-$$/below" "$group/zsd-test-$$"
}

step "half of the machine's memory at most"
start_daemon
machine=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
limit=$(default_limit)
[[ $limit -gt 0 && $limit -le $((machine / 2 + 64)) ]] || fail "the limit is $limit MiB of $machine MiB"
stop_daemon

step "half of what the control group allows, also that of one above"
find_group
mkdir -p "$group/zsd-test-$$/below" 2>/dev/null || skip "no right to make control groups"
at_exit leave_group
# In the unified hierarchy a group with processes can't have groups with limits, other than the root.
if [[ ! -e $group/zsd-test-$$/$limit_file ]]; then
	skip "the control group's limits are not delegated"
fi
echo 600M >"$group/zsd-test-$$/$limit_file"
echo $$ >"$group/zsd-test-$$/below/cgroup.procs"
start_daemon
equal "the limit" "$(default_limit)" 300
stop_daemon
