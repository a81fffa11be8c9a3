#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Shared maps of files that the kernel doesn't cache: what is written through a map is read by read(2) and the other way
# round, at once, and it is with the daemon after msync, munmap, or the death of who wrote it.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need python3
[[ $(printf '6.6\n%s\n' "$(uname -r)" | sort -V | head -n 1) == 6.6 ]] || skip "needs Linux 6.6"

start_daemon --threads 2
add disk 16M
add small 4M --mem-limit 256K
head -c 16M /dev/urandom >"$test_dir/mirror"
dd if="$test_dir/mirror" of="$mnt/disk" bs=1M conv=notrunc status=none

cat >"$test_dir/map.py" <<'END'
import ctypes, mmap, os, signal, sys, threading, time
how, path, mirror = sys.argv[1:4]
descriptor = os.open(path, os.O_RDWR)
other = os.open(path, os.O_RDWR | os.O_DIRECT)
shared = mmap.mmap(descriptor, 0)
copy = open(mirror, "r+b", buffering=0)
size = len(shared)

def write_map(offset, length):
    data = os.urandom(length)
    shared[offset:offset + length] = data
    os.pwrite(copy.fileno(), data, offset)

def expect(condition, what):
    if not condition:
        sys.exit(what)

if how == "see":
    expect(shared[:] == os.pread(copy.fileno(), size, 0), "the map shows something else than the file")
    for offset, length in (0, 1), (4095, 2), (8192, 4096), (100001, 300001), (size - 7, 7):
        write_map(offset, length)
        for fd in descriptor, other:
            expect(os.pread(fd, length, offset) == shared[offset:offset + length], "a read misses the map's data")
        data = os.urandom(length)
        os.pwrite(other, data, offset)
        os.pwrite(copy.fileno(), data, offset)
        expect(shared[offset:offset + length] == data, "the map misses what was written")
elif how == "msync":
    write_map(4095, 1000001)
    shared.flush()
elif how == "fsync":
    write_map(1 << 20, 1000001)
    os.fsync(descriptor)
elif how == "unmap":
    write_map(3 << 20, 1000001)
    shared.close()
elif how == "end":
    write_map(5 << 20, 1000001)
elif how == "kill":
    write_map(7 << 20, 1000001)
    os.kill(os.getpid(), signal.SIGKILL)
elif how == "discard":
    libc = ctypes.CDLL(None, use_errno=True)
    offset, length = 9 << 20, 2 << 20
    shared[offset:offset + 100000] = b"x" * 100000
    expect(libc.fallocate(descriptor, 3, ctypes.c_long(offset), ctypes.c_long(length)) == 0, "fallocate failed")
    expect(not any(shared[offset:offset + length]), "the map still shows what was discarded")
    os.pwrite(copy.fileno(), bytes(length), offset)
elif how == "together":
    # Two write, one by map and one by call, to pages next to each other.
    def write_pages():
        for turn in range(300):
            os.pwrite(other, bytes([turn % 256]) * 4096, (2 * turn % 64 + 1) * 4096)
    writer = threading.Thread(target=write_pages)
    writer.start()
    for turn in range(300):
        offset = 2 * turn % 64 * 4096
        shared[offset:offset + 4096] = bytes([turn % 256]) * 4096
    writer.join()
    for turn in range(268, 300):
        page = 2 * turn % 64
        expect(os.pread(other, 8192, page * 4096) == bytes([turn % 256]) * 8192, f"page {page} is wrong")
    os.pwrite(copy.fileno(), os.pread(other, 66 * 4096, 0), 0)
elif how == "full":
    shared[:] = os.urandom(size)
    shared.flush()
END

# Everything that was written is with the daemon: nothing is left in the page cache that direct I/O could flush.
unchanged()
{
	local before after
	before=$(stat_of disk written_bytes)
	cmp <(dd if="$mnt/disk" bs=1M iflag=direct status=none) "$test_dir/mirror" || fail "the file differs after $1"
	after=$(stat_of disk written_bytes)
	equal "bytes written by reading after $1" $((after - before)) 0
}

for how in see msync fsync unmap end kill discard together; do
	step "$how"
	if [[ $how == kill ]]; then
		! python3 "$test_dir/map.py" $how "$mnt/disk" "$test_dir/mirror" 2>/dev/null || fail "it was not killed"
	else
		check "a map, $how" python3 "$test_dir/map.py" $how "$mnt/disk" "$test_dir/mirror"
	fi
	unchanged $how
done

step "a map that does not fit is an error of msync, and harms nothing else"
refused "[Errno" python3 "$test_dir/map.py" full "$mnt/small" "$test_dir/mirror"
unchanged "that"

step "removed while it is mapped"
start python3 -c '
import mmap, os, sys, time
shared = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
shared[0] = 1
open(sys.argv[2], "w").close()
time.sleep(60)' "$mnt/disk" "$test_dir/mapped"
mapper=$!
eventually "mapping it" test -e "$test_dir/mapped"
check "removing it" "$ZSCTL" remove --force disk
kill -KILL "$mapper"
wait_gone "$mapper" || fail "who has a map of a removed device does not end"
stop_daemon
