#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Cache=kernel: what was read stays in the page cache from one open to the next, writes go to the daemon at once, shared
# maps work and are written back by msync, fsync and close, and what is discarded is gone from the cache as well.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need python3 xfs_io

cat >"$test_dir/zsd.conf" <<'END'
[Device cached]
Size=16M
Cache=kernel
[Device plain]
Size=16M
END
chmod 644 "$test_dir/zsd.conf"
head -c 16M /dev/urandom >"$test_dir/mirror"
start_daemon --config "$test_dir/zsd.conf"
file=$mnt/cached

# Nothing of the file is left in the page cache; what is dirty stays.
forget()
{
	python3 -c '
import os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)' "$file"
}

step "who has asked for it has it"
equal "the devices" "$("$ZSCTL" list -rno NAME,CACHE | sort)" $'cached kernel\nplain none'
refused "no such cache; use none or kernel" "$ZSCTL" add x --size 1M --cache all
add added 1M --cache kernel
equal "the one that was added" "$("$ZSCTL" list -rno CACHE added)" kernel

step "writes go to the daemon at once, reads only once"
dd if="$test_dir/mirror" of="$file" bs=1M conv=notrunc status=none
equal "bytes written" "$(stat_of cached written_bytes)" 16777216
forget
cmp "$file" "$test_dir/mirror" || fail "the file differs"
before=$(stat_of cached read_bytes)
[[ $before -ge 16777216 ]] || fail "only $before bytes were read from the daemon"
cmp "$file" "$test_dir/mirror" || fail "the cached file differs"
# The modification time is new now, and nothing is dropped for that.
dd if="$test_dir/mirror" of="$file" bs=4K count=1 conv=notrunc status=none
stat "$file" >/dev/null
cmp "$file" "$test_dir/mirror" || fail "the cached file differs after writing"
again=$(($(stat_of cached read_bytes) - before))
# Not none: a kernel that reclaims by itself (DAMON_RECLAIM) takes some pages back within a second.
[[ $again -lt 4194304 ]] || fail "$again bytes were read again, of 16777216 twice"
cmp <(dd if="$file" bs=1M iflag=direct status=none) "$test_dir/mirror" || fail "direct I/O reads something else"

step "shared maps are written back"
cat >"$test_dir/map.py" <<'END'
import mmap, os, signal, sys
how, path, mirror, offset, length = sys.argv[1:4] + [int(n) for n in sys.argv[4:6]]
descriptor = os.open(path, os.O_RDWR)
shared = mmap.mmap(descriptor, 0)
with open(mirror, "r+b") as copy:
    copy.seek(offset)
    data = os.urandom(length)
    copy.write(data)
shared[offset:offset + length] = data
if how == "msync":
    shared.flush()
elif how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif how == "fsync":
    os.fsync(descriptor)
elif how == "read":
    assert os.pread(descriptor, length, offset) == data
END
before=$(stat_of cached written_bytes)
offset=4095
for how in msync fsync read end kill; do
	python3 "$test_dir/map.py" $how "$file" "$test_dir/mirror" $offset 300001 2>/dev/null || [[ $how == kill ]] ||
		fail "a map with $how failed"
	forget
	cmp "$file" "$test_dir/mirror" || fail "the file differs after $how"
	cmp <(dd if="$file" bs=1M iflag=direct status=none) "$test_dir/mirror" || fail "the daemon has something else"
	offset=$((offset + 1000000))
done
[[ $(stat_of cached written_bytes) -ge $((before + 1500000)) ]] || fail "the maps were not written back"

step "what was discarded is gone from the cache"
blocks=$(stat_of cached object_blocks)
python3 - "$file" <<'END'
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
PUNCH_HOLE_KEEP_SIZE, offset, length = 3, 1 << 20, 4 << 20
descriptor = os.open(sys.argv[1], os.O_RDWR)
shared = mmap.mmap(descriptor, 0)
shared[offset:offset + 100000] = b"x" * 100000  # dirty, and to be dropped
assert any(shared[offset:offset + length])
assert libc.fallocate(descriptor, PUNCH_HOLE_KEEP_SIZE, ctypes.c_long(offset), ctypes.c_long(length)) == 0
assert not any(shared[offset:offset + length]), "the map"
assert not any(os.pread(descriptor, length, offset)), "the file"
# The daemon doesn't know yet that there is data again.
shared[offset] = 1
assert os.lseek(descriptor, offset, os.SEEK_DATA) == offset, "a hole where data is"
shared[offset] = 0
END
dd if=/dev/zero of="$test_dir/mirror" bs=1M seek=1 count=4 conv=notrunc status=none
forget
cmp "$file" "$test_dir/mirror" || fail "the file differs"
equal "blocks freed" $((blocks - $(stat_of cached object_blocks))) 1024

step "a map that does not fit is an error of msync, and harms nothing else"
add small 4M --mem-limit 256K --cache kernel
refused "[Errno" python3 - "$mnt/small" <<'END'
import mmap, os, sys
shared = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
shared[:] = os.urandom(len(shared))
shared.flush()
END
forget
cmp "$file" "$test_dir/mirror" || fail "the other file differs"
remove small cached
stop_daemon
