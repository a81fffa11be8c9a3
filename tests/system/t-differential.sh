#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The same operations on the kernel's zram and on a device: equal contents at every step, and the same counts of what is
# stored and of what is same-filled, which both must see alike. A zram device of its own is added, and removed again.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
control=/sys/class/zram-control
[[ -e $control/hot_add ]] || modprobe zram 2>/dev/null || true
[[ -e $control/hot_add ]] || skip "needs the kernel's zram"

SIZE=$((32 << 20))
ROUNDS=${ZSD_TEST_ROUNDS:-16}
OPERATIONS=1500
seed=${ZSD_TEST_SEED:-$RANDOM$RANDOM}

# remove_zram NUMBER
remove_zram()
{
	echo 1 >"/sys/block/zram$1/reset"
	echo "$1" >$control/hot_remove
}

# Sets number and zram.
add_zram()
{
	number=$(cat $control/hot_add)
	at_exit remove_zram "$number"
	grep -qw lz4 "/sys/block/zram$number/comp_algorithm" || skip "the kernel's zram has no lz4"
	echo lz4 >"/sys/block/zram$number/comp_algorithm"
	echo $SIZE >"/sys/block/zram$number/disksize"
	zram=$test_dir/zram
	IFS=: read -r major minor <"/sys/block/zram$number/dev"
	mknod "$zram" b "$major" "$minor"
}

# Compares the counts: of mm_stat, orig_data_size and same_pages.
compare_counts()
{
	local -a mm_stat
	read -r -a mm_stat <"/sys/block/zram$number/mm_stat"
	equal "data_bytes" "$(stat_of device data_bytes)" "${mm_stat[0]}"
	equal "same_blocks" "$(stat_of device same_blocks)" "${mm_stat[5]}"
}

add_zram
start_daemon
add device "${SIZE}B" --algorithm lz4
compare_counts
for ((round = 0; round < ROUNDS; round++)); do
	step "round $round: differential ZRAM FILE $((seed + round)) $OPERATIONS"
	check "the comparison" "$BUILD/tests/system/differential" "$zram" "$mnt/device" $((seed + round)) $OPERATIONS
	compare_counts
done
[[ $(stat_of device same_blocks) -gt 100 ]] || fail "too little was same-filled"
[[ $(stat_of device data_bytes) -gt $((SIZE / 4)) ]] || fail "too little was stored"

step "discarding all"
check "blkdiscard" blkdiscard "$zram"
check "fallocate" fallocate --punch-hole --offset 0 --length $SIZE "$mnt/device"
compare_counts
equal "data_bytes of nothing" "$(stat_of device data_bytes)" 0
stop_daemon
