#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Four clients with 64 requests in flight each, of 512 bytes to 4 MiB at any offset, all over the same device: what is
# read is what a model allows (overlap.c). Then each by itself with a checksum in every block (fio).
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio
seed=${ZSD_TEST_SEED:-$RANDOM$RANDOM}

start_daemon --threads 3
add disk 16M
add coarse 16M --block-size 64K --algorithm zstd

for device in disk coarse; do
	step "overlap $device $seed"
	check "overlapping requests" "$BUILD/tests/system/overlap" "$mnt/$device" "$seed" 3 300
	equal "errors of $device" "$(stat_of $device errors)" 0
done

step "four jobs of fio"
fio --name=verify --filename="$mnt/disk" --ioengine=libaio --iodepth=64 --numjobs=4 --direct=1 --allow_file_create=0 \
	--size=4M --offset_increment=4M --rw=randwrite --bsrange=512-4M --blockalign=512 --randseed="$seed" \
	--verify=crc32c --verify_fatal=1 --buffer_compress_percentage=60 --refill_buffers --group_reporting --minimal \
	>"$test_dir/fio.log" 2>&1 || fail "fio found a difference"
stop_daemon
