#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Ages of blocks, idle marks and recompression, as users have them.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# field NAME: of the JSON on standard input.
field()
{
	python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

step "codecs for recompression come with the device"
start_daemon
add disk 32M --recompress 'zstd:3 zstd:9'
equal "what list says" "$("$ZSCTL" list disk -n -r -o RECOMPRESS)" 'zstd\x20zstd:9'
refused "more than three; leave one out" "$ZSCTL" add x --size 1M --recompress 'zstd zstd:4 zstd:5 zstd:6'
refused "no such algorithm" "$ZSCTL" add x --size 1M --recompress lzo

step "blocks are young, and not idle"
# Text that zstd compresses better than lz4 does.
find /usr/share/doc /usr/include /usr/lib -name '*.[hc]*' -type f -print0 2>/dev/null |
	xargs -0 cat 2>/dev/null | head -c 16M >"$test_dir/data" || true
[[ $(stat -c %s "$test_dir/data") -ge $((4 << 20)) ]] || seq 3000000 | head -c 16M >"$test_dir/data"
blocks=$(($(stat -c %s "$test_dir/data") / 4096))
truncate -s $((blocks * 4096)) "$test_dir/data"
dd if="$test_dir/data" of="$mnt/disk" bs=1M conv=notrunc status=none
objects=$(stat_of disk object_blocks)
equal "young blocks" "$("$ZSCTL" ages disk -n -r -o BLOCKS | head -n 1)" "$objects"
equal "idle blocks" "$("$ZSCTL" ages disk -J | field idle_blocks)" 0

step "marking them, and reading takes the mark away"
"$ZSCTL" idle disk --older 1h | grep -x 'marked 0 blocks' >/dev/null || fail "young blocks were marked"
"$ZSCTL" idle disk --blocks 0-$((blocks - 1)) | grep -x "marked $objects blocks" >/dev/null ||
	fail "not all blocks were marked"
dd if="$mnt/disk" of=/dev/null bs=4096 skip=10 count=1 iflag=direct status=none
[[ $("$ZSCTL" ages disk -J | field idle_blocks) -eq $((objects - 1)) ]] || fail "the block that was read is idle"

step "recompression"
before=$(stat_of disk memory_bytes)
"$ZSCTL" recompress disk --types idle --max-blocks 5 | grep '^recompressed 5 of ' >/dev/null || fail "not five blocks"
"$ZSCTL" recompress disk >"$test_dir/said" || fail "recompression failed"
cat "$test_dir/said"
after=$(stat_of disk memory_bytes)
echo "memory: $before -> $after"
[[ $((after * 100)) -lt $((before * 95)) ]] || fail "it saved less than 5 %"
cmp -n "$(stat -c %s "$test_dir/data")" "$test_dir/data" "$mnt/disk" || fail "data differs"
"$ZSCTL" usage disk -n -r -o TYPE | grep -x zstd >/dev/null || fail "zsctl usage does not show the codec"
"$ZSCTL" recompress disk >"$test_dir/said"
# What gained by the first codec is tried with the second; then there is nothing left to try.
"$ZSCTL" recompress disk | grep ' of 0 blocks' >/dev/null || fail "blocks are tried again and again"

step "tasks can be watched and cancelled"
dd if="$test_dir/data" of="$mnt/disk" bs=1M conv=notrunc status=none
task=$("$ZSCTL" recompress disk --recompress zstd:19 --share 1 --detach | awk '{ print $2 }')
state() { "$ZSCTL" tasks -n -r -o TASK,STATE | awk -v task="$task" '$1 == task { print $2 }'; }
state_is() { [[ $(state) == "$1" ]]; }
[[ $(state) =~ ^(running|waiting)$ ]] || fail "task $task is $(state)"
check "cancelling" "$ZSCTL" cancel "$task"
eventually "cancelling task $task" state_is cancelled
refused "it has ended" "$ZSCTL" cancel "$task"
refused "there is none" "$ZSCTL" cancel 999
cmp -n "$(stat -c %s "$test_dir/data")" "$test_dir/data" "$mnt/disk" || fail "data differs"

step "data that changes while it is recompressed"
task=$("$ZSCTL" recompress disk --again --detach | awk '{ print $2 }')
for _ in {1..3}; do
	dd if="$test_dir/data" of="$mnt/disk" bs=64K conv=notrunc status=none
done
cmp -n "$(stat -c %s "$test_dir/data")" "$test_dir/data" "$mnt/disk" || fail "data differs"
eventually "the task ends" state_is "done"

step "who waits for a task and is ended by a signal, ends it"
# begin_waiting [COMMAND]...: sets waiter, and task to what it waits for.
begin_waiting()
{
	start "$@" "$ZSCTL" recompress disk --again --recompress zstd:19 --share 1 >said 2>&1
	waiter=$!
	eventually "starting a task" has_task
}
has_task()
{
	task=$("$ZSCTL" tasks -n -r -o TASK,STATE | awk '$2 == "running" { print $1 }')
	[[ $task ]]
}
is_cancelled() { [[ $(state) == cancelled ]]; }
for signal in TERM HUP; do
	begin_waiting env --default-signal
	kill -"$signal" "$waiter"
	eventually "ending the task by SIG$signal" is_cancelled
	wait_gone "$waiter"
	grep -q '^cancelled: recompressed ' said || fail "SIG$signal: $(cat said)"
done

step "not what is to be ignored, nor if there is no time for it"
begin_waiting env --ignore-signal=HUP
kill -HUP "$waiter"
sleep 0.5
is_running "$waiter" || fail "it does not wait any more: $(cat said)"
equal "its state" "$(state)" running
kill -KILL "$waiter"
wait_gone "$waiter"
equal "its state" "$(state)" running
check "cancelling" "$ZSCTL" cancel "$task"
eventually "ending the task" is_cancelled

step "a device that is removed takes its task along"
task=$("$ZSCTL" recompress disk --again --recompress zstd:19 --share 1 --detach | awk '{ print $2 }')
remove disk
eventually "task $task fails" state_is failed

step "a device so large that others have their turn while it is walked over"
add large 12G
blocks=(0 1048575 1048576 2097152 3145727)
for block in "${blocks[@]}"; do
	dd if=/dev/urandom of="$mnt/large" bs=4K count=1 seek="$block" conv=notrunc status=none
done
sum_ages() { "$ZSCTL" ages large -n -r -o BLOCKS | awk '{ sum += $1 } END { print sum }'; }
equal "blocks with an age" "$(sum_ages)" 5
"$ZSCTL" idle large --blocks 1048575-1048576 >/dev/null
equal "idle blocks of two steps" "$("$ZSCTL" ages large -J | field idle_blocks)" 2
"$ZSCTL" idle large --blocks 1-3145726 >said
grep -qw 1 said || fail "the third one was to be marked: $(cat said)"
"$ZSCTL" idle large >/dev/null
equal "idle blocks of all steps" "$("$ZSCTL" ages large -J | field idle_blocks)" 5
equal "blocks with an age" "$(sum_ages)" 5
refused "stay between" "$ZSCTL" idle large --blocks 5-3145728
remove large

step "one so large that a walk over what was never written would take an hour"
add huge 1P
for block in 0 137438953472 274877906943; do
	dd if=/dev/urandom of="$mnt/huge" bs=4K count=1 seek="$block" conv=notrunc status=none
done
equal "blocks with an age" "$("$ZSCTL" ages huge -n -r -o BLOCKS | awk '{ sum += $1 } END { print sum }')" 3
"$ZSCTL" idle huge --blocks 1-274877906943 >/dev/null
equal "idle blocks" "$("$ZSCTL" ages huge -J | field idle_blocks)" 2
remove huge

step "bad requests are refused by name"
add disk 1M
refused "disk2: there is no device with this name" "$ZSCTL" recompress disk2
nothing="the device has no codecs for it; name some, as in zstd:3"
refused "zsctl: disk: recompress 'none': $nothing" "$ZSCTL" recompress disk
refused "zsctl: disk: recompress 'none': $nothing" "$ZSCTL" recompress disk --recompress none
refused "zsctl: disk: recompress 'lzo': no such algorithm" "$ZSCTL" recompress disk --recompress lzo
refused "no such type" "$ZSCTL" recompress disk --recompress zstd --types cold
refused "stay between" "$ZSCTL" recompress disk --recompress zstd --blocks 0-256
refused "stay between" "$ZSCTL" idle disk --blocks 3-2
refused "no object takes that much" "$ZSCTL" recompress disk --recompress zstd --threshold 5K
refused "use 1 to 100" "$ZSCTL" recompress disk --recompress zstd --share 101
refused "not a time" "$ZSCTL" idle disk --older 10
refused "not a range" "$ZSCTL" idle disk --blocks 10
stop_daemon

# Half of it is superfluous, which lz4 doesn't see.
head -c 9M /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$test_dir/text"

# is_denser NAME
is_denser()
{
	[[ $(stat_of "$1" memory_bytes) -lt $((12 << 20)) ]]
}

# of_pool FIELD
of_pool()
{
	"$ZSCTL" stats -J | python3 -c 'import json, sys; print(json.load(sys.stdin)["pool"][sys.argv[1]])' "$1"
}

# recompresses_all REASON: two devices near the limit, so near that with a backing file there would be no time for it.
recompresses_all()
{
	local name
	for name in one two; do
		dd if="$test_dir/text" of="$mnt/$name" bs=1M conv=notrunc status=none
	done
	"$ZSCTL" set Writeback.StopAt=40% Writeback.StartAt=50% >/dev/null
	for name in one two; do
		eventually "recompressing: $1, $name" is_denser "$name"
		cmp -n $((18 << 20)) "$test_dir/text" "$mnt/$name" || fail "$name differs"
		eventually "logging it" grep -q "recompressed: reason=$1 device=$name" "$test_dir/run.log"
	done
}

step "near the pool's limit, without a backing file: one device after the other; and nothing is compacted"
cat >"$test_dir/zsd.conf" <<-END
	[Pool]
	MemoryLimit=40M
	Compact=no
	[Writeback]
	StartAt=97%
	[Device one]
	Size=20M
	Recompress=zstd:1
	[Device two]
	Size=20M
	Recompress=zstd:1
END
start_daemon --config "$test_dir/zsd.conf"
add holes 4M
# Two thirds of what was in the same zspages are gone.
python3 - "$mnt/holes" <<-END
	import os, sys
	file = os.open(sys.argv[1], os.O_WRONLY)
	for block in range(1024):
	    os.pwrite(file, os.urandom(1300) + bytes(2796), block * 4096)
	for block in range(1024):
	    if block % 3:
	        os.pwrite(file, bytes(4096), block * 4096)
END
recompresses_all pool-limit
equal "bytes compacted" "$(of_pool compacted_bytes)" 0
stop_daemon

step "near the limits of devices, the same"
cat >"$test_dir/zsd.conf" <<-END
	[Writeback]
	StartAt=97%
	[Device one]
	Size=20M
	MemoryLimit=19M
	Recompress=zstd:1
	[Device two]
	Size=20M
	MemoryLimit=19M
	Recompress=zstd:1
END
start_daemon --config "$test_dir/zsd.conf"
recompresses_all device-limit
stop_daemon
