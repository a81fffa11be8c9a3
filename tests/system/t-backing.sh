#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Backing files on what a file on a healthy disk is not: a block device, a file system that is full, one without
# O_DIRECT, and a machine without io_uring. The same random operations are run on each, see tests/model/model_backing.c.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need losetup mkfs.ext4 xfs_io

model=$BUILD/tests/model/model_backing

# run_model WHAT OPERATIONS: prints its counts.
run_model()
{
	check "random operations on $1" "$model" --operations "$2"
}

step "a block device"
truncate -s 8M device
attach device
ZSD_TEST_BACKING=$loop run_model "a loop device" 5000

step "a mounted device"
truncate -s 16M disk
mkfs.ext4 -q -O ^has_journal disk
attach disk
mount_at "$test_dir/full" "$loop"
refused "Device or resource busy" env ZSD_TEST_BACKING="$loop" "$model" --operations 1

step "a full file system"
# Less is left than the file may become.
size=$(($(stat -f -c '%a * %S' "$test_dir/full") - (1 << 20)))
xfs_io -f -c "falloc 0 $size" "$test_dir/full/rest"
TMPDIR=$test_dir/full ZSD_TEST_FULL=1 run_model "a full file system" 5000

step "a file in memory"
mount_at "$test_dir/memory" none -t tmpfs -o size=64M
TMPDIR=$test_dir/memory run_model "a tmpfs" 5000
