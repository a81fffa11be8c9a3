#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Which CPUs there are, and which of them the daemon may use, changes: by a control group, and by taking them offline.
# Whoever may use which, each request is served, and right. Skipped where neither can be had.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need taskset
set_uring Y

online=/sys/devices/system/cpu/online
nr_cpus=$(nproc --all)
last=$((nr_cpus - 1))
real_zsd=$ZSD
head -c 2M /dev/urandom >"$test_dir/data"

# move_data: written and read back by a client on each CPU that there is, in large and in small pieces.
move_data()
{
	local cpu size
	for ((cpu = 0; cpu < nr_cpus; cpu++)); do
		taskset -c "$cpu" true 2>/dev/null || continue
		for size in 1M 4K; do
			taskset -c "$cpu" dd if="$test_dir/data" of="$mnt/disk" bs="$size" oflag=direct conv=notrunc \
				status=none
			taskset -c "$cpu" cmp -n $((2 << 20)) "$mnt/disk" "$test_dir/data" ||
				fail "the data differs on CPU $cpu"
			taskset -c "$cpu" fallocate -p -o 0 -l 16M "$mnt/disk"
		done
	done
}

# serves COUNT: threads over io_uring, as it says, for a queue of each possible CPU.
serves()
{
	grep -qE "with $1 threads? over io_uring, [0-9]+ queues" "$test_dir/run.log" ||
		fail "it says '$(grep serving "$test_dir/run.log")', not $1 threads"
}

# allowed_within LIST: no thread of the daemon may run elsewhere. A kernel thread may end meanwhile.
allowed_within()
{
	local task cpus
	for task in "/proc/$daemon"/task/*; do
		cpus=$(awk '/^Cpus_allowed_list:/ { print $2 }' "$task/status" 2>/dev/null) || continue
		[[ $cpus == "$1" ]] || fail "$(<"$task/comm") may run on $cpus, not on $1"
	done
}

# can_join PARENT: the group can have CPUs, and processes.
can_join()
{
	echo "0-$last" >"$group/cpuset.cpus" &&
		cat "$1"/cpuset.mems* | head -n 1 >"$group/cpuset.mems" &&
		sh -c 'echo $$ >"$1"' sh "$group/cgroup.procs"
}

# make_group: sets group to a control group with CPUs of its own, or to nothing.
make_group()
{
	local parent=/sys/fs/cgroup/cpuset
	group=
	if [[ ! -e $parent/cpuset.cpus ]]; then
		parent=/sys/fs/cgroup
		grep -qsw cpuset "$parent/cgroup.controllers" || return 0
		echo +cpuset >"$parent/cgroup.subtree_control" || return 0
	fi
	mkdir "$parent/zsd-test-$$" || return 0
	group=$parent/zsd-test-$$
	at_exit rmdir "$group"
	if ! can_join "$parent"; then
		group=
		return 0
	fi
	# shellcheck disable=SC2016
	printf '#!/bin/sh\necho $$ >"%s/cgroup.procs"\nexec "%s" "$@"\n' "$group" "$real_zsd" >"$test_dir/zsd"
	chmod +x "$test_dir/zsd"
}

# set_online CPU 0|1
set_online()
{
	echo "$2" >"/sys/devices/system/cpu/cpu$1/online"
}

# may_unplug: the last CPU can be taken offline; it is back at the end, and soon if this script is killed.
may_unplug()
{
	[[ $last -gt 0 && $(<"$online") == "0-$last" && -w /sys/devices/system/cpu/cpu$last/online ]] || return 1
	at_exit set_online "$last" 1
	start setsid sh -c "sleep 60; echo 1 >/sys/devices/system/cpu/cpu$last/online"
	# What it waits in would keep the test's output open.
	at_exit kill -- "-${started[-1]}"
	set_online "$last" 0 2>/dev/null
}

missing=()
[[ $last -eq 0 ]] || make_group
if [[ ${group:-} ]]; then
	for transport in uring classic; do
		step "a control group with one CPU, that gets more: $transport"
		ZSD=$test_dir/zsd
		echo "$last" >"$group/cpuset.cpus"
		start_daemon --transport "$transport"
		[[ $transport == classic ]] || serves 1
		allowed_within "$last"
		add disk 16M
		move_data
		echo "0-$last" >"$group/cpuset.cpus"
		move_data
		stop_daemon

		step "a control group that is left one CPU, then another, then all: $transport"
		start_daemon --transport "$transport"
		[[ $transport == classic ]] || serves "$nr_cpus"
		add disk 16M
		move_data
		for cpus in "$last" 0 "0-$last"; do
			echo "$cpus" >"$group/cpuset.cpus"
			move_data
			[[ $cpus == 0-* ]] || allowed_within "$cpus"
		done
		stop_daemon
		ZSD=$real_zsd
	done
else
	missing+=("no control groups with CPUs of their own")
fi

start_daemon --transport uring
add disk 16M
if may_unplug; then
	step "a CPU that goes offline and comes back"
	move_data
	set_online "$last" 1
	move_data
	stop_daemon
	step "a CPU that was offline at the start"
	set_online "$last" 0
	start_daemon --transport uring
	serves "$last"
	add disk 16M
	move_data
	set_online "$last" 1
	move_data
else
	missing+=("no CPU that can be taken offline")
fi
stop_daemon
[[ ${#missing[@]} -lt 2 ]] || skip "${missing[0]}, and ${missing[1]}"
[[ ${#missing[@]} -eq 0 ]] || step "not tested: ${missing[0]}"
