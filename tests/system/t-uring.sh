#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Requests over io_uring: refused, or done without, where the kernel has it disabled; on every CPU, with fewer threads
# than queues, and on CPUs that are taken away.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio taskset

nr_cpus=$(nproc --all)
head -c 8M /dev/urandom >"$test_dir/data"

# task_of NAME: a thread of the daemon.
task_of()
{
	grep -lx "$1" "/proc/$daemon"/task/*/comm | cut -d/ -f5
}

cpus_of()
{
	awk '/^Cpus_allowed_list:/ { print $2 }' "/proc/$daemon/task/$1/status"
}

# switches_of TASK: how often it has slept.
switches_of()
{
	awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$daemon/task/$1/status"
}

# floats TASK HOME
floats()
{
	[[ $(cpus_of "$1") != "$2" ]]
}

# move_data CPU: written and read back, in large and in small pieces, by a client on this CPU.
move_data()
{
	local size
	for size in 1M 4K; do
		taskset -c "$1" dd if="$test_dir/data" of="$mnt/disk" bs="$size" oflag=direct conv=notrunc status=none
		taskset -c "$1" cmp -n $((8 << 20)) "$mnt/disk" "$test_dir/data" || fail "the data differs on CPU $1"
		fallocate -p -o 0 -l 16M "$mnt/disk"
	done
}

on_all_cpus()
{
	local cpu
	for ((cpu = 0; cpu < nr_cpus; cpu++)); do
		taskset -c "$cpu" true 2>/dev/null || continue
		move_data "$cpu"
	done
}

# over_rings THREADS: the daemon must do it.
over_rings()
{
	grep -qE "with $1 threads? over io_uring" "$test_dir/run.log" || fail "it says '$(cat "$test_dir/run.log")'"
}

step "where it is disabled"
set_uring N
printf '[Daemon]\nTransport=uring\n' >"$test_dir/uring.conf"
printf '[Daemon]\nTransport=fast\n' >"$test_dir/bad.conf"
refused "it is disabled; as root: 'echo Y >$uring_parameter'" "$ZSD" -d "$runtime" --no-config --transport uring
refused "use --transport=classic" "$ZSD" -d "$runtime" --config "$test_dir/uring.conf"
refused "use classic, uring or auto" "$ZSD" -d "$runtime" --config "$test_dir/bad.conf"
refused "--transport must be" "$ZSD" --transport fast
! is_mounted "$mnt" || fail "a mount is left"
start_daemon --transport auto
equal "notices of the fallback" "$(grep -c 'using the classic transport' "$test_dir/run.log")" 1
add disk 16M
move_data 0
stop_daemon
start_daemon --config "$test_dir/uring.conf" --transport classic
stop_daemon

step "where it is enabled"
set_uring Y
start_daemon --transport auto
over_rings "[0-9]+"
! grep -q "using the classic" "$test_dir/run.log" || fail "it says that it does without"
add disk 16M
before=$(switches_of "$(task_of zsd-fuse-0)")
on_all_cpus
after=$(switches_of "$(task_of zsd-fuse-0)")
# FORGET and INTERRUPT come to that thread, and nothing else.
[[ $((after - before)) -lt 50 ]] || fail "$((after - before)) requests came the classic way"

step "it is disabled while the daemon serves"
set_uring N
on_all_cpus
equal "the directory" "$(ls -A "$mnt")" disk
stop_daemon
set_uring Y

step "fewer threads than queues"
start_daemon --transport uring --threads 1
over_rings 1
add disk 16M
on_all_cpus
stop_daemon
start_daemon --transport uring --threads 256
over_rings "$(nproc)"
stop_daemon

step "a daemon that may use one CPU only"
real_zsd=$ZSD
printf '#!/bin/sh\nexec taskset -c 0 "%s" "$@"\n' "$real_zsd" >"$test_dir/zsd"
chmod +x "$test_dir/zsd"
ZSD=$test_dir/zsd
start_daemon --transport uring
ZSD=$real_zsd
over_rings 1
add disk 16M
on_all_cpus
stop_daemon

step "CPUs that are taken away from its threads, and given back"
start_daemon --transport uring
add disk 16M
task=$(task_of zsd-ring-0)
home=$(cpus_of "$task")
[[ $home =~ ^[0-9]+$ ]] || fail "the thread is not pinned: $home"
for other in $(seq $((nr_cpus - 1)) -1 0); do
	taskset -pc "$other" "$task" >/dev/null 2>&1 || continue
	on_all_cpus
done
taskset -c "$home" cat "$mnt/disk" >/dev/null
# One by one: a client with a deep queue would have it float.
taskset -c "$home" dd if="$mnt/disk" of=/dev/null bs=4K iflag=direct status=none
equal "the CPUs of the thread" "$(cpus_of "$task")" "$home"

step "one client's large requests are for all threads, its small ones for the thread at home"
if [[ $(nproc) -ge 2 && $home == 0 ]]; then
	other=$(task_of zsd-ring-1)
	before=$(switches_of "$other")
	taskset -c "$home" fio --name=large --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio --direct=1 \
		--iodepth=16 --size=16M --loops=16 --bs=1M --rw=write --minimal >"$test_dir/fio.log"
	after=$(switches_of "$other")
	echo "large: woken $((after - before)) times"
	[[ $((after - before)) -ge 10 ]] || fail "large requests of one client are not shared"
	for _ in {1..5}; do
		taskset -c "$home" fio --name=large --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio \
			--direct=1 --iodepth=16 --size=16M --bs=1M --rw=write --minimal >"$test_dir/fio.log"
		before=$(switches_of "$other")
		taskset -c "$home" dd if="$mnt/disk" of=/dev/null bs=4K iflag=direct status=none
		after=$(switches_of "$other")
		echo "small: woken $((after - before)) times"
		# Of 4096 requests; some to find out, and what opening the file takes.
		[[ $((after - before)) -lt 400 ]] || fail "a distant thread serves small requests"
	done
fi

step "a thread that a client keeps busy floats, and comes home when that is over"
if [[ $(nproc) -ge 2 ]]; then
	start taskset -c "$home" fio --name=deep --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio \
		--direct=1 --iodepth=32 --size=16M --bs=4k --rw=randread --time_based --runtime=600 >"$test_dir/fio.log"
	busy=$!
	eventually "leaving the CPU of a client with a deep queue" floats "$task" "$home"
	end_process "$busy"
	taskset -c "$home" dd if="$mnt/disk" of=/dev/null bs=4K iflag=direct status=none
	equal "the CPUs of the thread" "$(cpus_of "$task")" "$home"
fi

step "the memory of its buffers is what the manual page says"
size=$(awk -F'[- ]' '/zsd-rings/ { print $1, $2 }' "/proc/$daemon/maps" |
	while read -r from to; do echo $((0x$to - 0x$from)); done)
queues=$(sed -n 's/.*over io_uring, \([0-9]*\) queues.*/\1/p' "$test_dir/run.log")
equal "the buffers of a queue, KiB" $((size / queues / 1024)) $((4 * 1028))
equal "where they are" "$(awk -F- '/zsd-rings/ { print $1 }' "/proc/$daemon/maps")" 200000000000
stop_daemon
