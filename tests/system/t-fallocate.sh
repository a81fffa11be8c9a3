#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Holes: what fallocate(2) does and refuses, mode by mode; what lseek(2) finds; what the file costs.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need xfs_io fallocate

MIB=$((1 << 20))
PUNCH_HOLE_KEEP_SIZE=3
ZERO_RANGE=0x10
ZERO_RANGE_KEEP_SIZE=0x11
allocate=$BUILD/tests/system/allocate

start_daemon
add disk 4M
add coarse 4M --block-size 64K
add big 8T

# fill FILE: random content in all of it, and the same in the mirror.
fill()
{
	head -c $((4 * MIB)) /dev/urandom >"$test_dir/mirror"
	dd if="$test_dir/mirror" of="$1" bs=1M conv=notrunc status=none
}

# both MODE OFFSET LENGTH: on the file and on its mirror, then both are the same.
both()
{
	check "the file" "$allocate" "$@" "$file"
	check "the mirror" "$allocate" "$@" "$test_dir/mirror"
	cmp "$file" "$test_dir/mirror" || fail "fallocate $*: the content differs"
	equal "the size after fallocate $*" "$(stat -c %s "$file")" "$((4 * MIB))"
}

for file in "$mnt/disk" "$mnt/coarse"; do
	step "punch and zero: $(basename "$file")"
	fill "$file"
	for range in "0 4096" "4096 1" "8191 2" "12289 4095" "65536 65536" "65535 65538" "$MIB $MIB" \
		"$((4 * MIB - 1)) 1"; do
		# shellcheck disable=SC2086
		for mode in PUNCH_HOLE_KEEP_SIZE ZERO_RANGE_KEEP_SIZE ZERO_RANGE; do
			both "${!mode}" $range
		done
	done
	step "beyond the end: ignored where the size is kept, refused where it would grow"
	both "$PUNCH_HOLE_KEEP_SIZE" $((4 * MIB - 5)) 100000
	both "$ZERO_RANGE_KEEP_SIZE" $((4 * MIB - 8)) 100000
	both "$PUNCH_HOLE_KEEP_SIZE" $((5 * MIB)) 100000
	refused "No space left" "$allocate" "$ZERO_RANGE" $((4 * MIB - 8)) 100000 "$file"
	refused "No space left" "$allocate" "$ZERO_RANGE" $((5 * MIB)) 8 "$file"
	equal "the size" "$(stat -c %s "$file")" $((4 * MIB))
done
file=$mnt/disk

step "what is not supported says so, and changes nothing"
fill "$file"
# Allocate, allocate beyond the end, no hide stale, collapse, insert, unshare, unknown.
for mode in 0 1 4 5 8 9 0x20 0x40 0x41 0x1000; do
	refused "not supported" "$allocate" "$mode" 0 $MIB "$file"
	refused "not supported" "$allocate" "$mode" 0 $((8 * MIB)) "$file"
done
refused "Invalid argument" "$allocate" "$PUNCH_HOLE_KEEP_SIZE" 0 0 "$file"
cmp "$file" "$test_dir/mirror" || fail "the content differs"

step "holes"
fallocate -p -o 0 -l 4M "$file"
wait_for_free
equal "blocks of an empty file" "$(($(stat -c %b "$file") * 512 < 64 << 10))" 1
equal "data in an empty file" "$(data_at "$file" 0)" EOF
xfs_io -c 'pwrite -q -S 0x11 1M 4K' -c 'pwrite -q -S 0x22 3M 1' "$file" >/dev/null
equal "data and holes" "$(xfs_io -r -c 'seek -ar 0' "$file" | tail -n +2 | tr -s '\t ' ' ' | tr '\n' ',')" \
	"HOLE 0,DATA $MIB,HOLE $((MIB + 4096)),DATA $((3 * MIB)),HOLE $((3 * MIB + 4096)),"

step "a sparse copy"
cp --sparse=always "$file" "$test_dir/copy"
cmp "$file" "$test_dir/copy" || fail "the copy differs"
[[ $(stat -c %b "$test_dir/copy") -le 32 ]] || fail "the copy is not sparse: $(stat -c %b "$test_dir/copy") blocks"

step "st_blocks and du follow the memory"
head -c 2M /dev/urandom | dd of="$file" bs=1M conv=notrunc iflag=fullblock status=none
sleep 1.1 # attributes are kept that long
used=$(du -B1 "$file" | cut -f 1)
[[ $used -ge $((2 * MIB)) && $used -le $((2 * MIB + MIB / 4)) ]] || fail "du says $used for 2 MiB of random data"
fallocate -p -o 0 -l 4M "$file"
wait_for_free
sleep 1.1
[[ $(du -B1 "$file" | cut -f 1) -le 65536 ]] || fail "du says $(du -B1 "$file") for nothing"

step "a range of 8 TiB is quick"
xfs_io -c 'pwrite -q -S 0x33 5000000000000 64K' "$mnt/big" >/dev/null
check "punching 8 TiB" timeout 60 fallocate -p -o 0 -l 8T "$mnt/big"
equal "what is left" "$(data_at "$mnt/big" 0)" EOF
equal "a byte" "$(byte_at "$mnt/big" 5000000000000)" 00

stop_daemon
