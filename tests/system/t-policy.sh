#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The daemon compacts by itself where discards have left zspages half empty: above a threshold and down to a lower one,
# while others read, and then sleeps again. Not with Compact=no, not below the threshold.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

MIB=$((1 << 20))

# freeable PERCENT: whether compaction could free more than that part of the zspages' memory.
freeable()
{
	[[ $(($(pool_stat freeable_bytes) * 100)) -gt $(($(pool_stat zspage_bytes) * $1)) ]]
}

# start_with LINE...: a daemon whose configuration has this in [Pool], with a device that is a copy of the model.
start_with()
{
	printf '%s\n' "[Pool]" "$@" >zsd.conf
	start_daemon --config zsd.conf
	add disk 96M
	dd if=model of="$mnt/disk" bs=1M conv=notrunc status=none
}

# thin_out PERCENT [FILE]: discards this part of the device's blocks at random. With FILE: and reads others meanwhile;
# all must be as in the model, or zeros where it was discarded. When all is discarded there is FILE.discarded, and it
# goes on reading until there is FILE.
thin_out()
{
	python3 -c '
import ctypes, os, random, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
disk, model = os.open(sys.argv[1], os.O_RDWR), os.open("model", os.O_RDONLY)
percent, end = int(sys.argv[2]), sys.argv[3]
blocks = list(range(os.fstat(model).st_size // 4096))
random.seed(6)
random.shuffle(blocks)
doomed, gone = blocks[:len(blocks) * percent // 100], set()

def check(block):
    expected = bytes(4096) if block in gone else os.pread(model, 4096, block * 4096)
    if os.pread(disk, 4096, block * 4096) != expected:
        sys.exit(f"block {block} is another one")

for block in doomed:
    if libc.fallocate(disk, 3, block * 4096, 4096):
        sys.exit("fallocate: " + os.strerror(ctypes.get_errno()))
    gone.add(block)
    if end and block % 8 == 0:
        check(random.choice(blocks))
if end:
    open(end + ".discarded", "w").close()
while end and not os.path.exists(end):
    check(random.choice(blocks))
if end:
    for block in blocks:
        check(block)
' "$mnt/disk" "$1" "${2:-}"
}

# wait_for_runs NUMBER: until so many have begun, and the last one has ended.
wait_for_runs()
{
	eventually "compaction number $1" has_run "$1"
}

has_run()
{
	[[ $(pool_stat compaction_runs) -ge $1 && $(pool_stat compaction) != running ]]
}

is_compacting()
{
	[[ $(pool_stat compaction) == running ]]
}

# What is discarded after the last run may leave as much behind as starts none: 8 MiB, whatever part of the pool it is.
is_compacted()
{
	is_all_free && ! is_compacting && [[ $(pool_stat freeable_bytes) -le $((8 * MIB)) ]]
}

: >model
while [[ $(stat -c %s model) -lt $((96 * MIB)) ]]; do
	cat /usr/bin/bash "$ZSD" "$ZSCTL" >>model
done
truncate -s 96M model

step "what is discarded at random is compacted, with a reader"
start_with
equal "before" "$(pool_stat compaction) $(pool_stat compaction_runs) $(pool_stat compacted_bytes)" "idle 0 0"
start thin_out 60 "$test_dir/end"
reader=$!
wait_for_runs 1
# Discards may go on after the first run.
eventually "discarding" test -e end.discarded
eventually "compacting all of it" is_compacted
is_running "$reader" || fail "the reader ended early"
touch end
wait "$reader" || fail "data differs"
equal "how it ended" "$(pool_stat compaction_end)" "done"
equal "what it has freed" "$(pool_stat compaction_freed_bytes)" "$(pool_stat compacted_bytes)"
[[ $(pool_stat compaction_freed_bytes) -gt $((10 * MIB)) ]] || fail "it has freed next to nothing"
grep -q 'compacted: fragmentation held .* more than 3%; freed .* are left' run.log || fail "the log does not say so"
"$ZSCTL" stats | grep -E 'compaction_end +done$' >/dev/null || fail "zsctl stats does not print how it ended"

# Waiting for it takes long; t-idle.sh does it with each transport.
if [[ ${ZSD_TEST_TRANSPORT:-} != uring ]]; then
	step "and then nothing moves any more"
	# The look that comes after a run during which something changed.
	sleep 7
	idle 4
fi
stop_daemon

step "zsctl compact can be called while it compacts"
start_with CompactQuota=1%
start thin_out 60 "$test_dir/end2"
reader=$!
eventually "starting to compact" is_compacting
"$ZSCTL" compact >/dev/null
[[ $(pool_stat compacted_bytes) -gt $(pool_stat compaction_freed_bytes) ]] || fail "zsctl compact has freed nothing"
touch end2
wait "$reader" || fail "data differs"
wait_for_runs 1
stop_daemon

step "a daemon that compacts can be stopped"
start_with CompactQuota=1%
thin_out 60
eventually "starting to compact" is_compacting
stop_daemon 10
# When it does not start is the same with each transport.
[[ ${ZSD_TEST_TRANSPORT:-} != uring ]] || exit 0

step "below the threshold it does not start"
start_with CompactThreshold=75%
thin_out 60
wait_for_free
freeable 8 || fail "too little is freeable for a test"
sleep 2.5
equal "runs" "$(pool_stat compaction_runs) $(pool_stat compaction)" "0 idle"
equal "what was compacted" "$(pool_stat compacted_bytes)" 0
stop_daemon

step "nor with Compact=no; zsctl compact does it"
start_with Compact=no
thin_out 60
wait_for_free
freeable 10 || fail "too little is freeable for a test"
sleep 2.5
equal "runs" "$(pool_stat compaction_runs) $(pool_stat compaction)" "0 off"
equal "what was compacted" "$(pool_stat compacted_bytes)" 0
"$ZSCTL" compact >/dev/null
freeable 0 && fail "something is left"
stop_daemon
