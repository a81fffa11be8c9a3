#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Everything that moves data, at the same time and for a while: three devices with three times as much data as memory
# may take are overwritten and verified by fio, while blocks are recompressed, written back, promoted, discarded and
# compacted, and segments of the backing file collected. Nothing is refused, nothing is read wrong, no limit is passed,
# and the daemon needs no more at the end than at the beginning.
#
# ZSD_TEST_LONG: for half an hour; ZSD_TEST_SECONDS: for so long.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio python3

LIMIT=$((24 << 20))
[[ ${ZSD_TEST_LONG:-} ]] && seconds=1800 || seconds=6
seconds=${ZSD_TEST_SECONDS:-$seconds}
devices=(lz4 zstd coarse)

# overwrite ROUND: each device's first 24 MiB, by a job of its own; what was written is read and compared then.
overwrite()
{
	local device jobs=()
	for device in "${devices[@]}"; do
		jobs+=(--name="$device" --filename="$mnt/$device")
	done
	fio --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=16 --size=24M --rw=randwrite \
		--bsrange=4k-64k --randseed="$1" --buffer_compress_percentage=30 --refill_buffers \
		--verify=crc32c --verify_fatal=1 --minimal "${jobs[@]}" >"$test_dir/fio.log" 2>&1 ||
		fail "round $1: fio: $(tail -n 3 "$test_dir/fio.log")"
}

# What users do meanwhile, until the file `end` is there: commands of all kinds, discards, and reads of what is cold.
meddle()
{
	local number=0
	while [[ ! -e $test_dir/end ]]; do
		number=$((number + 1))
		"$ZSCTL" idle "${devices[number % 3]}" >/dev/null
		"$ZSCTL" writeback --type huge --max-blocks 500 >/dev/null
		"$ZSCTL" recompress lz4 >/dev/null
		fallocate -p -o $((24 << 20)) -l 4M "$mnt/${devices[number % 3]}"
		dd if=/dev/urandom of="$mnt/${devices[number % 3]}" bs=64K count=64 seek=384 conv=notrunc status=none
		cmp -s -n 8M "$test_dir/still" "$mnt/still" || fail "what nobody writes has changed"
		"$ZSCTL" compact >/dev/null
		sleep 0.2
	done
}

# Nothing has failed, nor was more memory used than is allowed: an overwrite that does not grow may pass the limit for a
# moment, by one zspage a class. $1: when.
check_health()
{
	local device field
	[[ $(pool_stat peak_bytes) -le $((LIMIT + LIMIT / 8)) ]] || fail "$1: $(pool_stat peak_bytes) bytes were used"
	for device in still "${devices[@]}"; do
		for field in no_space errors; do
			equal "$1: $field of $device" "$(stat_of "$device" "$field")" 0
		done
	done
	for field in write_errors read_errors corrupt_records; do
		equal "$1: $field of the backing file" "$("$ZSCTL" backing -J | field_of "$field")" 0
	done
}

# Memory that is the daemon's own, in kilobytes, and how many files it has open.
needs()
{
	echo "$(memory_of "$daemon" RssAnon) $(find "/proc/$daemon/fd" | wc -l)"
}

cat >zsd.conf <<END
[Pool]
MemoryLimit=$((LIMIT >> 20))M
RecompressAfter=1s
[Writeback]
Backing=$test_dir/backing
Size=160M
IdleAfter=2s
[Device still]
Size=8M
[Device lz4]
Size=32M
Recompress=zstd:3 zstd:9
[Device zstd]
Size=32M
Algorithm=zstd
[Device coarse]
Size=32M
BlockSize=16K
MemoryLimit=8M
END
start_daemon --config zsd.conf
head -c 8M /dev/urandom >still
dd if=still of="$mnt/still" bs=1M conv=notrunc status=none
overwrite 0
read -r memory files <<<"$(needs)"

step "$seconds seconds"
start meddle
meddler=$!
deadline=$((SECONDS + seconds))
for ((round = 1; SECONDS < deadline; round++)); do
	overwrite "$round"
	is_running "$meddler" || fail "round $round: the other commands have failed"
	check_health "round $round"
done
touch end
check "the other commands" wait "$meddler"
cmp -n 8M still "$mnt/still" || fail "what nobody writes has changed"
check_health "at the end"

step "what it needs"
read -r memory_after files_after <<<"$(needs)"
echo "$((round - 1)) rounds; own memory $memory kB, then $memory_after kB; $files files open, then $files_after"
"$ZSCTL" backing
[[ $memory_after -le $((memory + memory / 2 + 4096)) ]] || fail "its memory has grown from $memory to $memory_after kB"
[[ $files_after -le $((files + 4)) ]] || fail "$files_after files are open, $files were"
for field in read_bytes collected_bytes; do
	[[ $("$ZSCTL" backing -J | field_of "$field") -gt 0 ]] || fail "$field is 0: it was no test"
done
stop_daemon
