#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Memory is short in the system: a part of what is coldest is written back, counted and logged with that reason. Whether
# it is short is what a file of the kernel's says, here another one.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

export FAKE_PRESSURE=$test_dir/pressure

# of_pressure COLUMN: of zsctl backing.
of_pressure()
{
	"$ZSCTL" backing -n -r -b -o "REASON,$1" | awk '$1 == "pressure" { print $2 }'
}

has_written()
{
	[[ $(of_pressure TASKS) -gt 0 && $(of_pressure BLOCKS) -gt 0 ]]
}

has_said()
{
	grep -q 'written back: reason=pressure device=all blocks=[1-9][0-9]* written=.* freed=.*' run.log
}

head -c 20M /dev/urandom >data
printf '[Writeback]\nBacking=%s\nIdleAfter=never\n' "$test_dir/cold" >zsd.conf
ZSD_PRELOAD=$BUILD/tests/system/libfake_pressure.so start_daemon --config zsd.conf
add disk 20M
dd if=data of="$mnt/disk" bs=1M conv=notrunc oflag=direct status=none

step "the kernel is asked to tell"
has_asked() { grep -qxE 'some [0-9]+ [0-9]+' pressure.triggers; }
eventually "asking" has_asked
equal "tasks before" "$(of_pressure TASKS) $(stat_of disk written_back_bytes)" "0 0"

step "a twentieth is written back"
: >pressure
eventually "writing back" has_written
rm pressure
eventually "saying so" has_said
# The pool takes a little more than the data.
[[ $(stat_of disk written_back_bytes) -ge $((1 << 20)) ]] || fail "only $(stat_of disk written_back_bytes) bytes"
[[ $(stat_of disk written_back_bytes) -lt $((10 << 20)) ]] || fail "$(stat_of disk written_back_bytes) bytes"
[[ $(of_pressure FREED) -gt 0 ]] || fail "nothing was freed"
cmp data "$mnt/disk" || fail "it reads back differently"
stop_daemon
