#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A device of 1 TiB costs what is in it: less than 1 MiB when nothing is, also after it has been read all over.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need losetup blkdiscard xfs_io

MIB=$((1 << 20))
TIB=$((1 << 40))

# Memory of the daemon with all of the arena, as the kernel counts it, in bytes.
resident()
{
	echo $(($(memory_of "$daemon" VmRSS) * 1024))
}

# costs_less WHAT BASE BYTES
costs_less()
{
	local now
	now=$(resident)
	[[ $((now - $2)) -lt $3 ]] || fail "$1 costs $((now - $2)) bytes"
}

# One thread, whose buffers the first reads touch; more would be called when requests come faster than they are served.
one=(--threads 1)
[[ ${ZSD_TEST_TRANSPORT:-} != uring ]] || one=()
start_daemon "${one[@]}"
add warm 64M
# From each CPU: over io_uring each has buffers of its own.
for cpu in $(seq 0 $(($(nproc --all) - 1))); do
	taskset -c "$cpu" dd if="$mnt/warm" of=/dev/null bs=1M status=none 2>/dev/null || true
done
base=$(resident)
add big 1T
file=$mnt/big
costs_less "a new device of 1 TiB" "$base" $MIB
equal "its size" "$(stat -c %s "$file")" $TIB
equal "its blocks" "$(stat -c %b "$file")" 0

step "reading all over it"
python3 -c '
import os, random, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
zeros = bytes(4096)
for i in range(20000):
    assert os.pread(fd, 4096, random.randrange(size // 4096) * 4096) == zeros
assert os.pread(fd, 1 << 20, size - (1 << 20)) == bytes(1 << 20)
' "$file"
costs_less "reading all over 1 TiB" "$base" $MIB

step "looking for data in it"
equal "the first data" "$(data_at "$file" 0)" EOF
costs_less "looking for data in 1 TiB" "$base" $MIB

step "data in a few places"
for offset in 0 4096 $((TIB / 2)) $((TIB - 4096)); do
	xfs_io -c "pwrite -q -S 0x5a $offset 4096" "$file" >/dev/null
	equal "a byte at $offset" "$(byte_at "$file" $offset)" 5a
done
equal "the last data" "$(data_at "$file" $((TIB / 2 + 4096)))" $((TIB - 4096))

step "discarding the whole device through loop"
attach "$file" -b 4096
check "blkdiscard" timeout 60 blkdiscard "$loop"
equal "a byte" "$(byte_at "$file" $((TIB / 2)))" 00
equal "what is left" "$(data_at "$file" 0)" EOF
check "blkdiscard -z of 64 GiB" timeout 60 blkdiscard -z -l 64G "$loop"
detach "$loop"
wait_for_free
costs_less "1 TiB after discarding it" "$base" $MIB
equal "what the device says" "$(stat_of big data_bytes)" 0

step "a file system on it"
attach "$file" -b 4096
mkfs.xfs -q "$loop"
mount_at "$test_dir/fs" "$loop"
df "$test_dir/fs" >/dev/null
umount "$test_dir/fs"
detach "$loop"
remove big
stop_daemon
