#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Requests of all sizes that the kernel may be told to make, and a limit that changes while a daemon serves.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

limit_file=/proc/sys/fs/fuse/max_pages_limit
[[ -e $limit_file ]] || skip "needs $limit_file, which came with Linux 6.13"

before=$(<"$limit_file")
at_exit eval "echo $before >$limit_file"
head -c 8M /dev/urandom >"$test_dir/data"
for limit in 1 16 1024 256; do
	echo "$limit" >"$limit_file"
	start_daemon
	add disk 64M
	for size in 4096 12288 1M 8M; do
		dd if="$test_dir/data" of="$mnt/disk" bs="$size" oflag=direct conv=notrunc status=none
		dd if="$mnt/disk" bs="$size" count=$((8 << 20)) iflag=direct,count_bytes status=none |
			cmp - "$test_dir/data" || fail "it differs with $limit pages and $size bytes"
		fallocate -p -o 0 -l 64M "$mnt/disk"
	done
	echo $((limit * 2)) >"$limit_file"
	check "reading after a change" dd if="$mnt/disk" of=/dev/null bs=8M iflag=direct status=none
	stop_daemon
done
