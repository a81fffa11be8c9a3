#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Read-only devices: who wants to change one is told at the door, also when the file was open before; made so by option,
# by configuration and while it is in use; loop devices over one are read-only.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fallocate losetup

cat >zsd.conf <<'END'
[Device fixed]
Size=1M
ReadOnly=yes
END
start_daemon --config "$test_dir/zsd.conf"
add sealed 1M --read-only
add open 1M

step "they can be read, and not be opened to be written"
for name in fixed sealed; do
	equal "$name" "$("$ZSCTL" list -n -r -o READ-ONLY "$name")" yes
	equal "what is in $name" "$(tr -d '\0' <"$mnt/$name" | wc -c)" 0
	refused "Read-only file system" bash -c ": 1<>'$mnt/$name'"
	refused "Read-only file system" bash -c ": >>'$mnt/$name'"
	refused "Read-only file system" fallocate --punch-hole --offset 0 --length 4096 "$mnt/$name"
done
equal "open" "$("$ZSCTL" list -n -r -o READ-ONLY open)" no
"$ZSCTL" list -J open | grep '"read_only": false' >/dev/null || fail "JSON has no truth value"

step "changed while a writer has it open"
exec 5<>"$mnt/open"
echo before >&5
"$ZSCTL" set open ReadOnly=yes
# Neither writes nor discards, in pieces or big; another program has the descriptor.
refused "Read-only file system" dd if=/dev/zero of=/dev/fd/5 bs=4K count=1 conv=notrunc
refused "Read-only file system" python3 -c 'import os; os.pwrite(5, bytes(1 << 20), 0)'
refused "Read-only file system" python3 -c '
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
if libc.fallocate(5, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(4096)):
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))'
equal "what was written before" "$(head -n 1 "$mnt/open")" before
"$ZSCTL" set open ReadOnly=no
python3 -c 'import os; os.pwrite(5, b"after ", 0)'
exec 5>&-
equal "what was written afterwards" "$(head -c 5 "$mnt/open")" after

step "mapped by a writer, and cached by the kernel"
add mapped 1M --cache kernel
cat >map.py <<'END'
import errno, mmap, os, subprocess, sys
path, zsctl = sys.argv[1:]
descriptor = os.open(path, os.O_RDWR)
os.pwrite(descriptor, b"before", 0)
shared = mmap.mmap(descriptor, 0)
subprocess.run([zsctl, "set", "mapped", "ReadOnly=yes"], check=True)
shared[4096:4100] = b"late"
try:
    shared.flush()
    sys.exit("msync says nothing")
except OSError as error:
    if error.errno != errno.EROFS:
        raise
END
check "msync" python3 map.py "$mnt/mapped" "$ZSCTL"
equal "what the device has" "$(dd if="$mnt/mapped" bs=1M iflag=direct status=none | tr -d '\0')" before

step "loop devices"
"$ZSCTL" set open ReadOnly=yes
loop=$("$ZSCTL" attach open)
loops+=("$loop")
equal "the block device is read-only" "$(blockdev --getro "$loop")" 1
detach "$loop"
# losetup asks for reading alone when it is refused.
attach "$mnt/open"
equal "losetup's, too" "$(blockdev --getro "$loop")" 1
detach "$loop"

step "by the configuration, while it runs"
sed -i 's/ReadOnly=yes/ReadOnly=no/' zsd.conf
"$ZSCTL" reload | grep 'Device fixed.ReadOnly.*applied' >/dev/null || fail "reload does not apply it"
echo works 1<>"$mnt/fixed"
refused "neither yes nor no" "$ZSCTL" set fixed ReadOnly=maybe
"$ZSCTL" set fixed ReadOnly=yes
remove fixed
stop_daemon
