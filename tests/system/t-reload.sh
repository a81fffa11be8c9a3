#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `zsctl reload` ends with 1 where something could not be done, tells what and why, does the rest, and tries it again
# the next time.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/freeze.sh"
need_root

export SLOW_PUNCH=$test_dir/slow
config=$test_dir/zsd.conf

# configure LINE...
configure()
{
	printf '%s\n' '[Writeback]' "Backing=$test_dir/backing" IdleAfter=never "$@" >"$config"
}

# reloads STATUS SAID: what it prints, in its order.
reloads()
{
	local status=0
	"$ZSCTL" reload >said 2>errors || status=$?
	equal "what reload says" "$(cat said errors)" "$2"
	equal "the status of reload" "$status" "$1"
}

is_added()
{
	"$ZSCTL" reload >said && [[ $(cat said) == "Device after: added" ]]
}

configure Size=64M
ZSD_PRELOAD=$BUILD/tests/system/libslow_punch.so start_daemon --config "$config"

step "a value that can't be applied"
small="Writeback.Size=64K: failed: Size= of [Writeback] is too small; use 4M or more"
configure Size=64K '[Pool]' MemoryLimit=1G
reloads 1 "$small
Pool.MemoryLimit=1G: applied"
equal "the pool's limit" "$(pool_stat memory_limit_bytes)" $((1 << 30))
reloads 1 "$small"
configure Size=32M '[Pool]' MemoryLimit=1G
reloads 0 "Writeback.Size=32M: applied"

step "a device that there is no room for"
configure Size=32M '[Pool]' MemoryLimit=1G '[Device large]' Size=4096P '[Device small]' Size=1M
large="Device large: failed: there is no room for its table; correct Size=, or remove another device"
reloads 1 "$large
Device small: added"
reloads 1 "$large"
"$ZSCTL" remove small

step "a device in whose place another one is still being freed"
largest=$("$BUILD/tests/system/hostile" "$ZSD_SOCKET" call \
	'{"method":"io.zsd.control.Add","parameters":{"name":"before","size_bytes":4611686018427387904}}' |
	grep -o '"limit_bytes":[0-9]*')
largest=${largest#*:}
"$ZSCTL" add before --size "${largest}B" >/dev/null
# More than what is kept of free memory: some of it is given back before all is free.
dd if=/dev/urandom of="$mnt/before" bs=1M count=64 conv=notrunc status=none
# Who frees what is removed.
freeze_thread zsd-maintain
"$ZSCTL" remove before
configure Size=32M '[Pool]' MemoryLimit=1G '[Device after]' "Size=${largest}B"
: >"$SLOW_PUNCH"
reloads 1 "Device after: failed: devices that were removed are still being freed; reload again in a moment"
[[ ! -e $SLOW_PUNCH ]] || fail "nothing was slow"
[[ ! -e $mnt/after ]] || fail "it is there all the same"
end_process "${started[-1]}"
eventually "adding the device" is_added
[[ -e $mnt/after ]] || fail "it is not there"
reloads 0 ""
