#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is written is what is read: fio with a checksum in every block, directly on the file, with both codecs, in pieces
# of 512 bytes to 1 MiB, by two jobs at a time.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio

# verify FILE ENGINE [OPTION]...: two jobs, each with a half of the file.
verify()
{
	local file=$1 engine=$2
	shift 2
	step "$(basename "$file") $engine $*"
	fio --name=verify --filename="$file" --ioengine="$engine" --direct=1 --allow_file_create=0 \
		--numjobs=2 --size=64M --offset_increment=64M --bsrange=512-1M --bs_unaligned=0 --blockalign=512 \
		--verify=crc32c --verify_fatal=1 --buffer_compress_percentage=60 --refill_buffers \
		--group_reporting --minimal "$@" >"$test_dir/fio.log" 2>&1 || fail "fio found a difference"
}

start_daemon --threads 4
add lz4 128M
add zstd 128M --algorithm zstd
add coarse 128M --block-size 64K --algorithm lz4:8

for device in lz4 zstd coarse; do
	verify "$mnt/$device" psync --rw=randwrite
	verify "$mnt/$device" libaio --rw=randrw --iodepth=16
done
verify "$mnt/lz4" libaio --rw=write --iodepth=8 --bs=1M
verify "$mnt/lz4" psync --rw=randwrite --bs=4k --direct=0
verify "$mnt/zstd" io_uring --rw=randwrite --iodepth=32 --bs=4k

step "trimmed blocks read as zeros"
fallocate -p -o 0 -l 128M "$mnt/lz4"
cmp -n $((128 << 20)) "$mnt/lz4" /dev/zero || fail "the file is not empty"
equal "errors" "$(stat_of lz4 errors)" 0
stop_daemon
