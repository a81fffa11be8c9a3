#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Removing a device that is open: refused; with --force those who have it open get ENODEV, and its memory comes back.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio losetup

# Memory in use when all that was removed has been freed.
used_bytes()
{
	wait_for_free
	pool_stat used_bytes
}

start_daemon
add disk 64M
base=$(used_bytes)

step "refused while open"
exec 5<>"$mnt/disk"
head -c 16M /dev/urandom >&5
refused "(--force), which drops 16M of data; it is open in process " "$ZSCTL" remove disk
refused "close it (unmount it, detach its loop device) first; it is open" "$ZSCTL" reset disk --yes
equal "open count" "$(stat_of disk open_count)" 1
cmp -n 4096 "$mnt/disk" "$mnt/disk" || fail "it is not usable after a refused removal"

step "forced"
check "zsctl remove --force" timeout 60 "$ZSCTL" remove disk --force
[[ ! -e $mnt/disk ]] || fail "its name is still there"
equal "the directory" "$(ls -A "$mnt")" ""
refused "No such device" bash -c 'head -c 4096 <&5'
refused "No such device" bash -c 'echo x >&5'
refused "Stale file handle" cat /proc/self/fd/5
now=$(used_bytes)
[[ $now -le $((base + 65536)) ]] || fail "$((now - base)) bytes are left of it"

step "its name can be used again while the old one is still open"
add disk 1M
equal "its size" "$(stat -c %s "$mnt/disk")" $((1 << 20))
equal "open count" "$(stat_of disk open_count)" 0
exec 6<"$mnt/disk"
exec 5>&-
sleep 0.2
equal "open count after the old one was closed" "$(stat_of disk open_count)" 1
refused "open" "$ZSCTL" remove disk
exec 6<&-
remove disk

step "under a busy loop device with a file system"
add disk 256M
attach "$mnt/disk" -b 4096
mkfs.ext4 -q "$loop"
mount_at "$test_dir/fs" "$loop" -o errors=continue
start fio --name=busy --directory="$test_dir/fs" --ioengine=libaio --iodepth=8 --direct=1 --size=64M --time_based \
	--runtime=600 --rw=randwrite --bs=16k --continue_on_error=all >"$test_dir/fio.log" 2>&1
busy=$!
wait_for_writes disk "$busy"
refused "open" "$ZSCTL" remove disk
check "zsctl remove --force" timeout 60 "$ZSCTL" remove disk --force
[[ $(used_bytes) -le $((base + 65536)) ]] || fail "$(($(used_bytes) - base)) bytes are left of it"
kill -TERM "$busy" 2>/dev/null || true
wait_gone "$busy" || fail "fio hangs after its disk was removed"
umount "$test_dir/fs" || umount -l "$test_dir/fs"
detach "$loop"

step "many times, while others read, write and discard"
for ((turn = 1; turn <= ${ZSD_TEST_ROUNDS:-20}; turn++)); do
	add disk 32M
	start fio --name=busy --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio --iodepth=16 --direct=1 \
		--numjobs=2 --size=32M --time_based --runtime=600 --rw=randrw --bsrange=512-128k --bs_unaligned=0 \
		--blockalign=512 >"$test_dir/fio.log" 2>&1
	busy=$!
	wait_for_writes disk "$busy"
	check "removal $turn" timeout 60 "$ZSCTL" remove disk --force
	wait_gone "$busy" || fail "fio does not end when its file is removed"
done
[[ $(used_bytes) -le $((base + 65536)) ]] || fail "$(($(used_bytes) - base)) bytes are left"
is_running "$daemon" || fail "the daemon is gone"
stop_daemon
