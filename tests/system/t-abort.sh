#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Ends in the middle of requests: of clients, of the connection, of the daemon. Nobody hangs, and the daemon goes on or
# ends as it should.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio

fusectl=$test_dir/fusectl

# be_busy: sets busy, a client with many requests of all sizes in flight.
be_busy()
{
	start fio --name=busy --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio --iodepth=32 --direct=1 \
		--thread --numjobs=2 --size=64M --time_based --runtime=600 --rw=randrw --bsrange=4k-1M \
		>"$test_dir/fio.log" 2>&1
	busy=$!
	wait_for_writes disk "$busy"
}

# ends_itself: the daemon, with 0 and without a mount.
ends_itself()
{
	wait_gone "$daemon" || fail "the daemon goes on"
	check "exit status" wait "$daemon"
	! is_mounted "$mnt" || fail "a mount is left"
}

client_ends()
{
	wait_gone "$busy" || fail "fio hangs after $1"
}

step "clients that are interrupted all the time are killed in the middle of a request"
start_daemon
add disk 64M
head -c 64M /dev/urandom | dd of="$mnt/disk" bs=1M conv=notrunc iflag=fullblock status=none
cat >"$test_dir/client.py" <<-'END'
	import os, signal, sys
	signal.signal(signal.SIGALRM, lambda number, frame: None)
	signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
	fd = os.open(sys.argv[1], os.O_RDWR)
	while True:
	    data = os.pread(fd, 8 << 20, 0)
	    os.pwrite(fd, data, 0)
END
for turn in {1..20}; do
	signal=$([[ $((turn % 2)) -eq 0 ]] && echo KILL || echo TERM)
	start python3 "$test_dir/client.py" "$mnt/disk"
	client=$!
	sleep "0.1$((turn * 2))"
	kill -"$signal" "$client" 2>/dev/null || true
	wait_gone "$client" || fail "a client hangs after SIG$signal"
done
be_busy
kill -KILL "$busy"
client_ends "being killed"
eventually "closing its file" stat_is disk open_count 0
check "reading" dd if="$mnt/disk" of=/dev/null bs=1M status=none
stop_daemon

step "aborted through fusectl, five times"
mkdir "$fusectl"
mount -t fusectl fusectl "$fusectl" || skip "needs fusectl"
mounts+=("$fusectl")
for _ in {1..5}; do
	start_daemon
	add disk 64M
	be_busy
	number=$(mountpoint -d "$mnt")
	echo 1 >"$fusectl/${number#*:}/abort"
	client_ends "an abort"
	ends_itself
done

step "unmounted by force, five times"
for _ in {1..5}; do
	start_daemon
	add disk 64M
	be_busy
	# The daemon may be faster: it takes the mount away when the connection has ended.
	umount -f -l "$mnt" 2>/dev/null || wait_gone "$daemon" || fail "umount -f fails"
	client_ends "umount -f"
	ends_itself
done

step "unmounted lazily: whoever has the file open goes on"
start_daemon
add disk 64M
be_busy
umount -l "$mnt"
sleep 0.5
is_running "$busy" || fail "the client ended"
is_running "$daemon" || fail "the daemon ended"
kill -TERM "$busy"
client_ends "umount -l"
ends_itself

step "the daemon is killed, three times"
for _ in {1..3}; do
	start_daemon
	add disk 64M
	be_busy
	kill -KILL "$daemon"
	client_ends "kill -9 of the daemon"
done
start_daemon
stop_daemon
