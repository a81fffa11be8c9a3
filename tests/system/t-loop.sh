#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Real file systems over loop devices: ext4 and xfs, sectors of 512 and 4096 bytes. A real tree is copied onto them,
# read back after mounting again, and compared; the checkers find nothing; fio verifies through them.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio losetup mkfs.ext4 mkfs.xfs

# The tree: some thousand files of all sizes.
tree=/usr/include
files=$(find "$tree" -xdev -type f | wc -l)
[[ $files -gt 500 ]] || fail "$tree has only $files files to copy"

compare()
{
	diff -r --no-dereference "$tree" "$test_dir/fs/tree" >"$test_dir/diff.log" || fail "the copy differs $1"
}

# round KIND SECTOR CODEC
round()
{
	local kind=$1 sector=$2 device=$1$2 left
	step "$kind with sectors of $sector on $3"
	add "$device" 600M --algorithm "$3"
	attach "$mnt/$device" -b "$sector"
	equal "direct I/O of $loop" "$(losetup -n -O DIO "$loop" | tr -d ' ')" 1
	equal "open count" "$(stat_of "$device" open_count)" 1
	"mkfs.$kind" -q "$loop"
	mount_at "$test_dir/fs" "$loop"
	cp -a "$tree" "$test_dir/fs/tree"
	compare "at once"
	fio --name=verify --directory="$test_dir/fs" --ioengine=libaio --iodepth=8 --direct=1 --numjobs=2 --size=32M \
		--rw=randwrite --bsrange=4k-256k --verify=crc32c --verify_fatal=1 --buffer_compress_percentage=50 \
		--group_reporting --minimal >"$test_dir/fio.log" 2>&1 || fail "fio found a difference"
	rm -f "$test_dir"/fs/verify.*
	fstrim "$test_dir/fs"
	umount "$test_dir/fs"
	# Another loop device: nothing of the old one's page cache is left.
	detach "$loop"
	attach "$mnt/$device" -b "$sector"
	mount_at "$test_dir/fs" "$loop"
	compare "after mounting again"
	umount "$test_dir/fs"
	case $kind in
	ext4) check "the checker" fsck.ext4 -fn "$loop" >"$test_dir/fsck.log" 2>&1 ;;
	xfs) check "the checker" xfs_repair -n "$loop" >"$test_dir/fsck.log" 2>&1 ;;
	esac
	step "discarding all of it frees its memory"
	blkdiscard "$loop"
	detach "$loop"
	wait_for_free
	left=$(stat_of "$device" memory_bytes)
	[[ $left -lt $((1 << 20)) ]] || fail "$left bytes are left"
	check "removing it" "$ZSCTL" remove "$device"
}

start_daemon
round ext4 4096 lz4
round xfs 512 lz4
round ext4 512 zstd
round xfs 4096 zstd:1
stop_daemon
