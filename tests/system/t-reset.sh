#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `zsctl reset`: the data is gone, the device is as it was added; refused without --yes, and while it is open.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# All that it was added with.
options()
{
	"$ZSCTL" list vm0 -Jo NAME,SIZE,ALGORITHM,RECOMPRESS,LIMIT,GROUP,MODE,UID,GID,BLOCK-SIZE
}

start_daemon
"$ZSCTL" add vm0 --size 64M --algorithm zstd:5 --recompress zstd:19 --mem-limit 32M --group guests --mode 0640 \
	--block-size 16K >/dev/null
options >before
wait_for_free
base=$(pool_stat used_bytes)
head -c 8M /dev/urandom >data
dd if=data of="$mnt/vm0" bs=1M conv=notrunc oflag=direct status=none

step "refused"
refused "add --yes if you mean it" "$ZSCTL" reset vm0
refused "there is no device with this name" "$ZSCTL" reset vm1 --yes
sleep 1000 3<"$mnt/vm0" &
started+=($!)
eventually "opening it" stat_is vm0 open_count 1
refused "close it (unmount it, detach its loop device) first; it is open in process $! (sleep)" \
	"$ZSCTL" reset vm0 --yes
end_process "${started[-1]}"
cmp -n $((8 << 20)) data "$mnt/vm0" || fail "a refused reset changed the data"

step "the data is gone, the device is not"
eventually "closing it" stat_is vm0 open_count 0
"$ZSCTL" reset vm0 --yes
options >after
diff before after >&2 || fail "it is another device now"
cmp -n $((64 << 20)) /dev/zero "$mnt/vm0" || fail "there is data left"
equal "written" "$(stat_of vm0 written_bytes)" 0
wait_for_free
[[ $(pool_stat used_bytes) -le $((base + 65536)) ]] || fail "$(($(pool_stat used_bytes) - base)) bytes are left of it"
equal "devices" "$(pool_stat devices)" 1

step "it can be used, and reset again"
dd if=data of="$mnt/vm0" bs=1M conv=notrunc oflag=direct status=none
cmp -n $((8 << 20)) data "$mnt/vm0" || fail "it does not hold data"
eventually "closing it" stat_is vm0 open_count 0
check "a second reset" "$ZSCTL" reset vm0 --yes
stop_daemon
