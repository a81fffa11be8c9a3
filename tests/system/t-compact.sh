#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Discards leave zspages half empty, `zsctl compact` gives their memory back, and the data that is left is unharmed,
# also while it is being read.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# freed_of ANSWER
freed_of()
{
	python3 -c 'import json, sys; print(json.loads(sys.argv[1])["freed_bytes"])' "$1"
}

# Not by itself.
printf '[Pool]\nCompact=no\n' >zsd.conf
start_daemon --config zsd.conf
add disk 256M
file=$mnt/disk

step "128 MiB of real data, of which every other 4 KiB are discarded"
head -c 64M "$BUILD/daemon/zsd" >model || true
while [[ $(stat -c %s model) -lt $((128 << 20)) ]]; do
	cat /usr/bin/bash "$ZSD" "$ZSCTL" >>model
done
truncate -s 128M model
dd if=model of="$file" bs=1M conv=notrunc status=none
python3 -c '
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
disk, model = os.open(sys.argv[1], os.O_RDWR), os.open(sys.argv[2], os.O_RDWR)
for block in range(0, 128 << 8, 2):
    for fd in disk, model:
        if libc.fallocate(fd, 3, block * 4096, 4096):
            sys.exit("fallocate: " + os.strerror(ctypes.get_errno()))
' "$file" model
wait_for_free
freeable=$(pool_stat freeable_bytes)
before=$(pool_stat zspage_bytes)
[[ $freeable -gt $((before / 5)) ]] || fail "only $freeable of $before bytes are freeable"

step "compact, with readers"
start cmp -n $((128 << 20)) "$file" model
reader=$!
answer=$("$ZSCTL" compact -J)
wait "$reader" || fail "data differs while it is compacted"
freed=$(freed_of "$answer")
# What was being read stayed where it was; nobody reads any more.
freed=$((freed + $(freed_of "$("$ZSCTL" compact -J)")))
equal "what was freed" "$freed" "$freeable"
equal "zspages before and after" $((before - $(pool_stat zspage_bytes))) "$freed"
equal "what is still freeable" "$(pool_stat freeable_bytes)" 0
equal "the pool's count" "$(pool_stat compacted_bytes)" "$freed"
check "data after compaction" cmp -n $((128 << 20)) "$file" model

step "bad input"
refused "too many names" "$ZSCTL" compact disk
refused "not an option of compact" "$ZSCTL" compact --size 1M
