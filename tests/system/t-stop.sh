#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Stopping: idle, with files open, in the middle of I/O and under a mounted file system, the daemon ends in bounded
# time, with 0, without a mount, and nobody hangs. Being unmounted ends it as well.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio losetup

step "idle, by each signal"
start_daemon
stop_daemon 10
start_daemon
kill -INT "$daemon"
wait_gone "$daemon" 10 || fail "SIGINT does not stop it"
check "exit status" wait "$daemon"
! is_mounted "$mnt" || fail "a mount is left"

step "SIGHUP and SIGPIPE don't"
start_daemon
kill -HUP "$daemon"
kill -PIPE "$daemon"
sleep 0.2
is_running "$daemon" || fail "it is gone"
stop_daemon

step "many threads"
start_daemon --threads 256
add disk 16M
check "reading" dd if="$mnt/disk" of=/dev/null bs=4K status=none
stop_daemon

step "with an open file"
start_daemon
add disk 16M
exec 5<>"$mnt/disk"
stop_daemon
refused "o" dd bs=1 count=1 of=/dev/null <&5
exec 5<&-

step "in the middle of I/O, ten times"
for _ in {1..10}; do
	start_daemon --threads 4
	add disk 64M
	start fio --name=busy --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio --iodepth=32 --direct=1 \
		--numjobs=2 --size=64M --time_based --runtime=600 --rw=randrw --bsrange=4k-1M >"$test_dir/fio.log" 2>&1
	busy=$!
	wait_for_writes disk "$busy"
	stop_daemon
	wait_gone "$busy" || fail "fio hangs after its file system is gone"
done

step "under a loop device with a file system that is written to"
start_daemon
add disk 256M
attach "$mnt/disk" -b 4096
mkfs.ext4 -q "$loop"
mount_at "$test_dir/fs" "$loop" -o errors=continue
start fio --name=busy --directory="$test_dir/fs" --ioengine=psync --size=128M --time_based --runtime=600 \
	--rw=randwrite --bs=16k --continue_on_error=all >"$test_dir/fio.log" 2>&1
busy=$!
wait_for_writes disk "$busy"
stop_daemon
kill -TERM "$busy" 2>/dev/null || true
wait_gone "$busy" || fail "fio hangs after the daemon is gone"
check "umount" timeout 60 umount "$test_dir/fs"
check "losetup -d" timeout 60 losetup -d "$loop"

step "unmounted by somebody"
start_daemon
add disk 1M
umount "$mnt"
wait_gone "$daemon" || fail "it goes on without a mount"
check "exit status" wait "$daemon"

step "with something mounted on top, which stays"
start_daemon
mount -t tmpfs on-top "$mnt"
mounts=("$mnt" "${mounts[@]}")
kill -TERM "$daemon"
wait_gone "$daemon" || fail "it does not stop"
grep -q " $mnt .* on-top " /proc/self/mountinfo || fail "somebody else's mount was taken away"
umount "$mnt"
# Below was ours: dead now, and the next daemon clears it.
start_daemon
stop_daemon
