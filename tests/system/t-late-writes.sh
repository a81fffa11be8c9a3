#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Processes that are killed while they write to a slow backing file, and what they have written comes late: it never
# gets into what the next process reads, see late_writes.c. On a file system that offers nothing against it, on a block
# device, and on those file systems that let us wait for it.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need losetup mkfs.ext4 mkfs.xfs

[[ ${ZSD_TEST_LONG:-} ]] && factor=50 || factor=1
disk=$test_dir/disk
status=$test_dir/status

# kill_writers BACKING ROUNDS: prints what they left.
kill_writers()
{
	local seed=${EPOCHREALTIME/./}
	echo "seed $seed"
	check "being killed" "$BUILD/tests/system/late_writes" "$1" "$status" $(($2 * factor)) "$seed" | tee killed.log
}

# had_quarantine: some segments were in quarantine.
had_quarantine()
{
	! grep -q ' 0 segments in quarantine' killed.log || fail "no segment was in quarantine"
}

# kill_writers_on MKFS...: on a file of this file system on the disk.
kill_writers_on()
{
	"$@" -q "$loop"
	mount_at "$test_dir/fs" "$loop"
	truncate -s 16M fs/file
	kill_writers "$test_dir/fs/file" 6
	# A ring goes away a moment after its process.
	eventually "unmounting" umount fs
}

mkdir disk
mounts+=("$disk")
# Nothing smaller is large enough for XFS.
start "$BUILD/tests/system/late_disk" "$disk" $((320 << 20)) "$status"
eventually "mounting the disk" test -f "$disk/disk"

step "a file"
kill_writers "$disk/disk" 16
had_quarantine

step "a block device"
attach "$disk/disk"
dd if=/dev/zero of="$loop" bs=1M count=1 oflag=direct status=none
kill_writers "$loop" 6
had_quarantine

step "ext4"
kill_writers_on mkfs.ext4 -F
step "XFS"
kill_writers_on mkfs.xfs -f
