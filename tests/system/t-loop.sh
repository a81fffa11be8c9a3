#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Loop devices with direct I/O and sectors of 512 and 4096 bytes. By themselves: single sectors, and pieces that begin
# and end in the middle of a block, against an ordinary file. With ext4 and xfs: a real tree is copied onto them, read
# back after mounting again, and compared; the checkers find nothing; fio verifies through them.
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

# copy_piece FIRST NUMBER: random data for these sectors, onto the loop device and into the reference.
copy_piece()
{
	head -c $(($2 * sector)) /dev/urandom >"$test_dir/piece"
	dd if="$test_dir/piece" of="$loop" bs="$sector" seek="$1" oflag=direct conv=notrunc status=none
	dd if="$test_dir/piece" of="$test_dir/reference" bs="$sector" seek="$1" conv=notrunc status=none
}

# What is in the file is what the loop device reads, and what was written.
same_as_reference()
{
	cmp "$test_dir/reference" "$mnt/$device" || fail "the file differs $1"
	dd if="$loop" iflag=direct bs=64K status=none | cmp - "$test_dir/reference" ||
		fail "the loop device differs $1"
}

# sectors SECTOR: blocks of the device are 4096 bytes, so that smaller sectors are parts of them.
sectors()
{
	local sector=$1 device=sectors$1 piece
	step "sectors of $sector"
	add "$device" 4M
	truncate -s 4M "$test_dir/reference"
	attach "$mnt/$device" -b "$sector"
	equal "sector size of $loop" "$(blockdev --getss "$loop")" "$sector"
	equal "direct I/O of $loop" "$(losetup -n -O DIO "$loop" | tr -d ' ')" 1
	# The first, the last, around borders of 4096 bytes, larger pieces at odd places, and some of them once more.
	for piece in "0 1" "$((4194304 / sector - 1)) 1" "7 2" "8 8" "15 1" "101 33" "57 65" "102 1" "200 300"; do
		# shellcheck disable=SC2086
		copy_piece $piece
	done
	same_as_reference "after writing"
	for piece in "3 7" "40 1" "104 16" "210 100"; do
		blkdiscard -o $((${piece% *} * sector)) -l $((${piece#* } * sector)) "$loop"
		fallocate -p -o $((${piece% *} * sector)) -l $((${piece#* } * sector)) "$test_dir/reference"
	done
	same_as_reference "after discarding"
	blkdiscard -z -o $((64 * sector)) -l $((35 * sector)) "$loop"
	fallocate -p -o $((64 * sector)) -l $((35 * sector)) "$test_dir/reference"
	same_as_reference "after writing zeros"
	if [[ $sector -gt 512 ]]; then
		refused "Invalid argument" dd if="$loop" of=/dev/null iflag=direct bs=512 count=1
	fi
	detach "$loop"
	rm "$test_dir/reference"
	remove "$device"
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
	remove "$device"
}

start_daemon
sectors 512
sectors 4096
round ext4 4096 lz4
round xfs 512 lz4
round ext4 512 zstd
round xfs 4096 zstd:1
stop_daemon
