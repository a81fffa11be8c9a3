#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Polling of the classic transport: no request is left alone by threads that are off or asleep, and when there is none
# the daemon takes no CPU time.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio

# load SECONDS [OPTION]...: several clients, one by one and in depth, small and large.
load()
{
	local seconds=$1
	shift
	fio --filename="$mnt/disk" --allow_file_create=0 --direct=1 --thread --size=16M --time_based \
		--runtime="$seconds" --ioengine=libaio --minimal "$@" \
		--name=one --rw=randrw --bs=4k --iodepth=1 \
		--name=deep --rw=randrw --bs=4k --iodepth=32 \
		--name=large --rw=randrw --bs=1M --iodepth=4 >"$test_dir/fio.log"
}

step "started, loaded and stopped in the middle of it, 36 times"
for turn in {1..36}; do
	start_daemon --threads $((turn % 4 + 1)) --poll-max "$((turn % 3 * 500))us"
	add disk 16M
	start fio --name=busy --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio --iodepth=8 --direct=1 \
		--thread --numjobs=2 --size=16M --time_based --runtime=600 --rw=randrw --bsrange=4k-256k \
		>"$test_dir/fio.log" 2>&1
	busy=$!
	sleep "0.0$((turn % 10))"
	stop_daemon
	wait_gone "$busy" || fail "fio hangs after its file system is gone"
done

for poll in 0 50us 1ms; do
	step "all kinds of clients at the same time, with --poll-max $poll"
	start_daemon --threads 3 --poll-max "$poll"
	add disk 16M
	load 2 || fail "requests fail or hang"
	sleep 0.5
	idle 2

	step "requests after pauses of all lengths"
	python3 - "$mnt/disk" <<-'END' || fail "a request was left alone"
		import os, random, sys, time
		fd = os.open(sys.argv[1], os.O_RDONLY)
		worst = 0
		for turn in range(400):
		    time.sleep(random.choice([0, 0, 0.00003, 0.0002, 0.001, 0.012, 0.02]))
		    begin = time.monotonic()
		    os.pread(fd, 4096, random.randrange(4096) * 4096)
		    worst = max(worst, time.monotonic() - begin)
		sys.exit(f"the slowest took {worst:.1f} s" if worst > 20 else 0)
	END
	stop_daemon
done
